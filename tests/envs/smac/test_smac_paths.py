"""The ways against slow and obvious reckonings: sampled bodies, and shortest ways in the graph of all cells that see each other."""

from __future__ import annotations

import inspect
import json
import math
from itertools import pairwise
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

from a2po.envs.smac import paths
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.terrain import TERRAIN_NAMES, load_terrain
from a2po.envs.smac.units import UNITS

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in DATA["validation_cases"]}
ROUNDABOUT = {"corridor", "staircase", "two_level_ramps"}


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """The module's functions, compiled to call each other; but not the one that stays plain, because it pads arrays."""
    namespace: dict[str, Any] = dict(vars(paths))
    for name, function in vars(paths).items():
        if inspect.isfunction(function) and function.__module__ == paths.__name__ and name != "straight_everywhere":
            namespace[name] = numba.njit(FunctionType(function.__code__, namespace, name))
    return SimpleNamespace(**namespace)


def patch(seed: int, side: int = 9) -> np.ndarray:
    """A random maze somewhere in a blocked map."""
    random = np.random.default_rng(seed)
    walkable = np.zeros((SIZE, SIZE), bool)
    x, y = random.integers(1, SIZE - side, 2)
    walkable[x : x + side, y : y + side] = random.random((side, side)) > random.choice([0.1, 0.2, 0.35, 0.5])
    return walkable


def cells_of(walkable: np.ndarray) -> np.ndarray:
    return np.argwhere(walkable) @ np.array([SIZE, 1])


def centre(cell: int) -> np.ndarray:
    return np.array([cell // SIZE + 0.5, cell % SIZE + 0.5])


def clearance(walkable: np.ndarray, start: int, goal: int) -> float:
    """From the segment between the centres to the nearest blocked cell, by samples."""
    here, there = centre(start), centre(goal)
    blocked = np.argwhere(~walkable)
    # Only those that can matter.
    blocked = blocked[((blocked > np.minimum(here, there) - 3) & (blocked < np.maximum(here, there) + 2)).all(axis=1)]
    if not len(blocked):
        return math.inf
    points = here + np.linspace(0, 1, 300)[:, None] * (there - here)
    nearest = np.clip(points[:, None], blocked, blocked + 1)
    return float(np.linalg.norm(nearest - points[:, None], axis=2).min())


def way(table: np.ndarray, start: int, goal: int) -> list[int]:
    cells = [start]
    while cells[-1] != goal:
        cells.append(int(table[cells[-1], goal]))
        assert cells[-1] >= 0
        assert len(cells) < 200, "it walks in circles"
    return cells


def regions(walkable: np.ndarray) -> np.ndarray:
    """A number for each cell that all cells have in common which one reaches from it by steps to the side."""
    region = np.where(walkable.ravel(), np.arange(SIZE * SIZE), -1).reshape(SIZE, SIZE)
    for _ in range(walkable.sum()):
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            region = np.where(walkable, np.maximum(region, np.roll(region, shift, axis) * np.roll(walkable, shift, axis)), -1)
    return region


def length(cells: list[int]) -> float:
    return float(sum(np.linalg.norm(centre(one) - centre(other)) for one, other in pairwise(cells)))


@pytest.mark.parametrize("seed", range(3))
def test_straight_lines_have_room_for_a_body(compiled: SimpleNamespace, seed: int) -> None:
    walkable = patch(seed)
    blocked = compiled.blocked_below(walkable)
    answers = set()
    for start in cells_of(walkable):
        for goal in cells_of(walkable):
            room = clearance(walkable, start, goal)
            if abs(room - paths.BODY) > 0.005:  # the samples' own error
                assert compiled.straight(blocked, start, goal, paths.BODY) == (room > paths.BODY), (start, goal)
                answers.add(room > paths.BODY)
    assert answers == {True, False}


@pytest.mark.parametrize("seed", range(8))
def test_ways_arrive_and_are_short(compiled: SimpleNamespace, seed: int) -> None:
    walkable = patch(seed)
    table, cells = compiled.waypoints(walkable), cells_of(walkable)
    seen = compiled.sight(walkable, compiled.blocked_below(walkable))
    region = regions(walkable)
    shortest = np.array([[np.linalg.norm(centre(one) - centre(other)) for other in cells] for one in cells])
    shortest[~seen[np.ix_(cells, cells)]] = math.inf
    for middle in range(len(cells)):
        shortest = np.minimum(shortest, shortest[:, middle : middle + 1] + shortest[middle : middle + 1])
    for i, start in enumerate(cells):
        for j, goal in enumerate(cells):
            if region[start // SIZE, start % SIZE] != region[goal // SIZE, goal % SIZE]:
                assert table[start, goal] == -1
                continue
            steps = way(table, start, goal)
            assert all(seen[one, other] for one, other in pairwise(steps))
            # Ways bend at outer corners only; in a tight maze another bend can be a little shorter.
            assert length(steps) <= 1.05 * shortest[i, j] + 1e-6
            assert len(steps) == 2 or not seen[start, goal] or start == goal


def test_cells_in_walls_stand_for_the_nearest_walkable_ones(compiled: SimpleNamespace) -> None:
    walkable = np.zeros((SIZE, SIZE), bool)
    walkable[10:20, 10:12] = walkable[18:20, 10:20] = True  # an L
    table = compiled.waypoints(walkable)
    inside, goal = 11 * SIZE + 11, 18 * SIZE + 19
    assert np.array_equal(table[11 * SIZE + 13], table[inside])
    assert np.array_equal(table[:, 18 * SIZE + 25], table[:, goal])
    assert table[inside, goal] == 18 * SIZE + 11
    assert table[goal, goal] == goal


def test_without_walkable_cells_there_are_no_ways(compiled: SimpleNamespace) -> None:
    assert (compiled.waypoints(np.zeros((SIZE, SIZE), bool)) == -1).all()


def test_two_islands(compiled: SimpleNamespace) -> None:
    walkable = np.ones((SIZE, SIZE), bool)
    walkable[15] = False
    table = compiled.waypoints(walkable)
    assert table[0, SIZE * SIZE - 1] == -1
    assert not compiled.straight_everywhere(walkable)


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize("name", TERRAIN_NAMES)
def test_where_nobody_is_hidden(compiled: SimpleNamespace, name: str, variant: int) -> None:
    assert compiled.straight_everywhere(load_terrain(name).walkable[variant]) == (name not in ROUNDABOUT)


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize("name", TERRAIN_NAMES)
def test_every_terrain_is_one_piece(compiled: SimpleNamespace, name: str, variant: int) -> None:
    walkable = load_terrain(name).walkable[variant]
    table = compiled.waypoints(walkable)
    assert table.shape == (1024, 1024)
    assert table.dtype == np.int16
    assert (table >= 0).all()
    cells = cells_of(walkable)
    for start in cells[::37]:
        for goal in cells[::41]:
            way(table, start, goal)


@pytest.mark.parametrize("variant", [0, 1])
def test_cliff_detour_2c_vs_64zg(compiled: SimpleNamespace, variant: int) -> None:
    assert "20-25 cells of path, 110-140 loops" in CASES["cliff_detour_2c_vs_64zg"]["expected"]
    battle = MAPS["2c_vs_64zg"]
    table = compiled.waypoints(load_terrain(battle.terrain).walkable[variant])
    (from_x, from_y), (to_x, to_y) = battle.enemy_points[0], battle.ally_points[0]
    steps = way(table, int(SIZE * from_x + from_y), int(SIZE * to_x + to_y))
    assert len(steps) > 2, "the cliff is between them"
    loops = 16 * length(steps) / UNITS["zergling"].speed
    if variant == 0:
        assert 20 <= length(steps) <= 25
        assert 110 <= loops <= 140
    else:  # the reading with the narrower ramps
        assert 140 < loops < 160
