"""Battles as SMAC shows them: observations, states and action masks from positions, hp and the like. numpy only.

It serves the embedded battles' tests, the real game's adapter and bots inside games; the compiled writer
(a2po.envs.smac.rules.features) is tested equal to it. Letters: B battles, N agents, n all units (allies first, then
enemies), O observation, S state, A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.columns import AROUND, Blocks, Features
from a2po.envs.smac.layout import (
    HALF_MAP,
    L_HEIGHT,
    L_KIND,
    L_PATHING,
    L_TYPES,
    PER_MAP,
    S_KIND,
    S_PER_SIGHT,
    S_PER_STEP,
    S_SHOOT_SQUARED,
    S_SIGHT_SQUARED,
    Layout,
)
from a2po.envs.smac.maps import ACTIONS_BEFORE_TARGETS

__all__ = ["Encoder", "Layout", "Snapshot"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[Any]


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
        per_kind = layout.scales[S_KIND:].reshape(-1, 3)
        self._per_hp, self._per_shield, self._per_cooldown = per_kind.T
        agents = np.arange(layout.num_agents)
        self._others = np.stack([np.delete(agents, agent) for agent in agents])  # [N, N - 1]

    def observe(self, snapshot: Snapshot) -> tuple[Floats, Floats, Bools]:
        """Observations float32 [B, N, O], state [B, S] or [B, N, S], action mask bool [B, N, A]."""
        layout, agents = self.layout, self.layout.num_agents
        mask = self.action_mask(snapshot)
        units = self._units(snapshot)
        pairs = self._pairs(snapshot, mask)
        alone = {
            "move": self._move(snapshot, mask),
            "id": np.broadcast_to(np.eye(agents, dtype=np.float32), (len(mask), agents, agents)),
            "time": np.repeat(snapshot.step[:, None, None] * layout.scales[S_PER_STEP], agents, axis=1),
        }
        seen = pairs["visible"] == 1
        living = np.broadcast_to(snapshot.alive[:, None], seen.shape)
        obs = self._assemble(layout.obs_blocks, units, pairs, alone, seen, snapshot)
        if layout.state_per_agent:
            return obs, self._assemble(layout.state_blocks, units, pairs, alone, living, snapshot), mask
        return obs, self._shared_state(units, snapshot), mask

    def action_mask(self, snapshot: Snapshot) -> Bools:
        """Which actions are legal: bool [B, N, A]. The dead have the no-op only, and nobody else has it."""
        layout, agents = self.layout, self.layout.num_agents
        mask = np.zeros((len(snapshot.x), agents, layout.num_actions), np.bool_)
        mask[..., 1] = True
        x, y = snapshot.x[:, :agents], snapshot.y[:, :agents]
        for action, (dx, dy) in enumerate(((0, 1), (0, -1), (1, 0), (-1, 0)), 2):
            mask[..., action] = self._ground_at(x + np.float32(dx), y + np.float32(dy), snapshot, outside=False)
        squared, _, _ = self._distances(snapshot)
        near = (squared <= layout.scales[S_SHOOT_SQUARED]) & snapshot.alive[:, None]
        mask[..., ACTIONS_BEFORE_TARGETS : ACTIONS_BEFORE_TARGETS + layout.num_enemies] = near[..., agents:]
        healer = self._heals[snapshot.kind[:, :agents]]
        slots = min(agents, layout.num_actions - ACTIONS_BEFORE_TARGETS)
        heal = np.zeros_like(mask[..., ACTIONS_BEFORE_TARGETS:])
        heal[..., :slots] = (near[..., :agents] & ~healer[:, None])[..., :slots]
        mask[..., ACTIONS_BEFORE_TARGETS:] = np.where(healer[..., None], heal, mask[..., ACTIONS_BEFORE_TARGETS:])
        mask &= snapshot.alive[:, :agents, None]
        mask[..., 0] = ~snapshot.alive[:, :agents]
        return mask

    def _distances(self, snapshot: Snapshot) -> tuple[Floats, Floats, Floats]:
        """Squared distance, x and y of every unit from every agent, each [B, N, n]."""
        agents = self.layout.num_agents
        dx = snapshot.x[:, None] - snapshot.x[:, :agents, None]
        dy = snapshot.y[:, None] - snapshot.y[:, :agents, None]
        return dx * dx + dy * dy, dx, dy

    def _units(self, snapshot: Snapshot) -> dict[str, Floats]:
        """Features of the units that do not depend on who looks: [B, n, columns]."""
        layout, kind, agents = self.layout, snapshot.kind, self.layout.num_agents
        fuel = np.where(self._heals[kind], snapshot.energy, snapshot.cooldown)
        features = {
            "health": snapshot.hp * self._per_hp[kind],
            "shield": snapshot.shield * self._per_shield[kind],
            "cooldown": fuel * self._per_cooldown[kind],
            "x": (snapshot.x - HALF_MAP) * PER_MAP,
            "y": (snapshot.y - HALF_MAP) * PER_MAP,
        }
        bits = np.concatenate([self._ally_bit[kind[:, :agents]], self._enemy_bit[kind[:, agents:]]], axis=1)
        columns = {name: values[..., None].astype(np.float32) for name, values in features.items()}
        columns["type"] = _one_hot(bits, int(layout.table[L_TYPES]))
        columns["last"] = _one_hot(snapshot.last_action, layout.num_actions)
        columns["unused"] = np.zeros((*kind.shape, layout.num_actions), np.float32)
        return columns

    def _pairs(self, snapshot: Snapshot, mask: Bools) -> dict[str, Floats]:
        """Features of what each agent sees of each unit, [B, N, n]."""
        agents, enemies, scales = self.layout.num_agents, self.layout.num_enemies, self.layout.scales
        squared, dx, dy = self._distances(snapshot)
        visible = (squared < scales[S_SIGHT_SQUARED]) & snapshot.alive[:, None]
        available = np.zeros(squared.shape, np.float32)
        # As SMAC has it: a healer's bits say whether it can heal the ALLY of that slot.
        available[..., agents:] = mask[..., ACTIONS_BEFORE_TARGETS : ACTIONS_BEFORE_TARGETS + enemies]
        return {
            "visible": visible.astype(np.float32),
            "available": available,
            "distance": np.sqrt(squared) * scales[S_PER_SIGHT],
            "relative_x": dx * scales[S_PER_SIGHT],
            "relative_y": dy * scales[S_PER_SIGHT],
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

    def _assemble(
        self, blocks: Blocks, units: dict[str, Floats], pairs: dict[str, Floats], alone: dict[str, Floats], shown: Bools, snapshot: Snapshot
    ) -> Floats:
        """What each agent sees, [B, N, columns]: blocks about units where `shown` [B, N, n] says so; the dead see nobody."""
        agents = self.layout.num_agents
        alive = snapshot.alive[:, :agents]
        shown = shown & alive[..., None]
        parts = []
        for block, features in blocks.items():
            if block in ("id", "time"):
                parts.append(alone[block])
            elif block == "move":
                parts.append(np.where(alive[..., None], alone["move"], 0))
            elif block == "own":
                parts.append(np.where(alive[..., None], self._own(features, units, alive), 0))
            else:
                first, last = (0, agents) if block == "ally" else (agents, shown.shape[2])
                columns = self._looks(features, units, pairs, first, last)
                columns = np.where(shown[..., first:last, None], columns, 0)
                if block == "ally":
                    columns = np.take_along_axis(columns, self._others[None, :, :, None], axis=2)
                parts.append(columns.reshape(*alive.shape, -1))
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def _looks(self, features: Features, units: dict[str, Floats], pairs: dict[str, Floats], first: int, last: int) -> Floats:
        """How the units first..last look to each agent, [B, N, last - first, columns]."""
        agents = self.layout.num_agents
        shape = (len(units["x"]), agents, last - first)
        return np.concatenate(
            [
                pairs[feature][..., first:last, None]
                if feature in pairs
                else np.broadcast_to(units[feature][:, None, first:last], (*shape, units[feature].shape[-1]))
                for feature in features
            ],
            axis=-1,
        )

    def _own(self, features: Features, units: dict[str, Floats], alive: Bools) -> Floats:
        """The agents about themselves, [B, N, columns]: in sight, at distance 0."""
        still = {"visible": 1.0, "distance": 0.0, "relative_x": 0.0, "relative_y": 0.0}
        parts = [
            np.full((*alive.shape, 1), still[feature], np.float32) if feature in still else units[feature][:, : alive.shape[1]]
            for feature in features
        ]
        return np.concatenate(parts, axis=-1)

    def _shared_state(self, units: dict[str, Floats], snapshot: Snapshot) -> Floats:
        """[B, S]: all units once, and what the agents did last."""
        layout, battles, agents = self.layout, len(snapshot.x), self.layout.num_agents
        parts = []
        for block, features in layout.state_blocks.items():
            if block == "last":
                parts.append(units["last"])
            elif block == "time":
                parts.append(snapshot.step[:, None] * layout.scales[S_PER_STEP])
            else:
                side = slice(0, agents) if block == "ally" else slice(agents, None)
                columns = np.concatenate([units[feature][:, side] for feature in features], axis=-1)
                parts.append(np.where(snapshot.alive[:, side, None], columns, 0))
        return np.concatenate([part.reshape(battles, -1) for part in parts], axis=-1, dtype=np.float32)


def _one_hot(values: Ints, width: int) -> Floats:
    """[..., width]; all zero where the value is negative."""
    return np.equal(values[..., None], np.arange(width)).astype(np.float32)
