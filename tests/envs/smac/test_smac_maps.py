"""Every number of the 23 maps against the reference data."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.units import KINDS, UNITS

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))
MAP_DATA: dict[str, dict[str, Any]] = DATA["maps"]
ORDERS = {"attack_move": "attack_move_point", "hunt": "attack_unit_group", "guard": "none"}
NAMES = sorted(MAP_DATA)


def counted(kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"type": kind, "count": len(list(run))} for kind, run in groupby(kinds)]


def test_the_maps_are_those_of_smac() -> None:
    assert sorted(MAPS) == NAMES
    assert all(name == battle.name for name, battle in MAPS.items())


@pytest.mark.parametrize("name", NAMES)
def test_dims_all_maps_sizes(name: str) -> None:
    battle, data = MAPS[name], MAP_DATA[name]
    assert (battle.num_agents, battle.num_enemies) == (data["n_agents"], data["n_enemies"])
    assert battle.num_actions == data["n_actions"]
    assert battle.limit == data["episode_limit"]
    assert battle.unit_type_bits == data["unit_type_bits"]
    assert battle.max_reward == data["max_reward_raw"]
    assert battle.max_reward / DATA["smac_constants"]["reward_scale_rate"] == data["reward_divisor"]


@pytest.mark.parametrize("name", NAMES)
def test_who_fights(name: str) -> None:
    battle, data = MAPS[name], MAP_DATA[name]
    assert battle.map_type == data["map_type"]
    assert battle.terrain == data["terrain"]
    assert counted(battle.ally_kinds) == data["allies_in_agent_order"]
    assert counted(battle.enemy_kinds) == data["enemies_in_creation_order"]
    assert {battle.unit(kind).race for kind in battle.ally_kinds} == {data["ally_race"]}
    assert {battle.unit(kind).race for kind in battle.enemy_kinds} == {data["enemy_race"]}


def points_in_data(groups: tuple[tuple[str, int], ...], points: Any) -> list[tuple[float, ...]]:
    """Each group's point: by type, one for all, or one for each unit (which are groups of one then)."""
    if isinstance(points, dict):
        return [tuple(points[kind]) for kind, _ in groups]
    if len(points) == 1:
        return [tuple(points[0])] * len(groups)
    assert all(count == 1 for _, count in groups)
    return [tuple(point) for point in points]


@pytest.mark.parametrize("name", NAMES)
def test_where_they_stand_and_go(name: str) -> None:
    battle, data = MAPS[name], MAP_DATA[name]
    assert list(battle.ally_points) == points_in_data(battle.allies, data["spawn"]["ally"])
    assert list(battle.enemy_points) == points_in_data(battle.enemies, data["spawn"]["enemy"])
    order = data["enemy_order"]
    assert ORDERS[battle.enemy_order] == order["kind"]
    if isinstance(order.get("point"), list):
        assert battle.order_segment == (tuple(order["point"]), tuple(order["point"]))
    elif "point" in order:
        assert order["point"].startswith("uniform random on the segment (13,12)-(19,12)")
        assert battle.order_segment == ((13, 12), (19, 12))


@pytest.mark.parametrize("name", NAMES)
def test_enemy_type_bits_s5z_and_all_others(name: str) -> None:
    battle = MAPS[name]
    order = DATA["smac_constants"]["type_bit_index"].get(battle.map_type, {"ally": [], "enemy": []})
    assert list(battle.ally_type_order) == order["ally"]
    assert list(battle.enemy_type_order) == order["enemy"]
    if battle.unit_type_bits:
        assert set(battle.ally_kinds) == set(battle.ally_type_order)
        assert set(battle.enemy_kinds) == set(battle.enemy_type_order)


def test_names_of_agents() -> None:
    assert MAPS["MMM"].agents == (
        *("marauder_0", "marauder_1"),
        *(f"marine_{number}" for number in range(7)),
        "medivac_0",
    )
    assert MAPS["2c_vs_64zg"].agents == ("colossus_0", "colossus_1")
    for battle in MAPS.values():
        assert len(set(battle.agents)) == battle.num_agents


def test_rows_of_the_unit_table() -> None:
    assert [MAPS["3m"].row(kind) for kind in KINDS] == list(range(len(KINDS)))


def test_a_battle_with_units_of_its_own() -> None:
    giant = replace(UNITS["marine"], name="giant", hp=500)
    battle = BattleMap(
        "mine", (("marine", 2),), (("giant", 1),), 50, "mine", ((9, 16),), ((23, 16),), ((9, 16), (9, 16)), units=(giant, UNITS["marine"])
    )
    assert battle.max_reward == 500 + 10 + 200
    assert (battle.row("giant"), battle.row("marine")) == (0, 1)
    assert battle.unit_type_bits == 0
