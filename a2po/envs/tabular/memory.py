"""A task that only memory wins: a cue is seen once, and both agents must answer with it at the last step."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete

from a2po.envs.protocol import TaskSpec
from a2po.envs.simple import SimpleEnv
from a2po.envs.tabular.chance import uniform
from a2po.envs.tabular.dec_mdp import squares


class MemoryTask(SimpleEnv):
    """The team is paid 1 if both answers are the cue, else 0. Earlier actions are free.

    ``seen_by="both"``: both see the cue at the first step. ``"first"``: the first agent alone does; the second sees what the
    first did in the step before, so the first can tell it. The best joint policy with memory earns 1; without memory
    nobody does better than 1 / cues, as nothing at the last step tells the first agent which cue it was.
    """

    saved: ClassVar[tuple[str, ...]] = ("cue", "told")

    def __init__(self, task: str, num_envs: int, length: int, cues: int, seen_by: str, *, seed: int, device: torch.device) -> None:
        self._cues, self._both = cues, seen_by == "both"
        cue_names = tuple(f"cue_{index}" for index in range(cues))
        told_names = tuple(f"told_{index}" for index in range(cues))
        names = ((*cue_names, "answer_now"), (*(cue_names if self._both else told_names), "answer_now"))
        spec = TaskSpec(
            task=task,
            agents=("first", "second"),
            obs_sizes=(cues + 1, cues + 1),
            state_size=2 * cues + 1,
            state_per_agent=False,
            action_spaces=(Discrete(cues), Discrete(cues)),
            reward_per_agent=False,
            max_episode_steps=length,
            metrics=("right",),
            feature_names=names,
            action_names=(tuple(f"say_{index}" for index in range(cues)),) * 2,
            exact_state=True,
        )
        self.cue = np.zeros(num_envs, np.int64)
        self.told = np.full(num_envs, cues, np.int64)  # what the first agent did last; ``cues`` before it has done anything
        self._one_hot = np.eye(cues + 1, cues, dtype=np.float32)  # the last row is zeros
        self._legal = np.ones((num_envs, 2, cues), bool)
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin_all(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """Draw the cues."""
        self.cue[copies] = uniform(seeds, 0) * self._cues
        self.told[copies] = self._cues

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Only the last step pays."""
        self.told[:] = actions[:, 0]
        last = self.length + 1 >= self.spec.max_episode_steps
        right = last & (actions == self.cue[:, None]).all(axis=1)
        self.counts["right"] += right
        return right.astype(np.float32), last

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The cue at the first step, and a flag at the last; the state is what can be seen now, and the time."""
        begun = self.length == 0
        last = (self.length == self.spec.max_episode_steps - 1).astype(np.float32)[:, None]
        cue = self._one_hot[np.where(begun, self.cue, self._cues)]
        told = self._one_hot[self.told]
        seen = np.stack([np.hstack([cue, last]), np.hstack([cue if self._both else told, last])], axis=1)
        time = (self.length / self.spec.max_episode_steps).astype(np.float32)[:, None]
        return seen, np.hstack([cue, told, time]), self._legal

    def render(self, copy: int) -> np.ndarray:
        """Above the cue, below what the first agent said last."""
        return squares(np.stack([self._one_hot[self.cue[copy]], self._one_hot[self.told[copy]]]))
