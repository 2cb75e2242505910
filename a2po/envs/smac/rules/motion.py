"""Units go where they want to, round cliffs; bodies keep each other away; walls hold."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ALIVE,
    ATTACK_MOVE,
    CLOCK,
    DETOUR,
    ENEMY_SPEED,
    FACING_X,
    FACING_Y,
    FIGHTING,
    GOAL_X,
    GOAL_Y,
    GUARD,
    IDLE,
    KIND,
    LAYERS,
    MOVE,
    MOVING,
    NEXT_X,
    NEXT_Y,
    ORDER,
    RANK,
    RULE,
    SEPARATION,
    SHIFT_X,
    SHIFT_Y,
    SIDE,
    SIZE,
    SPEED,
    STEERING,
    T_ACCELERATION,
    T_CLIFFS,
    T_FLIES,
    T_INNER,
    T_SPEED,
    TARGET,
    TURN_COS,
    TURN_SIN,
    VARIANT,
    VELOCITY_X,
    VELOCITY_Y,
    WISH_X,
    WISH_Y,
    X,
    Y,
)
from a2po.envs.smac.rules.targets import stands_by

P = 16  # bound anew by specialise()

_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_TINY = np.float32(1e-12)
_TIE = np.float32(1e-6)  # two bodies on one point part along x, the later one to the east
_NOTHING = np.int32(0)
_HAIR = np.float32(0.01)  # a push that needs no second look
_SLACK = np.float32(1e-3)  # pushes below do nothing, or a crowd would never come to rest
_LONGEST_SHIFT = np.float32(0.2)
_BLOCKED = np.float32(0.25)  # of its step; who makes less is blocked
_DETOUR_TURN = np.float32(2 * np.pi / 16)
_LONGEST_DETOUR = 4  # sixteenths of a turn; beyond, the other side is tried
_CROWD = np.float32(3.0)  # cells around a goal in which those who find it taken rest
_ARRIVED = np.float32(0.01)
EDGE_LOW, EDGE_HIGH = np.float32(0.5), np.float32(SIZE - 0.5)


def steer(first, last, W, M, U, paths):
    """Set what units first..last walk to, or look at while they fight: W[WISH], and M[RANK] of those that walk."""
    for i in range(first, last):
        if M[ALIVE, i] == 0:
            continue
        kind, target, order = M[KIND, i], M[TARGET, i], M[ORDER, i]
        goes = False
        if target >= 0 and M[ALIVE, target] == 0:
            target = -1  # it died in this loop, and is off the map
        if M[RANK, i] == FIGHTING:
            if target >= 0:
                W[WISH_X, i], W[WISH_Y, i] = W[X, target], W[Y, target]
        elif U[kind, T_SPEED] == _ZERO:
            M[RANK, i] = FIGHTING  # a building: nobody pushes it
            W[WISH_X, i], W[WISH_Y, i] = W[X, i], W[Y, i]
        elif not stands_by(i, M, U):
            goes = target >= 0 or order == MOVE or order == ATTACK_MOVE
            if goes:
                set_out(i, target, W, M, U, paths)
        if U[kind, T_ACCELERATION] > _ZERO:
            glide(i, goes, W, M, U)


def set_out(i, target, W, M, U, paths):
    """Walk to the target as long as it is out of reach, else to the goal; round cliffs, to where the path bends next."""
    gx = W[X, target] if target >= 0 else W[GOAL_X, i]
    gy = W[Y, target] if target >= 0 else W[GOAL_Y, i]
    dx, dy = gx - W[X, i], gy - W[Y, i]
    if dx * dx + dy * dy < _ARRIVED * _ARRIVED:
        return
    if paths.shape[1] > 1 and U[M[KIND, i], T_CLIFFS] == _ZERO and U[M[KIND, i], T_FLIES] == _ZERO:
        here = SIZE * int(W[X, i]) + int(W[Y, i])
        there = SIZE * min(max(int(gx), 0), SIZE - 1) + min(max(int(gy), 0), SIZE - 1)
        bend = paths[M[CLOCK, VARIANT], here, there]
        if bend >= 0 and bend != there:
            gx, gy = np.float32(bend // SIZE) + _HALF, np.float32(bend % SIZE) + _HALF
    if M[DETOUR, i] != 0:
        dx, dy, angle = gx - W[X, i], gy - W[Y, i], _DETOUR_TURN * np.float32(M[DETOUR, i])
        cos, sin = np.cos(angle), np.sin(angle)
        gx, gy = W[X, i] + dx * cos - dy * sin, W[Y, i] + dx * sin + dy * cos
    W[WISH_X, i], W[WISH_Y, i] = gx, gy
    M[RANK, i] = MOVING


def walk(first, last, W, M):
    """Move units first..last towards what they wish, as if nobody stood in their way, and turn them. Without branches: vector code."""
    for i in range(first, last):
        dx, dy = W[WISH_X, i] - W[X, i], W[WISH_Y, i] - W[Y, i]
        square = dx * dx + dy * dy
        inverse = _ONE / np.sqrt(max(square, _TINY))
        ux, uy = dx * inverse, dy * inverse
        step = min(W[SPEED, i], square * inverse)
        step = step if M[RANK, i] == MOVING else _ZERO
        W[NEXT_X, i] = W[X, i] + step * ux
        W[NEXT_Y, i] = W[Y, i] + step * uy
        fx, fy, cos = W[FACING_X, i], W[FACING_Y, i], W[TURN_COS, i]
        sin = W[TURN_SIN, i] if fx * uy - fy * ux >= _ZERO else -W[TURN_SIN, i]
        there = fx * ux + fy * uy >= cos
        turned_x = ux if there else fx * cos - fy * sin
        turned_y = uy if there else fx * sin + fy * cos
        looks = (M[RANK, i] != IDLE) & (square > _TINY)
        W[FACING_X, i] = turned_x if looks else fx
        W[FACING_Y, i] = turned_y if looks else fy


def glide(i, goes, W, M, U):
    """Units with inertia: the velocity changes by at most the acceleration, in time to stop at the goal. Its end is their wish."""
    kind = M[KIND, i]
    wish_x, wish_y, most = _ZERO, _ZERO, U[kind, T_ACCELERATION]
    if goes:
        dx, dy = W[WISH_X, i] - W[X, i], W[WISH_Y, i] - W[Y, i]
        distance = np.sqrt(dx * dx + dy * dy)
        if distance > _ARRIVED:
            top = U[kind, T_SPEED] * (W[RULE, ENEMY_SPEED] if M[SIDE, i] == 1 else _ONE)
            speed = min(min(top, np.sqrt(_TWO * most * distance)), distance)
            wish_x, wish_y = dx / distance * speed, dy / distance * speed
    old_x, old_y = W[VELOCITY_X, i], W[VELOCITY_Y, i]
    change_x, change_y = wish_x - old_x, wish_y - old_y
    change = np.sqrt(change_x * change_x + change_y * change_y)
    share = most / change if change > most else _ONE
    new_x, new_y = old_x + share * change_x, old_y + share * change_y
    W[VELOCITY_X, i], W[VELOCITY_Y, i] = new_x, new_y
    step_x, step_y = _HALF * (old_x + new_x), _HALF * (old_y + new_y)
    W[SPEED, i] = np.sqrt(step_x * step_x + step_y * step_y)
    if W[SPEED, i] > _TINY:
        W[WISH_X, i], W[WISH_Y, i] = W[X, i] + step_x, W[Y, i] + step_y
        M[RANK, i] = MOVING


def separate(first, last, again, W, M):
    """Set how far units first..last are pushed; return True if anybody is pushed farther than a hair.

    Among friends a fighting unit does not give way, a moving one does to it, and pushes idle ones aside; two of a kind share.
    Among foes nobody can be pushed by the other: the one that moves gives way, two that move share. ``again``: look only at units
    that were pushed before.
    """
    pushed = False
    for i in range(first, last):
        settled = again and abs(W[SHIFT_X, i]) + abs(W[SHIFT_Y, i]) <= _HAIR
        W[SHIFT_X, i] = W[SHIFT_Y, i] = _ZERO
        if M[ALIVE, i] == 1 and M[RANK, i] != FIGHTING and not settled:
            push(i, W, M)
            pushed |= abs(W[SHIFT_X, i]) + abs(W[SHIFT_Y, i]) > _HAIR
    return pushed


def push(i, W, M):
    """Sum up how far the bodies that overlap unit ``i`` push it: each by its share of the overlap, along the line between the centres."""
    x, y, size = W[NEXT_X, i], W[NEXT_Y, i], W[SEPARATION, i]
    side, layers, rank = M[SIDE, i], M[LAYERS, i], np.float32(M[RANK, i])
    moves = _ONE if M[RANK, i] == MOVING else _ZERO
    own = np.float32(i)
    sum_x, sum_y = _ZERO, _ZERO
    for j in range(P):
        dx = x - W[NEXT_X, j] + _TIE * (own - np.float32(j))
        dy = y - W[NEXT_Y, j]
        apart = np.sqrt(dx * dx + dy * dy + _TINY)
        depth = size + W[SEPARATION, j] - apart
        other_moves = _ONE if M[RANK, j] == MOVING else _ZERO
        lead = rank - np.float32(M[RANK, j]) if M[SIDE, j] == side else moves - other_moves
        share = max(min(_HALF + _HALF * lead, _ONE), _ZERO)
        meets = (depth > _ZERO) & (np.int32(M[LAYERS, j] & layers) != _NOTHING)
        force = share * depth / apart if meets else _ZERO
        sum_x += force * dx
        sum_y += force * dy
    length = np.sqrt(sum_x * sum_x + sum_y * sum_y)
    shorter = _LONGEST_SHIFT / length if length > _LONGEST_SHIFT else _ONE if length > _SLACK else _ZERO
    W[SHIFT_X, i], W[SHIFT_Y, i] = sum_x * shorter, sum_y * shorter


def shift(first, last, W):
    """Apply what ``separate`` found."""
    for i in range(first, last):
        W[NEXT_X, i] += W[SHIFT_X, i]
        W[NEXT_Y, i] += W[SHIFT_Y, i]


def arrive(first, last, W, M, U, G):
    """Bring units first..last to their next positions, as far as walls and the map's edge let them."""
    for i in range(first, last):
        if M[ALIVE, i] == 0:
            continue
        kind = M[KIND, i]
        x, y = W[X, i], W[Y, i]
        nx = min(max(W[NEXT_X, i], EDGE_LOW), EDGE_HIGH)
        ny = min(max(W[NEXT_Y, i], EDGE_LOW), EDGE_HIGH)
        if U[kind, T_FLIES] == 0 and (nx != x or ny != y):
            plane = 2 if U[kind, T_CLIFFS] > 0 else M[CLOCK, VARIANT]
            nx, ny = keep_off(nx, ny, U[kind, T_INNER], G, plane)
            if G[plane, int(nx), int(ny)] == 0 and G[plane, int(x), int(y)] > 0:
                nx, ny = x, y
        evade(i, nx, ny, W, M, G)
        W[X, i] = W[NEXT_X, i] = nx
        W[Y, i] = W[NEXT_Y, i] = ny
        settle(i, W, M)


def keep_off(x, y, inner, G, plane):
    """(x, y), or the place next to it at which a disc of radius ``inner`` touches no cell that cannot be walked on."""
    if fits(x, y, inner, G, plane):
        return x, y
    for cell_x in range(int(x - inner), min(int(x + inner), SIZE - 1) + 1):
        for cell_y in range(int(y - inner), min(int(y + inner), SIZE - 1) + 1):
            if G[plane, cell_x, cell_y] == 0:
                dx = x - min(max(x, np.float32(cell_x)), np.float32(cell_x + 1))
                dy = y - min(max(y, np.float32(cell_y)), np.float32(cell_y + 1))
                square = dx * dx + dy * dy
                if _ZERO < square < inner * inner:
                    further = inner / np.sqrt(square) - _ONE
                    x += dx * further
                    y += dy * further
    return x, y


def fits(x, y, inner, G, plane):
    """True if the square of half side ``inner`` around (x, y) lies on ground that can be walked on."""
    west, east, south, north = int(x - inner), int(x + inner), int(y - inner), int(y + inner)
    east, north = min(east, SIZE - 1), min(north, SIZE - 1)
    return G[plane, west, south] > 0 and G[plane, west, north] > 0 and G[plane, east, south] > 0 and G[plane, east, north] > 0


def evade(i, nx, ny, W, M, G):
    """Whom others let go hardly anywhere turns off its way, more and more, always to the same side; who is free turns back to it.

    A unit that was sent into a wall stays at it.
    """
    detour = M[DETOUR, i]
    if M[RANK, i] != MOVING or W[RULE, STEERING] > _ZERO:
        M[DETOUR, i] = 0
        return
    dx, dy = nx - W[X, i], ny - W[Y, i]
    wx, wy = W[WISH_X, i] - W[X, i], W[WISH_Y, i] - W[Y, i]
    distance = np.sqrt(wx * wx + wy * wy)
    if dx * wx + dy * wy >= _BLOCKED * min(W[SPEED, i], distance) * distance:
        M[DETOUR, i] = detour - 1 if detour > 0 else detour + 1 if detour < 0 else 0
    elif M[ORDER, i] != MOVE or walkable_at(W[GOAL_X, i], W[GOAL_Y, i], M, G):
        side = 1 if detour > 0 or (detour == 0 and wx * dy - wy * dx > 0) else -1
        M[DETOUR, i] = detour + 2 * side if abs(detour) < _LONGEST_DETOUR else -2 * side


def settle(i, W, M):
    """Who has arrived rests; after an attack-move also who is near and finds the place taken."""
    order = M[ORDER, i]
    if order != MOVE and (order != ATTACK_MOVE or M[TARGET, i] >= 0):
        return
    dx, dy = W[GOAL_X, i] - W[X, i], W[GOAL_Y, i] - W[Y, i]
    square = dx * dx + dy * dy
    if square < _ARRIVED * _ARRIVED or (order == ATTACK_MOVE and M[DETOUR, i] != 0 and square < _CROWD * _CROWD):
        M[RANK, i] = IDLE
        if order == ATTACK_MOVE:
            M[ORDER, i] = GUARD


def walkable_at(x, y, M, G):
    """Whether units on the ground can stand there."""
    return _ZERO <= x < SIZE and _ZERO <= y < SIZE and G[M[CLOCK, VARIANT], int(x), int(y)] > 0
