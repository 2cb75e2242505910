"""What gfootball's own Python uses of ``gym``, in the form of gym 0.21, for the moment in which gfootball is imported.

gym is no longer maintained, and from 0.26 on its wrappers have another form than gfootball's. Nothing here is found under the name ``gym``
by anybody else: see ``stock``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


class Env:
    """An environment whose ``step`` returns observation, reward, done and info."""

    metadata: dict[str, Any] = {}  # noqa: RUF012 - as in gym
    action_space: Any = None
    observation_space: Any = None

    @property
    def unwrapped(self) -> Any:
        """Itself."""
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *reasons: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to do."""


class Wrapper(Env):
    """Passes on to ``env`` what it does not do itself."""

    def __init__(self, env: Any) -> None:
        self.env, self.action_space, self.observation_space = env, env.action_space, env.observation_space

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not there yet: unpickled, or __init__ failed
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def unwrapped(self) -> Any:
        """The environment inside all wrappers."""
        return self.env.unwrapped

    def reset(self, **given: Any) -> Any:
        """Begin an episode."""
        return self.env.reset(**given)

    def step(self, action: Any) -> Any:
        """Play one step."""
        return self.env.step(action)

    def render(self, *given: Any, **named: Any) -> Any:
        """Draw."""
        return self.env.render(*given, **named)

    def close(self) -> None:
        """Close ``env``."""
        self.env.close()


class ObservationWrapper(Wrapper):
    """Shows ``observation(observation)``."""

    def reset(self, **given: Any) -> Any:
        """Begin an episode."""
        return self.observation(self.env.reset(**given))

    def step(self, action: Any) -> Any:
        """Play one step."""
        observation, *rest = self.env.step(action)
        return (self.observation(observation), *rest)


class RewardWrapper(Wrapper):
    """Pays ``reward(reward)``."""

    def step(self, action: Any) -> Any:
        """Play one step."""
        observation, reward, done, info = self.env.step(action)
        return observation, self.reward(reward), done, info


class Discrete:
    """Whole numbers below ``n``."""

    def __init__(self, n: int) -> None:
        self.n, self.shape, self.dtype = n, (), np.dtype(np.int64)

    def sample(self) -> int:
        """Any of them."""
        return int(np.random.randint(self.n))

    def contains(self, action: Any) -> bool:
        """It is one of them."""
        return 0 <= int(action) < self.n


class MultiDiscrete:
    """One whole number for each of ``nvec``, below it."""

    def __init__(self, nvec: Any) -> None:
        self.nvec = np.asarray(nvec, np.int64)
        self.shape, self.dtype = self.nvec.shape, self.nvec.dtype

    def __len__(self) -> int:
        return len(self.nvec)

    def __getitem__(self, index: int) -> Discrete:
        return Discrete(int(self.nvec[index]))

    def sample(self) -> np.ndarray:
        """Any of them."""
        return np.random.randint(self.nvec)

    def contains(self, actions: Any) -> bool:
        """They are of them."""
        return np.shape(actions) == self.shape and bool((np.asarray(actions) >= 0).all() and (np.asarray(actions) < self.nvec).all())


class Box:
    """Arrays from ``low`` to ``high``."""

    def __init__(self, low: Any, high: Any, shape: tuple[int, ...] | None = None, dtype: Any = np.float32) -> None:
        self.shape, self.dtype = np.shape(low) if shape is None else tuple(shape), np.dtype(dtype)
        self.low, self.high = (np.broadcast_to(bound, self.shape).astype(dtype) for bound in (low, high))

    def contains(self, values: Any) -> bool:
        """They are within."""
        return np.shape(values) == self.shape and bool((values >= self.low).all() and (values <= self.high).all())


def modules() -> dict[str, ModuleType]:
    """Everything above as the modules that gfootball imports, by name."""
    gym, spaces, envs, registration = (ModuleType(name) for name in ("gym", "gym.spaces", "gym.envs", "gym.envs.registration"))
    vars(spaces).update(Discrete=Discrete, MultiDiscrete=MultiDiscrete, Box=Box)
    vars(registration).update(register=lambda **entry: None)
    vars(envs).update(registration=registration)
    vars(gym).update(Env=Env, Wrapper=Wrapper, ObservationWrapper=ObservationWrapper, RewardWrapper=RewardWrapper, spaces=spaces, envs=envs)
    return {module.__name__: module for module in (gym, spaces, envs, registration)}
