"""One running PettingZoo game, its values as flat padded arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from a2po.envs.pettingzoo.layout import MASK, Layout
from a2po.errors import EnvironmentFailed, foreign

SEEDS = 2**32
"""Episode seeds are cut to what ``numpy.random.seed`` takes as well."""


class Game:
    """One copy. ``reset`` and ``step`` fill the arrays.

    An agent that leaves while others play on is dead: zeros from then on. Those with whom the episode ends are shown as
    they were last seen, but for agents that terminated in the very step that cuts the others: nothing follows for them.
    """

    def __init__(self, env: Any, layout: Layout, *, own_state: bool, limit: int | None) -> None:
        self.env, self.layout, self.limit, self.own_state = env, layout, limit, own_state
        count, widest = len(layout.agents), max(layout.action_sizes)
        self.obs = np.zeros((count, max(layout.obs_sizes)), np.float32)  # [N, O]
        self.alive = np.zeros(count, bool)  # [N]
        self.reward = np.zeros(count, np.float64)  # [N]
        self.mask = np.arange(widest) < np.array(layout.action_sizes)[:, None]  # [N, A]
        self._own_actions = self.mask.copy()
        self.terminated = self.truncated = False
        self.length = 0
        self._last_state = np.zeros(sum(layout.obs_sizes), np.float32)

    def reset(self, seed: int) -> None:
        """Begin the episode of a seed."""
        with self._calling("reset()"):
            given = self.env.reset(seed=int(seed % SEEDS))
        with self._reading("reset()"):
            if not isinstance(given, tuple):
                raise TypeError("reset() must give two things, observations and infos")
            observations, infos = given
            self._show(observations, infos, set(self.env.agents))
        self.length, self.terminated, self.truncated = 0, False, False
        self.reward[:] = 0.0

    def step(self, actions: np.ndarray) -> None:
        """Play one step. ``actions``: [N] or [N, A] in the contract's form; those of dead agents are not looked at."""
        before, agents = set(self.env.agents), self.layout.agents
        chosen = {name: self.layout.native(index, actions[index]) for index, name in enumerate(agents) if name in before}
        self.length += 1
        with self._calling(f"step {self.length}"):
            given = self.env.step(chosen)
        with self._reading(f"step {self.length}"):
            observations, rewards, terminations, truncations, infos = given
            self.reward[:] = [float(rewards.get(name, 0.0)) for name in agents]
            # Some games leave those in their list whose end they have told.
            left = {name for name in self.env.agents if not (terminations.get(name) or truncations.get(name))}
            if left:
                self._show(observations, infos, left)
            else:
                self._end(observations, infos, terminations, truncations)

    def state(self) -> np.ndarray:
        """[S] of everything: the game's own, or all observations in a row."""
        if not self.own_state:
            return np.concatenate([row[:size] for row, size in zip(self.obs, self.layout.obs_sizes, strict=True)])
        try:
            self._last_state = np.asarray(self.env.state(), np.float32).reshape(-1)
        except Exception as error:
            if not (self.terminated or self.truncated):
                mend = "in state(): env.options.state=observations does without"
                raise EnvironmentFailed(f"the environment '{self.layout.task}' raised {foreign(error)} {mend}") from error
            # A game that is over may have cleared away what it would look at: then the last state that could be seen stands.
        return self._last_state

    def _end(self, observations: Any, infos: Any, terminations: Mapping[str, bool], truncations: Mapping[str, bool]) -> None:
        over = {name for name, value in terminations.items() if value}
        cut = {name for name, value in truncations.items() if value} - over
        # Some games report their own step limit as an end, without ever a truncation: at that step it is one all the same.
        merged = self.length == self.limit and not any(truncations.values())
        self.truncated = bool(cut) or merged
        self.terminated = not self.truncated
        self._show(observations, infos, cut or set(observations).intersection(self.layout.agents))

    def _show(self, observations: Mapping[str, Any], infos: Mapping[str, Any], living: set[str]) -> None:
        if not living.issubset(self.layout.agents):
            raise ValueError(f"{_names(living.difference(self.layout.agents))} takes part, and is not in possible_agents")
        if not living.issubset(observations):
            raise ValueError(f"no observation of {_names(living.difference(observations))}")
        for index, name in enumerate(self.layout.agents):
            self.alive[index] = name in living
            self.obs[index] = 0.0
            self.mask[index] = self._own_actions[index]
            if name in living:
                seen = observations[name]
                size = self.layout.obs_sizes[index]
                self.obs[index, :size] = _sized(self.layout.flat(index, seen), size, "observation", name)
                mask = _mask(seen, infos.get(name))
                if mask is not None and self.layout.discrete:
                    self.mask[index, : self.layout.action_sizes[index]] = _sized(mask, self.layout.action_sizes[index], "mask", name)

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            raise EnvironmentFailed(f"the environment '{self.layout.task}' raised {foreign(error)} in {what}") from error

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise EnvironmentFailed(
                f"what the environment '{self.layout.task}' gave in {what} is not PettingZoo's form ({said})"
            ) from error


def _names(agents: set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(map(str, agents)))


def _sized(values: np.ndarray, size: int, what: str, agent: str) -> np.ndarray:
    """The values, as many as there must be: numpy would stretch a single one."""
    if len(values) != size:
        raise ValueError(f"the {what} of '{agent}' has {len(values)} numbers, its space {size}")
    return values


def _mask(observation: Any, info: Any) -> np.ndarray | None:
    """[actions] bool, from where PettingZoo's games put it: the observation or the info."""
    for place in (observation, info):
        if isinstance(place, Mapping) and MASK in place:
            return np.asarray(place[MASK], bool).reshape(-1)
    return None
