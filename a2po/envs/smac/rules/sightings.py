"""Who sees which enemies, where that depends on who saw them first: SMACv2's extended partial observability.

The agents look one after the other, in another random order each time. An enemy belongs to the first of them that sees it; each other
agent gets the right to see it by chance, and until the owner or the enemy is dead nothing changes that. An agent sees an enemy if it
had the right at its turn. Of the dead it counts where they were last: they are found again each time, though nothing of them is shown.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import ALIVE, KIND, KNOWN_X, KNOWN_Y, OWNER, QUEUE, RIGHT, SHOWN_TO, X, Y
from a2po.envs.smac.layout import L_AGENTS, L_CONE, L_ENEMIES, S_COLUMNS, S_SHARING, S_SIGHT_SQUARED
from a2po.envs.smac.rules.chance import SHARING, TURN_TO_LOOK, bits, uniform
from a2po.envs.smac.rules.masks import in_cone

_ONE = np.float32(1.0)
_COLUMN = 0xFFFF


def look_around(W, M, L, S):
    """Let all agents look, once per observation: M[SHOWN_TO] for each enemy."""
    agents = L[L_AGENTS]
    for i in range(agents):
        M[QUEUE, i] = np.int32(bits(M, i, TURN_TO_LOOK) >> np.uint32(1))
    for enemy in range(agents, agents + L[L_ENEMIES]):
        if M[ALIVE, enemy] == 1:
            W[KNOWN_X, enemy], W[KNOWN_Y, enemy] = W[X, enemy], W[Y, enemy]
        owner = M[OWNER, enemy]
        if M[ALIVE, enemy] == 0 or (owner >= 0 and M[ALIVE, owner] == 0):
            M[OWNER, enemy], M[RIGHT, enemy], owner = -1, 0, -1
        M[SHOWN_TO, enemy] = M[RIGHT, enemy]
        if owner < 0:
            finder = first_to_see(enemy, W, M, L, S)
            if finder >= 0:
                claim(enemy, finder, M, L, S)


def first_to_see(enemy, W, M, L, S):
    """Of the agents that have the enemy in sight the one whose turn comes first, or -1."""
    found, x, y = -1, W[KNOWN_X, enemy], W[KNOWN_Y, enemy]
    for i in range(L[L_AGENTS]):
        dx, dy = x - W[X, i], y - W[Y, i]
        if M[ALIVE, i] == 0 or dx * dx + dy * dy >= S[(S_SIGHT_SQUARED + S_COLUMNS * M[KIND, i]) & _COLUMN]:
            continue
        if (found < 0 or M[QUEUE, i] < M[QUEUE, found]) and (L[L_CONE] == 0 or in_cone(i, dx, dy, W, L, S)):
            found = i
    return found


def claim(enemy, finder, M, L, S):
    """The enemy now belongs to its finder; who else may see it is drawn, and those whose turn is still to come see it already."""
    M[OWNER, enemy] = finder
    for i in range(L[L_AGENTS]):
        if i == finder or S[S_SHARING] >= _ONE or uniform(M, enemy, np.uint32(SHARING + np.uint32(i))) < S[S_SHARING]:
            M[RIGHT, enemy] |= 1 << i
            if M[QUEUE, i] > M[QUEUE, finder] or (M[QUEUE, i] == M[QUEUE, finder] and i >= finder):
                M[SHOWN_TO, enemy] |= 1 << i
