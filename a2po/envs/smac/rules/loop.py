"""One game loop of a battle: the phases in order. On the processor a phase does all units, on a graphics card a thread does one."""

from __future__ import annotations

from a2po.envs.smac.fields import CLOCK, HEALERS, LOOP, NUM_ALLIES, NUM_ENEMIES
from a2po.envs.smac.rules.combat import resolve, strike
from a2po.envs.smac.rules.damage import heal
from a2po.envs.smac.rules.motion import arrive, separate, shift, steer, walk
from a2po.envs.smac.rules.targets import acquire
from a2po.envs.smac.rules.upkeep import recharge, upkeep

P = 16  # bound anew by specialise()

_PASSES = 3  # of the separation of bodies


def play_loop(W, M, U, G, paths):
    """Play 1/16 second of one battle.

    Args:
        W: [FLOATS, P].
        M: [INTS, P].
        U: [types, TYPE_COLUMNS].
        G: [3, 32, 32], the two walkable grids and the cliff levels.
        paths: [2, 1024, 1024] where paths bend, or [2, 1, 1] where all of them are straight.
    """
    n = M[CLOCK, NUM_ALLIES] + M[CLOCK, NUM_ENEMIES]
    acquire(0, n, W, M, U)
    strike(0, n, W, M, U)
    resolve(W, M, U, G)
    if M[CLOCK, HEALERS] > 0:
        heal(W, M, U)
        recharge(0, n, W, M, U)
    steer(0, n, W, M, U, paths)
    walk(0, P, W, M)
    for again in range(_PASSES):
        pushed = separate(0, n, again > 0, W, M)
        shift(0, P, W)
        if not pushed:
            break
    arrive(0, n, W, M, U, G)
    upkeep(0, P, W, M)
    M[CLOCK, LOOP] += 1
