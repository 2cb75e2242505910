"""An exported team, a part of one, or several players together at an environment's table: tensors in, actions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from a2po.envs.play import Act, playable
from a2po.envs.protocol import Observations, TaskSpec
from a2po.runtime.team import Team

Noise = Callable[[int], np.ndarray]
"""Copies B -> noise [B, N, A] for all agents of the task."""


def seat_noise(spec: TaskSpec, seed: int) -> Noise:
    """Every agent of the task has its own part of one stream, whoever plays it and however bundles fold and split their agents.

    So the noise of two agents is never the same, even of two bundles that are given the same seed.
    """
    stream = np.random.default_rng(seed)
    draw = stream.random if spec.discrete else stream.standard_normal
    return lambda copies: draw((copies, len(spec.agents), spec.max_action_size), dtype=np.float32)


class BundlePlayer:
    """Plays a bundle's actors. The noise is None for greedy play."""

    def __init__(self, team: Team, device: torch.device, noise: Noise | None = None) -> None:
        self.team, self.device, self.noise = team, device, noise
        team.reset()

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N] or float32 [B, N, A]; ``begun`` [B] says whose episode has just begun."""
        if begun is not None:
            self.team.reset(begun.cpu().numpy())
        mask = playable(observations)
        obs = observations.obs.cpu().numpy()
        noise = None if self.noise is None else self.noise(len(obs))
        return torch.from_numpy(self.actions(obs, None if mask is None else mask.cpu().numpy(), noise)).to(self.device)

    def actions(self, obs: np.ndarray, action_mask: np.ndarray | None, noise: np.ndarray | None) -> np.ndarray:
        """The same for obs [B, N, O], masks [B, N, A] or None and noise [B, N, A] or None."""
        chosen: np.ndarray = self.team.act(obs, action_mask, noise=noise)
        return chosen


class PartPlayer(BundlePlayer):
    """Plays a bundle's actors for some agents of a task that may have others besides; the rows of the others are zeros."""

    def __init__(self, team: Team, agents: Sequence[str], spec: TaskSpec, device: torch.device, noise: Noise | None = None) -> None:
        super().__init__(team, device, noise)
        self.spec, self.rows = spec, {name: spec.agents.index(name) for name in agents}

    def actions(self, obs: np.ndarray, action_mask: np.ndarray | None, noise: np.ndarray | None) -> np.ndarray:
        """Every agent gets its rows at its real sizes."""
        sizes, widths = self.spec.action_sizes, self.spec.obs_sizes
        own, legal, drawn = (
            None if values is None else {name: values[:, row, : real[row]] for name, row in self.rows.items()}
            for values, real in ((obs, widths), (action_mask, sizes), (noise, sizes))
        )
        chosen = self.team.act(own, legal, noise=drawn)
        if self.spec.discrete:
            actions = np.zeros(obs.shape[:2], np.int64)
            for name, row in self.rows.items():
                actions[:, row] = chosen[name]
        else:
            actions = np.zeros((*obs.shape[:2], self.spec.max_action_size), np.float32)
            for name, row in self.rows.items():
                actions[:, row, : sizes[row]] = chosen[name]
        return actions


class MixedPlayer:
    """Several players at one table, each with the rows of its agents; the rows of all of them are the task's.

    Everybody plays as if alone, with a memory of its own and the noise of its seat, and the actions of its own rows count. So an
    agent does beside strangers what it would do in its team, on the same observations and with the same seed.
    """

    def __init__(self, players: Sequence[tuple[Act, Sequence[int]]]) -> None:
        self.players = players

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N] or float32 [B, N, A]."""
        mixed: Tensor | None = None
        for act, rows in self.players:
            actions = act(observations, begun)
            if mixed is None:
                mixed = actions.clone()
            mixed[:, list(rows)] = actions[:, list(rows)]
        assert mixed is not None
        return mixed
