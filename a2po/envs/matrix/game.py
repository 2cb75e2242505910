"""A repeated matrix game as a batched environment: the smallest one with masks and unequal agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.episodes import EpisodeTracker
from a2po.envs.protocol import EpisodeRecord, Observations, Step, TaskSpec
from a2po.errors import ActionError

ACTION_NAMES = "abcdefgh"


class MatrixGame:
    """Two agents choose at once; the table pays the team. An episode is ``length`` rounds and ends truly.

    Each agent sees the share of rounds played and a number drawn at the start of the episode, which says nothing.
    """

    def __init__(
        self, task: str, payoff: Sequence[Sequence[float]], num_envs: int, length: int, *, seed: int, device: torch.device
    ) -> None:
        self.num_envs, self.device = num_envs, device
        self._payoff = torch.tensor(payoff, dtype=torch.float32, device=device)
        sizes = tuple(self._payoff.shape)
        self.spec = TaskSpec(
            task=task,
            agents=("row", "column"),
            obs_sizes=(2, 2),
            state_size=2,
            state_per_agent=False,
            action_spaces=tuple(Discrete(size) for size in sizes),
            reward_per_agent=False,
            max_episode_steps=length,
            metrics=("best_rounds",),
            feature_names=(("rounds_played", "noise"),) * 2,
            action_names=tuple(tuple(ACTION_NAMES[:size]) for size in sizes),
            exact_state=True,
        )
        self._length = length
        self._legal = torch.arange(max(sizes), device=device) < torch.tensor(sizes, device=device)[:, None]  # [N, A]
        self._tracker = EpisodeTracker(num_envs, seed, self.spec.metrics)
        self._noise = np.zeros(num_envs, np.float32)

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] seeds of the running episodes."""
        return self._tracker.seeds.copy()

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """Start the next episode in every copy."""
        self._begin(np.arange(self.num_envs), seeds)
        return self._observe(None)

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """Pay the team, count the round, and begin again where an episode ended."""
        if self._tracker.episode[0] < 0:
            raise RuntimeError("call reset() before the first step()")
        if tuple(actions.shape) != (self.num_envs, 2) or actions.dtype != torch.int64:
            raise ActionError(f"actions must be int64 {[self.num_envs, 2]}, got {actions.dtype} {list(actions.shape)}")
        sizes = torch.tensor(self._payoff.shape, device=self.device)
        illegal = ((actions < 0) | (actions >= sizes)).nonzero()
        if len(illegal):
            copy, agent = illegal[0].tolist()
            raise ActionError(
                f"{self.spec.task}: action {int(actions[copy, agent])} of '{self.spec.agents[agent]}' in copy {copy} is not legal"
            )
        reward = self._pay(actions)
        self._tracker.add(reward.cpu().numpy().astype(np.float64))
        self._tracker.sums[0] += (reward == self._payoff.max()).cpu().numpy()
        ended = self._tracker.length >= self._length
        final = self._observe(None)
        copies = np.flatnonzero(ended)
        self._tracker.finish(copies, np.zeros(self.num_envs, bool))
        self._begin(copies, None)
        no = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        terminated = torch.from_numpy(ended).to(self.device)
        return Step(self._observe(out), reward, terminated, no, no.clone(), final)

    def drain_episodes(self) -> list[EpisodeRecord]:
        """Finished episodes since the last call."""
        return self._tracker.drain()

    def render(self, copy: int) -> np.ndarray:
        """The payoff table as a grey picture, the brighter the better."""
        table = self._payoff.cpu().numpy()
        shade = (255 * (table - table.min()) / (table.max() - table.min())).astype(np.uint8)
        return np.repeat(np.kron(shade, np.ones((32, 32), np.uint8))[..., None], 3, axis=2)

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"tracker": self._tracker.state_dict(), "noise": self._noise.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self._tracker.load_state_dict(state["tracker"])
        self._noise[...] = state["noise"]

    def close(self) -> None:
        """Nothing to free."""

    def _pay(self, actions: torch.Tensor) -> torch.Tensor:
        """[B] what the team gets for its actions [B, 2]."""
        return self._payoff[actions[:, 0], actions[:, 1]]

    def _begin(self, copies: np.ndarray, seeds: Sequence[int] | np.ndarray | None) -> None:
        for copy, seed in zip(copies, self._tracker.start(copies, seeds), strict=True):
            self._noise[copy] = np.random.default_rng(int(seed)).random(dtype=np.float32)

    def _observe(self, out: Observations | None) -> Observations:
        state = np.stack([self._tracker.length / self._length, self._noise], axis=1).astype(np.float32)  # [B, S]
        whole = torch.from_numpy(state).to(self.device)
        fresh = Observations(
            obs=whole.unsqueeze(1).expand(-1, 2, -1),
            state=whole,
            action_mask=self._legal.expand(self.num_envs, -1, -1),
            alive=torch.ones(self.num_envs, 2, dtype=torch.bool, device=self.device),
        )
        if out is None:
            return Observations(fresh.obs.contiguous(), fresh.state, self._legal.repeat(self.num_envs, 1, 1), fresh.alive)
        for slot, values in zip(out, fresh, strict=True):
            if slot is not None and values is not None:
                slot.copy_(values)
        return out
