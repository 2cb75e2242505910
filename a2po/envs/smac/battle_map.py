"""What a battle is, as data: who fights whom, where they stand, what the enemy is told, how it ends and pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from a2po.envs.smac.units import UNITS, Unit

Point = tuple[float, float]
Area = tuple[float, float, float, float]
"""A box: its west, south, east and north end."""
Groups = tuple[tuple[str, int], ...]

ACTIONS_BEFORE_TARGETS: Final = 6  # no-op, stop, north, south, east, west

EnemyOrder = Literal["attack_move", "hunt", "guard", "chase"]
Starts = Literal["points", "reflect", "surrounded", "reflect_or_surrounded"]


@dataclass(frozen=True)
class Draw:
    """What the units of a group are drawn from, each for itself, anew in each episode."""

    weights: tuple[tuple[str, float], ...]
    """(type, weight); the weights need not add up to 1."""
    never_alone: frozenset[str] = frozenset()
    """A side's drawn units are drawn again as long as all of them are of these types."""

    @property
    def types(self) -> tuple[str, ...]:
        """What can be drawn."""
        return tuple(kind for kind, _ in self.weights)


@dataclass(frozen=True)
class BattleMap:
    """One battle. Points are cells, x east and y north, on a map of 32 by 32."""

    name: str
    allies: Groups
    """(type or name of a draw, count) in the order of the agents; a type may come in several groups that stand apart."""
    enemies: Groups
    """(type or name of a draw, count) in the order in which the map creates them, which is the order of the observations and of
    the attack actions."""
    limit: int
    """Environment steps; an episode that reaches it is not won."""
    map_type: str
    """SMAC's word for what fights here. A name: nothing depends on it."""
    ally_points: tuple[Point | Area, ...]
    """Where each group of `allies` is created: packed around a point, or each unit anywhere in an area."""
    enemy_points: tuple[Point | Area, ...]
    order_segment: tuple[Point, Point]
    """The enemy's attack-move goes to a point that each episode draws between these two (mostly they are one)."""
    enemy_order: EnemyOrder = "attack_move"
    """hunt: attack the allied units wherever they are; guard: stay, and fight who comes; chase: twice a second whoever has nothing to
    do is told to attack the ally that is nearest then."""
    terrain: str = "open_band"
    """The name of a terrain, or its grid: 32 lines."""
    ally_type_order: tuple[str, ...] = ()
    """Types in the order of their bit in observations and states; empty: no type bits, because each side has one type."""
    enemy_type_order: tuple[str, ...] = ()
    units: tuple[Unit, ...] = field(default=tuple(UNITS.values()), repr=False)
    """The types there are, in the order of the unit table's rows."""
    draws: Mapping[str, Draw] = field(default_factory=dict)
    """By name, for groups that are drawn. Then the agents are numbered as SMACv2 does it: by type (in the order of the alphabet), from
    west to east, from south to north; and any agent can be of any of its side's types."""
    enemies_copy: bool = False
    """The enemies' types are those of the allies as they are created, one for one; only those beyond their number are drawn."""
    starts: Starts = "points"
    """reflect: SMACv2's mirrored starts; surrounded: allies in the centre, enemies in one to four groups on the diagonals; both take
    the place of the points."""
    healers_end: Literal["one", "any"] = "any"
    """A side of healers alone cannot win. The enemy's side is beaten when one healer is left (SMAC), or with any number (SMACv2)."""
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    reward_death: float = 10.0
    reward_negative_scale: float = 0.5
    """Weight of the own side's losses, where they count."""
    reward_regrowth: bool = True
    """Where own losses do not count: a step in which the enemies got back more life than they lost pays the difference (SMAC), or
    nothing (SMACv2)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Options of the family that this battle has by default."""

    @property
    def num_agents(self) -> int:
        """Allied units."""
        return sum(count for _, count in self.allies)

    @property
    def num_enemies(self) -> int:
        """Enemy units, the targets of the attack actions."""
        return sum(count for _, count in self.enemies)

    @cached_property
    def ally_kinds(self) -> tuple[str, ...]:
        """The type, or the draw, of each allied unit."""
        return tuple(kind for kind, count in self.allies for _ in range(count))

    @cached_property
    def enemy_kinds(self) -> tuple[str, ...]:
        """The type, or the draw, of each enemy."""
        return tuple(kind for kind, count in self.enemies for _ in range(count))

    @property
    def drawn(self) -> bool:
        """Whether some of the allies change from episode to episode."""
        return any(kind in self.draws for kind, _ in self.allies)

    @cached_property
    def ally_types(self) -> tuple[tuple[str, ...], ...]:
        """What each agent can be."""
        each = [self.types_of(kind) for kind in self.ally_kinds]
        return (_union(each),) * len(each) if self.drawn else tuple(each)

    @cached_property
    def enemy_types(self) -> tuple[tuple[str, ...], ...]:
        """What each enemy can be."""
        each = [self.types_of(kind) for kind in self.enemy_kinds]
        if self.enemies_copy:
            copied = [self.types_of(kind) for kind in self.ally_kinds]
            each = [*copied, *each[len(copied) :]][: len(each)]
        return tuple(each)

    def types_of(self, kind: str) -> tuple[str, ...]:
        """The types that a group's word stands for."""
        return self.draws[kind].types if kind in self.draws else (kind,)

    @property
    def has_healers(self) -> bool:
        """Whether an ally can be a healer, whose target actions heal."""
        return any(self.unit(kind).heal is not None for types in self.ally_types for kind in types)

    @property
    def num_actions(self) -> int:
        """Six and one attack per enemy; healers use these on their own side, and drawn ones need one for each ally.

        Without the actions that turn a cone of sight, which come before the attacks where the options ask for one: see `Layout`.
        """
        targets = max(self.num_enemies, self.num_agents) if self.has_healers and self.drawn else self.num_enemies
        return ACTIONS_BEFORE_TARGETS + targets

    @property
    def unit_type_bits(self) -> int:
        """Length of the one-hot of a unit's type in observations and states."""
        return max(len(self.ally_type_order), len(self.enemy_type_order))

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """The agents' names: the type and a count per type; where types are drawn just a number."""
        kinds = ("agent",) * self.num_agents if self.drawn else self.ally_kinds
        return tuple(f"{kind}_{kinds[:agent].count(kind)}" for agent, kind in enumerate(kinds))

    @cached_property
    def max_reward(self) -> float:
        """What a win without enemy regeneration adds up to before scaling: all hp and shields, the deaths and the win.

        Of drawn enemies the mean. (SMACv2 takes the teams of the process' first episode.)
        """
        each = [*self.enemy_kinds]
        if self.enemies_copy:
            each[: self.num_agents] = self.ally_kinds[: self.num_enemies]
        return sum(self._mean_life(kind) for kind in each) + self.reward_death * self.num_enemies + self.reward_win

    def _mean_life(self, kind: str) -> float:
        weights = self.draws[kind].weights if kind in self.draws else ((kind, 1.0),)
        total = sum(weight for _, weight in weights)
        return sum(weight / total * (self.unit(name).hp + self.unit(name).shield) for name, weight in weights)

    def unit(self, kind: str) -> Unit:
        """The numbers of a type."""
        return self.units[self.row(kind)]

    def row(self, kind: str) -> int:
        """The row of the unit table."""
        return next(row for row, unit in enumerate(self.units) if unit.name == kind)


def _union(each: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for types in each for kind in types))
