"""The types of units and their numbers: the Liberty catalog, which is what SMAC's map archives run on.

A `Unit` holds catalog values, per normal second (16 game loops); `unit_table` turns them into the loops of the rules (columns: fields.py).
Left out: the hydralisk's hidden melee twin (same damage, same cooldown, only used at contact).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from a2po.envs.smac import fields as f

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOPS_PER_SECOND: Final = 16
FACING_SLACK_DEGREES: Final = 11.25  # beyond half its arc a weapon still begins
MINIMUM_SCAN_RANGE: Final = 5.0
WIDEST_AT_WALLS: Final = 0.375  # of units to which the catalog gives no inner radius

ATTRIBUTE_BITS: Final = {
    "light": f.LIGHT,
    "armored": f.ARMORED,
    "biological": f.BIOLOGICAL,
    "mechanical": f.MECHANICAL,
    "structure": f.STRUCTURE,
    "massive": f.MASSIVE,
}
PLANE_BITS: Final = {"ground": f.GROUND, "air": f.AIR}
LAYER_BITS: Final = {"ground": f.ON_GROUND, "colossus": f.COLOSSUS, "structure": f.STRUCTURES, "flying": f.FLYING}
AREAS: Final = {"none": f.NO_AREA, "line": f.LINE, "burst": f.BURST}


@dataclass(frozen=True)
class Weapon:
    """What an attack does. Distances in cells and edge to edge, times in normal seconds."""

    damage: float
    range: float
    period: float
    """Between the beginnings of two attacks, before the random delay."""
    damage_point: float = 0.0
    """From the beginning of an attack to its blow."""
    second_blow: float = 0.0
    """From the first blow to the second; 0: one blow."""
    bonus: float = 0.0
    """Added to the damage against a unit with one of the attributes `bonus_against`."""
    bonus_against: frozenset[str] = frozenset()
    slop: float = 1.0
    """How far beyond the range a begun attack still lands."""
    missile_speed: float = 0.0
    """Cells per second; 0: no missile, the blow lands at once."""
    targets: frozenset[str] = frozenset({"ground"})
    """The planes it reaches: ground, air."""
    arc: float = 0.0
    """Degrees; the attack begins when the target is within half of it (and 11.25 degrees) of where the unit looks."""
    area: Literal["none", "line", "burst"] = "none"
    """line: two sweeps across the shot's direction (colossus). burst: all around the attacker, which dies of it (baneling)."""
    area_radius: float = 0.0
    """Of a burst; half the length of a line."""
    structure_damage: float = 0.0
    """Of a burst, to buildings; 0: as to others."""


@dataclass(frozen=True)
class Heal:
    """What a healer does to wounded biological units on the ground."""

    hp: float
    """Per second."""
    energy_per_hp: float
    range: float
    scan_range: float
    """How far it looks for wounded units by itself."""
    minimum_energy: float
    """To begin by itself."""
    arc: float


@dataclass(frozen=True)
class Unit:
    """A type of unit. Distances in cells, rates per normal second."""

    name: str
    race: str
    """T, P or Z, as in SMAC's maps. A name: nothing depends on it."""
    hp: float
    radius: float
    """For ranges, which are edge to edge."""
    separation_radius: float
    """For bodies, which keep each other away."""
    attributes: frozenset[str]
    speed: float
    weapon: Weapon | None = None
    heal: Heal | None = None
    shield: float = 0.0
    armor: float = 0.0
    inner_radius: float | None = None
    """The catalog's number for `wall_radius`; None: `separation_radius`, but no more than 0.375."""
    acceleration: float = 0.0
    """Cells per second and second; 0: at full speed at once."""
    turn_rate: float = 999.8437
    """Degrees per second."""
    hp_regen: float = 0.0
    shield_regen: float = 0.0
    shield_regen_delay: float = 0.0
    """Seconds without damage before the shield comes back."""
    energy: float = 0.0
    energy_max: float = 0.0
    energy_regen: float = 0.0
    flies: bool = False
    walks_cliffs: bool = False
    planes: frozenset[str] = frozenset({"ground"})
    """Where weapons find it: ground, air."""
    layers: frozenset[str] = frozenset({"ground"})
    """Bodies that share one keep each other away: ground, colossus, structure, flying."""
    cooldown_max: float = 15.0
    """What SMAC divides the cooldown in loops by (of a healer: the energy); a constant of SMAC, not of the catalog."""
    sight_range: float = 9.0
    """With `use_unit_ranges`: how far an agent of this type sees, centre to centre; a constant of SMACv2."""
    shoot_range: float | None = None
    """With `use_unit_ranges`: up to where the action mask lets it attack or heal, centre to centre; None: as far as its weapon or its
    healing reaches. A constant of SMACv2."""

    @property
    def reach(self) -> float:
        """`shoot_range`, or what stands for it."""
        if self.shoot_range is not None:
            return self.shoot_range
        return self.weapon.range if self.weapon else self.heal.range if self.heal else 0.0

    @property
    def wall_radius(self) -> float:
        """What walls see."""
        return min(self.separation_radius, WIDEST_AT_WALLS) if self.inner_radius is None else self.inner_radius


def _attributes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BOTH_PLANES = frozenset({"ground", "air"})

_UNITS = (
    Unit(
        "marine", "T", 45, 0.375, 0.375, _attributes("light biological"), 2.25, inner_radius=0.375,
        weapon=Weapon(6, range=5, period=0.8608, damage_point=0.05, targets=_BOTH_PLANES),
    ),
    Unit(
        "marauder", "T", 125, 0.5625, 0.5, _attributes("armored biological"), 2.25, armor=1, inner_radius=0.375, cooldown_max=25,
        sight_range=10,
        weapon=Weapon(10, range=6, period=1.5, bonus=10, bonus_against=_attributes("armored"), missile_speed=20),
    ),
    Unit(
        "medivac", "T", 150, 0.75, 0.75, _attributes("armored mechanical"), 2.75, armor=1, acceleration=2.3125, cooldown_max=200,
        energy=50, energy_max=200, energy_regen=0.5625, sight_range=11, flies=True, planes=frozenset({"air"}), layers=frozenset({"flying"}),
        heal=Heal(9, energy_per_hp=0.33, range=4, scan_range=6, minimum_energy=5, arc=15),
    ),
    Unit(
        "stalker", "P", 80, 0.625, 0.625, _attributes("armored mechanical"), 2.9531, shield=80, armor=1, inner_radius=0.5,
        shield_regen=2, shield_regen_delay=10, cooldown_max=35, sight_range=10,
        weapon=Weapon(
            10, range=6, period=1.44, damage_point=0.167, bonus=4, bonus_against=_attributes("armored"), missile_speed=18.75,
            targets=_BOTH_PLANES,
        ),
    ),
    Unit(
        "zealot", "P", 100, 0.5, 0.375, _attributes("light biological"), 2.25, shield=50, armor=1, inner_radius=0.375,
        shield_regen=2, shield_regen_delay=10, cooldown_max=22,
        weapon=Weapon(8, range=0.1, period=1.2, second_blow=0.28),
    ),
    Unit(
        "colossus", "P", 200, 1.0, 0.75, _attributes("armored mechanical massive"), 2.25, shield=150, armor=1, inner_radius=0.5625,
        shield_regen=2, shield_regen_delay=10, cooldown_max=24, sight_range=10, shoot_range=7, walks_cliffs=True, planes=_BOTH_PLANES,
        layers=frozenset({"colossus", "structure", "flying"}),
        weapon=Weapon(20, range=6, period=2.2, damage_point=0.0832, slop=0, arc=90, area="line", area_radius=1.25),
    ),
    Unit(
        "zergling", "Z", 35, 0.375, 0.375, _attributes("light biological"), 2.9531, hp_regen=0.2734, cooldown_max=11, sight_range=8,
        weapon=Weapon(5, range=0.1, period=0.696, damage_point=0.167),
    ),
    Unit(
        "hydralisk", "Z", 80, 0.625, 0.5, _attributes("light biological"), 2.25, inner_radius=0.375, hp_regen=0.2734, cooldown_max=10,
        weapon=Weapon(12, range=5, period=0.83, damage_point=0.208, missile_speed=40, targets=_BOTH_PLANES),
    ),
    Unit(
        "baneling", "Z", 30, 0.375, 0.375, _attributes("biological"), 2.5, inner_radius=0.375, hp_regen=0.2734, cooldown_max=1,
        sight_range=8,
        weapon=Weapon(
            20, range=0.25, period=0.833, bonus=15, bonus_against=_attributes("light"), area="burst", area_radius=2.2, structure_damage=80
        ),
    ),
    Unit(
        "spine_crawler", "Z", 300, 0.875, 0.875, _attributes("armored biological structure"), 0, armor=2, turn_rate=719.4726,
        hp_regen=0.2734,
        # The catalog gives the tentacle no speed: it takes about a quarter of a second to its full range.
        weapon=Weapon(
            25, range=7, period=1.6, damage_point=0.3332, bonus=5, bonus_against=_attributes("armored"), slop=0, missile_speed=28
        ),
    ),
)  # fmt: skip

UNITS: Final[dict[str, Unit]] = {unit.name: unit for unit in _UNITS}
KINDS: Final[tuple[str, ...]] = tuple(UNITS)
"""The names in the order of the table's rows."""


def unit_table(units: Sequence[Unit] = _UNITS) -> NDArray[np.float32]:
    """The numbers of `units` as the rules read them, [len(units), TYPE_COLUMNS]; the columns are those of fields.py."""
    import numpy as np  # here, because listing the tasks reads the maps and shall cost nothing

    table = np.zeros((len(units), f.TYPE_COLUMNS), np.float32)
    for row, unit in zip(table, units, strict=True):
        _fill_body(row, unit)
        _fill_weapon(row, unit.weapon)
        if unit.heal is not None:
            _fill_heal(row, unit.heal)
    return table


def _fill_body(row: NDArray[np.float32], unit: Unit) -> None:
    turn = math.radians(unit.turn_rate / LOOPS_PER_SECOND)
    layers = _bits(unit.layers, LAYER_BITS) | (f.STRUCTURES if "structure" in unit.attributes else 0)
    for column, value in (
        (f.T_SPEED, unit.speed / LOOPS_PER_SECOND),
        (f.T_ACCELERATION, unit.acceleration / LOOPS_PER_SECOND**2),
        (f.T_TURN_COS, math.cos(turn)),
        (f.T_TURN_SIN, math.sin(turn)),
        (f.T_INNER, unit.wall_radius),
        (f.T_ATTRIBUTES, _bits(unit.attributes, ATTRIBUTE_BITS)),
        (f.T_ARMOR, unit.armor),
        (f.T_HP_REGEN, unit.hp_regen / LOOPS_PER_SECOND),
        (f.T_SHIELD_REGEN, unit.shield_regen / LOOPS_PER_SECOND),
        (f.T_SHIELD_DELAY, unit.shield_regen_delay * LOOPS_PER_SECOND),
        (f.T_ENERGY_MAX, unit.energy_max),
        (f.T_ENERGY_REGEN, unit.energy_regen / LOOPS_PER_SECOND),
        (f.T_CLIFFS, unit.walks_cliffs),
        (f.T_FLIES, unit.flies),
        (f.T_HP, unit.hp),
        (f.T_SHIELD, unit.shield),
        (f.T_ENERGY, unit.energy),
        (f.T_RADIUS, unit.radius),
        (f.T_SEPARATION, unit.separation_radius),
        (f.T_LAYERS, layers),
        (f.T_PLANES, _bits(unit.planes, PLANE_BITS)),
        (f.T_COOLDOWN_MAX, unit.cooldown_max),
    ):
        row[column] = value


def _fill_weapon(row: NDArray[np.float32], weapon: Weapon | None) -> None:
    if weapon is None:
        row[f.T_RANGE] = row[f.T_SCAN] = -1.0
        return
    for column, value in (
        (f.T_RANGE, weapon.range),
        (f.T_SCAN, max(weapon.range, MINIMUM_SCAN_RANGE)),
        (f.T_SLOP, weapon.slop),
        (f.T_PERIOD, weapon.period * LOOPS_PER_SECOND),
        (f.T_WINDUP, math.ceil(weapon.damage_point * LOOPS_PER_SECOND)),
        (f.T_SECOND, math.ceil(weapon.second_blow * LOOPS_PER_SECOND)),
        (f.T_DAMAGE, weapon.damage),
        (f.T_BONUS, weapon.bonus),
        (f.T_BONUS_BITS, _bits(weapon.bonus_against, ATTRIBUTE_BITS)),
        (f.T_MISSILE, weapon.missile_speed / LOOPS_PER_SECOND),
        (f.T_TARGETS, _bits(weapon.targets, PLANE_BITS)),
        (f.T_ARC_COS, _arc_cosine(weapon.arc)),
        (f.T_AREA, AREAS[weapon.area]),
        (f.T_AREA_RADIUS, weapon.area_radius),
        (f.T_STRUCTURE_DAMAGE, weapon.structure_damage),
    ):
        row[column] = value


def _fill_heal(row: NDArray[np.float32], heal: Heal) -> None:
    row[f.T_HEAL] = heal.hp / LOOPS_PER_SECOND
    row[f.T_HEAL_RANGE] = heal.range
    row[f.T_HEAL_SCAN] = heal.scan_range
    row[f.T_HEAL_COST] = heal.energy_per_hp
    row[f.T_HEAL_MINIMUM] = heal.minimum_energy
    row[f.T_ARC_COS] = _arc_cosine(heal.arc)


def _arc_cosine(arc: float) -> float:
    return math.cos(math.radians(min(arc / 2 + FACING_SLACK_DEGREES, 180.0)))


def _bits(names: frozenset[str], bits: dict[str, int]) -> int:
    return sum(bits[name] for name in names)
