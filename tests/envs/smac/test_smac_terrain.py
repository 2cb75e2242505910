"""The text grids against the reference's runs, and what a wrong text says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.terrain import HIGH, LOW, RAMP, TERRAIN_NAMES, VOID, load_terrain, parse_terrain
from a2po.errors import TaskError

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))
TERRAIN_DATA: dict[str, dict[str, Any]] = DATA["terrains"]
CASES = {case["id"]: case for case in DATA["validation_cases"]}
LEVELS = {"0": VOID, "1": LOW, "2": HIGH, "r": RAMP}
PLATEAU, CLIFF = 0, 1


def grid_of_runs(rows: dict[str, list[list[Any]]]) -> np.ndarray:
    """[x, y]; a run is first x, last x and what stands there."""
    grid = np.zeros((SIZE, SIZE), int)
    for y, runs in rows.items():
        for first, last, *what in runs:
            grid[first : last + 1, int(y)] = LEVELS[what[0]] if what else 1
    return grid


def test_the_terrains_are_those_of_the_maps() -> None:
    assert set(TERRAIN_NAMES) == set(TERRAIN_DATA) == {battle.terrain for battle in MAPS.values()}


@pytest.mark.parametrize("name", sorted(TERRAIN_DATA))
def test_every_cell(name: str) -> None:
    terrain, data = load_terrain(name), TERRAIN_DATA[name]
    assert np.array_equal(terrain.walkable[PLATEAU], grid_of_runs(data["walk_A_plateau"]))
    assert np.array_equal(terrain.walkable[CLIFF], grid_of_runs(data["walk_C_tile"]))
    assert np.array_equal(terrain.level, grid_of_runs(data["cliff_level_runs"]))
    assert terrain.walkable.sum((1, 2)).tolist() == [data["n_walk"]["A"], data["n_walk"]["C"]]


def test_heights_rise_with_the_level() -> None:
    terrain = load_terrain("two_level_ramps")
    void, low, ramp, high = (np.unique(terrain.height[terrain.level == level]) for level in (VOID, LOW, RAMP, HIGH))
    assert len(void) == len(low) == len(ramp) == len(high) == 1
    assert 0 <= void[0] < low[0] < ramp[0] < high[0] <= 1
    assert terrain.height.dtype == np.float32


def test_avail_move_pathing() -> None:
    x, y = 9.5, 23.5  # the case's unit; it looks one cell north
    cell = (math.trunc(x), math.trunc(y + DATA["smac_constants"]["move_check_distance"]))
    assert cell == (9, 24)
    assert "variant A" in CASES["avail_move_pathing"]["setup"]
    walkable = load_terrain("open_band").walkable
    assert walkable[PLATEAU][cell]
    assert not walkable[CLIFF][cell]


@pytest.mark.parametrize(
    ("variant", "width", "abreast", "slant"),
    [(PLATEAU, 4.0, 5, 2 * math.sqrt(2)), (CLIFF, 2.0, 2, math.sqrt(2))],
)
def test_neck_width_corridor(variant: int, width: float, abreast: int, slant: float) -> None:
    """Along the line y = 13, and at its narrowest between two tips of the stairs that the cells make of its slanting walls.

    The reference's 4.0 in A is the former. Its 2.83 in C is between the middles of the wall's cells: a wall without steps. Square
    cells leave 1.41.
    """
    walkable = load_terrain("corridor").walkable[variant]
    blocked = np.argwhere(~walkable)
    # Stretches of y = 13 that are free on both sides of the line.
    free = np.flatnonzero(walkable[:, 12] & walkable[:, 13])
    assert free[-1] - free[0] + 1 == len(free) == width
    assert int(width // 0.75) == abreast
    # The walls north-west and south-east of the neck, around (13, 13).
    near = blocked[(abs(blocked - 12.5) < 4.5).all(axis=1)]
    north_west, south_east = near[near[:, 1] > near[:, 0]], near[near[:, 1] < near[:, 0]]
    gap = np.maximum(abs(north_west[:, None] - south_east[None]) - 1, 0)
    assert np.hypot(*gap.transpose(2, 0, 1)).min() == pytest.approx(slant)


def test_an_unknown_name() -> None:
    with pytest.raises(TaskError, match=r"'coridor'; did you mean 'corridor'"):
        load_terrain("coridor")


def test_a_loaded_terrain_is_nobodys_to_change() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_terrain("corridor").walkable[0, 0, 0] = True


GOOD = [["1"] * SIZE for _ in range(SIZE)]


def text(rows: list[list[str]]) -> str:
    return "\n".join("".join(row) for row in rows) + "\n"


def test_own_text_has_north_on_top_and_west_on_the_left() -> None:
    rows = [row.copy() for row in GOOD]
    rows[0][2] = "."  # the northernmost line, the third cell from the west
    terrain = parse_terrain("mine", text(rows))
    assert np.argwhere(~terrain.walkable[PLATEAU]).tolist() == [[2, 31]]
    assert terrain.level[2, 31] == VOID


def test_wrong_texts_say_where() -> None:
    with pytest.raises(TaskError, match="terrain mine: 31 lines; a terrain has 32"):
        parse_terrain("mine", text(GOOD[1:]))
    with pytest.raises(TaskError, match="terrain mine, line 3: 31 characters"):
        parse_terrain("mine", text([*GOOD[:2], GOOD[2][1:], *GOOD[3:]]))
    with pytest.raises(TaskError, match="terrain mine, line 3, column 1: 'W' is none of"):
        parse_terrain("mine", text([*GOOD[:2], ["W", *GOOD[2][1:]], *GOOD[3:]]))
