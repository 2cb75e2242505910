"""Scripts that play a battle for the whole team: SMAC's own heuristic, and attack-nearest.

They look at the battle itself (``env.snapshot()``), not at the observations. In shapes: B battles, N agents, E enemies, T target slots
(the actions from 6 on). A slot is an enemy, or an agent to be healed where the agent that chooses is a medivac.
"""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from a2po.envs.protocol import Observations
from a2po.envs.scripted import ScriptedPlayer
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Snapshot
from a2po.envs.smac.fields import T_HP
from a2po.envs.smac.units import KINDS, unit_table

NOTHING, STOP, FIRST_MOVE, FIRST_TARGET = 0, 1, 2, 6  # actions
DIRECTIONS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]], np.float32)  # of the moves: north, south, east, west
EAST = DIRECTIONS[2]
SIGHT = 9.0
EVERYWHERE = 64.0  # farther than any two units of a map are apart
MARAUDER, MEDIVAC = KINDS.index("marauder"), KINDS.index("medivac")
LIFE = unit_table()[:, T_HP]
NOBODY = -1


class Battlefield(Protocol):
    """What the scripts need of an environment."""

    battle: BattleMap

    def snapshot(self) -> Snapshot:
        """The units of all battles."""
        ...


class View:
    """The living units of B battles, and what the agents' target slots hold."""

    def __init__(self, env: Battlefield, num_slots: int) -> None:
        now, agents, units = env.snapshot(), env.battle.num_agents, env.battle.num_agents + env.battle.num_enemies
        self.x, self.y, self.alive, self.kind = (np.asarray(values)[:, :units] for values in (now.x, now.y, now.alive, now.kind))
        self.life = np.asarray(now.hp)[:, :units] / LIFE[self.kind]  # [B, N + E], 1 is whole
        self.num_agents = agents
        self.medivac = (self.kind[:, :agents] == MEDIVAC)[..., None]  # [B, N, 1]
        self.marauder = (self.kind[:, :agents] == MARAUDER)[..., None]
        columns = np.arange(num_slots) + np.where(self.medivac, 0, agents)  # [B, N, T]
        exists = columns < np.where(self.medivac, agents, units)
        self._columns = np.where(exists, columns, 0)
        self.filled = exists & self.of_slots(self.alive)
        self.distance = np.hypot(*(self.of_slots(axis) - axis[:, :agents, None] for axis in (self.x, self.y)))

    def of_slots(self, values: np.ndarray) -> np.ndarray:
        """[B, N + E] of the units -> [B, N, T] of the agents' slots."""
        return np.take_along_axis(values[:, None], self._columns, -1)

    def actions(self, chosen: np.ndarray, device: torch.device) -> Tensor:
        """What the living do: ``chosen`` [B, N]; the dead do nothing."""
        return torch.from_numpy(np.where(self.alive[:, : self.num_agents], chosen, NOTHING).astype(np.int64)).to(device)


class Heuristic:
    """SMAC's own heuristic: the nearest living enemy wherever it is, until that one is dead; medivacs: the nearest wounded agent.

    Marauders leave medivacs alone. A medivac stays with its patient until that one is dead or whole. Who finds nobody stops.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env
        self._target: np.ndarray | None = None  # [B, N] slot, or NOBODY

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]; ``begun`` [B] says whose episode has just begun."""
        view = View(self._env, _mask(observations).shape[-1] - FIRST_TARGET)
        flier = view.of_slots(view.kind) == MEDIVAC
        wounded = view.of_slots(view.life) < 1
        fit = view.filled & np.where(view.medivac, wounded & ~flier, ~(view.marauder & flier))  # [B, N, T]
        nearest = np.where(fit.any(-1), np.where(fit, view.distance, np.inf).argmin(-1), NOBODY)
        kept = self._kept(nearest, begun)
        still_fit = np.take_along_axis(fit, np.maximum(kept, 0)[..., None], -1)[..., 0] & (kept != NOBODY)
        self._target = np.where(still_fit, kept, nearest)
        return view.actions(np.where(self._target == NOBODY, STOP, FIRST_TARGET + self._target), observations.obs.device)

    def _kept(self, nearest: np.ndarray, begun: Tensor | None) -> np.ndarray:
        """[B, N]: the targets of the step before, none where an episode begins."""
        if self._target is None or begun is None:
            return np.full_like(nearest, NOBODY)
        return np.where(begun.cpu().numpy()[:, None], NOBODY, self._target)


class Nearest:
    """Attack the nearest target that the mask allows; else step towards the nearest enemy in sight, else east.

    Medivacs heal, of those whom the mask allows, the one with the smallest part of its life.
    """

    def __init__(self, env: Battlefield) -> None:
        self._env = env

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N]."""
        mask = _mask(observations)
        allowed = mask[..., FIRST_TARGET:]
        view = View(self._env, allowed.shape[-1])
        cost = np.where(view.medivac, view.of_slots(view.life), view.distance)
        target = np.where(allowed, cost, np.inf).argmin(-1)
        chosen = np.where(allowed.any(-1), FIRST_TARGET + target, _moves(view, mask[..., FIRST_MOVE:FIRST_TARGET]))
        return view.actions(chosen, observations.obs.device)


def _moves(view: View, legal: np.ndarray) -> np.ndarray:
    """[B, N]: of the ``legal`` moves [B, N, 4] the one that leads best to the nearest enemy in sight, or east; else stop."""
    agents, place = view.num_agents, np.stack([view.x, view.y], -1)
    offset = place[:, None, agents:] - place[:, :agents, None]  # [B, N, E, 2]
    distance = np.where(view.alive[:, None, agents:], np.hypot(offset[..., 0], offset[..., 1]), np.inf)
    nearest = np.take_along_axis(offset, distance.argmin(-1)[..., None, None], 2)[:, :, 0]
    heading = np.where((distance.min(-1) < SIGHT)[..., None], nearest, EAST)
    progress = np.where(legal, heading @ DIRECTIONS.T, -np.inf)
    return np.where(progress.max(-1) > 0, FIRST_MOVE + progress.argmax(-1), STOP)


def _mask(observations: Observations) -> np.ndarray:
    """Legal actions, bool [B, N, A]."""
    return cast(Tensor, observations.action_mask).cpu().numpy()


PLAYERS = {
    # SMAC's heuristic orders attacks beyond the action mask's range.
    "heuristic": ScriptedPlayer(lambda env, seed: Heuristic(cast(Battlefield, env)), {"shoot_range": EVERYWHERE}),
    "nearest": ScriptedPlayer(lambda env, seed: Nearest(cast(Battlefield, env))),
}
