"""A repeated matrix game as a batched environment: the smallest one with masks and unequal agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.protocol import TaskSpec
from a2po.envs.simple import SimpleEnv

ACTION_NAMES = "abcdefgh"


class MatrixGame(SimpleEnv):
    """Two agents choose at once; the table pays the team. An episode is ``length`` rounds and ends truly.

    Each agent sees the share of rounds played and a number drawn at the start of the episode, which says nothing.
    """

    saved: ClassVar[tuple[str, ...]] = ("noise",)

    def __init__(
        self, task: str, payoff: Sequence[Sequence[float]], num_envs: int, length: int, *, seed: int, device: torch.device
    ) -> None:
        self._payoff = np.array(payoff, np.float32)
        sizes = self._payoff.shape
        spec = TaskSpec(
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
        self._legal = np.tile(np.arange(max(sizes)) < np.array(sizes)[:, None], (num_envs, 1, 1))  # [B, N, A]
        self.noise = np.zeros(num_envs, np.float32)
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """Draw the number that says nothing."""
        self.noise[copy] = random.random(dtype=np.float32)

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pay the team; the last round ends the episode."""
        reward = self._payoff[actions[:, 0], actions[:, 1]]
        self.counts["best_rounds"] += reward == self._payoff.max()
        return reward, self.length + 1 >= self.spec.max_episode_steps

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The state, for both agents; every action of an agent's own is legal."""
        state = np.stack([self.length / self.spec.max_episode_steps, self.noise], axis=1).astype(np.float32)  # [B, S]
        return np.repeat(state[:, None], 2, axis=1), state, self._legal

    def render(self, copy: int) -> np.ndarray:
        """The payoff table as a grey picture, the brighter the better."""
        table = self._payoff
        shade = (255 * (table - table.min()) / (table.max() - table.min())).astype(np.uint8)
        return np.repeat(np.kron(shade, np.ones((32, 32), np.uint8))[..., None], 3, axis=2)
