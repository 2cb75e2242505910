"""Observations, action masks and states, written straight into the caller's arrays: the compiled twin of a2po.envs.smac.encoder.

``L`` and ``S`` are a layout's ``table`` and ``scales``; what runs here is decided by them, so one compiled form serves all maps and
options. Every ``put_`` writes the columns of one feature of one unit into row ``row`` of ``out`` and returns the column after it. Rows
are cleared first: what is 0 (the dead, the unseen, most of a one-hot) is not written again.
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
_CENTRE, _PER_MAP = np.float32(16.0), np.float32(1 / 32)
_TARGETS = 6  # number of the first action on a target
_AHEAD = np.float32(1.0)  # how far SMAC looks whether the way is free
_ALLY, _ENEMY = 0, 1


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
        write_mask(agent, W, M, L, S, ground, mask)
        if M[ALIVE, agent] == 1:
            put_move(agent, L[L_MOVE], agent, W, M, L, ground, height, obs)
            see_enemies(agent, W, M, L, S, obs, mask)
            see_allies(agent, W, M, L, S, obs)
            put_own(agent, W, M, L, S, obs)
        put_identity(agent, L[L_ID], L[L_TIME], M, S, obs)


def write_state(first, last, W, M, U, L, S, ground, height, state):
    """Write the rows of agents first..last of ``state`` [N, S], or their part of the one row of a shared ``state`` [1, S].

    Of a shared state each agent writes itself and every N-th enemy, so all agents together write all of it, in any order.
    """
    for agent in range(first, last):
        if L[L_STATE_FORM] != STATE_AGENT:
            put_shared(agent, W, M, L, S, state)
            continue
        for column in range(L[L_STATE_SIZE]):
            state[agent, column] = _ZERO
        if M[ALIVE, agent] == 1:
            put_move(agent, L[L_STATE_MOVE], agent, W, M, L, ground, height, state)
            know_enemies(agent, W, M, L, S, state)
            know_allies(agent, W, M, L, S, state)
            know_self(agent, W, M, L, S, state)
        put_identity(agent, L[L_STATE_ID], L[L_STATE_TIME], M, S, state)


def write_mask(agent, W, M, L, S, ground, mask):
    """Legal actions: the no-op for the dead, for the living stop, four moves and the targets within the shooting range."""
    alive = M[ALIVE, agent] == 1
    for action in range(L[L_ACTIONS]):
        mask[agent, action] = False
    mask[agent, 0] = not alive
    if not alive:
        return
    x, y, variant = W[X, agent], W[Y, agent], M[CLOCK, VARIANT]
    mask[agent, 1] = True
    mask[agent, 2] = is_open(x, y + _AHEAD, variant, ground)
    mask[agent, 3] = is_open(x, y - _AHEAD, variant, ground)
    mask[agent, 4] = is_open(x + _AHEAD, y, variant, ground)
    mask[agent, 5] = is_open(x - _AHEAD, y, variant, ground)
    if heals_by_action(agent, M, L):
        for ally in range(min(L[L_AGENTS], L[L_ACTIONS] - _TARGETS)):
            near = squared_distance(agent, ally, W) <= S[S_SHOOT_SQUARED]
            mask[agent, _TARGETS + ally] = near and not heals_by_action(ally, M, L)
    else:
        for enemy in range(L[L_ENEMIES]):
            mask[agent, _TARGETS + enemy] = squared_distance(agent, L[L_AGENTS] + enemy, W) <= S[S_SHOOT_SQUARED]


def see_enemies(agent, W, M, L, S, obs, mask):
    """The enemies in sight. As SMAC has it, "available" of a healer is whether it can heal the ALLY of that number."""
    for enemy in range(L[L_ENEMIES]):
        unit = L[L_AGENTS] + enemy
        squared = squared_distance(agent, unit, W)
        if squared < S[S_SIGHT_SQUARED]:
            at = L[L_ENEMY] + enemy * L[L_ENEMY_WIDTH]
            obs[agent, at] = _ONE if mask[agent, _TARGETS + enemy] else _ZERO
            at = put_offset(agent, at + 1, agent, unit, squared, W, S, obs)
            at = put_hp(agent, at, unit, W, M, S, obs)
            at = put_shield(agent, at, unit, _ENEMY, W, M, L, S, obs)
            put_type(agent, at, unit, _ENEMY, M, L, obs)


def see_allies(agent, W, M, L, S, obs):
    """The other allies in sight, in their order, the agent itself left out."""
    for other in range(L[L_AGENTS] - 1):
        unit = other + int(other >= agent)
        squared = squared_distance(agent, unit, W)
        if squared < S[S_SIGHT_SQUARED]:
            at = L[L_ALLY] + other * L[L_ALLY_WIDTH]
            obs[agent, at] = _ONE
            at = put_offset(agent, at + 1, agent, unit, squared, W, S, obs)
            at = put_hp(agent, at, unit, W, M, S, obs)
            at = put_shield(agent, at, unit, _ALLY, W, M, L, S, obs)
            at = put_type(agent, at, unit, _ALLY, M, L, obs)
            if L[L_OBS_LAST] == 1:
                put_last(agent, at, unit, M, L, obs)


def put_own(agent, W, M, L, S, obs):
    """The agent about itself; with the on-policy form as if it saw itself."""
    at = L[L_OWN] + 0
    if L[L_ON_POLICY] == 1:
        obs[agent, at] = _ONE
        at += 4
    at = put_hp(agent, at, agent, W, M, S, obs)
    at = put_shield(agent, at, agent, _ALLY, W, M, L, S, obs)
    at = put_type(agent, at, agent, _ALLY, M, L, obs)
    if L[L_ON_POLICY] == 1:
        put_last(agent, at, agent, M, L, obs)


def know_enemies(agent, W, M, L, S, state):
    """The living enemies, however far, for the critic of one agent."""
    for enemy in range(L[L_ENEMIES]):
        unit = L[L_AGENTS] + enemy
        if M[ALIVE, unit] == 1:
            at = L[L_STATE_ENEMY] + enemy * L[L_STATE_ENEMY_WIDTH]
            squared = squared_distance(agent, unit, W)
            state[agent, at] = _ONE if can_target(agent, enemy, W, M, L, S) else _ZERO
            at = put_offset(agent, at + 1, agent, unit, squared, W, S, state)
            state[agent, at] = _ONE if squared < S[S_SIGHT_SQUARED] else _ZERO
            at = put_hp(agent, at + 1, unit, W, M, S, state)
            at = put_shield(agent, at, unit, _ENEMY, W, M, L, S, state)
            at = put_type(agent, at, unit, _ENEMY, M, L, state)
            put_place(agent, at, unit, W, state)


def know_allies(agent, W, M, L, S, state):
    """The other living allies, however far, for the critic of one agent."""
    for other in range(L[L_AGENTS] - 1):
        unit = other + int(other >= agent)
        if M[ALIVE, unit] == 1:
            at = L[L_STATE_ALLY] + other * L[L_STATE_ALLY_WIDTH]
            squared = squared_distance(agent, unit, W)
            state[agent, at] = _ONE if squared < S[S_SIGHT_SQUARED] else _ZERO
            at = put_offset(agent, at + 1, agent, unit, squared, W, S, state)
            at = put_cooldown(agent, at, unit, W, M, L, S, state)
            at = put_hp(agent, at, unit, W, M, S, state)
            at = put_shield(agent, at, unit, _ALLY, W, M, L, S, state)
            at = put_place(agent, at, unit, W, state)
            at = put_type(agent, at, unit, _ALLY, M, L, state)
            put_last(agent, at, unit, M, L, state)


def know_self(agent, W, M, L, S, state):
    """The agent itself, for its own critic: in sight, at distance 0."""
    at = L[L_STATE_OWN] + 0
    state[agent, at] = _ONE
    at = put_hp(agent, at + 4, agent, W, M, S, state)
    at = put_shield(agent, at, agent, _ALLY, W, M, L, S, state)
    at = put_place(agent, at, agent, W, state)
    at = put_type(agent, at, agent, _ALLY, M, L, state)
    put_last(agent, at, agent, M, L, state)


def put_shared(agent, W, M, L, S, state):
    """An agent's part of a shared state: itself, its last action and every N-th enemy; the clock with the first."""
    begin = L[L_STATE_ALLY] + agent * L[L_STATE_ALLY_WIDTH]
    for column in range(begin, begin + L[L_STATE_ALLY_WIDTH]):
        state[0, column] = _ZERO
    if M[ALIVE, agent] == 1:
        at = put_hp(0, begin, agent, W, M, S, state)
        at = put_cooldown(0, at, agent, W, M, L, S, state)
        at = put_place(0, at, agent, W, state)
        at = put_shield(0, at, agent, _ALLY, W, M, L, S, state)
        at = put_type(0, at, agent, _ALLY, M, L, state)
        if L[L_STATE_FORM] == STATE_SHARED:
            put_last(0, at, agent, M, L, state)
    if L[L_STATE_LAST] >= 0:
        begin = L[L_STATE_LAST] + agent * L[L_ACTIONS]
        for column in range(begin, begin + L[L_ACTIONS]):
            state[0, column] = _ZERO
        put_last(0, begin, agent, M, L, state)
    for enemy in range(agent, L[L_ENEMIES], L[L_AGENTS]):
        put_shared_enemy(enemy, W, M, L, S, state)
    if agent == 0:
        put_identity(0, -1, L[L_STATE_TIME], M, S, state)


def put_shared_enemy(enemy, W, M, L, S, state):
    """One enemy in a shared state; the columns of the on-policy form for its last action stay 0."""
    unit = L[L_AGENTS] + enemy
    begin = L[L_STATE_ENEMY] + enemy * L[L_STATE_ENEMY_WIDTH]
    for column in range(begin, begin + L[L_STATE_ENEMY_WIDTH]):
        state[0, column] = _ZERO
    if M[ALIVE, unit] == 1:
        at = put_hp(0, begin, unit, W, M, S, state)
        at = put_place(0, at, unit, W, state)
        at = put_shield(0, at, unit, _ENEMY, W, M, L, S, state)
        put_type(0, at, unit, _ENEMY, M, L, state)


def put_identity(row, id_column, time_column, M, S, out):
    """Who it is and how late it is, where the form has them (column >= 0); the dead see these, too."""
    if id_column >= 0:
        out[row, id_column + row] = _ONE
    if time_column >= 0:
        out[row, time_column] = np.float32(M[CLOCK, STEP]) * S[S_PER_STEP]


def put_move(row, at, unit, W, M, L, ground, height, out):
    """Free directions; on wish whether 8 cells around are walkable, and the height of these and of the own one. Outside is 1."""
    x, y, variant = W[X, unit], W[Y, unit], M[CLOCK, VARIANT]
    out[row, at] = _ONE if is_open(x, y + _AHEAD, variant, ground) else _ZERO
    out[row, at + 1] = _ONE if is_open(x, y - _AHEAD, variant, ground) else _ZERO
    out[row, at + 2] = _ONE if is_open(x + _AHEAD, y, variant, ground) else _ZERO
    out[row, at + 3] = _ONE if is_open(x - _AHEAD, y, variant, ground) else _ZERO
    at += 4
    if L[L_PATHING] == 1:
        for place in range(8):
            column, line = int(x) + east_of(place), int(y) + north_of(place)
            out[row, at + place] = np.float32(ground[variant, column, line]) if on_map(column, line) else _ONE
        at += 8
    if L[L_HEIGHT] == 1:
        for place in range(9):
            column, line = int(x) + east_of(place), int(y) + north_of(place)
            out[row, at + place] = height[column, line] if on_map(column, line) else _ONE


def put_offset(row, at, viewer, unit, squared, W, S, out):
    """Distance and relative place, in sight ranges."""
    out[row, at] = np.float32(np.sqrt(squared)) * S[S_PER_SIGHT]
    out[row, at + 1] = (W[X, unit] - W[X, viewer]) * S[S_PER_SIGHT]
    out[row, at + 2] = (W[Y, unit] - W[Y, viewer]) * S[S_PER_SIGHT]
    return at + 3


def put_hp(row, at, unit, W, M, S, out):
    """Share of the hp that is left."""
    out[row, at] = W[HP, unit] * S[S_KIND + 3 * M[KIND, unit]]
    return at + 1


def put_shield(row, at, unit, side, W, M, L, S, out):
    """Share of the shield that is left, on Protoss sides."""
    if L[L_ALLY_SHIELD + side] == 0:
        return at
    out[row, at] = W[SHIELD, unit] * S[S_KIND + 3 * M[KIND, unit] + 1]
    return at + 1


def put_cooldown(row, at, unit, W, M, L, S, out):
    """The weapon's cooldown in SMAC's measure; of a healer its energy."""
    fuel = W[ENERGY, unit] if heals_by_action(unit, M, L) else np.float32(M[COOLDOWN, unit])
    out[row, at] = fuel * S[S_KIND + 3 * M[KIND, unit] + 2]
    return at + 1


def put_place(row, at, unit, W, out):
    """Place on the map, from the centre."""
    out[row, at] = (W[X, unit] - _CENTRE) * _PER_MAP
    out[row, at + 1] = (W[Y, unit] - _CENTRE) * _PER_MAP
    return at + 2


def put_type(row, at, unit, side, M, L, out):
    """The bit of the unit's type, on maps where sides have several."""
    bit = L[L_KIND + 3 * M[KIND, unit] + side]
    if bit >= 0:
        out[row, at + bit] = _ONE
    return at + L[L_TYPES]


def put_last(row, at, unit, M, L, out):
    """The bit of the agent's last action, if it had one."""
    action = M[LAST_ACTION, unit]
    if action >= 0:
        out[row, at + action] = _ONE
    return at + L[L_ACTIONS]


def can_target(agent, slot, W, M, L, S):
    """Whether the action on target ``slot`` is legal for a living agent."""
    if not heals_by_action(agent, M, L):
        return squared_distance(agent, L[L_AGENTS] + slot, W) <= S[S_SHOOT_SQUARED]
    if slot >= L[L_AGENTS]:
        return False
    return squared_distance(agent, slot, W) <= S[S_SHOOT_SQUARED] and not heals_by_action(slot, M, L)


def heals_by_action(unit, M, L):
    """Whether the actions on targets heal allies."""
    return L[L_KIND + 3 * M[KIND, unit] + 2] == 1


def squared_distance(i, j, W):
    """Between two centres; whoever is dead is far away."""
    dx, dy = W[X, j] - W[X, i], W[Y, j] - W[Y, i]
    return dx * dx + dy * dy


def is_open(x, y, variant, ground):
    """Whether a point lies on the map and on walkable ground; its cell is rounded towards zero, as SMAC does."""
    column, line = int(x), int(y)
    return on_map(column, line) and ground[variant, column, line] != 0


def on_map(column, line):
    """Whether there is such a cell."""
    return 0 <= column < SIZE and 0 <= line < SIZE


def east_of(place):
    """How far to the east the place lies that SMAC shows as number ``place``: N, S, E, W, NE, SW, SE, NW, here."""
    if place < 4:
        return 4 * (int(place == 2) - int(place == 3))
    return 2 * (int(place == 4) - int(place == 5) + int(place == 6) - int(place == 7))


def north_of(place):
    """And how far to the north."""
    if place < 4:
        return 4 * (int(place == 0) - int(place == 1))
    return 2 * (int(place == 4) - int(place == 5) - int(place == 6) + int(place == 7))
