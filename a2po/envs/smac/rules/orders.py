"""What an agent's action means to its unit."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    AIM,
    ALIVE,
    ATTACK,
    CLOCK,
    COOLDOWN,
    GOAL_X,
    GOAL_Y,
    HEAL,
    KIND,
    LAST_ACTION,
    MOVE,
    NUM_ALLIES,
    ORDER,
    ORDER_TARGET,
    PLANES,
    SECOND,
    STOP,
    T_HEAL,
    T_TARGETS,
    WINDUP,
    X,
    Y,
)

_STEP = np.float32(2.0)  # how far SMAC orders a unit to move
_NORTH, _SOUTH, _EAST, _WEST, _FIRST_TARGET = 2, 3, 4, 5, 6


def command(first, last, W, M, U, actions):
    """Give units first..last the orders that ``actions`` [N] stand for. The same attack ordered again goes on."""
    for i in range(first, last):
        action = actions[i]
        M[LAST_ACTION, i] = action
        if M[ALIVE, i] == 0:
            continue
        if action < _NORTH:
            M[ORDER, i] = STOP
        elif action < _FIRST_TARGET:
            M[ORDER, i] = MOVE
            W[GOAL_X, i] = W[X, i] + _STEP * np.float32(int(action == _EAST) - int(action == _WEST))
            W[GOAL_Y, i] = W[Y, i] + _STEP * np.float32(int(action == _NORTH) - int(action == _SOUTH))
        else:
            order_target(i, action - _FIRST_TARGET, M, U)
        if M[ORDER, i] != ATTACK or M[ORDER_TARGET, i] != M[AIM, i]:
            break_off(i, M)


def order_target(i, slot, M, U):
    """Healers heal the ally of that number, others attack the enemy; a weapon that cannot reach the target leaves the unit idle."""
    kind = M[KIND, i]
    heals = U[kind, T_HEAL] > 0
    target = slot if heals else M[CLOCK, NUM_ALLIES] + slot
    fit = heals or (M[PLANES, target] & int(U[kind, T_TARGETS])) != 0
    M[ORDER, i] = HEAL if heals else ATTACK if fit else STOP
    M[ORDER_TARGET, i] = target


def break_off(i, M):
    """End a begun attack: before its blow it costs nothing, a second blow is lost."""
    if M[WINDUP, i] >= 0:
        M[WINDUP, i] = -1
        M[COOLDOWN, i] = 0
    M[SECOND, i] = -1
