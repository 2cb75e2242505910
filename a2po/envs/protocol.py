"""The contract of an environment: what every family of tasks offers to training, evaluation and export.

Letters in shapes: B copies of one task, N agents, O the widest observation, S the state, A the widest action
(continuous) or the largest number of actions (discrete). Floats are float32 and live on ``env.device``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

ActionSpace = Box | Discrete
EpisodeRecord = dict[str, Any]


@dataclass(frozen=True)
class TaskSpec:
    """What a task looks like from outside. Sizes are the real ones; tensors are padded to the widest agent."""

    task: str
    agents: tuple[str, ...]
    obs_sizes: tuple[int, ...]
    state_size: int
    state_per_agent: bool
    action_spaces: tuple[ActionSpace, ...]
    reward_per_agent: bool
    max_episode_steps: int
    metrics: tuple[str, ...]
    feature_names: tuple[tuple[str, ...], ...]
    action_names: tuple[tuple[str, ...], ...]
    exact_state: bool
    observes_ids: bool = False
    """Observations, and states where every agent has its own, tell which agent it is: shared networks need no other id."""

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def discrete(self) -> bool:
        """True if the agents choose one of several actions, False if they set continuous controls."""
        return isinstance(self.action_spaces[0], Discrete)

    @cached_property
    def action_sizes(self) -> tuple[int, ...]:
        """Per agent: the number of actions (discrete) or of controls (continuous)."""
        return tuple(int(space.n) if isinstance(space, Discrete) else int(np.prod(space.shape)) for space in self.action_spaces)

    @property
    def max_obs_size(self) -> int:
        """O, the width that observations are padded to."""
        return max(self.obs_sizes)

    @property
    def max_action_size(self) -> int:
        """A, the width that actions and action masks are padded to."""
        return max(self.action_sizes)


class Observations(NamedTuple):
    """What the agents and the critic see."""

    obs: torch.Tensor  # [B, N, O]
    state: torch.Tensor  # [B, S] or [B, N, S]
    action_mask: torch.Tensor | None  # [B, N, A] bool, True where legal; None for continuous actions
    alive: torch.Tensor  # [B, N] bool


class Step(NamedTuple):
    """The result of one step of all copies. Copies whose episode ended have been reset already."""

    observations: Observations
    reward: torch.Tensor  # [B] or [B, N]
    terminated: torch.Tensor  # [B] bool: a true end, nothing follows
    truncated: torch.Tensor  # [B] bool: cut by the step limit, bootstrap from ``final``
    invalid: torch.Tensor  # [B] bool: a fault ended the episode, drop it
    final: Observations  # true successors where an episode ended; other rows are unspecified


@runtime_checkable
class VectorEnv(Protocol):
    """B copies of one task that step together and reset themselves."""

    spec: TaskSpec
    num_envs: int
    device: torch.device

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] int64: the seeds of the running episodes; ``reset(seeds=...)`` replays them."""
        ...

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """Start the next episode in every copy, with the given episode seeds or with the copies' own next ones."""
        ...

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """Play one step. ``actions``: int64 [B, N] or float32 [B, N, A] in the environment's own units.

        The next observations are written into ``out`` where it is given; else the result is valid until the next step.

        Raises:
            ActionError: an action is not finite or not legal.
        """
        ...

    def drain_episodes(self) -> list[EpisodeRecord]:
        """The episodes that ended since the last call: copy, seed, length, return, invalid and the task's metrics."""
        ...

    def render(self, copy: int) -> np.ndarray:
        """A picture of one copy: uint8 [H, W, 3].

        Videos also use two attributes where an environment has them: ``render_size``, the (width, height) of its pictures,
        which can be set, and ``step_seconds``, the time that one step stands for. Where much happens within a step, an environment
        can have ``render_step(copy, actions, count)``, which gives ``count`` pictures from now on through the step that these
        actions will make, without making it, and ``pictures_per_step``, the most that make sense; videos then take them.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on: tensors, arrays, numbers, strings, lists and dicts of them.

        Two runs that are the same have the same state, bit for bit, but for the keys that an environment names in an attribute
        ``opaque_state``: there an engine's bytes hold more than its state.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; the next step continues bit for bit where ``spec.exact_state`` is True."""
        ...

    def close(self) -> None:
        """Free threads and memory. Harmless when called twice."""
        ...
