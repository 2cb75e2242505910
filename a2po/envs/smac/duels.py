"""How long one unit needs to kill another that does not fight back: a table of the rules' arithmetic."""

from __future__ import annotations

from typing import NamedTuple

from a2po.envs.smac.sandbox import Post, battle, check_kind
from a2po.envs.smac.units import UNITS
from a2po.errors import UserError

LONGEST = 16 * 600  # game loops; the longest duel that ends takes a tenth of it
_EAST = 0.0
_MIDDLE = 16.0


class Duel(NamedTuple):
    """What a duel took."""

    hits: int
    """Damage events on the target."""
    attacks: int
    """Attacks begun."""
    loops: int
    """Game loops, of 1/16 second, from the order to the target's death."""


def duel(attacker: str, target: str, *, seed: int = 0, random_delay: bool = False) -> Duel:
    """Let a unit attack one that neither moves nor fights, until it is dead.

    The attacker stands in range, faces the target, its weapon is ready, and it has its order at game loop 0. What it shoots arrives
    at once.

    Args:
        attacker: type of unit.
        target: type of unit.
        seed: of the weapon's random delays.
        random_delay: whether there are any.

    Raises:
        UserError: an unknown type, or a pair that cannot fight: says why.
    """
    for kind in (attacker, target):
        check_kind(kind)
    one, other = UNITS[attacker], UNITS[target]
    if one.weapon is None:
        raise UserError(f"a {attacker} has no weapon")
    if not one.weapon.targets & other.planes:
        raise UserError(f"a {attacker} cannot attack a {target}: its weapon reaches {_words(one.weapon.targets)}")
    apart = one.weapon.range + one.radius + other.radius - 0.05
    jitter = (-1.0, 2.0) if random_delay else 0.0
    arena = battle(
        [Post(attacker, _MIDDLE - apart / 2, _MIDDLE, facing=_EAST)],
        [Post(target, _MIDDLE + apart / 2, _MIDDLE)],
        seed=seed, cooldown_jitter=jitter, missile_flight=0.0,
    )  # fmt: skip
    arena.attack(0, 1)
    for loop in range(LONGEST):
        arena.play()
        if not arena.lives(1):
            return Duel(arena.unit(1).hits, arena.unit(0).attacks, loop)
        if not arena.lives(0):
            victim = arena.unit(1)
            left = f"{victim.hp + victim.shield:.0f} of {other.hp + other.shield:.0f}"
            raise UserError(f"a {attacker} cannot kill a {target}: its one attack, of which it dies, leaves {left}")
    raise UserError(f"a {attacker} cannot kill a {target}: life grows back faster than the attacks take it")


def _words(planes: frozenset[str]) -> str:
    return f"only what is {'on the ground' if 'ground' in planes else 'in the air'}"
