"""Who takes part in a battle and where: types and places, drawn anew for each battle where they are not fixed.

A muster is a tuple of six arrays:
    roster: int32 [ROSTER_ROWS, P], a column per unit.
    drafts: float32 [drafts, types, 2], for each type the share that it and those before it have, and whether it is a type of
        which a side cannot consist.
    ranks: int32 [types], in which order drawn agents are numbered.
    places: float32 [2, P + 2, 4], where units stand in both packings: west, south, and how far the area goes east and north of
        there; the last two rows are the ends of the segment that the enemy's goal is drawn from.
    odds: float32 [ODDS_COLUMNS], what else chance decides.
    spots: float32 [P, 2], how units that are created at one point stand around it.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import CLOCK, KIND, NUM_ALLIES, NUM_ENEMIES, OPPONENTS, PACKING, RULE, SIDE, SIZE, SPAWN_JITTER, X, Y
from a2po.envs.smac.rules.chance import (
    DIAGONALS,
    GROUP_PLACE,
    MEMBERSHIP,
    NUM_GROUPS,
    PLACE_X,
    PLACE_Y,
    SPREAD_X,
    SPREAD_Y,
    START,
    TYPES,
    uniform,
)

P = 16  # bound anew by specialise()

# Rows of a roster.
R_KIND = 0  # row of the table of unit types; -1: an empty column; DRAWN
R_SIDE = 1
R_ORDER = 2
R_DRAFT = 3  # what its type is drawn from; -1: it is fixed, or copied
R_COPY = 4  # the column whose type it takes; -1: none
R_MIRROR = 5  # the column whose place it mirrors, east for west; -1: none
ROSTER_ROWS = 6
DRAWN = -2

# Columns of odds.
O_SURROUNDED = 0  # chance that the allies begin in the centre, surrounded
O_SORTED = 1  # 1: agents are numbered by type and place
O_CHASE = 2  # 1: idle enemies are sent against the nearest ally twice a second
O_ACCURACY_LOW, O_ACCURACY_HIGH = 3, 4  # from where to where an agent's W[ACCURACY] is drawn
O_FRAILTY_LOW, O_FRAILTY_HIGH = 5, 6  # its W[FRAILTY]
O_MASKED = 7  # chance that an agent cannot make out an enemy's life and type
O_OPPONENT = 8  # for each OPPONENT in order, the share that it and those before it have of the battles
ODDS_COLUMNS = O_OPPONENT + OPPONENTS

_LONGEST_LUCK = 64  # draws of a team; a valid one has come long before
_CENTRE, _BESIDE, _MAP = np.float32(SIZE / 2), np.float32(2.0), np.float32(SIZE)
_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


def assemble(W, M, muster):
    """Set M[KIND], M[SIDE] and W[X], W[Y] of all columns, and how many there are of each side."""
    roster, drafts, ranks, places, odds, spots = muster
    for i in range(P):
        M[KIND, i], M[SIDE, i] = roster[R_KIND, i], roster[R_SIDE, i]
        if roster[R_SIDE, i] >= 0:
            M[CLOCK, NUM_ALLIES if roster[R_SIDE, i] == 0 else NUM_ENEMIES] += 1
    for side in range(2):
        draw_types(side, M, roster, drafts)
    for i in range(P):
        if roster[R_COPY, i] >= 0:
            M[KIND, i] = M[KIND, roster[R_COPY, i]]
    if uniform(M, 0, START) < odds[O_SURROUNDED]:
        surround(W, M, spots)
    else:
        take_places(W, M, roster, places)
    if odds[O_SORTED] > 0:
        number_agents(W, M, ranks)


def draw_types(side, M, roster, drafts):
    """Draw the types of a side's units, again and again as long as all of them are of those that cannot be alone."""
    for attempt in range(_LONGEST_LUCK):
        sound, drawn = False, False
        for i in range(P):
            if roster[R_SIDE, i] != side or roster[R_COPY, i] >= 0:
                continue
            draft = roster[R_DRAFT, i]
            if draft < 0:
                sound = True
                continue
            share, kind = uniform(M, i, np.uint32(TYPES + np.uint32(attempt))), 0
            while share >= drafts[draft, kind, 0] and kind < drafts.shape[1] - 1:
                kind += 1
            M[KIND, i] = kind
            drawn = True
            sound |= drafts[draft, kind, 1] == _ZERO
        if sound or not drawn:
            return


def take_places(W, M, roster, places):
    """Each unit at its place or in its area, or at the mirror image of another's."""
    jitter, packing = W[RULE, SPAWN_JITTER], int(W[RULE, PACKING])
    for i in range(P):
        twin = roster[R_MIRROR, i]
        if twin >= 0:  # allies, who come first, have their places
            W[X, i], W[Y, i] = _MAP - W[X, twin], W[Y, twin]
        else:
            W[X, i] = places[packing, i, 0] + jitter * (_TWO * uniform(M, i, PLACE_X) - _ONE)
            W[Y, i] = places[packing, i, 1] + jitter * (_TWO * uniform(M, i, PLACE_Y) - _ONE)
            W[X, i] += places[packing, i, 2] * uniform(M, i, SPREAD_X)
            W[Y, i] += places[packing, i, 3] * uniform(M, i, SPREAD_Y)


def surround(W, M, spots):
    """Allies in the centre; enemies in one to four groups, each somewhere on another diagonal between the centre and a corner."""
    first, count = M[CLOCK, NUM_ALLIES], M[CLOCK, NUM_ENEMIES]
    for i in range(first):
        W[X, i], W[Y, i] = _CENTRE + spots[i, 0], _CENTRE + spots[i, 1]
    groups = 1 + int(uniform(M, 0, NUM_GROUPS) * np.float32(4.0))
    i, taken = first, 0
    for group in range(groups):
        left = int(uniform(M, group, DIAGONALS) * np.float32(4 - group))  # of the diagonals that are free
        diagonal = 0
        while taken & (1 << diagonal) or left > 0:
            left -= int(taken & (1 << diagonal) == 0)
            diagonal += 1
        taken |= 1 << diagonal
        share = uniform(M, group, GROUP_PLACE)
        east, north = np.float32(int(diagonal >= 2)), np.float32(int(diagonal == 1 or diagonal == 2))
        x = share * (_CENTRE + _BESIDE * (_TWO * east - _ONE)) + (_ONE - share) * _MAP * east
        y = share * (_CENTRE + _BESIDE * (_TWO * north - _ONE)) + (_ONE - share) * _MAP * north
        members = 0
        for enemy in range(count):
            members += int(int(uniform(M, enemy, MEMBERSHIP) * np.float32(groups)) == group)
        for k in range(members):
            W[X, i], W[Y, i] = x + spots[k, 0], y + spots[k, 1]
            i += 1


def number_agents(W, M, ranks):
    """Sort the agents by type, then from west to east, then from south to north. Insertion: there are few, and it happens once."""
    for i in range(1, M[CLOCK, NUM_ALLIES]):
        k = i
        while k > 0 and comes_before(k, k - 1, W, M, ranks):
            M[KIND, k], M[KIND, k - 1] = M[KIND, k - 1], M[KIND, k]
            W[X, k], W[X, k - 1] = W[X, k - 1], W[X, k]
            W[Y, k], W[Y, k - 1] = W[Y, k - 1], W[Y, k]
            k -= 1


def comes_before(i, j, W, M, ranks):
    """Whether the unit in column ``i`` has a lower number than that in ``j``."""
    rank, other = ranks[M[KIND, i]], ranks[M[KIND, j]]
    if rank != other:
        return rank < other
    return W[X, i] < W[X, j] or (W[X, i] == W[X, j] and W[Y, i] < W[Y, j])
