"""Greedy evaluation during training, on episode seeds of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from a2po.config import TrainConfig
from a2po.envs.episodes import episode_seed
from a2po.envs.play import play
from a2po.envs.protocol import EpisodeRecord, Observations, VectorEnv
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import stream_seed
from a2po.training.runs import make_env


class TeamActor:
    """Plays a TeamPolicy and keeps its recurrent state per copy. The noise is None for greedy play."""

    def __init__(self, team: TeamPolicy, num_envs: int, device: torch.device, noise: torch.Generator | None = None) -> None:
        self.team, self.noise, self.device = team, noise, device
        self.state = team.initial_state(num_envs)

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions for all copies."""
        if begun is not None:
            self.state[:, begun.to(self.state.device)] = 0.0
        obs, mask = observations.obs.to(self.team.device), observations.action_mask
        chosen = self.team.act(obs, None if mask is None else mask.to(self.team.device), self.state, self.noise)
        self.state = chosen.state_out
        return chosen.actions.to(self.device)


def copies_at_once(config: TrainConfig) -> int:
    """How many episodes of a greedy evaluation play at a time: no more than in training, for each copy may take much memory."""
    return min(config.run.evaluation_episodes, config.env.num_envs)


class GreedyEvaluator:
    """``run.evaluation_episodes`` episodes, ``copies_at_once`` of them at a time.

    Their seeds are a fixed hash of (run seed, step, number of the episode).
    """

    def __init__(self, config: TrainConfig, team: TeamPolicy) -> None:
        self.config, self.team = config, team
        self._seed = stream_seed(config.seed, "evaluation")
        self._env: VectorEnv | None = None

    def evaluate(self, step: int, progress: Callable[[int], None] | None = None) -> list[EpisodeRecord]:
        """The episodes. ``progress`` is that of ``play``."""
        episodes = self.config.run.evaluation_episodes
        copies = copies_at_once(self.config)
        if self._env is None:
            self._env = make_env(self.config, copies, self._seed)
        records: list[EpisodeRecord] = []
        for first in range(0, episodes, copies):
            seeds = [episode_seed(self._seed, episode, step) for episode in range(first, first + copies)]
            actor = TeamActor(self.team, copies, self._env.device)
            told = None if progress is None else partial(_more, progress, first)
            records += play(self._env, actor, min(copies, episodes - first), seeds=seeds, progress=told)
        return [record for record in records if not record["invalid"]]

    def close(self) -> None:
        """Free the environment."""
        if self._env is not None:
            self._env.close()


def _more(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)
