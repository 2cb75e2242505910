"""Who leads the enemies where the battle's first order does not: SMACv2's trigger, a script, or another team."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ALIVE,
    ATTACK,
    ATTACK_MOVE,
    BUILT_IN,
    CLOCK,
    GOAL_X,
    GOAL_Y,
    GUARD,
    KIND,
    LOOP,
    NUM_ALLIES,
    NUM_ENEMIES,
    OPPONENT,
    ORDER,
    ORDER_TARGET,
    PHASE,
    PLANES,
    RIVALS,
    T_HEAL,
    T_TARGETS,
    X,
    Y,
)
from a2po.envs.smac.rules.orders import command
from a2po.envs.smac.rules.scripts import follow_script, squared_distance

P = 16  # bound anew by specialise()

CHASE_LOOPS = 8  # half a second of the game
_NOWHERE_NEAR = np.float32(1e6)  # squared


def lead(W, M, U, G, L, S, actions):
    """Give the enemies their orders for a step: a script's, or, where another team leads them, those that ``actions`` [E] stand for."""
    opponent = M[CLOCK, OPPONENT]
    if opponent == RIVALS:
        command(1, W, M, U, L, S, actions)
    elif opponent != BUILT_IN:
        follow_script(opponent, W, M, U, G)


def chase(W, M, U):
    """Twice a second each idle enemy is told to attack the ally that is nearest to it.

    If its weapon cannot reach that one, it stays idle, and healers fly to where that one is.
    """
    if M[CLOCK, OPPONENT] != BUILT_IN or M[CLOCK, LOOP] % CHASE_LOOPS != M[CLOCK, PHASE]:
        return
    first = M[CLOCK, NUM_ALLIES]
    for i in range(first, first + M[CLOCK, NUM_ENEMIES]):
        kind = M[KIND, i]
        heals = U[kind, T_HEAL] > 0
        if M[ALIVE, i] == 0 or not (M[ORDER, i] == GUARD or heals):
            continue
        nearest = nearest_ally(i, W, M)
        if nearest < 0:
            continue
        if heals:
            M[ORDER, i] = ATTACK_MOVE
            W[GOAL_X, i], W[GOAL_Y, i] = W[X, nearest], W[Y, nearest]
        elif M[PLANES, nearest] & int(U[kind, T_TARGETS]):
            M[ORDER, i], M[ORDER_TARGET, i] = ATTACK, nearest


def nearest_ally(i, W, M):
    """The living ally that is nearest to unit ``i``, or -1."""
    best, found = _NOWHERE_NEAR, -1
    for j in range(M[CLOCK, NUM_ALLIES]):
        distance = squared_distance(i, j, W)
        if M[ALIVE, j] == 1 and distance < best:
            best, found = distance, j
    return found
