"""Scripts that play a battle for the whole team: SMAC's own heuristic, and attack-nearest.

They look at the battle itself (``env.snapshot()``), not at the observations. In shapes: B battles, N agents, E enemies.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from a2po.envs.protocol import Observations
from a2po.envs.scripted import ScriptedPlayer
from a2po.envs.smac.fields import T_HP
from a2po.envs.smac.units import KINDS, unit_table

NOTHING, STOP, FIRST_MOVE, FIRST_TARGET = 0, 1, 2, 6
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], np.float32)  # of the moves: north, south, east, west
EAST = DIRECTIONS[2]
SIGHT = 9.0
MARAUDER, MEDIVAC = KINDS.index("marauder"), KINDS.index("medivac")
LIFE = unit_table()[:, T_HP]
NOBODY = -1


class Battlefield(Protocol):
    """What the scripts need of an environment."""

    battle: Any  # a BattleMap: num_agents, num_enemies

    def snapshot(self) -> Any:
        """The units of all battles (a2po.envs.smac.encoder.Snapshot)."""
        ...


class View:
    """The units of B battles as a script sees them: agents in rows, whom they may act on in columns."""

    def __init__(self, env: Battlefield) -> None:
        now, agents, units = env.snapshot(), env.battle.num_agents, env.battle.num_agents + env.battle.num_enemies
        x, y, alive, kind = (np.asarray(values)[:, :units] for values in (now.x, now.y, now.alive, now.kind))
        life = np.asarray(now.hp)[:, :units] / LIFE[kind]
        self.position = np.stack([x, y], -1)  # [B, N + E, 2]
        self.alive, self.enemies = alive[:, :agents], alive[:, agents:]
        self.medivac = kind[:, :agents] == MEDIVAC
        self.marauder = kind[:, :agents] == MARAUDER
        self.enemy_medivac = kind[:, agents:] == MEDIVAC
        self.life = life[:, :agents]
        self.agents = agents

    def distances(self, others: np.ndarray) -> np.ndarray:
        """[B, N, M] from the agents to ``others`` [B, M, 2], centre to centre."""
        offsets = others[:, None] - self.position[:, : self.agents, None]
        return np.hypot(offsets[..., 0], offsets[..., 1])

    def to_enemies(self) -> np.ndarray:
        """[B, N, E] distances to the living enemies, infinite to the dead."""
        return np.where(self.enemies[:, None], self.distances(self.position[:, self.agents :]), np.inf)

    def to_wounded(self) -> np.ndarray:
        """[B, N, N] distances to living agents that lack life and can be healed, infinite to others."""
        wounded = self.alive & (self.life < 1) & ~self.medivac
        return np.where(wounded[:, None], self.distances(self.position[:, : self.agents]), np.inf)


class Heuristic:
    """SMAC's own heuristic: the nearest living enemy wherever it is, until that one is dead; medivacs: the nearest wounded agent.

    Marauders leave medivacs alone. A medivac stays with its patient until that one is dead or whole. Who finds nobody stops.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env
        self._target: np.ndarray | None = None  # [B, N] column of the target, or NOBODY

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]; ``begun`` [B] says whose episode has just begun."""
        view = View(self._env)
        distance = _side_by_side(view.to_enemies(), view.to_wounded())  # [B, N, 2, slots]
        unfit = (view.marauder[..., None] & view.enemy_medivac[:, None])[..., : distance.shape[-1]]
        distance[:, :, 0, : unfit.shape[-1]][unfit] = np.inf
        choices = np.where(view.medivac[..., None], distance[:, :, 1], distance[:, :, 0])
        nearest = np.where(np.isfinite(choices).any(-1), choices.argmin(-1), NOBODY)
        kept = self._kept(nearest, begun)
        still_there = np.isfinite(np.take_along_axis(choices, np.maximum(kept, 0)[..., None], -1)[..., 0]) & (kept != NOBODY)
        self._target = target = np.where(still_there, kept, nearest)
        actions = np.where(target == NOBODY, STOP, FIRST_TARGET + target)
        return torch.from_numpy(np.where(view.alive, actions, NOTHING)).to(observations.obs.device)

    def _kept(self, nearest: np.ndarray, begun: Tensor | None) -> np.ndarray:
        """The targets of the step before, none where an episode begins."""
        if self._target is None or begun is None:
            return np.full_like(nearest, NOBODY)
        return np.where(begun.cpu().numpy()[:, None], NOBODY, self._target)


class Nearest:
    """Attack the nearest target that the mask allows; else step towards the nearest enemy in sight, else east.

    Medivacs heal whom the mask allows and who has the smallest part of its life.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]."""
        view, mask = View(self._env), cast(Tensor, observations.action_mask).cpu().numpy()
        to_enemies, life = view.to_enemies(), np.broadcast_to(view.life[:, None], (*view.life.shape, view.agents))
        costs = _side_by_side(to_enemies, life)
        cost = np.where(view.medivac[..., None], costs[:, :, 1], costs[:, :, 0])
        targets = mask[..., FIRST_TARGET : FIRST_TARGET + cost.shape[-1]]
        cost = np.where(targets, cost[..., : targets.shape[-1]], np.inf)
        actions = np.where(targets.any(-1), FIRST_TARGET + cost.argmin(-1), self._moves(view, to_enemies, mask))
        return torch.from_numpy(np.where(view.alive, actions, NOTHING)).to(observations.obs.device)

    def _moves(self, view: View, to_enemies: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """[B, N]: the legal move that leads best to the nearest enemy in sight, or east; to stop where none does."""
        nearest = to_enemies.argmin(-1)
        goal = np.take_along_axis(view.position[:, view.agents :], nearest[..., None], 1)
        heading = np.where((to_enemies.min(-1) < SIGHT)[..., None], goal - view.position[:, : view.agents], EAST)
        progress = np.where(mask[..., FIRST_MOVE:FIRST_TARGET], heading @ DIRECTIONS.T, -np.inf)
        return np.where(progress.max(-1) > 0, FIRST_MOVE + progress.argmax(-1), STOP)


def _side_by_side(enemies: np.ndarray, agents: np.ndarray) -> np.ndarray:
    """[B, N, E] and [B, N, N] -> [B, N, 2, max(E, N)], infinite where there is nobody."""
    both = np.full((*enemies.shape[:2], 2, max(enemies.shape[-1], agents.shape[-1])), np.inf, np.float64)
    both[:, :, 0, : enemies.shape[-1]], both[:, :, 1, : agents.shape[-1]] = enemies, agents
    return both


PLAYERS = {
    # Orders reach as far as the map: SMAC's heuristic gives them past its own action mask.
    "heuristic": ScriptedPlayer(lambda env, seed: Heuristic(cast(Battlefield, env)), {"shoot_range": 64.0}),
    "nearest": ScriptedPlayer(lambda env, seed: Nearest(cast(Battlefield, env))),
}
