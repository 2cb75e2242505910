"""What an agent's action means to its unit."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ACCURACY,
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
    NUM_ENEMIES,
    ORDER,
    ORDER_TARGET,
    PLANES,
    SECOND,
    STOP,
    T_HEAL,
    T_TARGETS,
    VIEW_X,
    VIEW_Y,
    WINDUP,
    X,
    Y,
)
from a2po.envs.smac.layout import L_FIRST_TARGET, L_OPEN_TARGETS
from a2po.envs.smac.rules.chance import SUCCESS, uniform
from a2po.envs.smac.rules.masks import shootable

_STEP = np.float32(2.0)  # how far SMAC orders a unit to move
_NORTH, _SOUTH, _EAST, _WEST, _VIEWS = 2, 3, 4, 5, 6  # actions; then those that turn the cone of sight, if there is one, then targets
_ONE = np.float32(1.0)
_TURN = 2 * np.pi  # 64 bits: SMACv2's test of cones notices whether west is exactly west


def command(side, W, M, U, L, S, actions):
    """Give the units of a side the orders that ``actions`` stand for. The same attack ordered again goes on.

    Some actions give no order, and the one before stays in force: those that turn the cone of sight, those on targets that the mask
    shows as legal although they are out of range, and those that do not get through; and what is no action (-1).
    """
    agents = M[CLOCK, NUM_ALLIES]
    first, last, foes = (0, agents, agents) if side == 0 else (agents, agents + M[CLOCK, NUM_ENEMIES], 0)
    targets = L[L_FIRST_TARGET] if side == 0 else _VIEWS
    for i in range(first, last):
        action = actions[i - first]
        M[LAST_ACTION, i] = action
        if M[ALIVE, i] == 0 or action < 0:
            continue
        if action < _NORTH:
            M[ORDER, i] = STOP
        elif action < _VIEWS:
            M[ORDER, i] = MOVE
            W[GOAL_X, i] = W[X, i] + _STEP * np.float32(int(action == _EAST) - int(action == _WEST))
            W[GOAL_Y, i] = W[Y, i] + _STEP * np.float32(int(action == _NORTH) - int(action == _SOUTH))
        elif action < targets:
            angle = _TURN * (action - _VIEWS) / (targets - _VIEWS)
            W[VIEW_X, i], W[VIEW_Y, i] = np.cos(angle), np.sin(angle)
            continue
        else:
            heals = U[M[KIND, i], T_HEAL] > 0
            target = (first if heals else foes) + action - targets
            if W[ACCURACY, i] < _ONE and uniform(M, i, SUCCESS) > W[ACCURACY, i]:
                continue
            if side == 0 and L[L_OPEN_TARGETS] == 1 and not shootable(i, target, W, M, L, S):
                continue
            order_target(i, target, heals, M, U)
        if M[ORDER, i] != ATTACK or M[ORDER_TARGET, i] != M[AIM, i]:
            break_off(i, M)


def order_target(i, target, heals, M, U):
    """Heal the target, or attack it; a weapon that cannot reach it leaves the unit idle."""
    fit = heals or (M[PLANES, target] & int(U[M[KIND, i], T_TARGETS])) != 0
    M[ORDER, i] = HEAL if heals else ATTACK if fit else STOP
    M[ORDER_TARGET, i] = target


def break_off(i, M):
    """End a begun attack: before its blow it costs nothing, a second blow is lost."""
    if M[WINDUP, i] >= 0:
        M[WINDUP, i] = -1
        M[COOLDOWN, i] = 0
    M[SECOND, i] = -1
