"""A battle to experiment with: units where one wants them, orders to either side, game loop by game loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.options import Options, parse_options
from a2po.envs.smac.rules.orders import break_off
from a2po.envs.smac.rules.scoring import GOING, LOST, WIPED_OUT, WON
from a2po.envs.smac.simulation import Shown, Simulation
from a2po.envs.smac.terrain import Terrain, load_terrain
from a2po.envs.smac.units import KINDS, UNITS
from a2po.errors import UserError, did_you_mean

SOUTH = 270.0  # degrees; how the game's maps create units
CALM_RULES = {"cooldown_jitter": 0.0, "spawn_jitter": 0.0, "head_start": 0}
OUTCOMES = {GOING: "going", WON: "won", LOST: "lost", WIPED_OUT: "wiped_out"}


class Post(NamedTuple):
    """A unit at its place. What is not given is as when the game creates the unit; hp and shield may be more than its type has."""

    kind: str
    x: float
    y: float
    hp: float | None = None
    shield: float | None = None
    energy: float | None = None
    facing: float = SOUTH
    """Degrees; 0 is east, 90 north."""


class UnitState(NamedTuple):
    """A unit as it stands. One that died keeps its counts and has no place: x and y are infinite."""

    kind: str
    alive: bool
    x: float
    y: float
    facing: float
    hp: float
    shield: float
    energy: float
    cooldown: int
    """Game loops until its weapon is ready."""
    target: int | None
    """Whom it goes for."""
    hits: int
    """Damage events that it took."""
    attacks: int
    """Attacks that it began."""


class Sandbox:
    """One battle. Units have numbers: the allies in the order given, then the enemies. Nobody does anything before it has an order.

    Made by `battle`. The arrays of the rules (fields.py) are `W` [FLOATS, P] and `M` [INTS, P], of which the first `len(sandbox)`
    columns are the units; who writes into them knows the rules. `shown` is what the agents saw after the last `step`.
    """

    def __init__(self, battle: BattleMap, terrain: Terrain, options: Options, posts: Sequence[Post], seed: int) -> None:
        self.battle, self.posts = battle, posts
        layout = Layout.of(battle, options)
        places = np.array([(post.x, post.y) for post in posts], np.float32)
        self.simulation = Simulation(battle, terrain, options, layout, 1, 1, places)
        self.W, self.M = self.simulation.units[0], self.simulation.marks[0]
        agents = battle.num_agents
        self.shown = Shown(
            np.zeros((1, agents, layout.obs_size), np.float32),
            np.zeros((1, agents if layout.state_per_agent else 1, layout.state_size), np.float32),
            np.zeros((1, agents, layout.num_actions), np.bool_),
            np.zeros((1, agents), np.bool_),
        )
        self.simulation.begin(np.zeros(1, np.int64), np.array([_int64(seed)]), self.shown)
        for number, post in enumerate(posts):
            self._dress(number, post)

    def __len__(self) -> int:
        """How many units take part."""
        return len(self.posts)

    @property
    def loop(self) -> int:
        """Game loops played."""
        return int(self.M[f.CLOCK, f.LOOP])

    def lives(self, number: int) -> bool:
        """Whether the unit is alive."""
        return bool(self.M[f.ALIVE, number])

    def unit(self, number: int) -> UnitState:
        """One unit."""
        W, M, alive = self.W[:, number], self.M[:, number], self.lives(number)
        return UnitState(
            self.posts[number].kind,
            alive,
            float(W[f.X]) if alive else math.inf,
            float(W[f.Y]) if alive else math.inf,
            math.degrees(math.atan2(W[f.FACING_Y], W[f.FACING_X])) % 360,
            float(W[f.HP]),
            float(W[f.SHIELD]),
            float(W[f.ENERGY]),
            int(M[f.COOLDOWN]),
            int(M[f.TARGET]) if M[f.TARGET] >= 0 else None,
            int(M[f.HITS]),
            int(M[f.ATTACKS]),
        )

    def units(self) -> list[UnitState]:
        """All of them."""
        return [self.unit(number) for number in range(len(self))]

    def stop(self, *numbers: int) -> None:
        """Stand still and look at nobody."""
        self._order(numbers, f.STOP)

    def move(self, numbers: int | Iterable[int], x: float, y: float) -> None:
        """Go there and look at nobody."""
        self._order(numbers, f.MOVE, goal=(x, y))

    def attack_move(self, numbers: int | Iterable[int], x: float, y: float) -> None:
        """Go there and fight whom it meets."""
        self._order(numbers, f.ATTACK_MOVE, goal=(x, y))

    def attack(self, numbers: int | Iterable[int], target: int) -> None:
        """Attack the target until it is dead, wherever it goes. A weapon that cannot reach it leaves the unit idle.

        Raises:
            UserError: they are on the same side.
        """
        for number in _each(numbers):
            if self.M[f.SIDE, number] == self.M[f.SIDE, target]:
                raise UserError(f"unit {number} and its target {target} are on the same side")
            weapon = UNITS[self.posts[number].kind].weapon
            able = weapon is not None and weapon.targets & UNITS[self.posts[target].kind].planes
            self._order(number, f.ATTACK if able else f.STOP, target)

    def heal(self, numbers: int | Iterable[int], target: int) -> None:
        """Follow a friend and heal it.

        Raises:
            UserError: a unit that is no healer.
        """
        for number in _each(numbers):
            if UNITS[self.posts[number].kind].heal is None:
                raise UserError(f"unit {number}, a {self.posts[number].kind}, does not heal")
            self._order(number, f.HEAL, target)

    def guard(self, *numbers: int) -> None:
        """Stay, and fight who comes."""
        self._order(numbers, f.GUARD)

    def hunt(self, *numbers: int) -> None:
        """Attack the nearest foe wherever it is, until it is dead, then the next."""
        self._order(numbers, f.HUNT)

    def play(self, loops: int = 1) -> Sandbox:
        """Play that many game loops (16 are a second); return the sandbox."""
        for _ in range(loops):
            self.simulation.loop(self.shown)
        return self

    def step(self, *actions: int) -> tuple[float, str]:
        """Play an environment step of eight loops with SMAC's actions of the allies; return its reward and its outcome.

        The outcome is going, won, lost or wiped_out (both sides).
        """
        self.simulation.step(np.array([actions], np.int64), self.shown)
        return float(self.simulation.rewards[0]), OUTCOMES[int(self.simulation.results[0])]

    def _order(self, numbers: int | Iterable[int], order: int, target: int = -1, goal: tuple[float, float] | None = None) -> None:
        for number in _each(numbers):
            if not (order == self.M[f.ORDER, number] and target == self.M[f.ORDER_TARGET, number] and target >= 0):
                break_off(number, self.M)  # type: ignore[no-untyped-call]
            self.M[f.ORDER, number], self.M[f.ORDER_TARGET, number] = order, target
            if goal is not None:
                self.W[f.GOAL_X : f.GOAL_Y + 1, number] = goal

    def _dress(self, number: int, post: Post) -> None:
        self._order(number, f.STOP)
        angle = math.radians(post.facing)
        self.W[f.FACING_X, number], self.W[f.FACING_Y, number] = math.cos(angle), math.sin(angle)
        for row, value in ((f.HP, post.hp), (f.SHIELD, post.shield), (f.ENERGY, post.energy)):
            if value is not None:
                self.W[row, number] = value
        for row, maximum in ((f.HP, f.HP_MAX), (f.SHIELD, f.SHIELD_MAX)):
            self.W[maximum, number] = max(self.W[maximum, number], self.W[row, number])
        self.W[f.BEFORE, number] = self.W[f.HP, number] + self.W[f.SHIELD, number]


def battle(
    allies: Sequence[Post | tuple[Any, ...]],
    enemies: Sequence[Post | tuple[Any, ...]],
    *,
    ground: str | Terrain = "flat_full",
    seed: int = 0,
    **options: Any,
) -> Sandbox:
    """Set up a battle to experiment with.

    Args:
        allies: units, as `Post` or as tuples that begin with type, x and y.
        enemies: likewise.
        ground: a terrain, or the name of one of SMAC's.
        seed: of all chance in it.
        options: those of the tasks (`cooldown_jitter`, `missile_flight`, `terrain`, `damage_order`, ...). Unlike there, weapons have no
            jitter, units stand exactly where they are put, and nobody has a head start, unless the options say so.

    Raises:
        UserError: an unknown type of unit, terrain or option, a unit off the map, a side without units, or too many of them.
    """
    sides = [[Post(*post) for post in side] for side in (allies, enemies)]
    posts = [*sides[0], *sides[1]]
    if not sides[0] or not sides[1] or len(posts) > f.SIZES[-1]:
        raise UserError(f"a battle has a unit on each side and {f.SIZES[-1]} at most, got {len(sides[0])} against {len(sides[1])}")
    for post in posts:
        check_kind(post.kind)
        if not (0 <= post.x < f.SIZE and 0 <= post.y < f.SIZE):
            raise UserError(f"a {post.kind} at ({post.x:g}, {post.y:g}) is off the map, which is {f.SIZE} by {f.SIZE}")
    terrain = load_terrain(ground) if isinstance(ground, str) else ground
    return Sandbox(_map_of(sides), terrain, parse_options("battle", {**CALM_RULES, **options}), posts, seed)


def _map_of(sides: Sequence[Sequence[Post]]) -> BattleMap:
    """The sandbox as a map: each unit is a group of its own at its place."""
    allies, enemies = (tuple((post.kind, 1) for post in side) for side in sides)
    ally_types, enemy_types = (tuple(sorted({post.kind for post in side})) for side in sides)
    points = [tuple((post.x, post.y) for post in side) for side in sides]
    return BattleMap(
        "battle",
        allies,
        enemies,
        limit=10_000,
        map_type="sandbox",
        ally_points=points[0],
        enemy_points=points[1],
        order_segment=(points[0][0], points[0][0]),
        enemy_order="guard",
        healers_end="one",
        ally_type_order=ally_types if len(ally_types) > 1 else (),
        enemy_type_order=enemy_types if len(enemy_types) > 1 else (),
    )


def check_kind(kind: str) -> None:
    """Refuse a type of unit that there is not.

    Raises:
        UserError: with the names that there are.
    """
    if kind not in UNITS:
        raise UserError(f"there is no unit {kind!r}{did_you_mean(str(kind), KINDS)} (there are: {', '.join(KINDS)})")


def _each(numbers: int | Iterable[int]) -> Iterable[int]:
    return (numbers,) if isinstance(numbers, int) else numbers


def _int64(seed: int) -> int:
    """The seed's lowest 64 bits, as a signed number."""
    return (seed + 2**63) % 2**64 - 2**63
