"""Observations, action masks and states, written straight into the caller's arrays: the compiled twin of a2po.envs.smac.encoder.

``L`` and ``S`` are a layout's ``table`` and ``scales``; what is written is decided by them at run time, so one compiled form serves all
maps and options. Rows are cleared first: what is 0 (the dead, the unseen, most of a one-hot) is not written again.

Two habits make the pair loops several times faster. What does not change inside them is read before them, because the compiler must
assume that a store into the output changes every table. And column numbers go through ``& _COLUMN``: so the compiler sees that
they are not negative, and leaves out the code that counts negative ones from the end.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import ALIVE, CLOCK, COOLDOWN, ENERGY, HP, KIND, LAST_ACTION, SHIELD, SIZE, STEP, VARIANT, X, Y
from a2po.envs.smac.layout import (
    L_ACTIONS,
    L_AGENTS,
    L_ALLY,
    L_ALLY_SHIELD,
    L_ALLY_WIDTH,
    L_AROUND,
    L_ENEMIES,
    L_ENEMY,
    L_ENEMY_WIDTH,
    L_HEIGHT,
    L_ID,
    L_KIND,
    L_MOVE,
    L_OBS_LAST,
    L_OBS_SIZE,
    L_ON_POLICY,
    L_OWN,
    L_PATHING,
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
    L_TIME,
    L_TYPES,
    S_KIND,
    S_PER_SIGHT,
    S_PER_STEP,
    S_SHOOT_SQUARED,
    S_SIGHT_SQUARED,
    STATE_AGENT,
    STATE_SHARED,
)

P = 16  # bound anew by specialise()

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_COLUMN = 0xFFFF
_CENTRE, _PER_MAP = np.float32(16.0), np.float32(1 / 32)
_TARGETS = 6  # number of the first action on a target
_QUARTER = np.float32(0.25)
_ALLIES = 0  # the side; enemies are 1


def observe_agents(first, last, W, M, U, L, S, ground, height, obs, mask):
    """Write observations and masks of agents first..last of one battle.

    Args:
        first: where the range of agents begins.
        last: and ends.
        W: float32 [FLOATS, P].
        M: int32 [INTS, P].
        U: the table of unit types.
        L: the layout's ``table``.
        S: the layout's ``scales``.
        ground: int8 or bool [variants, 32, 32], walkable cells.
        height: float32 [32, 32].
        obs: float32 [N, O or wider]; O columns are written.
        mask: bool [N, A or wider]; A columns are written.
    """
    for agent in range(first, last):
        for column in range(L[L_OBS_SIZE]):
            obs[agent, column] = _ZERO
    write_ground(first, last, L[L_MOVE], W, M, L, ground, height, obs)
    write_mask(first, last, W, M, L, S, obs, mask)
    for side in range(2):
        see_units(first, last, side, W, M, L, S, obs, mask)
    write_own(first, last, L[L_OWN], L[L_ON_POLICY] == 1, False, W, M, L, S, obs)
    write_identity(first, last, L[L_ID], L[L_TIME], M, S, obs)


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


def write_mask(first, last, W, M, L, S, obs, mask):
    """Legal actions: for the dead the no-op; for the living stop, the free directions (as just written) and targets in range."""
    move, agents, shoot = L[L_MOVE] & _COLUMN, L[L_AGENTS], S[S_SHOOT_SQUARED]
    for agent in range(first, last):
        alive, healer = M[ALIVE, agent] == 1, heals_by_action(agent, M, L)
        for action in range(L[L_ACTIONS]):
            mask[agent, action] = False
        mask[agent, 0] = not alive
        mask[agent, 1] = alive
        for direction in range(4):
            mask[agent, 2 + direction] = obs[agent, move + direction] > _ZERO
        x, y, targets = W[X, agent], W[Y, agent], 0 if healer else agents
        slots = L[L_ACTIONS] - _TARGETS if healer else L[L_ENEMIES]
        for slot in range(slots if alive else 0):
            unit = (targets + slot) & _COLUMN
            dx, dy = W[X, unit] - x, W[Y, unit] - y
            mask[agent, _TARGETS + slot] = dx * dx + dy * dy <= shoot
            if healer and (slot >= agents or heals_by_action(unit, M, L)):
                mask[agent, _TARGETS + slot] = False


def see_units(first, last, side, W, M, L, S, obs, mask):
    """The units of a side that are in sight: a living agent's block about the other allies, or about the enemies.

    As SMAC has it, "available" of a healer's enemies is whether it can heal the ALLY of that number.
    """
    sight, scale, allies = S[S_SIGHT_SQUARED], S[S_PER_SIGHT], side == _ALLIES
    units, count = (0, L[L_AGENTS] - 1) if allies else (L[L_AGENTS], L[L_ENEMIES])
    begin, width = (L[L_ALLY], L[L_ALLY_WIDTH]) if allies else (L[L_ENEMY], L[L_ENEMY_WIDTH])
    shield, types, last_action = L[L_ALLY_SHIELD + side] == 1, L[L_TYPES], allies and L[L_OBS_LAST] == 1
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        x, y = W[X, agent], W[Y, agent]
        for k in range(count):
            unit = (units + k + int(allies and k >= agent)) & _COLUMN
            dx, dy = W[X, unit] - x, W[Y, unit] - y
            squared = dx * dx + dy * dy
            if squared < sight:
                kind, at = M[KIND, unit], (begin + k * width) & _COLUMN
                obs[agent, at] = _ONE if allies or mask[agent, _TARGETS + k] else _ZERO
                obs[agent, at + 1] = np.float32(np.sqrt(squared)) * scale
                obs[agent, at + 2] = dx * scale
                obs[agent, at + 3] = dy * scale
                obs[agent, at + 4] = W[HP, unit] * S[(S_KIND + 3 * kind) & _COLUMN]
                if shield:
                    at += 1
                    obs[agent, at + 4] = W[SHIELD, unit] * S[(S_KIND + 3 * kind + 1) & _COLUMN]
                bit = L[(L_KIND + 3 * kind + side) & _COLUMN]
                if bit >= 0:
                    obs[agent, (at + 5 + bit) & _COLUMN] = _ONE
                if last_action and M[LAST_ACTION, unit] >= 0:
                    obs[agent, (at + 5 + types + M[LAST_ACTION, unit]) & _COLUMN] = _ONE


def know_units(first, last, side, W, M, L, S, state):
    """The living units of a side, however far: a block of the states of living agents' own critics."""
    sight, shoot, scale, allies = S[S_SIGHT_SQUARED], S[S_SHOOT_SQUARED], S[S_PER_SIGHT], side == _ALLIES
    units, count = (0, L[L_AGENTS] - 1) if allies else (L[L_AGENTS], L[L_ENEMIES])
    begin, width = (L[L_STATE_ALLY], L[L_STATE_ALLY_WIDTH]) if allies else (L[L_STATE_ENEMY], L[L_STATE_ENEMY_WIDTH])
    shield, types = L[L_ALLY_SHIELD + side], L[L_TYPES]
    # After hp and shield the allies' place comes before their type, the enemies' after it.
    place = (6 + shield + (0 if allies else types)) & _COLUMN
    bits = (6 + shield + (2 if allies else 0)) & _COLUMN
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        x, y, healer = W[X, agent], W[Y, agent], heals_by_action(agent, M, L)
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
            state[agent, at + 5] = W[HP, unit] * S[(S_KIND + 3 * kind) & _COLUMN]
            if shield == 1:
                state[agent, at + 6] = W[SHIELD, unit] * S[(S_KIND + 3 * kind + 1) & _COLUMN]
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


def write_own(first, last, begin, on_policy, place, W, M, L, S, out):
    """The living agents' blocks about themselves; ``on_policy``: as if each were in its own sight; ``place``: with it, for a critic."""
    shield = L[L_ALLY_SHIELD] == 1
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        at, kind = begin & _COLUMN, M[KIND, agent]
        if on_policy:
            out[agent, at] = _ONE
            at += 4
        out[agent, at] = W[HP, agent] * S[(S_KIND + 3 * kind) & _COLUMN]
        at += 1
        if shield:
            out[agent, at] = W[SHIELD, agent] * S[(S_KIND + 3 * kind + 1) & _COLUMN]
            at += 1
        if place:
            out[agent, at] = (W[X, agent] - _CENTRE) * _PER_MAP
            out[agent, at + 1] = (W[Y, agent] - _CENTRE) * _PER_MAP
            at += 2
        bit = L[(L_KIND + 3 * kind) & _COLUMN]
        if bit >= 0:
            out[agent, (at + bit) & _COLUMN] = _ONE
        if on_policy and M[LAST_ACTION, agent] >= 0:
            out[agent, (at + L[L_TYPES] + M[LAST_ACTION, agent]) & _COLUMN] = _ONE


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
        state[0, at] = W[HP, unit] * S[(S_KIND + 3 * kind) & _COLUMN]
        if allies:
            at += 1
            state[0, at] = fuel(unit, W, M, L, S)
        state[0, at + 1] = (W[X, unit] - _CENTRE) * _PER_MAP
        state[0, at + 2] = (W[Y, unit] - _CENTRE) * _PER_MAP
        if shield:
            at += 1
            state[0, at + 2] = W[SHIELD, unit] * S[(S_KIND + 3 * kind + 1) & _COLUMN]
        bit = L[(L_KIND + 3 * kind + side) & _COLUMN]
        if bit >= 0:
            state[0, (at + 3 + bit) & _COLUMN] = _ONE
        if last_action and M[LAST_ACTION, unit] >= 0:
            state[0, (at + 3 + types + M[LAST_ACTION, unit]) & _COLUMN] = _ONE


def write_identity(first, last, id_column, time_column, M, S, out):
    """Who it is and how late it is, where the form has them (column >= 0); the dead see these, too."""
    time = np.float32(M[CLOCK, STEP]) * S[S_PER_STEP]
    for row in range(first, last):
        if id_column >= 0:
            out[row, id_column + row] = _ONE
        if time_column >= 0:
            out[row, time_column] = time


def write_ground(first, last, begin, W, M, L, ground, height, out):
    """Free directions; on wish whether 8 cells around are walkable, and the height of these and of the own one.

    SMAC rounds the point 1 ahead towards zero to find its cell. Beyond the map nothing is free, and the ground's values are 1.
    """
    variant, pathing, heights = M[CLOCK, VARIANT], L[L_PATHING] == 1, L[L_HEIGHT] == 1
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        x, y, at = W[X, agent], W[Y, agent], begin & _COLUMN
        for direction in range(4):  # the first four places, a quarter as far
            column = int(x + _QUARTER * np.float32(L[L_AROUND + 2 * direction]))
            line = int(y + _QUARTER * np.float32(L[L_AROUND + 2 * direction + 1]))
            out[agent, at + direction] = _ONE if is_open(column, line, variant, ground, False) else _ZERO
        for place in range(9 if pathing or heights else 0):
            column, line = int(x) + L[L_AROUND + 2 * place], int(y) + L[L_AROUND + 2 * place + 1]
            if pathing and place < 8:
                out[agent, at + 4 + place] = _ONE if is_open(column, line, variant, ground, True) else _ZERO
            if heights:
                inside = 0 <= column < SIZE and 0 <= line < SIZE
                out[agent, at + (12 if pathing else 4) + place] = height[column, line] if inside else _ONE


def fuel(unit, W, M, L, S):
    """The weapon's cooldown in SMAC's measure; of a healer its energy."""
    amount = W[ENERGY, unit] if heals_by_action(unit, M, L) else np.float32(M[COOLDOWN, unit])
    return amount * S[(S_KIND + 3 * M[KIND, unit] + 2) & _COLUMN]


def can_heal(agent, slot, W, M, L, S):
    """Whether a healer's action on target ``slot`` is legal: an ally in range that lives and is no healer itself."""
    if slot >= L[L_AGENTS] or heals_by_action(slot, M, L):
        return False
    dx, dy = W[X, slot] - W[X, agent], W[Y, slot] - W[Y, agent]
    return dx * dx + dy * dy <= S[S_SHOOT_SQUARED]


def shootable(agent, unit, W, M, L, S):
    """Whether a unit is in an agent's range for orders to targets."""
    dx, dy = W[X, unit] - W[X, agent], W[Y, unit] - W[Y, agent]
    return dx * dx + dy * dy <= S[S_SHOOT_SQUARED]


def heals_by_action(unit, M, L):
    """Whether the actions on targets heal allies."""
    return L[(L_KIND + 3 * M[KIND, unit] + 2) & _COLUMN] == 1


def is_open(column, line, variant, ground, outside):
    """Whether a cell is walkable; ``outside``: what holds beyond the map."""
    return ground[variant, column, line] != 0 if 0 <= column < SIZE and 0 <= line < SIZE else outside
