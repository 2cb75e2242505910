"""Which actions are legal: by the ground, by ranges, by cones of sight."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac.fields import ALIVE, KIND, VIEW_X, VIEW_Y, X, Y
from a2po.envs.smac.layout import (
    L_ACTIONS,
    L_AGENTS,
    L_CONE,
    L_CONE_BUG,
    L_ENEMIES,
    L_FIRST_TARGET,
    L_KIND,
    L_MOVE,
    S_COLUMNS,
    S_CONE,
    S_SHOOT_SQUARED,
)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_COLUMN = 0xFFFF
_VIEWS = 6  # number of the first action that turns a cone of sight, if there is one
_EPSILON = np.float32(1e-7)  # SMACv2's smallest number


def write_mask(first, last, W, M, L, S, obs, mask):
    """Legal actions: for the dead the no-op; for the living stop, the free directions (as just written) and targets in range."""
    move, agents, targets = L[L_MOVE] & _COLUMN, L[L_AGENTS], L[L_FIRST_TARGET] & _COLUMN
    for agent in range(first, last):
        alive, healer = M[ALIVE, agent] == 1, heals_by_action(agent, M, L)
        for action in range(L[L_ACTIONS]):
            mask[agent, action] = False
        mask[agent, 0] = not alive
        mask[agent, 1] = alive
        for direction in range(4):
            mask[agent, 2 + direction] = obs[agent, move + direction] > _ZERO
        x, y, units, shoot = W[X, agent], W[Y, agent], 0 if healer else agents, shoot_squared(agent, M, S)
        slots = L[L_ACTIONS] - targets if healer else L[L_ENEMIES]
        for slot in range(slots if alive else 0):
            unit = (units + slot) & _COLUMN
            dx, dy = W[X, unit] - x, W[Y, unit] - y
            mask[agent, targets + slot] = dx * dx + dy * dy <= shoot
            if healer and (slot >= agents or heals_by_action(unit, M, L)):
                mask[agent, targets + slot] = False
        if L[L_CONE] == 1 and alive:
            narrow(agent, units, W, M, L, S, mask)


def narrow(agent, units, W, M, L, S, mask):
    """The mask of a living agent with a cone of sight: it can turn, and its targets, from column ``units`` on, are in the cone."""
    targets = L[L_FIRST_TARGET] & _COLUMN
    for action in range(_VIEWS, targets):
        mask[agent, action] = True
    for slot in range(L[L_ACTIONS] - targets):
        if mask[agent, targets + slot]:
            unit = (units + slot) & _COLUMN
            mask[agent, targets + slot] = in_cone(agent, W[X, unit] - W[X, agent], W[Y, unit] - W[Y, agent], W, L, S)


def open_targets(first, last, M, L, mask):
    """The mask of an environment that leaves ranges to the agents: all living targets are legal."""
    agents, targets = L[L_AGENTS], L[L_FIRST_TARGET] & _COLUMN
    for agent in range(first, last):
        healer = heals_by_action(agent, M, L)
        for slot in range(min(agents, L[L_ACTIONS] - targets) if healer else L[L_ENEMIES]):
            unit = (slot if healer else agents + slot) & _COLUMN
            fit = not (healer and heals_by_action(unit, M, L))
            mask[agent, targets + slot] = fit and M[ALIVE, agent] == 1 and M[ALIVE, unit] == 1


def can_heal(agent, slot, W, M, L, S):
    """Whether a healer's action on target ``slot`` is legal: an ally in range that lives and is no healer itself."""
    if slot >= L[L_AGENTS] or heals_by_action(slot, M, L):
        return False
    return shootable(agent, slot, W, M, L, S)


def shootable(agent, unit, W, M, L, S):
    """Whether a unit is in an agent's range for orders to targets."""
    dx, dy = W[X, unit] - W[X, agent], W[Y, unit] - W[Y, agent]
    return dx * dx + dy * dy <= shoot_squared(agent, M, S) and (L[L_CONE] == 0 or in_cone(agent, dx, dy, W, L, S))


def shoot_squared(agent, M, S):
    """The square of an agent's range for orders to targets."""
    return S[(S_SHOOT_SQUARED + S_COLUMNS * M[KIND, agent]) & _COLUMN]


def heals_by_action(unit, M, L):
    """Whether the actions on targets heal allies."""
    return L[(L_KIND + 3 * M[KIND, unit] + 2) & _COLUMN] == 1


def in_cone(agent, dx, dy, W, L, S):
    """Whether what stands (dx, dy) from an agent is in the direction in which it looks.

    SMACv2 compares arcus tangents of slopes. To get right half planes from these it moves a view that points the other way onto the
    north-south axis (or, if it points due east or west, across it): that way sight reaches behind the agent.
    """
    east, north = W[VIEW_X, agent], W[VIEW_Y, agent]
    if L[L_CONE_BUG] == 1:
        side = _ONE if dx > _ZERO else -_ONE
        dx, dy = max(side * dx, _EPSILON), side * dy
        east, north = max(side * east, _EPSILON), side * north
    far = (dx * dx + dy * dy) * (east * east + north * north)
    return dx * east + dy * north >= S[S_CONE] * np.float32(np.sqrt(far))
