"""What a hit does: shields, armour, death, calls for help; lines and bursts; and what heals."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ALIVE,
    ATTACK_MOVE,
    BEAM_DX,
    BEAM_DY,
    BEAM_X,
    BEAM_Y,
    BURST,
    CALM,
    CLOCK,
    ENERGY,
    EVENT,
    EXPLOSION,
    FAR,
    FIGHTING,
    FLIGHT_TARGET,
    FRAILTY,
    GOAL_X,
    GOAL_Y,
    GUARD,
    HELP,
    HITS,
    HP,
    HP_MAX,
    HUNT,
    KIND,
    NEXT_X,
    NEXT_Y,
    NUM_ALLIES,
    ORDER,
    PLANES,
    PROVOKER,
    RADIUS,
    RANK,
    SHIELD,
    SIDE,
    STRENGTH,
    STRUCTURE,
    T_AREA,
    T_AREA_RADIUS,
    T_ARMOR,
    T_ATTRIBUTES,
    T_BONUS,
    T_BONUS_BITS,
    T_DAMAGE,
    T_HEAL,
    T_HEAL_COST,
    T_SHIELD_DELAY,
    T_STRUCTURE_DAMAGE,
    T_TARGETS,
    TARGET,
    X,
    Y,
)
from a2po.envs.smac.rules.targets import healable

P = 16  # bound anew by specialise()

_FAR, _ZERO = np.float32(FAR), np.float32(0.0)
_LEAST = np.float32(0.5)  # what a hit takes from life whatever the armour
_POINT = np.float32(0.15)  # radius of one point of a line attack
_HELP_RADIUS, _HELP_PERIOD = np.float32(4.0), 32  # cells; loops


def hit(i, target, W, M, U):
    """Unit ``i`` damages ``target``: shields take all they can, of the rest armour is taken off, once."""
    if M[ALIVE, target] == 0:
        return
    kind, other = M[KIND, i], M[KIND, target]
    attributes = int(U[other, T_ATTRIBUTES])
    amount = U[kind, T_DAMAGE]
    if attributes & int(U[kind, T_BONUS_BITS]):
        amount += U[kind, T_BONUS]
    if U[kind, T_STRUCTURE_DAMAGE] > 0 and attributes & STRUCTURE:
        amount = U[kind, T_STRUCTURE_DAMAGE]
    amount *= W[STRENGTH, i]
    absorbed = min(amount, W[SHIELD, target])
    W[SHIELD, target] -= absorbed
    rest = amount - absorbed
    if rest > 0:
        W[HP, target] -= max(rest - U[other, T_ARMOR], _LEAST)
    M[HITS, target] += 1
    M[CALM, target] = int(U[other, T_SHIELD_DELAY])
    if W[HP, target] <= 0:
        die(target, W, M, U)
    provoke(i, target, W, M)


def provoke(i, target, W, M):
    """A unit that fights by itself remembers who hit it, and tells its friends, at most every two seconds."""
    order = M[ORDER, target]
    if order != ATTACK_MOVE and order != GUARD and order != HUNT:
        return
    M[PROVOKER, target] = i
    if M[HELP, target] > 0 or M[ALIVE, target] == 0:
        return
    M[HELP, target] = _HELP_PERIOD
    for j in range(P):
        dx, dy = W[X, j] - W[X, target], W[Y, j] - W[Y, target]
        if dx * dx + dy * dy <= _HELP_RADIUS * _HELP_RADIUS and M[SIDE, j] == M[SIDE, target]:
            M[PROVOKER, j] = i


def die(i, W, M, U):
    """Take the unit off the map. Where it fell stays in its goal."""
    W[GOAL_X, i], W[GOAL_Y, i] = W[X, i], W[Y, i]
    M[ALIVE, i] = 0
    W[HP, i] = W[SHIELD, i] = _ZERO
    W[X, i] = W[Y, i] = W[NEXT_X, i] = W[NEXT_Y, i] = _FAR
    M[TARGET, i] = -1
    if U[M[KIND, i], T_AREA] == BURST:
        M[EVENT, i] |= EXPLOSION


def condemn(W, M):
    """Agents that begin a step with less life than their share of frailty will not outlive it: negative frailty marks them."""
    for i in range(M[CLOCK, NUM_ALLIES]):
        if M[ALIVE, i] == 1 and W[HP, i] < W[FRAILTY, i] * W[HP_MAX, i]:
            W[FRAILTY, i] = -W[FRAILTY, i]


def succumb(W, M, U):
    """Condemned agents die."""
    for i in range(M[CLOCK, NUM_ALLIES]):
        if M[ALIVE, i] == 1 and W[FRAILTY, i] < _ZERO:
            die(i, W, M, U)


def explode(i, W, M, U):
    """A baneling bursts, alive or dying: every foe on the ground within the radius, edge to centre, is hit."""
    if M[ALIVE, i] == 1:
        die(i, W, M, U)
    M[EVENT, i] &= ~EXPLOSION  # once
    x, y, radius = W[GOAL_X, i], W[GOAL_Y, i], U[M[KIND, i], T_AREA_RADIUS]
    for j in range(P):
        dx, dy, far = W[X, j] - x, W[Y, j] - y, radius + W[RADIUS, j]
        if M[SIDE, j] == 1 - M[SIDE, i] and M[PLANES, j] & 1 and dx * dx + dy * dy <= far * far:
            hit(i, j, W, M, U)


def strike_line(i, W, M, U, G):
    """Both sweeps of a colossus: every foe on the line hits twice, the main target always. No friend is hit, nobody on another cliff level.

    The points of the line are so close that they are a capsule: |across| <= half length + h, h what the circle of a point and the
    unit leaves at that depth.
    """
    main, half = M[FLIGHT_TARGET, i], U[M[KIND, i], T_AREA_RADIUS]
    if M[ALIVE, main] == 1:
        W[BEAM_X, i], W[BEAM_Y, i] = W[X, main], W[Y, main]
    x, y, across_x, across_y = W[BEAM_X, i], W[BEAM_Y, i], W[BEAM_DX, i], W[BEAM_DY, i]
    level = G[2, int(x), int(y)]
    for j in range(P):
        if M[ALIVE, j] == 1 and M[SIDE, j] == 1 - M[SIDE, i] and M[PLANES, j] & int(U[M[KIND, i], T_TARGETS]):
            dx, dy = W[X, j] - x, W[Y, j] - y
            beyond = max(abs(dx * across_x + dy * across_y) - half, _ZERO)
            depth = dx * across_y - dy * across_x
            reach = _POINT + W[RADIUS, j]
            on_line = beyond * beyond + depth * depth <= reach * reach and G[2, int(W[X, j]), int(W[Y, j])] == level
            if on_line or j == main:
                hit(i, j, W, M, U)
                hit(i, j, W, M, U)


def heal(W, M, U):
    """Healers mend their targets, as far as these are wounded and the energy lasts."""
    for i in range(P):
        if M[ALIVE, i] == 1 and M[TARGET, i] >= 0 and M[RANK, i] == FIGHTING and U[M[KIND, i], T_HEAL] > 0:
            target, kind = np.int64(M[TARGET, i]), M[KIND, i]
            if healable(i, target, W, M, U):
                amount = min(U[kind, T_HEAL], W[HP_MAX, target] - W[HP, target])
                amount = min(amount, W[ENERGY, i] / U[kind, T_HEAL_COST])
                W[HP, target] += amount
                W[ENERGY, i] -= amount * U[kind, T_HEAL_COST]
