"""Changes of a battle's rules under which a trained team is tried before it meets the real game."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from a2po.envs.perturbation import Perturbation
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.fields import BUILT_IN
from a2po.envs.smac.options import RULES, Rule
from a2po.envs.smac.spawn import layout
from a2po.envs.smac.terrain import Terrain
from a2po.envs.smac.units import Unit


class Change(NamedTuple):
    """How a rule is changed."""

    stands_for: str
    values: tuple[Any, ...] = ()
    """As a user would give them; none: the ends of the rule's robust range, or all that it can be called."""
    unit: str = ""
    """Of the values, for the reader."""
    form: str = "g"
    """How a number is shown."""


CHANGES: Mapping[str, Change] = {
    "enemy_damage": Change("damage of another version of the game, or its upgrades", (0.75, 0.9, 1.1, 1.25), "times"),
    "enemy_speed": Change("speeds of another version, acceleration, formations", (0.9, 1.1), "times"),
    "cooldown_jitter": Change("random delays of weapons: none, or twice the catalog's", ((0, 0), (-2, 4)), "loops"),
    "missile_flight": Change("where missiles are launched and when they count", unit="times"),
    "acquire_slop": Change("from how far, and how often, units look for foes", unit="cells", form="+g"),
    "spawn_jitter": Change("how exactly groups are created at their points", unit="cells"),
    "spawn_packing": Change("how the game packs a group around its point"),
    "terrain": Change("the game's pathing grid at cliff edges"),
    "action_delay": Change("game loops that an order takes to the game", (0, 1, 2), "loops"),
    "steering": Change("how units get round each other"),
    "line_delay": Change("when a colossus' sweeps hit", unit="loops"),
    "enemy_medivac": Change("what an attack order makes a medivac do"),
    "damage_order": Change("whether two can kill each other in one game loop"),
    "shuffle_enemies": Change("which enemy comes first in observations"),
    "head_start": Change("what happens before the first observation", unit="loops"),
}
"""In the order of a reader's interest; every rule of ``RULES`` but what a later one may add."""


def rule_changes(env: StarCraftBattles) -> list[Perturbation]:
    """The changes that can matter in the battle, each of one rule; and all rules drawn anew for each battle.

    A change to what the rule is already is left out.
    """
    own_orders = env.options.opponent.scripts[BUILT_IN] > 0
    relevant = [rule for rule in CHANGES if _matters(rule, env.battle, env.terrain, own_orders=own_orders)]
    found = [change for rule in relevant for change in _changes(rule, env.options.ranges)]
    if not env.options.robust:
        found.append(Perturbation("robust", "all drawn", {"robust": True}, "everything at once, each within what is likely"))
    return found


def _changes(name: str, trained: np.ndarray) -> Iterator[Perturbation]:
    """Those of one rule. ``trained`` float32 [RULES, 2]: from where to where each column of the rules is drawn in training."""
    rule, change = RULES[name], CHANGES[name]
    for value in change.values or rule.names or rule.robust:
        ends = value if isinstance(value, tuple) else (value, value)
        numbers = [rule.names.index(end) if rule.names else end for end in ends]
        if not np.allclose(numbers, _range(rule, trained), atol=1e-6):
            given = list(value) if isinstance(value, tuple) else value
            yield Perturbation(name, _shown(name, ends), {name: given}, change.stands_for)


def _shown(name: str, ends: tuple[Any, Any]) -> str:
    """A value, or the range that a rule is drawn from, as a reader knows it."""
    low, high = (str(end).lower() if RULES[name].names else f"{end:{CHANGES[name].form}}" for end in ends)
    unit = CHANGES[name].unit if low.lstrip("+-") != "1" else CHANGES[name].unit.removesuffix("s")
    return f"{low if low == high else f'{low} to {high}'} {unit}".strip()


def _range(rule: Rule, trained: np.ndarray) -> np.ndarray:
    """[2]: from where to where the rule is drawn."""
    drawn: np.ndarray = trained[rule.columns[0]] if len(rule.columns) == 1 else trained[list(rule.columns), 0]
    return drawn


def _matters(rule: str, battle: BattleMap, terrain: Terrain, *, own_orders: bool) -> bool:
    """Whether the rule can change anything in this battle; ``own_orders``: whether its own orders ever lead the enemies."""
    enemies = [[battle.unit(kind) for kind in types] for types in battle.enemy_types]
    everyone = [unit for types in (*battle.ally_types, *battle.enemy_types) for unit in map(battle.unit, types)]
    weapons = [unit.weapon for unit in everyone if unit.weapon]

    def some(quality: Callable[[Unit], Any]) -> bool:
        return any(quality(unit) for types in enemies for unit in types)

    def at_points() -> bool:
        return battle.starts != "surrounded" and any(len(point) == 2 for point in (*battle.ally_points, *battle.enemy_points))

    conditions: Mapping[str, Callable[[], bool]] = {
        "enemy_damage": lambda: some(lambda unit: unit.weapon),
        "enemy_speed": lambda: some(lambda unit: unit.speed),
        "head_start": lambda: own_orders and some(lambda unit: unit.speed) and battle.enemy_order != "guard",
        "missile_flight": lambda: any(weapon.missile_speed for weapon in weapons),
        "line_delay": lambda: any(weapon.area == "line" for weapon in weapons),
        "enemy_medivac": lambda: own_orders and some(lambda unit: unit.heal) and battle.enemy_order in ("attack_move", "chase"),
        # Hunters see everybody; of those with other orders only who cannot walk looks round.
        "acquire_slop": lambda: battle.enemy_order != "hunt" if own_orders else some(lambda unit: not unit.speed),
        "spawn_jitter": at_points,
        "spawn_packing": lambda: at_points() and not np.array_equal(layout(battle, terrain), layout(battle, terrain, mirrored=True)),
        "terrain": lambda: not np.array_equal(*terrain.walkable),
        "shuffle_enemies": lambda: _can_repeat(battle),
    }
    return rule not in conditions or conditions[rule]()


def _can_repeat(battle: BattleMap) -> bool:
    """Whether two enemies can be of one type."""
    types = [kind for types in battle.enemy_types for kind in types]
    return len(set(types)) < len(types)
