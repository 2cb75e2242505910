"""A battle to experiment with: units where one wants them, orders to either side, game loop by game loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac import fields as f
from a2po.envs.smac.ground import ground_and_ways
from a2po.envs.smac.options import parse_options
from a2po.envs.smac.rules.battle import BEGIN_BATTLES, LOOP_BATTLES
from a2po.envs.smac.specialise import compiled
from a2po.envs.smac.terrain import load_terrain
from a2po.envs.smac.units import KINDS, UNITS, unit_table
from a2po.errors import UserError, did_you_mean

SOUTH = 270.0  # degrees; how the game's maps create units
CALM_RULES = {"cooldown_jitter": 0.0, "spawn_jitter": 0.0, "head_start": 0}


class Post(NamedTuple):
    """A unit at its place. What is not given is as when the game creates the unit."""

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
    columns are the units; who writes into them knows the rules.
    """

    def __init__(self, allies: Sequence[Post], enemies: Sequence[Post], ground: str, seed: int, ranges: NDArray[np.float32]) -> None:
        self.kinds = [post.kind for post in (*allies, *enemies)]
        size = next(size for size in f.SIZES if size >= len(self.kinds))
        self._rules = compiled(size)
        batch_W = np.zeros((1, f.FLOATS, size), np.float32)
        batch_M = np.zeros((1, f.INTS, size), np.int32)
        self.W, self.M = batch_W[0], batch_M[0]
        self._units = unit_table()
        roster = np.zeros((3, size), np.int32)
        roster[:2] = -1
        places = np.zeros((size + 2, 2), np.float32)
        for number, post in enumerate((*allies, *enemies)):
            roster[:2, number] = KINDS.index(post.kind), number >= len(allies)
            places[number] = post.x, post.y
        seeds = np.array([[seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF]], np.int32)
        unused = np.zeros((1, 1), np.int64), np.zeros(1, np.float32), np.zeros(1, np.int32)
        self._arguments = (
            np.zeros(1, np.int64), seeds, *unused, batch_W, batch_M, self._units, *ground_and_ways(load_terrain(ground)),
            np.zeros(8, np.float32), roster, places, ranges,
        )  # fmt: skip
        self._call(BEGIN_BATTLES)
        for number, post in enumerate((*allies, *enemies)):
            self._dress(number, post)

    def __len__(self) -> int:
        """How many units take part."""
        return len(self.kinds)

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
            self.kinds[number],
            alive,
            float(W[f.X]) if alive else math.inf,
            float(W[f.Y]) if alive else math.inf,
            math.degrees(math.atan2(W[f.FACING_Y], W[f.FACING_X])) % 360,
            *(float(W[row]) for row in (f.HP, f.SHIELD, f.ENERGY)),
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
            row = KINDS.index(self.kinds[number])
            able = int(self._units[row, f.T_TARGETS]) & int(self.M[f.PLANES, target])
            self._order(number, f.ATTACK if able else f.STOP, target)

    def heal(self, numbers: int | Iterable[int], target: int) -> None:
        """Follow a friend and heal it.

        Raises:
            UserError: a unit that is no healer.
        """
        for number in _each(numbers):
            if UNITS[self.kinds[number]].heal is None:
                raise UserError(f"unit {number}, a {self.kinds[number]}, does not heal")
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
            self._call(LOOP_BATTLES)
        return self

    def _order(self, numbers: int | Iterable[int], order: int, target: int = -1, goal: tuple[float, float] | None = None) -> None:
        for number in _each(numbers):
            if not (order == self.M[f.ORDER, number] and target == self.M[f.ORDER_TARGET, number] and target >= 0):
                self._rules.break_off(number, self.M)
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

    def _call(self, what: int) -> None:
        self._rules.play_battles(what, 0, 1, *self._arguments)


def battle(
    allies: Sequence[Post | tuple[Any, ...]],
    enemies: Sequence[Post | tuple[Any, ...]] = (),
    *,
    ground: str = "flat_full",
    seed: int = 0,
    **rules: Any,
) -> Sandbox:
    """Set up a battle to experiment with.

    Args:
        allies: units, as `Post` or as tuples that begin with type, x and y.
        enemies: likewise.
        ground: a terrain's name.
        seed: of all chance in it.
        rules: options of the tasks that are rules (`cooldown_jitter`, `missile_flight`, `terrain`, `damage_order`, ...). Unlike there,
            weapons have no jitter, units stand exactly where they are put, and nobody has a head start, unless these options say so.

    Raises:
        UserError: an unknown type of unit, terrain or rule, or too many units.
    """
    posts = [[Post(*post) for post in side] for side in (allies, enemies)]
    for post in (*posts[0], *posts[1]):
        check_kind(post.kind)
        if not (0 <= post.x < f.SIZE and 0 <= post.y < f.SIZE):
            raise UserError(f"a {post.kind} at ({post.x:g}, {post.y:g}) is off the map, which is {f.SIZE} by {f.SIZE}")
    if not 1 <= len(posts[0]) + len(posts[1]) <= f.SIZES[-1]:
        raise UserError(f"a battle has 1 to {f.SIZES[-1]} units, got {len(posts[0]) + len(posts[1])}")
    options = parse_options("battle", {**CALM_RULES, **rules})
    return Sandbox(posts[0], posts[1], ground, seed, options.ranges)


def check_kind(kind: str) -> None:
    """Refuse a type of unit that there is not.

    Raises:
        UserError: with the names that there are.
    """
    if kind not in UNITS:
        raise UserError(f"there is no unit {kind!r}{did_you_mean(str(kind), KINDS)} (there are: {', '.join(KINDS)})")


def _each(numbers: int | Iterable[int]) -> Iterable[int]:
    return (numbers,) if isinstance(numbers, int) else numbers
