"""What a PettingZoo game looks like from outside: agents, spaces and sizes, and how its values become flat numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from a2po.envs.protocol import ActionSpace
from a2po.errors import TaskError

OBSERVATION, MASK = "observation", "action_mask"


@dataclass(frozen=True)
class Layout:
    """Agents in their fixed order, with the space of what each sees (without a mask) and does."""

    task: str
    agents: tuple[str, ...]
    seen: tuple[spaces.Space[Any], ...]
    done: tuple[spaces.Discrete | spaces.Box, ...]

    @cached_property
    def obs_sizes(self) -> tuple[int, ...]:
        """Per agent: the length of its flat observation."""
        return tuple(spaces.flatdim(space) for space in self.seen)

    @cached_property
    def action_spaces(self) -> tuple[ActionSpace, ...]:
        """The contract's form of the agents' spaces: Discrete from 0, or a flat Box."""
        return tuple(
            spaces.Discrete(int(space.n))
            if isinstance(space, spaces.Discrete)
            else spaces.Box(space.low.reshape(-1).astype(np.float32), space.high.reshape(-1).astype(np.float32), dtype=np.float32)
            for space in self.done
        )

    @cached_property
    def action_sizes(self) -> tuple[int, ...]:
        """Per agent: the number of actions, or of controls."""
        return tuple(int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape)) for space in self.done)

    @property
    def discrete(self) -> bool:
        """True if the agents choose one of several actions."""
        return isinstance(self.done[0], spaces.Discrete)

    def flat(self, agent: int, observation: Any) -> np.ndarray:
        """[obs_sizes[agent]] what an agent sees; numbers in a row, choices one-hot."""
        if isinstance(observation, Mapping) and OBSERVATION in observation and MASK in observation:
            observation = observation[OBSERVATION]
        space = self.seen[agent]
        if isinstance(space, spaces.Box):
            return np.asarray(observation, np.float32).reshape(-1)
        return np.asarray(spaces.flatten(space, observation), np.float32)

    def native(self, agent: int, action: Any) -> Any:
        """An action of the contract in the game's own form."""
        space = self.done[agent]
        if isinstance(space, spaces.Discrete):
            return int(action + space.start)
        return np.asarray(action[: self.action_sizes[agent]], space.dtype).reshape(space.shape)


def read_layout(task: str, env: Any) -> Layout:
    """The layout of a game.

    Raises:
        TaskError: its agents are not known beforehand, or a space has no form in the contract.
    """
    names = getattr(env, "possible_agents", None)
    if not names:
        raise TaskError(f"{task}: the game does not say who can take part (possible_agents), so there is nobody to train")
    seen = tuple(_without_mask(env.observation_space(name)) for name in names)
    done = tuple(_usable(task, str(name), env.action_space(name)) for name in names)
    if len({isinstance(space, spaces.Discrete) for space in done}) > 1:
        raise TaskError(f"{task}: some agents have discrete actions and some continuous ones; all must be of one kind")
    return Layout(task, tuple(names), seen, done)


def _without_mask(space: spaces.Space[Any]) -> spaces.Space[Any]:
    if isinstance(space, spaces.Dict) and OBSERVATION in space.spaces and MASK in space.spaces:
        return space[OBSERVATION]
    return space


def _usable(task: str, agent: str, space: spaces.Space[Any]) -> spaces.Discrete | spaces.Box:
    if isinstance(space, spaces.Discrete):
        return space
    if not isinstance(space, spaces.Box):
        raise TaskError(f"{task}: the actions of agent '{agent}' are {space}; only Discrete and Box can be trained")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all() and space.low.size):
        raise TaskError(f"{task}: the actions of agent '{agent}' are {space}; continuous controls need finite bounds")
    return space
