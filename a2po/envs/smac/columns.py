"""What stands in an observation or state, in SMAC's order: the forms as data, and the names of their columns.

Names, sizes, the numpy encoder and the offsets of the compiled writer all follow from these tuples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a2po.envs.smac.battle_map import ACTIONS_BEFORE_TARGETS, BattleMap

Features = tuple[str, ...]
Blocks = dict[str, Features]
"""Block -> the features that each unit has in it, in order. Blocks that are not about units have none."""

# "type" and "last" (the last action) are one-hot; a battle of one type has no column for it. Only Protoss sides have "shield".
# What SMACv2 adds stands in a row when its option is on: skills, the position on the map, where a cone of sight looks.
_SIGHT: Final = ("distance", "relative_x", "relative_y")
SKILLS: Final = ("attack_probability", "health_level")
POSITION: Final = ("position_x", "position_y")
VIEW: Final = ("view_x", "view_y")
_OBS_ENEMY: Final = ("available", *_SIGHT, "health", "shield", "type")
_OBS_ALLY: Final = ("visible", *_SIGHT, "health", "shield", *SKILLS, "type")
_STATE_ALLY: Final = ("health", "cooldown", "x", "y", "shield", *SKILLS, *VIEW, "type")
_STATE_ENEMY: Final = ("health", "x", "y", "shield", "type")

OBS_FORMS: Final[dict[str, Blocks]] = {
    "smac": {
        "move": (),
        "enemy": _OBS_ENEMY,
        "ally": (*_OBS_ALLY, "last"),
        "own": ("health", "shield", *SKILLS, *POSITION, *VIEW, "type"),
        "time": (),
    },
    "on_policy": {
        "ally": (*_OBS_ALLY, "last"),
        "enemy": _OBS_ENEMY,
        "move": (),
        "own": (*_OBS_ALLY, "last"),
        "id": (),
        "time": (),
    },
}
STATE_FORMS: Final[dict[str, Blocks]] = {
    "smac": {"ally": _STATE_ALLY, "enemy": _STATE_ENEMY, "last": (), "time": ()},
    # As every living agent has it. Enemies, too, have columns for a last action: nothing is ever written into them.
    "shared": {"ally": (*_STATE_ALLY, "last"), "enemy": (*_STATE_ENEMY, "unused"), "time": ()},
    "agent": {
        "ally": ("visible", *_SIGHT, "cooldown", "health", "shield", "x", "y", "type", "last"),
        "enemy": ("available", *_SIGHT, "visible", "health", "shield", "type", "x", "y"),
        "move": (),
        "own": ("visible", *_SIGHT, "health", "shield", "x", "y", "type", "last"),
        "id": (),
        "time": (),
    },
}

DIRECTIONS: Final = ("north", "south", "east", "west")
AROUND: Final = ((0, 4), (0, -4), (4, 0), (-4, 0), (2, 2), (-2, -2), (2, -2), (-2, 2))
"""The cells, relative to an agent's own, whose pathing and height it may see."""
_AROUND_NAMES: Final = (*(f"{direction}_4" for direction in DIRECTIONS), "north_east_2", "south_west_2", "south_east_2", "north_west_2")


def action_names(battle: BattleMap, turns: int = 0) -> tuple[tuple[str, ...], ...]:
    """The names of each agent's actions. A healer's targets are allies, and slots that never become legal are unused.

    `turns`: how many actions turn a cone of sight; they look 360 / turns degrees further left, one after the other, from east on.
    """
    views = [f"look_{360 * turn / turns:g}" for turn in range(turns)]
    return tuple(("no_op", "stop", *DIRECTIONS, *views, *_target_names(battle, types)) for types in battle.ally_types)


def _target_names(battle: BattleMap, types: tuple[str, ...]) -> list[str]:
    """Of the actions on targets of an agent that can be of these types."""
    healing = [battle.unit(kind).heal is not None for kind in types]
    patients = [any(battle.unit(kind).heal is None for kind in each) for each in battle.ally_types]
    names = []
    for slot in range(battle.num_actions - ACTIONS_BEFORE_TARGETS):
        what = [f"attack_enemy_{slot}"] if slot < battle.num_enemies and not all(healing) else []
        if any(healing) and slot < battle.num_agents and patients[slot]:
            what.append(f"heal_{battle.agents[slot]}")
        names.append("_or_".join(what) or f"unused_{slot}")
    return names


class ColumnNames:
    """Names the columns of blocks for one battle."""

    def __init__(self, battle: BattleMap, actions: tuple[tuple[str, ...], ...], *, pathing: bool, height: bool) -> None:
        self.battle = battle
        self.actions = actions
        self.move = tuple(f"can_move_{direction}" for direction in DIRECTIONS)
        if pathing:
            self.move += tuple(f"pathing_{place}" for place in _AROUND_NAMES)
        if height:
            self.move += tuple(f"height_{place}" for place in (*_AROUND_NAMES, "here"))

    def block(self, block: str, features: Features, agent: int, *, skip_self: bool) -> tuple[str, ...]:
        """The names of one block of one agent's observation or state; `skip_self`: it is not among the allies."""
        battle = self.battle
        allies = [ally for ally in range(battle.num_agents) if not (skip_self and ally == agent)]
        if block == "move":
            return self.move
        if block == "ally":
            return tuple(name for ally in allies for name in self._unit(f"ally_{ally}", features, ally))
        if block == "enemy":
            return tuple(name for enemy in range(battle.num_enemies) for name in self._enemy(enemy, features))
        if block == "own":
            return tuple(self._unit("own", features, agent))
        if block == "last":
            return tuple(name for ally in allies for name in self._unit(f"ally_{ally}", ("last",), ally))
        if block == "id":
            return tuple(f"is_agent_{ally}" for ally in range(battle.num_agents))
        return ("timestep",)

    def _unit(self, prefix: str, features: Features, ally: int) -> Iterator[str]:
        healing = [self.battle.unit(kind).heal is not None for kind in self.battle.ally_types[ally]]
        for feature in features:
            if feature == "last":
                yield from (f"{prefix}_last_{action}" for action in self.actions[ally])
            elif feature == "cooldown":
                yield f"{prefix}_{'energy' if all(healing) else 'energy_or_cooldown' if any(healing) else 'cooldown'}"
            else:
                yield from self._columns(prefix, feature, self.battle.ally_type_order)

    def _enemy(self, enemy: int, features: Features) -> Iterator[str]:
        prefix = f"enemy_{enemy}"
        for feature in features:
            if feature == "unused":
                yield from (f"{prefix}_unused_{action}" for action in range(len(self.actions[0])))
            else:
                yield from self._columns(prefix, feature, self.battle.enemy_type_order)

    def _columns(self, prefix: str, feature: str, type_order: tuple[str, ...]) -> Iterator[str]:
        if feature == "type":
            yield from (f"{prefix}_is_{kind}" for kind in type_order)
            yield from (f"{prefix}_is_type_{bit}" for bit in range(len(type_order), self.battle.unit_type_bits))
        else:
            yield f"{prefix}_{feature}"
