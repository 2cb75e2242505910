"""Whom a unit goes for: the order's target, or whoever comes within sight of a unit that fights by itself."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ACQUIRE_SLOP,
    ALIVE,
    ATTACK,
    ATTACK_MOVE,
    BIOLOGICAL,
    CHASE,
    CLOCK,
    ENERGY,
    GUARD,
    HEAL,
    HP,
    HP_MAX,
    HUNT,
    IDLE_HEAL,
    KIND,
    MEDIVAC,
    ORDER,
    ORDER_TARGET,
    PLANES,
    PROVOKER,
    RADIUS,
    REACHES,
    RULE,
    SECOND,
    SIDE,
    STOP,
    STRUCTURE,
    T_ATTRIBUTES,
    T_HEAL,
    T_HEAL_MINIMUM,
    T_HEAL_SCAN,
    T_RANGE,
    T_SCAN,
    T_TARGETS,
    TARGET,
    WINDUP,
    X,
    Y,
)

P = 16  # bound anew by specialise()

_NOBODY = np.int32(2**31 - 1)
_COLUMNS = np.int32(128)  # more than there are
_FARTHEST, _FINENESS = np.float32(4095.0), np.float32(512.0)  # of squared distances: the largest, and steps per unit
_BEYOND_RANGE = np.int32(1 << 29)
_HARMLESS = np.int32(1 << 30)
_NONE = np.int32(0)
_EVERYWHERE = np.float32(100.0)


def acquire(first, last, W, M, U):
    """Set M[TARGET] of units first..last. Nobody moves or strikes here, so the units can be done in any order."""
    for i in range(first, last):
        if M[ALIVE, i] == 0:
            continue
        order = M[ORDER, i]
        if order == ATTACK or order == HEAL:
            follow_order(i, M)
        elif order == ATTACK_MOVE or order == HUNT or order == GUARD:
            if U[M[KIND, i], T_HEAL] > 0:
                M[TARGET, i] = worst_wounded(i, W, M, U)
            elif M[WINDUP, i] < 0 and M[SECOND, i] < 0 and not keeps_target(i, W, M, U):
                M[TARGET, i] = best_target(i, W, M, U)
        else:
            M[TARGET, i] = -1


def follow_order(i, M):
    """An attack on one unit lasts until it is dead; then the attacker stands idle. A chaser looks round for foes until it is sent on."""
    target = M[ORDER_TARGET, i]
    if M[ALIVE, target] == 1:
        M[TARGET, i] = target
    else:
        M[TARGET, i] = -1
        M[ORDER, i] = GUARD if M[CLOCK, CHASE] == 1 and M[SIDE, i] == 1 else STOP


def keeps_target(i, W, M, U):
    """True while the target lives, is in the weapon's range and can hurt; on a hunt while it lives."""
    target = M[TARGET, i]
    if target < 0 or M[ALIVE, target] == 0:
        return False
    if M[ORDER, i] == HUNT:
        return True
    dx, dy = W[X, target] - W[X, i], W[Y, target] - W[Y, i]
    reach = U[M[KIND, i], T_RANGE] + W[RADIUS, i] + W[RADIUS, target]
    return dx * dx + dy * dy <= reach * reach and (M[REACHES, target] & M[PLANES, i]) != 0


def best_target(i, W, M, U):
    """Of the foes in sight those that can hurt me, of these those in my range, of these the nearest; -1: none.

    One integer minimum decides: class bits, then the squared distance (to 1/512), then the column.
    """
    kind = M[KIND, i]
    x, y = W[X, i], W[Y, i]
    reach = U[kind, T_RANGE] + W[RADIUS, i]
    scan = U[kind, T_SCAN] + W[RADIUS, i] + W[RULE, ACQUIRE_SLOP]
    if M[ORDER, i] == HUNT:
        scan = _EVERYWHERE
    foe = np.int32(1 - M[SIDE, i])
    usable = np.int32(U[kind, T_TARGETS])
    planes, provoker = M[PLANES, i], M[PROVOKER, i]
    best = _NOBODY
    for j in range(P):
        dx, dy = W[X, j] - x, W[Y, j] - y
        distance = dx * dx + dy * dy
        near, far = reach + W[RADIUS, j], scan + W[RADIUS, j]
        key = np.int32(np.int32(min(distance, _FARTHEST) * _FINENESS) * _COLUMNS) + np.int32(j)
        key = np.int32(key + (_NONE if distance <= near * near else _BEYOND_RANGE))
        key = np.int32(key + (_NONE if np.int32(M[REACHES, j] & planes) != _NONE else _HARMLESS))
        seen = (distance <= far * far) | ((np.int32(j) == provoker) & (distance < _FARTHEST))
        fit = (M[SIDE, j] == foe) & (np.int32(M[PLANES, j] & usable) != _NONE)
        key = key if seen & fit else _NOBODY
        best = min(best, key)
    return np.int32(best & (_COLUMNS - 1)) if best != _NOBODY else np.int32(-1)


def worst_wounded(i, W, M, U):
    """Whom a healer that acts by itself heals: of the wounded friends in sight the lowest life fraction, then the nearest."""
    kind = M[KIND, i]
    if W[ENERGY, i] < U[kind, T_HEAL_MINIMUM] and M[TARGET, i] < 0:
        return np.int32(-1)
    scan = U[kind, T_HEAL_SCAN] + W[RADIUS, i]
    best, lowest, nearest = np.int32(-1), np.float32(2.0), _EVERYWHERE
    for j in range(P):
        if M[SIDE, j] == M[SIDE, i] and healable(i, j, W, M, U):
            dx, dy = W[X, j] - W[X, i], W[Y, j] - W[Y, i]
            distance, far = dx * dx + dy * dy, scan + W[RADIUS, j]
            share = W[HP, j] / W[HP_MAX, j]
            if distance <= far * far and (share < lowest or (share == lowest and distance < nearest)):
                best, lowest, nearest = np.int32(j), share, distance
    return best


def healable(i, j, W, M, U):
    """Alive, biological, on the ground, no building, wounded, and not the healer itself."""
    attributes = int(U[M[KIND, j], T_ATTRIBUTES])
    living = (attributes & BIOLOGICAL) != 0 and (attributes & STRUCTURE) == 0
    return M[ALIVE, j] == 1 and living and i != j and M[PLANES, j] == 1 and W[HP, j] < W[HP_MAX, j]


def stands_by(i, M, U):
    """True for an enemy medivac that took its attack order for nothing and stays where it is."""
    return U[M[KIND, i], T_HEAL] > 0 and M[ORDER, i] == ATTACK_MOVE and M[CLOCK, MEDIVAC] == IDLE_HEAL
