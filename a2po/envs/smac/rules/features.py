"""Observations, written straight into the caller's arrays: with masks.py and states.py the compiled twin of a2po.envs.smac.encoder.

``L`` and ``S`` are a layout's ``table`` and ``scales``; what is written is decided by them at run time, so one compiled form serves all
maps and options. Rows are cleared first: what is 0 (the dead, the unseen, most of a one-hot) is not written again.

Two habits make the pair loops several times faster. What does not change inside them is read before them, because the compiler must
assume that a store into the output changes every table. And column numbers go through ``& _COLUMN``: so the compiler sees that
they are not negative, and leaves out the code that counts negative ones from the end.
"""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import (
    ACCURACY,
    ALIVE,
    CLOCK,
    FRAILTY,
    HP,
    KIND,
    LAST_ACTION,
    MASKED,
    SHIELD,
    SHOWN_TO,
    SIZE,
    STEP,
    VARIANT,
    VIEW_X,
    VIEW_Y,
    X,
    Y,
)
from a2po.envs.smac.layout import (
    L_AGENTS,
    L_ALLY,
    L_ALLY_SHIELD,
    L_ALLY_WIDTH,
    L_AROUND,
    L_ATTACK,
    L_CONE,
    L_ENEMIES,
    L_ENEMY,
    L_ENEMY_WIDTH,
    L_EXTRAS,
    L_FIRST_TARGET,
    L_HEAD_BUG,
    L_HEALTH,
    L_HEIGHT,
    L_ID,
    L_KIND,
    L_MASKED,
    L_MOVE,
    L_OBS_LAST,
    L_OBS_SIZE,
    L_ON_POLICY,
    L_OPEN_TARGETS,
    L_OWN,
    L_PATHING,
    L_POSITION,
    L_SIGHTINGS,
    L_TEAMMATES,
    L_TIME,
    L_TYPES,
    S_COLUMNS,
    S_KIND,
    S_PER_SIGHT,
    S_PER_STEP,
    S_SIGHT_SQUARED,
)
from a2po.envs.smac.rules.masks import in_cone, open_targets, write_mask

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_COLUMN = 0xFFFF
_CENTRE, _PER_MAP = np.float32(16.0), np.float32(1 / 32)
_QUARTER = np.float32(0.25)
_ALLIES, _ENEMIES = 0, 1  # sides


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
    if L[L_EXTRAS] == 1:
        correct(first, last, W, M, L, S, obs, mask)


def correct(first, last, W, M, L, S, obs, mask):
    """What SMACv2 takes away or adds. Apart from the rest, which stays small and fast that way."""
    for side in range(2):
        if L[L_CONE] == 1 or (side == _ENEMIES and L[L_SIGHTINGS] == 1):
            hide_units(first, last, side, W, M, L, S, obs)
    if L[L_ATTACK] == 1 or L[L_HEALTH] == 1:
        show_skills(first, last, W, M, L, S, obs)
    if L[L_MASKED] == 1:
        blur_enemies(first, last, M, L, obs)
    if L[L_OPEN_TARGETS] == 1:
        open_targets(first, last, M, L, mask)


def see_units(first, last, side, W, M, L, S, obs, mask):
    """The units of a side that are in sight: a living agent's block about the other allies, or about the enemies.

    As SMAC has it, "available" of a healer's enemies is whether it can heal the ALLY of that number.
    """
    allies = side == _ALLIES
    units, count = (0, L[L_AGENTS] - 1) if allies else (L[L_AGENTS], L[L_ENEMIES])
    begin, width = (L[L_ALLY], L[L_ALLY_WIDTH]) if allies else (L[L_ENEMY], L[L_ENEMY_WIDTH])
    shield, types, last_action = L[L_ALLY_SHIELD + side] == 1, L[L_TYPES], allies and L[L_OBS_LAST] == 1
    bits = (5 + (L[L_ATTACK] + L[L_HEALTH] if allies else 0)) & _COLUMN
    targets = L[L_FIRST_TARGET] & _COLUMN
    for agent in range(first, last):
        if M[ALIVE, agent] == 0:
            continue
        x, y, ranges = W[X, agent], W[Y, agent], (S_COLUMNS * M[KIND, agent]) & _COLUMN
        sight, scale = S[S_SIGHT_SQUARED + ranges], S[S_PER_SIGHT + ranges]
        for k in range(count):
            unit = (units + k + int(allies and k >= agent)) & _COLUMN
            dx, dy = W[X, unit] - x, W[Y, unit] - y
            squared = dx * dx + dy * dy
            if squared < sight:
                kind, at = M[KIND, unit], (begin + k * width) & _COLUMN
                obs[agent, at] = _ONE if allies or mask[agent, targets + k] else _ZERO
                obs[agent, at + 1] = np.float32(np.sqrt(squared)) * scale
                obs[agent, at + 2] = dx * scale
                obs[agent, at + 3] = dy * scale
                obs[agent, at + 4] = W[HP, unit] * S[(S_KIND + S_COLUMNS * kind) & _COLUMN]
                if shield:
                    at += 1
                    obs[agent, at + 4] = W[SHIELD, unit] * S[(S_KIND + S_COLUMNS * kind + 1) & _COLUMN]
                bit = L[(L_KIND + 3 * kind + side) & _COLUMN]
                if bit >= 0:
                    obs[agent, (at + bits + bit) & _COLUMN] = _ONE
                if last_action and M[LAST_ACTION, unit] >= 0:
                    obs[agent, (at + bits + types + M[LAST_ACTION, unit]) & _COLUMN] = _ONE


def first_shown(agent, M, L):
    """The number of the enemy behind the last one that the agent may not see: SMACv2 blanks all before it."""
    first, agents = 0, L[L_AGENTS]
    for k in range(L[L_ENEMIES]):
        if (M[SHOWN_TO, agents + k] >> agent) & 1 == 0:
            first = k + 1
    return first


def hide_units(first, last, side, W, M, L, S, obs):
    """Take back what is in an agent's range, but not in its cone of sight, or no enemy that it may see."""
    allies = side == _ALLIES
    units, count = (0, L[L_AGENTS] - 1) if allies else (L[L_AGENTS], L[L_ENEMIES])
    begin, width = (L[L_ALLY], L[L_ALLY_WIDTH]) if allies else (L[L_ENEMY], L[L_ENEMY_WIDTH])
    sharing, head_bug = not allies and L[L_SIGHTINGS] == 1, not allies and L[L_HEAD_BUG] == 1
    for agent in range(first, last):
        blank = first_shown(agent, M, L) if head_bug else 0
        for k in range(count if sharing or L[L_CONE] == 1 else 0):
            unit, at = (units + k + int(allies and k >= agent)) & _COLUMN, begin + k * width
            shown = k >= blank and not (sharing and (M[SHOWN_TO, unit] >> agent) & 1 == 0)
            if shown and L[L_CONE] == 1:
                shown = in_cone(agent, W[X, unit] - W[X, agent], W[Y, unit] - W[Y, agent], W, L, S)
            for column in range(at, at if shown else at + width):
                obs[agent, column & _COLUMN] = _ZERO


def show_skills(first, last, W, M, L, S, obs):
    """What distinguishes the allies in sight; with levels of health their health counts from there, and is as secret as these."""
    known, shield = L[L_TEAMMATES] == 1, L[L_ALLY_SHIELD]
    for agent in range(first, last):
        for k in range(L[L_AGENTS] - 1 if M[ALIVE, agent] == 1 else 0):
            unit, at = k + int(k >= agent), (L[L_ALLY] + k * L[L_ALLY_WIDTH]) & _COLUMN
            if obs[agent, at] == _ZERO:
                continue
            if L[L_HEALTH] == 1:
                obs[agent, at + 4] = life(unit, W, M, L, S) if known else _ZERO
            if known:
                write_skills(agent, unit, at + 5 + shield, W, L, obs)


def blur_enemies(first, last, M, L, obs):
    """Life and type of the enemies that an agent cannot make out."""
    for agent in range(first, last):
        for k in range(L[L_ENEMIES]):
            if (M[MASKED, L[L_AGENTS] + k] >> agent) & 1 == 1:
                at = L[L_ENEMY] + k * L[L_ENEMY_WIDTH]
                for column in range(at + 4, at + L[L_ENEMY_WIDTH]):
                    obs[agent, column & _COLUMN] = _ZERO


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
        out[agent, at] = life(agent, W, M, L, S)
        at += 1
        if shield:
            out[agent, at] = W[SHIELD, agent] * S[(S_KIND + S_COLUMNS * kind + 1) & _COLUMN]
            at += 1
        at = write_skills(agent, agent, at, W, L, out)
        if place:
            out[agent, at] = (W[X, agent] - _CENTRE) * _PER_MAP
            out[agent, at + 1] = (W[Y, agent] - _CENTRE) * _PER_MAP
            at += 2
        if L[L_POSITION] == 1:
            out[agent, at], out[agent, at + 1] = W[X, agent] * _PER_MAP, W[Y, agent] * _PER_MAP
            at += 2
        at = write_view(agent, agent, at, W, L, out)
        bit = L[(L_KIND + 3 * kind) & _COLUMN]
        if bit >= 0:
            out[agent, (at + bit) & _COLUMN] = _ONE
        if on_policy and M[LAST_ACTION, agent] >= 0:
            out[agent, (at + L[L_TYPES] + M[LAST_ACTION, agent]) & _COLUMN] = _ONE


def life(unit, W, M, L, S):
    """An agent's share of its hp; of what it has above its level, where agents die at levels of their own."""
    share = W[HP, unit] * S[(S_KIND + S_COLUMNS * M[KIND, unit]) & _COLUMN]
    return (share - W[FRAILTY, unit]) / (_ONE - W[FRAILTY, unit]) if L[L_HEALTH] == 1 else share


def write_skills(row, unit, at, W, L, out):
    """What distinguishes an agent, from column ``at`` on, where the options draw it. Returns the next column."""
    at &= _COLUMN
    if L[L_ATTACK] == 1:
        out[row, at] = W[ACCURACY, unit]
        at += 1
    if L[L_HEALTH] == 1:
        out[row, at] = W[FRAILTY, unit]
        at += 1
    return at


def write_view(row, unit, at, W, L, out):
    """Where an agent looks, from column ``at`` on, if sight is a cone. Returns the next column."""
    at &= _COLUMN
    if L[L_CONE] == 0:
        return at
    out[row, at], out[row, at + 1] = W[VIEW_X, unit], W[VIEW_Y, unit]
    return at + 2


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


def is_open(column, line, variant, ground, outside):
    """Whether a cell is walkable; ``outside``: what holds beyond the map."""
    return ground[variant, column, line] != 0 if 0 <= column < SIZE and 0 <= line < SIZE else outside
