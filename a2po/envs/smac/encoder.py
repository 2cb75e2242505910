"""Battles as SMAC shows them: observations, states and action masks from positions, hp and the like. numpy only.

It serves the embedded battles' tests, the real game's adapter and bots inside games; the compiled writer
(a2po.envs.smac.rules.features) is tested equal to it. Letters: B battles, N agents, n all units (allies first, then
enemies), O observation, S state, A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.battle_map import ACTIONS_BEFORE_TARGETS
from a2po.envs.smac.columns import AROUND, SKILLS, Blocks
from a2po.envs.smac.layout import (
    HALF_MAP,
    L_CONE,
    L_CONE_BUG,
    L_HEAD_BUG,
    L_HEALTH,
    L_HEIGHT,
    L_KIND,
    L_OPEN_TARGETS,
    L_PATHING,
    L_TEAMMATES,
    L_TYPES,
    PER_MAP,
    S_COLUMNS,
    S_CONE,
    S_KIND,
    S_PER_STEP,
    Layout,
)

__all__ = ["Encoder", "Layout", "Snapshot"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[Any]

_EPSILON = np.float32(1e-7)  # SMACv2's smallest number


class Snapshot(NamedTuple):
    """B battles of one map at one moment. Units: the agents in their order, then the enemies in theirs."""

    x: Floats  # [B, n], cells
    y: Floats
    hp: Floats
    shield: Floats
    energy: Floats
    cooldown: Floats  # [B, n], game loops until the weapon is ready
    alive: Bools  # [B, n]; what the other fields say of the dead is not looked at
    kind: Ints  # [B, n], row of the unit table
    last_action: Ints  # [B, N]; -1: none yet
    step: Ints  # [B], environment steps since the episode began
    variant: Ints  # [B], which of the walkable grids
    # What only some options show; None: as if they were off (all agents look east).
    view: Floats | None = None  # [B, N, 2], unit vectors: where agents with a cone of sight look
    attack_probability: Floats | None = None  # [B, N]
    health_level: Floats | None = None  # [B, N], share of its hp below which an agent dies
    granted: Bools | None = None  # [B, N, E]: whether an agent had the right to see an enemy when it looked
    masked: Bools | None = None  # [B, N, E]: whether it cannot make out its life and type


class Pairs(NamedTuple):
    """Every unit as every agent has it before it, each [B, N, n]."""

    squared: Floats  # distance
    dx: Floats
    dy: Floats


class Encoder:
    """Writes observations, states and masks for the battles of one layout.

    Args:
        layout: of the map and the options.
        walkable: bool [variants, 32, 32], index [x, y].
        height: float [32, 32], the terrain's height in [0, 1].
    """

    def __init__(self, layout: Layout, walkable: NDArray[Any], height: NDArray[Any]) -> None:
        self.layout = layout
        self._walkable = np.asarray(walkable, np.bool_)
        self._height = np.asarray(height, np.float32)
        kinds = layout.table[L_KIND:].reshape(-1, 3)
        self._ally_bit, self._enemy_bit, self._heals = kinds[:, 0], kinds[:, 1], kinds[:, 2] == 1
        per_kind = layout.scales[S_KIND:].reshape(-1, S_COLUMNS)
        self._per_hp, self._per_shield, self._per_cooldown, self._sight_squared, self._shoot_squared, self._per_sight = per_kind.T
        agents = np.arange(layout.num_agents)
        allies, enemies = slice(0, layout.num_agents), slice(layout.num_agents, None)
        self._sides = {"ally": allies, "own": allies, "enemy": enemies}
        self._others = np.stack([np.delete(agents, agent) for agent in agents])  # [N, N - 1]

    def observe(self, snapshot: Snapshot) -> tuple[Floats, Floats, Bools]:
        """Observations float32 [B, N, O], state [B, S] or [B, N, S], action mask bool [B, N, A]."""
        layout, snapshot = self.layout, _completed(snapshot, self.layout.num_agents)
        pairs = self._distances(snapshot)
        in_range = self._in_range(snapshot, pairs)
        mask = self._mask(snapshot, in_range)
        features = self._features(snapshot, mask, pairs)
        seen = self._seen(snapshot, features["visible"][..., 0] == 1)
        obs = self._assemble(layout.obs_blocks, self._as_agents_know(features, snapshot), seen, snapshot, mask)
        if layout.state_per_agent:
            known = np.broadcast_to(snapshot.alive[:, None], seen.shape)
            state = self._assemble(layout.state_blocks, features, known, snapshot, mask)
        else:
            state = self._shared_state(features, snapshot)
        return obs, state, self._opened(snapshot, mask)

    def action_mask(self, snapshot: Snapshot) -> Bools:
        """Which actions are legal: bool [B, N, A]. The dead have the no-op only, and nobody else has it."""
        snapshot = _completed(snapshot, self.layout.num_agents)
        return self._opened(snapshot, self._mask(snapshot, self._in_range(snapshot, self._distances(snapshot))))

    def _opened(self, snapshot: Snapshot, mask: Bools) -> Bools:
        """The mask as agents get it: on wish all living targets are legal."""
        return self._mask(snapshot, np.ones_like(snapshot.alive)[:, None]) if self.layout.table[L_OPEN_TARGETS] else mask

    def _mask(self, snapshot: Snapshot, in_range: Bools) -> Bools:
        """Which actions are legal if an order can reach `in_range` [B, N or 1, n]."""
        layout, agents, first = self.layout, self.layout.num_agents, self.layout.first_target
        mask = np.zeros((len(snapshot.x), agents, layout.num_actions), np.bool_)
        mask[..., 1] = True
        x, y = snapshot.x[:, :agents], snapshot.y[:, :agents]
        for action, (dx, dy) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0)), 2):
            mask[..., action] = self._ground_at(x + np.float32(dx), y + np.float32(dy), snapshot, outside=False)
        mask[..., ACTIONS_BEFORE_TARGETS:first] = True
        near = in_range & snapshot.alive[:, None]
        mask[..., first : first + layout.num_enemies] = near[..., agents:]
        healer = self._heals[snapshot.kind[:, :agents]]
        slots = min(agents, layout.num_actions - first)
        heal = np.zeros_like(mask[..., first:])
        heal[..., :slots] = (near[..., :agents] & ~healer[:, None])[..., :slots]
        mask[..., first:] = np.where(healer[..., None], heal, mask[..., first:])
        mask &= snapshot.alive[:, :agents, None]
        mask[..., 0] = ~snapshot.alive[:, :agents]
        return mask

    def _in_range(self, snapshot: Snapshot, pairs: Pairs) -> Bools:
        """Where the agents' orders to targets reach: [B, N, n]."""
        reach = self._shoot_squared[snapshot.kind[:, : self.layout.num_agents], None]
        return np.asarray((pairs.squared <= reach) & self._in_cone(snapshot, pairs))

    def _in_cone(self, snapshot: Snapshot, pairs: Pairs) -> Bools:
        """What lies in the direction that agents look in: [B, N, n]. The rules' `in_cone` says what the bug is."""
        if not self.layout.table[L_CONE]:
            return np.ones(pairs.squared.shape, np.bool_)
        assert snapshot.view is not None  # completed
        dx, dy, east, north = pairs.dx, pairs.dy, snapshot.view[..., :1], snapshot.view[..., 1:]
        if self.layout.table[L_CONE_BUG]:
            side = np.where(dx > 0, np.float32(1), np.float32(-1))
            dx, dy = np.maximum(side * dx, _EPSILON), side * dy
            east, north = np.maximum(side * east, _EPSILON), side * north
        far = np.sqrt((dx * dx + dy * dy) * (east * east + north * north))
        return np.asarray(dx * east + dy * north >= self.layout.scales[S_CONE] * far)

    def _seen(self, snapshot: Snapshot, visible: Bools) -> Bools:
        """What agents see of what is visible [B, N, n] to them: enemies only by right."""
        if snapshot.granted is None:
            return visible
        granted = snapshot.granted
        if self.layout.table[L_HEAD_BUG]:  # an enemy without right takes those before it along
            granted = np.logical_and.accumulate(granted[..., ::-1], axis=-1)[..., ::-1]
        agents = self.layout.num_agents
        return np.concatenate([visible[..., :agents], visible[..., agents:] & granted], axis=-1)

    def _distances(self, snapshot: Snapshot) -> Pairs:
        agents = self.layout.num_agents
        dx = snapshot.x[:, None] - snapshot.x[:, :agents, None]
        dy = snapshot.y[:, None] - snapshot.y[:, :agents, None]
        return Pairs(dx * dx + dy * dy, dx, dy)

    def _features(self, snapshot: Snapshot, mask: Bools, pairs: Pairs) -> dict[str, Floats]:
        """By name what there is to see of each unit: [B, N, n, columns]; some are of the agents only."""
        layout, agents, kind = self.layout, self.layout.num_agents, snapshot.kind
        assert snapshot.view is not None and snapshot.attack_probability is not None and snapshot.health_level is not None  # completed
        fuel = np.where(self._heals[kind], snapshot.energy, snapshot.cooldown)
        bits = np.concatenate([self._ally_bit[kind[:, :agents]], self._enemy_bit[kind[:, agents:]]], axis=1)
        of_units = {
            "health": self._health(snapshot)[..., None],
            "shield": (snapshot.shield * self._per_shield[kind])[..., None],
            "cooldown": (fuel * self._per_cooldown[kind])[..., None],
            "x": ((snapshot.x - HALF_MAP) * PER_MAP)[..., None],
            "y": ((snapshot.y - HALF_MAP) * PER_MAP)[..., None],
            "position_x": (snapshot.x * PER_MAP)[..., None],
            "position_y": (snapshot.y * PER_MAP)[..., None],
            "type": _one_hot(bits, int(layout.table[L_TYPES])),
            "last": _one_hot(snapshot.last_action, layout.num_actions),
            "attack_probability": snapshot.attack_probability[..., None],
            "health_level": snapshot.health_level[..., None],
            "view_x": snapshot.view[..., :1],
            "view_y": snapshot.view[..., 1:],
            "unused": np.zeros((*kind.shape, layout.num_actions), np.float32),
        }
        features = {name: np.broadcast_to(values[:, None], (len(kind), agents, *values.shape[1:])) for name, values in of_units.items()}
        return features | {name: values[..., None] for name, values in self._of_pairs(snapshot, mask, pairs).items()}

    def _health(self, snapshot: Snapshot) -> Floats:
        """Shares of hp [B, n]; of agents that die at levels of their own, of what is above these."""
        share = snapshot.hp * self._per_hp[snapshot.kind]
        agents, level = self.layout.num_agents, snapshot.health_level
        if self.layout.table[L_HEALTH]:
            assert level is not None  # completed
            share[:, :agents] = (share[:, :agents] - level) / (1 - level)
        return np.asarray(share, np.float32)

    def _as_agents_know(self, features: dict[str, Floats], snapshot: Snapshot) -> dict[str, Floats]:
        """The features of units, but for what an agent cannot know of others."""
        agents, known = self.layout.num_agents, dict(features)
        if not self.layout.table[L_TEAMMATES]:
            himself = np.eye(agents, dtype=np.bool_)[..., None]
            secret = [*SKILLS, *(("health",) if self.layout.table[L_HEALTH] else ())]
            for name in secret:
                known[name] = features[name].copy()
                known[name][:, :, :agents] *= himself
        if snapshot.masked is not None:
            for name in ("health", "shield", "type"):
                known[name] = known[name].copy()
                known[name][:, :, agents:] *= ~snapshot.masked[..., None]
        return known

    def _of_pairs(self, snapshot: Snapshot, mask: Bools, pairs: Pairs) -> dict[str, Floats]:
        """The features that depend on who looks, [B, N, n]."""
        agents, enemies, first = self.layout.num_agents, self.layout.num_enemies, self.layout.first_target
        kind = snapshot.kind[:, :agents, None]
        available = np.zeros(pairs.squared.shape, np.float32)
        # As SMAC has it: a healer's bits say whether it can heal the ALLY of that number.
        available[..., agents:] = mask[..., first : first + enemies]
        visible = (pairs.squared < self._sight_squared[kind]) & snapshot.alive[:, None] & self._in_cone(snapshot, pairs)
        return {
            "visible": visible.astype(np.float32),
            "available": available,
            "distance": np.sqrt(pairs.squared) * self._per_sight[kind],
            "relative_x": pairs.dx * self._per_sight[kind],
            "relative_y": pairs.dy * self._per_sight[kind],
        }

    def _move(self, snapshot: Snapshot, mask: Bools) -> Floats:
        """[B, N, 4 to 21]: where the agent can go, and on wish what the ground around is like."""
        parts = [mask[..., 2:ACTIONS_BEFORE_TARGETS]]
        x, y = np.trunc(snapshot.x[:, : mask.shape[1]]), np.trunc(snapshot.y[:, : mask.shape[1]])
        if self.layout.table[L_PATHING]:
            parts.append(np.stack([self._ground_at(x + dx, y + dy, snapshot, outside=True) for dx, dy in AROUND], axis=-1))
        if self.layout.table[L_HEIGHT]:
            parts.append(np.stack([self._height_at(x + dx, y + dy) for dx, dy in (*AROUND, (0, 0))], axis=-1))
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def _ground_at(self, x: Floats, y: Floats, snapshot: Snapshot, *, outside: bool) -> Bools:
        """Whether the cells of points [B, N] are walkable; `outside`: what holds beyond the map."""
        column, row, inside = self._cells(x, y)
        return np.where(inside, self._walkable[snapshot.variant[:, None], column, row], outside)

    def _height_at(self, x: Floats, y: Floats) -> Floats:
        column, row, inside = self._cells(x, y)
        return np.where(inside, self._height[column, row], np.float32(1))

    def _cells(self, x: Floats, y: Floats) -> tuple[Ints, Ints, Bools]:
        """Cells of points: rounded towards zero, so -0.5 still lies on the map. Those outside come back as cell 0."""
        size = self._height.shape[0]
        inside = (x > -1) & (x < size) & (y > -1) & (y < size)
        return np.where(inside, x, 0).astype(np.intp), np.where(inside, y, 0).astype(np.intp), inside

    def _assemble(self, blocks: Blocks, features: dict[str, Floats], shown: Bools, snapshot: Snapshot, mask: Bools) -> Floats:
        """One row per agent, [B, N, columns]: of other units where `shown` [B, N, n] says so. The dead know who and when they are."""
        agents = np.arange(self.layout.num_agents)
        alive = snapshot.alive[:, : len(agents), None]
        parts: list[Floats] = []
        for block, names in blocks.items():
            if block == "id":
                parts.append(np.broadcast_to(np.eye(len(agents), dtype=np.float32), (len(mask), len(agents), len(agents))))
            elif block == "time":
                parts.append(np.repeat(self._time(snapshot)[:, None], len(agents), axis=1))
            elif block == "move":
                parts.append(np.where(alive, self._move(snapshot, mask), 0))
            else:
                columns = np.concatenate([features[name][:, :, self._sides[block]] for name in names], axis=-1)
                if block == "own":
                    parts.append(np.where(alive, columns[:, agents, agents], 0))
                    continue
                columns = np.where((shown & alive)[..., self._sides[block], None], columns, 0)
                if block == "ally":
                    columns = columns[:, agents[:, None], self._others]
                parts.append(columns.reshape(*mask.shape[:2], -1))
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def _shared_state(self, features: dict[str, Floats], snapshot: Snapshot) -> Floats:
        """[B, S]: all units once, and what the agents did last. Nothing here depends on who looks, so the first agent does."""
        parts: list[Floats] = []
        for block, names in self.layout.state_blocks.items():
            if block == "last":
                parts.append(features["last"][:, 0])
            elif block == "time":
                parts.append(self._time(snapshot))
            else:
                columns = np.concatenate([features[name][:, 0, self._sides[block]] for name in names], axis=-1)
                parts.append(np.where(snapshot.alive[:, self._sides[block], None], columns, 0))
        return np.concatenate([part.reshape(len(snapshot.x), -1) for part in parts], axis=-1, dtype=np.float32)

    def _time(self, snapshot: Snapshot) -> Floats:
        """[B, 1]: the share of the step limit that has passed."""
        return np.asarray(snapshot.step[:, None] * self.layout.scales[S_PER_STEP], np.float32)


def _completed(snapshot: Snapshot, agents: int) -> Snapshot:
    """The snapshot with what it leaves out about the agents: they look east, never fail, and live as long as they have hp."""
    shape = (len(snapshot.x), agents)
    return snapshot._replace(
        view=np.full((*shape, 2), (1, 0), np.float32) if snapshot.view is None else snapshot.view,
        attack_probability=np.ones(shape, np.float32) if snapshot.attack_probability is None else snapshot.attack_probability,
        health_level=np.zeros(shape, np.float32) if snapshot.health_level is None else snapshot.health_level,
    )


def _one_hot(values: Ints, width: int) -> Floats:
    """[..., width]; all zero where the value is negative."""
    return np.equal(values[..., None], np.arange(width)).astype(np.float32)
