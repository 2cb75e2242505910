"""The tables ``[units.<name>]`` of a battle file: known types with other numbers, and new ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from a2po.envs.smac.battle_toml import Document, Path
from a2po.envs.smac.battle_values import Checks, Flag, Number, Word, Words, dotted, is_name, read_table, shown
from a2po.envs.smac.units import AREAS, ATTRIBUTE_BITS, LAYER_BITS, LOOPS_PER_SECOND, PLANE_BITS, UNITS, Unit, Weapon
from a2po.errors import did_you_mean

MOST_TYPES: Final = 24
"""Of a file's own."""

# The limits are those within which the rules hold: a body fits between walls and into the lattice of places, nobody steps over a cell,
# what is divided by is not too small, and every sum is exact enough in float32.
UNIT_CHECKS: Final[Checks] = {
    "base": Word(tuple(UNITS)),
    "hp": Number(1, 100_000),
    "shield": Number(1, 100_000, zero=True),
    "armor": Number(0, 1000),
    "speed": Number(0.01, 8, zero=True),
    "radius": Number(0.1, 3),
    "attributes": Words(tuple(ATTRIBUTE_BITS)),
    "weapon": None,
    "heal": None,
    "flies": Flag(),
    "walks_cliffs": Flag(),
    "separation_radius": Number(0.125, 2),
    "inner_radius": Number(0, 0.75),
    "acceleration": Number(0.1, 100, zero=True),
    "turn_rate": Number(10, 2880),
    "hp_regen": Number(0, 1000),
    "shield_regen": Number(0, 1000),
    "shield_regen_delay": Number(0, 600),
    "energy": Number(0, 100_000),
    "energy_max": Number(1, 100_000),
    "energy_regen": Number(0, 1000),
    "planes": Words(tuple(PLANE_BITS), least=1),
    "layers": Words(tuple(LAYER_BITS)),
    "cooldown_max": Number(1, 100_000),
    "sight_range": Number(1, 64),
    "shoot_range": Number(1, 64),
}
WEAPON_CHECKS: Final[Checks] = {
    "damage": Number(0, 10_000),
    "range": Number(0, 32),
    "period": Number(0.1, 60),
    "damage_point": Number(0, 10),
    "second_blow": Number(0, 10),
    "bonus": Number(0, 10_000),
    "bonus_against": Words(tuple(ATTRIBUTE_BITS)),
    "targets": Words(tuple(PLANE_BITS), least=1),
    "missile_speed": Number(0.1, 1000, zero=True),
    "slop": Number(0, 32),
    "arc": Number(0, 360),
    "area": Word(tuple(AREAS)),
    "area_radius": Number(0, 16),
    "structure_damage": Number(0, 10_000),
}
HEAL_CHECKS: Final[Checks] = {
    "hp": Number(0.01, 10_000),
    "energy_per_hp": Number(0.001, 1000),
    "range": Number(0, 32),
    "scan_range": Number(0, 64),
    "minimum_energy": Number(0, 100_000),
    "arc": Number(0, 360),
}
_NEW_WEAPON: Final = ("damage", "range", "period")
_ENERGY: Final = ("energy", "energy_max", "energy_regen")
_HEALER: Final = UNITS["medivac"]
_PLAIN: Final = Unit("", "", hp=1, radius=0.375, separation_radius=0.375, attributes=frozenset(), speed=2.25)
"""What a type without a base is, but for its hp."""


def read_units(document: Document) -> tuple[Unit, ...]:
    """The rows of the unit table: the known types, changed where the file says so, then the file's own in its order."""
    tables = document.values.get("units", {})
    if not isinstance(tables, dict):
        document.problem(("units",), f"units must be tables [units.<name>], got {shown(tables)}")
        return tuple(UNITS.values())
    units = dict(UNITS)
    for name, values in tables.items():
        path: Path = ("units", name)
        if not is_name(name):
            document.problem(path, f"{name[:40]!r} cannot be a unit's name: a letter, then letters, digits and underscores, 32 at most")
            continue
        unit = read_unit(document, path, values)
        units[name] = unit
    if len(units) > len(UNITS) + MOST_TYPES:
        document.problem(("units",), f"{len(units) - len(UNITS)} own types of units; a battle has room for {MOST_TYPES}")
    return tuple(units.values())


def read_unit(document: Document, path: Path, values: Any) -> Unit:
    """One type."""
    name = str(path[-1])
    given = read_table(document, path, values, UNIT_CHECKS)
    base = UNITS[given.pop("base", name)] if given.get("base", name) in UNITS else None
    if base is None and isinstance(values, dict) and "base" not in values and "hp" not in values:
        hint = did_you_mean(name, UNITS) or "; or base = ..., a known type"
        document.problem(path, f"{dotted(path)} needs 'hp', {UNIT_CHECKS['hp'].allowed}{hint}")  # type: ignore[union-attr]
    start = base or _PLAIN
    unit = replace(start, name=name, **{key: value for key, value in given.items()}, **_follow(given))
    unit = _arm(document, path, values if isinstance(values, dict) else {}, unit)
    if unit.weapon is not None:
        _check_weapon(document, (*path, "weapon"), unit, unit.weapon)
    _check_energy(document, path, given, unit)
    if unit.weapon != start.weapon and "shoot_range" not in given:
        unit = replace(unit, shoot_range=None)
    if "cooldown_max" not in given and not _reloads_alike(unit, start):
        unit = replace(unit, cooldown_max=_full_scale(unit))
    return unit


def _follow(given: dict[str, Any]) -> dict[str, Any]:
    """What changes with something else that is given, unless it is given itself."""
    follows: dict[str, Any] = {}
    if "radius" in given:
        follows["separation_radius"] = min(given["radius"], 2.0)
    if "radius" in given or "separation_radius" in given:
        follows["inner_radius"] = None
    if "flies" in given:
        follows["planes"] = frozenset({"air" if given["flies"] else "ground"})
        follows["layers"] = frozenset({"flying" if given["flies"] else "ground"})
    if "energy_max" in given:
        follows["energy"] = min(_HEALER.energy, given["energy_max"])
    return {key: value for key, value in follows.items() if key not in given}


def _arm(document: Document, path: Path, values: dict[str, Any], unit: Unit) -> Unit:
    """With the weapon, or what it heals by. One takes the other's place."""
    weapon, heal = values.get("weapon"), values.get("heal")
    for key, value in (("weapon", weapon), ("heal", heal)):
        if value is not None and value is not False and not isinstance(value, dict):
            document.problem((*path, key), f"{dotted((*path, key))} must be a table, or false for none, got {shown(value)}")
    if isinstance(weapon, dict) and isinstance(heal, dict):
        document.problem((*path, "heal"), f"{dotted(path)} has a weapon and heals: a unit does one of these")
    elif isinstance(weapon, dict):
        where = (*path, "weapon")
        found = read_table(document, where, weapon, WEAPON_CHECKS, () if unit.weapon else _NEW_WEAPON)
        blank = Weapon(damage=0, range=0, period=1)
        unit = replace(unit, weapon=replace(unit.weapon or blank, **found), heal=None)
    elif isinstance(heal, dict):
        found = read_table(document, (*path, "heal"), heal, HEAL_CHECKS)
        energy = {} if unit.heal else {key: getattr(_HEALER, key) for key in _ENERGY if key not in values}
        assert _HEALER.heal is not None
        unit = replace(unit, weapon=None, heal=replace(unit.heal or _HEALER.heal, **found), **energy)
    if weapon is False:
        unit = replace(unit, weapon=None)
    return replace(unit, heal=None) if heal is False else unit


def _check_weapon(document: Document, path: Path, unit: Unit, weapon: Weapon) -> None:
    name = dotted(path)
    if weapon.damage_point > weapon.period:
        document.problem((*path, "damage_point"), f"{name}.damage_point is longer than the period, {weapon.period:g} s")
    if weapon.second_blow >= weapon.period:
        document.problem((*path, "second_blow"), f"{name}.second_blow must come before the period, {weapon.period:g} s, is over")
    if weapon.area != "none" and weapon.area_radius <= 0:
        document.problem((*path, "area"), f"{name}.area = '{weapon.area}' needs an area_radius above 0")
    if weapon.area == "line" and weapon.period < 1:
        document.problem((*path, "period"), f"{name}.period must be at least 1 for area = 'line', whose blows take up to a second to fall")
    if weapon.missile_speed and (weapon.area != "none" or weapon.second_blow):
        document.problem((*path, "missile_speed"), f"{name}.missile_speed must be 0: an area or a second blow has no missile")
    if weapon.second_blow and weapon.area != "none":
        document.problem((*path, "second_blow"), f"{name}.second_blow must be 0: an area is struck once")
    # A unit has one missile on its way. Twice the time, for the option missile_flight.
    slowest = 2 * (weapon.range + weapon.slop + unit.radius) / weapon.period
    if 0 < weapon.missile_speed < slowest:
        least = math.ceil(slowest * 10) / 10
        document.problem(
            (*path, "missile_speed"), f"{name}.missile_speed must be at least {least:g} for this range and period, or 0: at once"
        )


def _check_energy(document: Document, path: Path, given: dict[str, Any], unit: Unit) -> None:
    for key in _ENERGY:
        if key in given and unit.heal is None:
            document.problem((*path, key), f"{dotted((*path, key))} is for units that heal")
    if unit.heal is not None and unit.energy > unit.energy_max:
        document.problem((*path, "energy"), f"{dotted(path)}.energy is more than energy_max, {unit.energy_max:g}")


def _reloads_alike(unit: Unit, start: Unit) -> bool:
    one, other = unit.weapon, start.weapon
    if one is None or other is None:
        return one is other and unit.energy_max == start.energy_max and (unit.heal is None) == (start.heal is None)
    return one.period == other.period


def _full_scale(unit: Unit) -> float:
    """What the observed cooldown, or energy, is divided by: about its largest value, as in SMAC."""
    if unit.heal is not None:
        return max(unit.energy_max, 1.0)
    return float(math.ceil(unit.weapon.period * LOOPS_PER_SECOND) + 1) if unit.weapon else 1.0
