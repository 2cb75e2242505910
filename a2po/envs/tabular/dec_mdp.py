"""A decision process of two states and two agents with two actions each, that goes on for ever and is cut by a step limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.protocol import TaskSpec
from a2po.envs.simple import SimpleEnv
from a2po.envs.tabular.chance import uniform
from a2po.envs.tabular.exact import DecMdp

TWO_STATES = DecMdp(
    transitions=np.array([[[[0.9, 0.1], [0.4, 0.6]], [[0.3, 0.7], [0.8, 0.2]]], [[[0.5, 0.5], [0.1, 0.9]], [[0.7, 0.3], [0.2, 0.8]]]]),
    rewards=np.array([[[1.0, 0.0], [0.0, 0.5]], [[-0.5, 0.2], [2.0, 0.0]]]),
    discount=0.9,
)
START = np.array([0.5, 0.5])
"""Probability of either state at the start of an episode."""


class TwoStateDecMdp(SimpleEnv):
    """Both agents see the state, one-hot. The discount is the algorithm's; the task only has a step limit."""

    saved: ClassVar[tuple[str, ...]] = ("states",)

    def __init__(self, task: str, num_envs: int, length: int, *, seed: int, device: torch.device) -> None:
        spec = TaskSpec(
            task=task,
            agents=("first", "second"),
            obs_sizes=(2, 2),
            state_size=2,
            state_per_agent=False,
            action_spaces=(Discrete(2), Discrete(2)),
            reward_per_agent=False,
            max_episode_steps=length,
            metrics=(),
            feature_names=(("state_0", "state_1"),) * 2,
            action_names=(("a", "b"),) * 2,
            exact_state=True,
        )
        self.states = np.zeros(num_envs, np.int64)
        self._legal = np.ones((num_envs, 2, 2), bool)
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin_all(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """Draw the first states."""
        self.states[copies] = uniform(seeds, 0) >= START[0]

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pay, and move on. It never ends by itself."""
        first, second = actions[:, 0], actions[:, 1]
        reward = TWO_STATES.rewards[self.states, first, second]
        self.states[:] = TWO_STATES.next_states(self.states, first, second, uniform(self.seeds, self.length + 1))
        return reward, np.zeros(self.num_envs, bool)

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The state, for everybody."""
        seen = np.eye(2, dtype=np.float32)[self.states]
        return np.repeat(seen[:, None], 2, axis=1), seen, self._legal

    def render(self, copy: int) -> np.ndarray:
        """Two squares, the state's own bright."""
        return squares(np.eye(2)[self.states[copy]])


def squares(values: np.ndarray | Sequence[Sequence[float]], side: int = 64) -> np.ndarray:
    """[rows * side, columns * side, 3] grey squares; values in [0, 1], [columns] or [rows, columns]."""
    shade = (255 * np.atleast_2d(np.asarray(values, float)).clip(0, 1)).astype(np.uint8)
    return np.repeat(np.kron(shade, np.ones((side, side), np.uint8))[..., None], 3, axis=2)
