"""Attacks begin, wind up and fall; shots fly; damage is dealt, in a random order, because who dies first does not strike."""

from __future__ import annotations

import math

import numpy as np

from a2po.envs.smac.fields import (
    AIM,
    ALIVE,
    ARRIVAL,
    ATTACKS,
    BEAM_DX,
    BEAM_DY,
    BEAM_X,
    BEAM_Y,
    BLOW,
    BURST,
    CLOCK,
    COOLDOWN,
    EVENT,
    EXPLOSION,
    FACING_X,
    FACING_Y,
    FIGHTING,
    FLIGHT,
    FLIGHT_SCALE,
    FLIGHT_TARGET,
    GOAL_X,
    GOAL_Y,
    IDLE,
    JITTER_HIGH,
    JITTER_LOW,
    KIND,
    LINE,
    LINE_DELAY,
    PLANES,
    QUEUE,
    RADIUS,
    RANK,
    RULE,
    SECOND,
    SECOND_BLOW,
    SIMULTANEOUS,
    T_ARC_COS,
    T_AREA,
    T_HEAL,
    T_HEAL_RANGE,
    T_MISSILE,
    T_PERIOD,
    T_RANGE,
    T_SECOND,
    T_SLOP,
    T_TARGETS,
    T_WINDUP,
    TARGET,
    WINDUP,
    X,
    Y,
)
from a2po.envs.smac.rules.chance import PRIORITY, RELOAD, bits, uniform
from a2po.envs.smac.rules.damage import explode, hit, strike_line

P = 16  # bound anew by specialise()

_INDEX = np.int32(127)
_NONE = np.int32(0)


def strike(first, last, W, M, U):
    """Let begun blows of units first..last fall due, or begin new attacks: M[EVENT], M[RANK]."""
    for i in range(first, last):
        M[EVENT, i] = ARRIVAL if M[FLIGHT, i] == 0 else 0
        M[RANK, i] = IDLE
        if M[ALIVE, i] == 0:
            continue
        if M[WINDUP, i] >= 0 or M[SECOND, i] >= 0:
            M[RANK, i] = FIGHTING
        elif M[TARGET, i] >= 0:
            engage(i, W, M, U)
        if M[WINDUP, i] == 0:
            M[WINDUP, i] = -1
            if M[ALIVE, M[AIM, i]] == 1:
                M[EVENT, i] |= BLOW
            else:
                M[COOLDOWN, i] = 0
        elif M[SECOND, i] == 0:
            M[EVENT, i] |= SECOND_BLOW
            M[SECOND, i] = -1


def engage(i, W, M, U):
    """With the target in range stand and face it; begin an attack when the weapon is ready and points at it."""
    kind, target = M[KIND, i], M[TARGET, i]
    heals = U[kind, T_HEAL] > 0
    dx, dy = W[X, target] - W[X, i], W[Y, target] - W[Y, i]
    square = dx * dx + dy * dy
    reach = (U[kind, T_HEAL_RANGE] if heals else U[kind, T_RANGE]) + W[RADIUS, i] + W[RADIUS, target]
    if square > reach * reach:
        return
    M[RANK, i] = FIGHTING
    if heals or M[COOLDOWN, i] > 0 or (M[PLANES, target] & int(U[kind, T_TARGETS])) == 0:
        return
    if W[FACING_X, i] * dx + W[FACING_Y, i] * dy >= U[kind, T_ARC_COS] * np.sqrt(square):
        low, high = W[RULE, JITTER_LOW], W[RULE, JITTER_HIGH]
        delay = low + (high - low) * uniform(M, i, RELOAD)
        M[COOLDOWN, i] = max(1, math.ceil(U[kind, T_PERIOD] + delay))
        M[WINDUP, i] = int(U[kind, T_WINDUP])
        M[AIM, i] = target
        M[ATTACKS, i] += 1


def resolve(W, M, U, G):
    """Deal this loop's damage, one event after the other; who was killed before its turn does not strike."""
    any_event = _NONE
    for i in range(P):
        any_event |= M[EVENT, i]
    if any_event == _NONE:
        return
    count = line_up(M)
    for place in range(count):
        i = np.int64(M[QUEUE, place] & _INDEX)
        event = M[EVENT, i]
        if event & ARRIVAL:
            M[FLIGHT, i] = -1
            if U[M[KIND, i], T_AREA] == LINE:
                strike_line(i, W, M, U, G)
            else:
                hit(i, np.int64(M[FLIGHT_TARGET, i]), W, M, U)
        if event & (BLOW | SECOND_BLOW) and (M[ALIVE, i] == 1 or M[CLOCK, SIMULTANEOUS] == 1):
            release(i, event & BLOW, W, M, U)
    explode_all(W, M, U)


def line_up(M):
    """Sort the units with events by a random priority, drawn for this loop; return how many there are."""
    count = 0
    for i in range(P):
        if M[EVENT, i] != 0:
            key = np.int32(np.int32(bits(M, i, PRIORITY) >> np.uint32(1)) & ~_INDEX) | np.int32(i)
            place = count
            while place > 0 and M[QUEUE, place - 1] > key:
                M[QUEUE, place] = M[QUEUE, place - 1]
                place -= 1
            M[QUEUE, place] = key
            count += 1
    return count


def release(i, is_first, W, M, U):
    """The blow falls if its target is still there. One that does not fall costs nothing: the weapon is ready again.

    But where blows fall at once, it falls on one who is killed in this very loop, and is lost.
    """
    kind, target = M[KIND, i], np.int64(M[AIM, i])
    x, y = W[X, i], W[Y, i]
    if M[ALIVE, i] == 0:  # killed in this very loop, where blows fall at once
        x, y = W[GOAL_X, i], W[GOAL_Y, i]
    dx, dy = W[X, target] - x, W[Y, target] - y
    distance = np.sqrt(dx * dx + dy * dy)
    reach = U[kind, T_RANGE] + U[kind, T_SLOP] + W[RADIUS, i] + W[RADIUS, target]
    at_once = M[CLOCK, SIMULTANEOUS] == 1
    if M[ALIVE, target] == 0 or distance > reach:
        if is_first and not (at_once and M[ALIVE, target] == 0):
            M[COOLDOWN, i] = 0
        return
    if is_first and U[kind, T_SECOND] > 0:
        M[SECOND, i] = int(U[kind, T_SECOND])
    area = U[kind, T_AREA]
    if area == BURST:
        explode(i, W, M, U)
    elif area == LINE:
        M[FLIGHT, i], M[FLIGHT_TARGET, i] = int(W[RULE, LINE_DELAY]), target
        W[BEAM_X, i], W[BEAM_Y, i] = W[X, target], W[Y, target]
        apart = distance if distance > 0 else np.float32(1.0)
        W[BEAM_DX, i], W[BEAM_DY, i] = -dy / apart, dx / apart  # across the line of fire
    else:
        shoot(i, target, distance, W, M, U)


def shoot(i, target, distance, W, M, U):
    """Hit, at once or when the missile has flown from centre to edge."""
    speed = U[M[KIND, i], T_MISSILE]
    loops = 0
    if speed > 0:
        loops = math.ceil(max(distance - W[RADIUS, target], np.float32(0.0)) / speed * W[RULE, FLIGHT_SCALE])
    if loops > 0:
        M[FLIGHT, i], M[FLIGHT_TARGET, i] = loops, target
    else:
        hit(i, target, W, M, U)


def explode_all(W, M, U):
    """Whoever bursts when it dies does so now, and may kill the next one that does."""
    again = True
    while again:
        again = False
        for i in range(P):
            if M[EVENT, i] & EXPLOSION:
                M[EVENT, i] &= ~EXPLOSION
                explode(i, W, M, U)
                again = True
