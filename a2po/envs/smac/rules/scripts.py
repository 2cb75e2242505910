"""Scripts that lead the enemies: once per environment step each living one gets an order, as an agent gets its action.

Whatever the script, a weapon is sent only against whom it can hurt, who cannot walk fights who comes within reach, and healers go to
the nearest wounded friend and stay with it until it is whole or dead.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    AIM,
    ALIVE,
    ATTACK,
    CLOCK,
    COOLDOWN,
    ENEMY_SPEED,
    FOCUS_FIRE,
    GOAL_X,
    GOAL_Y,
    GUARD,
    HEAL,
    HEURISTIC,
    HP,
    KIND,
    KITING,
    MOVE,
    NUM_ALLIES,
    NUM_ENEMIES,
    ORDER,
    ORDER_TARGET,
    PLANES,
    QUEUE,
    RADIUS,
    REACHES,
    RULE,
    SECOND,
    SHIELD,
    STOP,
    T_CLIFFS,
    T_FLIES,
    T_HEAL,
    T_RANGE,
    T_SPEED,
    T_TARGETS,
    VARIANT,
    WINDUP,
    X,
    Y,
)
from a2po.envs.smac.rules.motion import EDGE_HIGH, EDGE_LOW
from a2po.envs.smac.rules.orders import break_off, order_target
from a2po.envs.smac.rules.targets import healable

P = 16  # bound anew by specialise()

LONG_WAIT = 4  # loops; a weapon that is ready sooner is worth staying for
_NOBODY_NEAR = np.float32(1e6)  # squared
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_DIAGONAL = np.float32(np.sqrt(0.5))


def follow_script(script, W, M, U, G):
    """Order the enemies about.

    HEURISTIC: each the nearest ally that its weapon can hurt, wherever it is, until that one is dead.
    FOCUS_FIRE: all the one that ``weakest_in_reach`` finds; who has not got that one in range, the nearest that it can hurt.
    KITING: each the nearest; but while the weapon is not ready it steps back from a threat that it outranges.
    """
    first = M[CLOCK, NUM_ALLIES]
    focus = weakest_in_reach(W, M, U) if script == FOCUS_FIRE else -1
    for i in range(first, first + M[CLOCK, NUM_ENEMIES]):
        if M[ALIVE, i] == 0:
            continue
        if U[M[KIND, i], T_HEAL] > _ZERO:
            nurse(i, W, M, U)
        elif script == KITING and (M[WINDUP, i] >= 0 or M[SECOND, i] >= 0):
            continue  # its blow falls first
        elif script != KITING or not steps_back(i, W, M, U, G):
            keeps = script == HEURISTIC and M[ORDER, i] == ATTACK and M[ALIVE, M[ORDER_TARGET, i]] == 1
            joins = focus >= 0 and can_strike(i, focus, W, M, U)
            send(i, focus if joins else M[ORDER_TARGET, i] if keeps else nearest_victim(i, W, M, U), W, M, U)


def send(i, target, W, M, U):
    """Let unit ``i`` attack; without a target it stops, and who cannot walk to the target guards its place."""
    rooted = U[M[KIND, i], T_SPEED] * W[RULE, ENEMY_SPEED] <= _ZERO
    if target < 0:
        M[ORDER, i] = STOP
    elif rooted and not can_strike(i, target, W, M, U):
        M[ORDER, i] = GUARD
        return
    else:
        order_target(i, target, False, M, U)
    if target != M[AIM, i]:
        break_off(i, M)


def nurse(i, W, M, U):
    """A healer stays with its patient; else the nearest wounded friend is the next; without one it stops."""
    first = M[CLOCK, NUM_ALLIES]
    patient = M[ORDER_TARGET, i]
    if not (M[ORDER, i] == HEAL and healable(i, patient, W, M, U)):
        nearest, patient = _NOBODY_NEAR, -1
        for j in range(first, first + M[CLOCK, NUM_ENEMIES]):
            distance = squared_distance(i, j, W)
            if healable(i, j, W, M, U) and distance < nearest:
                nearest, patient = distance, j
    M[ORDER, i] = HEAL if patient >= 0 else STOP
    M[ORDER_TARGET, i] = patient


def nearest_victim(i, W, M, U):
    """The nearest living ally that the weapon of unit ``i`` can hurt, or -1."""
    nearest, found = _NOBODY_NEAR, -1
    for j in range(M[CLOCK, NUM_ALLIES]):
        distance = squared_distance(i, j, W)
        if can_hurt(i, j, M, U) and distance < nearest:
            nearest, found = distance, j
    return found


def weakest_in_reach(W, M, U):
    """Whom all fire at, or -1: of the allies that many have in range the one with the least hp and shield.

    Many: at least half as many as have that one in range whom most have.
    """
    agents, most = M[CLOCK, NUM_ALLIES], 1
    for j in range(agents):
        M[QUEUE, j] = strikers(j, W, M, U)  # the row is free between game loops
        most = max(most, M[QUEUE, j])
    least, found = _NOBODY_NEAR, -1
    for j in range(agents):
        life = W[HP, j] + W[SHIELD, j]
        if life < least and 2 * M[QUEUE, j] >= most:
            least, found = life, j
    return found


def strikers(j, W, M, U):
    """How many enemies have ally ``j`` in range."""
    first, count = M[CLOCK, NUM_ALLIES], 0
    for i in range(first, first + M[CLOCK, NUM_ENEMIES]):
        count += int(M[ALIVE, i] == 1 and can_strike(i, j, W, M, U))
    return count


def can_strike(i, j, W, M, U):
    """Whether unit ``i`` can hurt ``j`` and has it in range."""
    return can_hurt(i, j, M, U) and squared_distance(i, j, W) <= strike_range(i, j, W, M, U) ** 2


def steps_back(i, W, M, U, G):
    """Order unit ``i`` two cells away from the nearest threat, if it should and can; return whether it did.

    It should while its weapon needs some loops yet, and that threat is within its range and has a shorter one. It can where the ground
    is free: straight away from the threat, else half or a whole right angle to the side.
    """
    if M[COOLDOWN, i] < LONG_WAIT or U[M[KIND, i], T_SPEED] * W[RULE, ENEMY_SPEED] <= _ZERO:
        return False
    threat = nearest_threat(i, W, M, U)
    if threat < 0 or U[M[KIND, threat], T_RANGE] >= U[M[KIND, i], T_RANGE]:
        return False
    apart = np.sqrt(squared_distance(i, threat, W))
    if apart > strike_range(i, threat, W, M, U) or apart == _ZERO:
        return False
    away_x, away_y = (W[X, i] - W[X, threat]) / apart, (W[Y, i] - W[Y, threat]) / apart
    for turn in range(5):
        cos = _ONE if turn == 0 else _DIAGONAL if turn < 3 else _ZERO
        sin = _ZERO if turn == 0 else _DIAGONAL if turn < 3 else _ONE
        sin = -sin if turn == 2 or turn == 4 else sin
        dx, dy = away_x * cos - away_y * sin, away_x * sin + away_y * cos
        goal_x, goal_y = W[X, i] + _TWO * dx, W[Y, i] + _TWO * dy
        if stands_free(i, W[X, i] + dx, W[Y, i] + dy, M, U, G) and stands_free(i, goal_x, goal_y, M, U, G):
            M[ORDER, i] = MOVE
            W[GOAL_X, i], W[GOAL_Y, i] = goal_x, goal_y
            return True
    return False


def nearest_threat(i, W, M, U):
    """The nearest living ally whose weapon can hurt unit ``i``, or -1."""
    nearest, found = _NOBODY_NEAR, -1
    for j in range(M[CLOCK, NUM_ALLIES]):
        armed = U[M[KIND, j], T_RANGE] >= _ZERO and (M[REACHES, j] & M[PLANES, i]) != 0
        distance = squared_distance(i, j, W)
        if M[ALIVE, j] == 1 and armed and distance < nearest:
            nearest, found = distance, j
    return found


def stands_free(i, x, y, M, U, G):
    """Whether unit ``i`` can stand there: on the map, and on ground that it can walk on unless it flies."""
    if not (EDGE_LOW <= x <= EDGE_HIGH and EDGE_LOW <= y <= EDGE_HIGH):
        return False
    plane = 2 if U[M[KIND, i], T_CLIFFS] > _ZERO else M[CLOCK, VARIANT]
    return U[M[KIND, i], T_FLIES] > _ZERO or G[plane, int(x), int(y)] > 0


def can_hurt(i, j, M, U):
    """Whether unit ``j`` lives and the weapon of ``i`` reaches it where it walks or flies."""
    return M[ALIVE, j] == 1 and (M[PLANES, j] & int(U[M[KIND, i], T_TARGETS])) != 0


def strike_range(i, j, W, M, U):
    """From centre to centre, how far the weapon of unit ``i`` reaches against ``j``."""
    return U[M[KIND, i], T_RANGE] + W[RADIUS, i] + W[RADIUS, j]


def squared_distance(i, j, W):
    """From centre to centre."""
    dx, dy = W[X, j] - W[X, i], W[Y, j] - W[Y, i]
    return dx * dx + dy * dy
