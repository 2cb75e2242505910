"""Where units stand at the start: apart, on walkable ground, in the agents' order."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.spawn import layout
from a2po.envs.smac.terrain import load_terrain, parse_terrain
from a2po.envs.smac.units import UNITS
from a2po.errors import TaskError

NAMES = sorted(MAPS)


def spread(positions: np.ndarray) -> float:
    return float(np.hypot(*(positions - positions.mean(axis=0)).T).max())


@pytest.mark.parametrize("name", NAMES)
def test_bodies_do_not_overlap(name: str) -> None:
    battle, positions = MAPS[name], layout(MAPS[name])
    assert positions.shape == (battle.num_agents + battle.num_enemies, 2)
    assert positions.dtype == np.float32
    units = [battle.unit(kind) for kind in battle.ally_kinds + battle.enemy_kinds]
    for (one, here), (other, there) in combinations(zip(units, positions, strict=True), 2):
        if one.layers & other.layers:
            assert np.hypot(*(here - there)) >= one.separation_radius + other.separation_radius - 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_all_stand_on_walkable_ground_in_both_readings(name: str) -> None:
    battle, positions = MAPS[name], layout(MAPS[name])
    walkable = load_terrain(battle.terrain).walkable
    for kind, (x, y) in zip(battle.ally_kinds + battle.enemy_kinds, positions, strict=True):
        unit = battle.unit(kind)
        for angle in np.linspace(0, 2 * np.pi, 16):
            edge = np.array((x, y)) + (unit.wall_radius - 1e-3) * np.array((np.cos(angle), np.sin(angle)))
            assert unit.flies or walkable[:, int(edge[0]), int(edge[1])].all()


@pytest.mark.parametrize("name", NAMES)
def test_somebody_stands_on_every_point_of_the_archives(name: str) -> None:
    battle, positions = MAPS[name], layout(MAPS[name])
    for points, side in ((battle.ally_points, positions[: battle.num_agents]), (battle.enemy_points, positions[battle.num_agents :])):
        for point in points:
            assert np.hypot(*(side - np.array(point)).T).min() < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_agents_of_a_type_are_numbered_from_the_west_then_from_the_south(name: str) -> None:
    battle = MAPS[name]
    allies = layout(battle)[: battle.num_agents]
    for kind in set(battle.ally_kinds):
        of_type = [tuple(place) for agent, place in enumerate(allies) if battle.ally_kinds[agent] == kind]
        assert of_type == sorted(of_type)


def test_large_groups_are_discs() -> None:
    """The reference: 64 zerglings make a cluster of radius about 3.2."""
    assert 3.1 < spread(layout(MAPS["2c_vs_64zg"])[2:]) < 3.35
    open_ground = replace(MAPS["2c_vs_64zg"], terrain="flat_full")
    assert 3.1 < spread(layout(open_ground)[2:]) < 3.35
    assert spread(layout(MAPS["27m_vs_30m"])[:27]) == pytest.approx(2.0, abs=0.1)


def test_a_half_ring_does_not_lean_over() -> None:
    for name in ("3m", "5m_vs_6m", "25m"):
        battle = MAPS[name]
        assert layout(battle)[: battle.num_agents].mean(axis=0) == pytest.approx((9, 16), abs=0.01)


def test_nobody_stands_over_the_edge_of_the_map() -> None:
    positions = layout(replace(MAPS["3s_vs_3z"], ally_points=((0, 0),), enemy_points=((32, 32),)))
    assert positions[:3].min() >= UNITS["stalker"].wall_radius
    assert positions[3:].max() <= SIZE - UNITS["zealot"].wall_radius


def test_flyers_and_colossi_stand_over_others() -> None:
    mmm = MAPS["MMM"]
    medivac = layout(mmm)[mmm.agents.index("medivac_0")]
    assert medivac == pytest.approx((9, 16))
    colossi = layout(MAPS["2c_vs_64zg"])[:2]
    assert np.hypot(*(colossi[0] - colossi[1])) == pytest.approx(1.5)


def test_equal_armies_stand_alike() -> None:
    """Both sides are created in the same order, though agents are numbered in another."""
    battle = MAPS["MMM"]
    positions = layout(battle)
    allies, enemies = positions[: battle.num_agents] - (9, 16), positions[battle.num_agents :] - (23, 16)

    def by_type(places: np.ndarray, kinds: tuple[str, ...]) -> list[tuple[str, float, float]]:
        return sorted((kind, round(float(x), 3) + 0.0, round(float(y), 3) + 0.0) for kind, (x, y) in zip(kinds, places, strict=True))

    assert by_type(allies, battle.ally_kinds) == by_type(enemies, battle.enemy_kinds)


@pytest.mark.parametrize("name", ["3s5z", "8m", "1c3s5z"])
def test_mirrored_armies_face_each_other(name: str) -> None:
    battle = MAPS[name]
    positions = layout(battle, mirrored=True)
    allies, enemies = positions[: battle.num_agents], (32, 0) + (-1, 1) * positions[battle.num_agents :]
    for kind in set(battle.ally_kinds):
        one = allies[np.array(battle.ally_kinds) == kind].round(2)
        other = enemies[np.array(battle.enemy_kinds) == kind].round(2)
        assert np.allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-4)
    assert np.array_equal(layout(battle)[: battle.num_agents], allies)
    assert not np.array_equal(layout(battle), positions)


def test_no_room() -> None:
    rows = ["." * SIZE] * SIZE
    rows[SIZE - 1 - 16] = "." * 9 + "1" + "." * (SIZE - 10)  # one free cell
    battle: BattleMap = replace(MAPS["3m"], ally_points=((9.5, 16.5),), terrain="mine")
    with pytest.raises(TaskError, match=r"3m: terrain mine has no room for a marine near \(9.5, 16.5\)"):
        layout(battle, parse_terrain("mine", "\n".join(rows)))
