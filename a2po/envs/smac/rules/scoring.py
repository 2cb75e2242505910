"""What a step was worth and whether the battle is over, as SMAC counts."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import ALIVE, BEFORE, CLOCK, CREDIT, HP, KIND, NUM_ALLIES, NUM_ENEMIES, SHIELD, T_HEAL

GOING, WON, LOST, WIPED_OUT = 0, 1, 2, 3

# Columns of the scores' parameters, float32.
S_DEATH, S_WIN, S_DEFEAT, S_NEGATIVE, S_REGROWTH, S_SPARSE, S_SCALE, S_HEALERS_LOSE = 0, 1, 2, 3, 4, 5, 6, 7
# S_HEALERS_LOSE: 0 nobody heals, 1 one healer that is left is beaten, 2 any number is
# S_REGROWTH: what it means that enemies got back more than they lost; only where it costs do own losses count
REGROWTH_COSTS, REGROWTH_PAYS, REGROWTH_IGNORED = 0, 1, 2
SCORE_COLUMNS = 8

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def survivors(W, M, U):
    """(living allies, living enemies, allies that can fight, enemies that can fight)."""
    allies = enemies = fighting_allies = fighting_enemies = 0
    num_allies = M[CLOCK, NUM_ALLIES]
    for i in range(num_allies + M[CLOCK, NUM_ENEMIES]):
        if M[ALIVE, i] == 1:
            fights = int(U[M[KIND, i], T_HEAL] == 0)
            if i < num_allies:
                allies += 1
                fighting_allies += fights
            else:
                enemies += 1
                fighting_enemies += fights
    return allies, enemies, fighting_allies, fighting_enemies


def outcome(W, M, U, S):
    """GOING, WON, LOST or WIPED_OUT (both sides). Where healers cannot win alone, defeat is looked at first."""
    allies, enemies, fighting_allies, fighting_enemies = survivors(W, M, U)
    healers_lose, one = S[S_HEALERS_LOSE] > 0, S[S_HEALERS_LOSE] == _ONE
    if (allies == 0 and enemies > 0) or (healers_lose and fighting_allies == 0):
        return LOST
    if allies > 0 and (enemies == 0 or (healers_lose and fighting_enemies == 0 and (enemies == 1 or not one))):
        return WON
    return WIPED_OUT if allies == 0 else GOING


def reward(W, M, S, result):
    """The step's reward; remembers what it counted.

    Raw: sum over enemies of (hp + shield before - now) + 10 per death, of which regrowth can make a negative number; + 200 for the
    win. Of the sum SMAC takes the absolute value, SMACv2 what is above 0; else half of the own side's losses is taken off.
    """
    if S[S_SPARSE] > 0:
        value = _ONE if result == WON else -_ONE if result == LOST else _ZERO
        return value * S[S_SCALE]
    dealt, taken = _ZERO, _ZERO
    num_allies = M[CLOCK, NUM_ALLIES]
    for i in range(num_allies + M[CLOCK, NUM_ENEMIES]):
        if M[CREDIT, i] == 1:
            continue
        lost = W[BEFORE, i] - (W[HP, i] + W[SHIELD, i])
        if M[ALIVE, i] == 0:
            M[CREDIT, i] = 1
            lost += S[S_DEATH]
        if i < num_allies:
            taken += lost
        else:
            dealt += lost
        W[BEFORE, i] = W[HP, i] + W[SHIELD, i]
    if S[S_REGROWTH] == REGROWTH_COSTS:
        value = dealt - S[S_NEGATIVE] * taken
    else:
        value = abs(dealt) if S[S_REGROWTH] == REGROWTH_PAYS else max(dealt, _ZERO)
    value += S[S_WIN] if result == WON else S[S_DEFEAT] if result == LOST else _ZERO
    return value * S[S_SCALE]
