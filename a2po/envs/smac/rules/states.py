"""States, written straight into the caller's arrays; see features.py for the habits of it."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import ALIVE, COOLDOWN, ENERGY, HP, KIND, LAST_ACTION, SHIELD, X, Y
from a2po.envs.smac.layout import (
    L_ACTIONS,
    L_AGENTS,
    L_ALLY_SHIELD,
    L_ENEMIES,
    L_KIND,
    L_STATE_ALLY,
    L_STATE_ALLY_WIDTH,
    L_STATE_ENEMY,
    L_STATE_ENEMY_WIDTH,
    L_STATE_FORM,
    L_STATE_ID,
    L_STATE_LAST,
    L_STATE_MOVE,
    L_STATE_OWN,
    L_STATE_SIZE,
    L_STATE_TIME,
    L_TYPES,
    S_COLUMNS,
    S_KIND,
    S_PER_SIGHT,
    S_SHOOT_SQUARED,
    S_SIGHT_SQUARED,
    STATE_AGENT,
    STATE_SHARED,
)
from a2po.envs.smac.rules.features import life, write_ground, write_identity, write_own, write_skills, write_view
from a2po.envs.smac.rules.masks import can_heal, heals_by_action

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_COLUMN = 0xFFFF
_CENTRE, _PER_MAP = np.float32(16.0), np.float32(1 / 32)
_ALLIES = 0  # the side; enemies are 1


def write_state(first, last, W, M, U, L, S, ground, height, state):
    """Write the rows of agents first..last of ``state`` [N, S], or their part of the one row of a shared ``state`` [1, S].

    Of a shared state the agents from 0 to N write all, together or in parts and in any order.
    """
    if L[L_STATE_FORM] != STATE_AGENT:
        write_shared(first, last, W, M, L, S, state)
        return
    for agent in range(first, last):
        for column in range(L[L_STATE_SIZE]):
            state[agent, column] = _ZERO
    write_ground(first, last, L[L_STATE_MOVE], W, M, L, ground, height, state)
    for side in range(2):
        know_units(first, last, side, W, M, L, S, state)
    write_own(first, last, L[L_STATE_OWN], True, True, W, M, L, S, state)
    write_identity(first, last, L[L_STATE_ID], L[L_STATE_TIME], M, S, state)


def know_units(first, last, side, W, M, L, S, state):
    """The living units of a side, however far: a block of the states of living agents' own critics."""
    allies = side == _ALLIES
    units, count = (0, L[L_AGENTS] - 1) if allies else (L[L_AGENTS], L[L_ENEMIES])
    begin, width = (L[L_STATE_ALLY], L[L_STATE_ALLY_WIDTH]) if allies else (L[L_STATE_ENEMY], L[L_STATE_ENEMY_WIDTH])
    shield, types = L[L_ALLY_SHIELD + side], L[L_TYPES]
    # After hp and shield the allies' place comes before their type, the enemies' after it.
    place = (6 + shield + (0 if allies else types)) & _COLUMN
    bits = (6 + shield + (2 if allies else 0)) & _COLUMN
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        x, y, healer, ranges = W[X, agent], W[Y, agent], heals_by_action(agent, M, L), (S_COLUMNS * M[KIND, agent]) & _COLUMN
        sight, shoot, scale = S[S_SIGHT_SQUARED + ranges], S[S_SHOOT_SQUARED + ranges], S[S_PER_SIGHT + ranges]
        for k in range(count):
            unit = (units + k + int(allies and k >= agent)) & _COLUMN
            if M[ALIVE, unit] == 0:
                continue
            dx, dy = W[X, unit] - x, W[Y, unit] - y
            squared = dx * dx + dy * dy
            kind, at = M[KIND, unit], (begin + k * width) & _COLUMN
            visible = _ONE if squared < sight else _ZERO
            state[agent, at + 1] = np.float32(np.sqrt(squared)) * scale
            state[agent, at + 2] = dx * scale
            state[agent, at + 3] = dy * scale
            state[agent, at + 5] = W[HP, unit] * S[(S_KIND + S_COLUMNS * kind) & _COLUMN]
            if shield == 1:
                state[agent, at + 6] = W[SHIELD, unit] * S[(S_KIND + S_COLUMNS * kind + 1) & _COLUMN]
            state[agent, at + place] = (W[X, unit] - _CENTRE) * _PER_MAP
            state[agent, at + place + 1] = (W[Y, unit] - _CENTRE) * _PER_MAP
            bit = L[(L_KIND + 3 * kind + side) & _COLUMN]
            if bit >= 0:
                state[agent, (at + bits + bit) & _COLUMN] = _ONE
            if allies:
                state[agent, at] = visible
                state[agent, at + 4] = fuel(unit, W, M, L, S)
                if M[LAST_ACTION, unit] >= 0:
                    state[agent, (at + bits + types + M[LAST_ACTION, unit]) & _COLUMN] = _ONE
            else:
                available = can_heal(agent, k, W, M, L, S) if healer else squared <= shoot
                state[agent, at] = _ONE if available else _ZERO
                state[agent, at + 4] = visible


def write_shared(first, last, W, M, L, S, state):
    """The part of agents first..last of a shared state: themselves, their last actions and their share of the enemies."""
    agents, enemies, actions = L[L_AGENTS], L[L_ENEMIES], L[L_ACTIONS]
    for side in range(2):
        count = agents if side == _ALLIES else enemies
        share_units(first * count // agents, last * count // agents, side, W, M, L, S, state)
    begin = L[L_STATE_LAST]
    if begin >= 0:
        for column in range(begin + first * actions, begin + last * actions):
            state[0, column] = _ZERO
        for agent in range(first, last):
            if M[LAST_ACTION, agent] >= 0:
                state[0, (begin + agent * actions + M[LAST_ACTION, agent]) & _COLUMN] = _ONE
    if first == 0:
        write_identity(0, 1, -1, L[L_STATE_TIME], M, S, state)


def share_units(first, last, side, W, M, L, S, state):
    """The units first..last of a side in a shared state. Its columns for the enemies' last actions stay 0, as SMAC's do."""
    allies, agents = side == _ALLIES, L[L_AGENTS]
    begin, width = (L[L_STATE_ALLY], L[L_STATE_ALLY_WIDTH]) if allies else (L[L_STATE_ENEMY], L[L_STATE_ENEMY_WIDTH])
    shield, types, last_action = L[L_ALLY_SHIELD + side] == 1, L[L_TYPES], allies and L[L_STATE_FORM] == STATE_SHARED
    for column in range(begin + first * width, begin + last * width):
        state[0, column] = _ZERO
    for k in range(first, last):
        unit = (k if allies else agents + k) & _COLUMN
        if M[ALIVE, unit] == 0:
            continue
        kind, at = M[KIND, unit], (begin + k * width) & _COLUMN
        state[0, at] = life(unit, W, M, L, S) if allies else W[HP, unit] * S[(S_KIND + S_COLUMNS * kind) & _COLUMN]
        if allies:
            at += 1
            state[0, at] = fuel(unit, W, M, L, S)
        state[0, at + 1] = (W[X, unit] - _CENTRE) * _PER_MAP
        state[0, at + 2] = (W[Y, unit] - _CENTRE) * _PER_MAP
        if shield:
            at += 1
            state[0, at + 2] = W[SHIELD, unit] * S[(S_KIND + S_COLUMNS * kind + 1) & _COLUMN]
        if allies:
            at = write_view(0, unit, write_skills(0, unit, at + 3, W, L, state), W, L, state) - 3
        bit = L[(L_KIND + 3 * kind + side) & _COLUMN]
        if bit >= 0:
            state[0, (at + 3 + bit) & _COLUMN] = _ONE
        if last_action and M[LAST_ACTION, unit] >= 0:
            state[0, (at + 3 + types + M[LAST_ACTION, unit]) & _COLUMN] = _ONE


def fuel(unit, W, M, L, S):
    """The weapon's cooldown in SMAC's measure; of a healer its energy."""
    amount = W[ENERGY, unit] if heals_by_action(unit, M, L) else np.float32(M[COOLDOWN, unit])
    return amount * S[(S_KIND + S_COLUMNS * M[KIND, unit] + 2) & _COLUMN]
