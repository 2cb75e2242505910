"""Every number of the types of units against the reference data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a2po.envs.smac import fields as f
from a2po.envs.smac.units import KINDS, LAYER_BITS, PLANE_BITS, UNITS, Unit, Weapon, unit_table

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))
UNIT_DATA: dict[str, dict[str, Any]] = DATA["units"]
CASES = {case["id"]: case for case in DATA["validation_cases"]}
LOOPS = DATA["time"]["loops_per_second"]
TABLE = unit_table()
INSTANT = 1000.0  # the catalog's word for "at full speed at once"


def row(kind: str) -> np.ndarray:
    return TABLE[KINDS.index(kind)]


def test_the_types_are_those_of_the_reference() -> None:
    assert set(KINDS) == set(UNIT_DATA)
    assert TABLE.shape == (len(KINDS), f.TYPE_COLUMNS)
    assert TABLE.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_body(kind: str) -> None:
    unit, data = UNITS[kind], UNIT_DATA[kind]
    for name in ("race", "hp", "shield", "armor", "radius", "separation_radius", "inner_radius", "speed", "hp_regen", "energy_max"):
        assert getattr(unit, name) == data[name], name
    assert data["shield_armor"] == 0, "the rules give shields no armor"
    assert unit.energy == data["energy_start"]
    assert unit.energy_regen == data["energy_regen"]
    assert unit.turn_rate == data["turn_rate_deg_s"]
    assert unit.shield_regen == data["shield_regen_rate"]
    assert unit.shield_regen_delay == data["shield_regen_delay_s"]
    assert unit.acceleration == (0.0 if data["acceleration"] == INSTANT else data["acceleration"])
    assert unit.flies == data["flying"]
    assert unit.walks_cliffs == data.get("cliff_walk", False)
    assert unit.attributes == set(data["attributes"])
    assert unit.planes == set(data["planes"])
    assert unit.layers == set(data["collision_layers"])


@pytest.mark.parametrize("kind", KINDS)
def test_cooldown_max(kind: str) -> None:
    constants = DATA["smac_constants"]["unit_max_cooldown"]
    assert UNITS[kind].cooldown_max == constants.get(kind, constants["default"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if UNIT_DATA[kind]["weapon"] is not None])
def test_weapon(kind: str) -> None:
    weapon, data = UNITS[kind].weapon, UNIT_DATA[kind]["weapon"]
    assert weapon is not None
    assert (weapon.damage, weapon.range, weapon.period, weapon.slop, weapon.arc) == (
        data["damage"],
        data["range"],
        data["period_s"],
        data["range_slop"],
        data["arc_deg"],
    )
    # To four digits: the data rounds a third of a second down in one place and up in another.
    assert weapon.damage_point == pytest.approx(data["damage_point_s"], abs=1e-4)
    assert weapon.second_blow == data["multi_delay_s"]
    assert {attribute: weapon.bonus for attribute in weapon.bonus_against} == data["bonus"]
    assert weapon.targets == {plane for plane in ("ground", "air") if data[f"targets_{plane}"]}
    assert max(weapon.range, data["min_scan_range"]) == data["scan_range"]
    if kind != "spine_crawler":  # the tentacle: below
        assert weapon.missile_speed == (data["missile_speed"] or 0.0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if UNIT_DATA[kind]["weapon"] is not None])
def test_area(kind: str) -> None:
    weapon, splash = UNITS[kind].weapon, UNIT_DATA[kind]["weapon"]["splash"]
    assert weapon is not None
    if splash is None:
        assert (weapon.area, weapon.area_radius, weapon.structure_damage) == ("none", 0, 0)
    elif splash["kind"] == "line":
        assert (weapon.area, weapon.area_radius, weapon.structure_damage) == ("line", splash["half_length"], 0)
    else:
        assert (weapon.area, weapon.area_radius, weapon.structure_damage) == ("burst", splash["radius"], splash["structure_damage"])


def test_a_tentacle_takes_a_quarter_of_a_second() -> None:
    weapon = UNITS["spine_crawler"].weapon
    assert weapon is not None
    assert weapon.range / weapon.missile_speed == 0.25


def test_only_the_medivac_heals() -> None:
    assert [kind for kind in KINDS if UNITS[kind].heal] == [kind for kind in KINDS if UNIT_DATA[kind]["heal"]] == ["medivac"]
    heal, data = UNITS["medivac"].heal, UNIT_DATA["medivac"]["heal"]
    assert heal is not None
    assert (heal.hp, heal.energy_per_hp, heal.range, heal.scan_range, heal.minimum_energy, heal.arc) == (
        data["hp_per_s"],
        data["energy_per_hp"],
        data["range"],
        data["autocast_range"],
        data["autocast_min_energy"],
        data["arc_deg"],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_bodies(kind: str) -> None:
    data, numbers = UNIT_DATA[kind], row(kind)
    turn = math.radians(data["turn_deg_per_loop"])
    expected = {
        f.T_HP: data["hp"],
        f.T_SHIELD: data["shield"],
        f.T_ENERGY: data["energy_start"],
        f.T_ENERGY_MAX: data["energy_max"],
        f.T_ENERGY_REGEN: data["energy_regen"] / LOOPS,
        f.T_ARMOR: data["armor"],
        f.T_RADIUS: data["radius"],
        f.T_SEPARATION: data["separation_radius"],
        f.T_INNER: data["inner_radius"] or min(data["separation_radius"], 0.375),
        f.T_HP_REGEN: data["hp_regen"] / LOOPS,
        f.T_SHIELD_REGEN: data["shield_regen_rate"] / LOOPS,
        f.T_SHIELD_DELAY: data["shield_regen_delay_s"] * LOOPS,
        f.T_CLIFFS: kind == "colossus",
        f.T_FLIES: kind == "medivac",
        f.T_COOLDOWN_MAX: UNITS[kind].cooldown_max,
    }
    for column, value in expected.items():
        assert numbers[column] == np.float32(value), column
    assert numbers[f.T_SPEED] == pytest.approx(data["speed_per_loop"], abs=1e-6)
    assert numbers[f.T_TURN_COS] == pytest.approx(math.cos(turn), abs=1e-4)
    assert numbers[f.T_TURN_SIN] == pytest.approx(math.sin(turn), abs=1e-4)
    assert numbers[f.T_ACCELERATION] == np.float32(0 if data["acceleration"] == INSTANT else data["acceleration"] / LOOPS**2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if UNIT_DATA[kind]["weapon"] is not None])
def test_table_of_weapons(kind: str) -> None:
    data, numbers = UNIT_DATA[kind]["weapon"], row(kind)
    assert numbers[f.T_RANGE] == np.float32(data["range"])
    assert numbers[f.T_SCAN] == np.float32(data["scan_range"])
    assert numbers[f.T_SLOP] == data["range_slop"]
    assert numbers[f.T_PERIOD] == pytest.approx(data["period_loops"])
    assert numbers[f.T_WINDUP] == math.ceil(data["damage_point_loops"])
    assert numbers[f.T_SECOND] == (5 if kind == "zealot" else 0)
    assert numbers[f.T_DAMAGE] == data["damage"]
    assert numbers[f.T_BONUS] == sum(data["bonus"].values())
    assert numbers[f.T_ARC_COS] == pytest.approx(math.cos(math.radians(data["arc_deg"] / 2 + 11.25)))
    if kind != "spine_crawler":
        assert numbers[f.T_MISSILE] == pytest.approx((data["missile_speed"] or 0) / LOOPS)
    splash = data["splash"] or {}
    assert numbers[f.T_AREA_RADIUS] == np.float32(splash.get("radius", splash.get("half_length", 0)))
    assert numbers[f.T_STRUCTURE_DAMAGE] == splash.get("structure_damage", 0)


def test_table_of_healers() -> None:
    data, numbers = UNIT_DATA["medivac"]["heal"], row("medivac")
    assert numbers[f.T_HEAL] == data["hp_per_s"] / LOOPS
    assert numbers[f.T_HEAL_RANGE] == data["range"]
    assert numbers[f.T_HEAL_SCAN] == data["autocast_range"]
    assert numbers[f.T_HEAL_COST] == np.float32(data["energy_per_hp"])
    assert numbers[f.T_HEAL_MINIMUM] == data["autocast_min_energy"]
    assert numbers[f.T_ARC_COS] == pytest.approx(math.cos(math.radians(data["arc_deg"] / 2 + 11.25)))
    assert all(row(kind)[f.T_HEAL] == 0 for kind in KINDS if kind != "medivac")


def test_a_unit_without_a_weapon_reaches_nobody() -> None:
    assert row("medivac")[f.T_RANGE] == row("medivac")[f.T_SCAN] == -1
    assert row("medivac")[f.T_TARGETS] == 0


def test_bits() -> None:
    assert row("zealot")[f.T_ATTRIBUTES] == f.LIGHT | f.BIOLOGICAL
    assert row("colossus")[f.T_ATTRIBUTES] == f.ARMORED | f.MECHANICAL | f.MASSIVE
    assert row("marauder")[f.T_BONUS_BITS] == f.ARMORED
    assert row("baneling")[f.T_BONUS_BITS] == f.LIGHT
    assert row("marine")[f.T_TARGETS] == f.GROUND | f.AIR
    assert row("marauder")[f.T_TARGETS] == f.GROUND
    assert row("medivac")[f.T_PLANES] == f.AIR
    assert row("colossus")[f.T_PLANES] == f.GROUND | f.AIR
    assert row("colossus")[f.T_LAYERS] == f.COLOSSUS | f.STRUCTURES | f.FLYING
    assert row("zergling")[f.T_LAYERS] == f.ON_GROUND
    assert row("spine_crawler")[f.T_LAYERS] == f.ON_GROUND | f.STRUCTURES, "a colossus does not walk through a building"
    assert [row(kind)[f.T_AREA] for kind in ("colossus", "baneling", "marine")] == [f.LINE, f.BURST, f.NO_AREA]
    assert len(set(LAYER_BITS.values())) == 4
    assert len(set(PLANE_BITS.values())) == 2


@pytest.mark.parametrize("kind", CASES["move_distance_per_env_step"]["expected"])
def test_move_distance_per_env_step(kind: str) -> None:
    expected = CASES["move_distance_per_env_step"]["expected"][kind]
    assert row(kind)[f.T_SPEED] * DATA["time"]["step_mul"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", CASES["weapon_cycle_means"]["expected"])
def test_weapon_cycle_means(kind: str) -> None:
    expected = CASES["weapon_cycle_means"]["expected"][kind]
    period = row(kind)[f.T_PERIOD]
    assert period == pytest.approx(expected["period_loops"])
    assert math.ceil(round(float(period), 4)) == expected["no_random"]


def test_medivac_heal_rate() -> None:
    expected, numbers = CASES["medivac_heal_rate"]["expected"], row("medivac")
    assert numbers[f.T_HEAL] == expected["hp_per_loop"]
    net = (numbers[f.T_HEAL] * numbers[f.T_HEAL_COST] - numbers[f.T_ENERGY_REGEN]) * LOOPS
    assert -net == pytest.approx(expected["net_energy_per_s"])
    assert numbers[f.T_ENERGY] / net == pytest.approx(expected["time_to_empty_s"], abs=0.01)


def test_shield_and_zerg_regen() -> None:
    shield = CASES["shield_regen"]["expected"]
    assert row("zealot")[f.T_SHIELD_DELAY] == shield["loops"]
    assert row("zealot")[f.T_SHIELD_REGEN] == shield["then_per_loop"]
    assert row("zergling")[f.T_HP_REGEN] == pytest.approx(CASES["zerg_regen"]["expected"]["per_loop"], abs=1e-6)


def test_a_unit_of_ones_own() -> None:
    mine = Unit("tower", "T", 500, 1.0, 1.0, frozenset({"structure"}), 0, weapon=Weapon(3, range=9, period=1, damage_point=0.5))
    table = unit_table([mine, UNITS["marine"]])
    assert table.shape == (2, f.TYPE_COLUMNS)
    assert np.array_equal(table[1], row("marine"))
    assert (table[0, f.T_HP], table[0, f.T_SCAN], table[0, f.T_WINDUP], table[0, f.T_INNER]) == (500, 9, 8, 0.375)
