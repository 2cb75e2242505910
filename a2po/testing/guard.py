"""GuardedEnv: every call of an environment under test, so that whatever it raises or returns becomes one message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from a2po.envs.protocol import EpisodeRecord, Observations, Step, TaskSpec, VectorEnv
from a2po.errors import foreign
from a2po.testing.broken import Broken
from a2po.testing.spec import check_spec

METHODS = ("reset", "step", "drain_episodes", "render", "state_dict", "load_state_dict", "close")
LETTERS = {"B": "copies", "N": "agents", "O": "the widest observation", "S": "the state", "A": "the widest action"}


class GuardedEnv:
    """An environment whose calls raise ``Broken`` alone, and whose results have the shapes, dtypes and device of the contract."""

    def __init__(self, env: VectorEnv, num_envs: int) -> None:
        self._env, self.num_envs, self.time = env, num_envs, 0
        missing = [name for name in METHODS if not callable(getattr(env, name, None))]
        if missing:
            methods = " and ".join(f"{name}()" for name in missing)
            raise Broken("interface", "the environment", f"a {type(env).__name__} without {methods}", "See a2po.envs.VectorEnv")
        self.spec: TaskSpec = self._read("spec")
        check_spec(self.spec)
        self.device: torch.device = self._read("device")
        if not isinstance(self.device, torch.device):
            raise Broken("interface", "env.device", f"is {self.device!r}", "It must be the torch.device that the factory was given")
        if self._read("num_envs") != num_envs:
            raise Broken("interface", "env.num_envs", f"is {self._read('num_envs')!r}, not {num_envs}", "Build as many copies as asked for")

        self.opaque_state: tuple[str, ...] = tuple(getattr(env, "opaque_state", ()))

    def _read(self, name: str) -> Any:
        try:
            return getattr(self._env, name)
        except (Exception, SystemExit) as error:
            raise Broken("interface", f"env.{name}", f"cannot be read: {foreign(error)}", "See a2po.envs.VectorEnv") from error

    def _call(self, name: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self._env, name)(*arguments, **named)
        except (Exception, SystemExit) as error:
            where = f"step {self.time}" if name == "step" else f"{name}() after {self.time} steps" if self.time else f"{name}()"
            raise Broken("calls", where, f"raised {foreign(error)}", "Nothing legal may raise") from error

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] whole numbers."""
        seeds = self._read("episode_seeds")
        if not isinstance(seeds, np.ndarray) or seeds.shape != (self.num_envs,) or not np.issubdtype(seeds.dtype, np.integer):
            described = f"{seeds.dtype} {list(seeds.shape)}" if isinstance(seeds, np.ndarray) else repr(seeds)
            raise Broken(
                "interface", "env.episode_seeds", f"is {described}", f"It must be an int64 array [{self.num_envs}], a seed per copy"
            )
        return seeds.copy()

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """See ``VectorEnv.reset``."""
        self.time = 0
        observations = self._call("reset", *(() if seeds is None else (seeds,)))
        self._check_observations(observations, "reset()")
        return observations  # type: ignore[no-any-return]

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """See ``VectorEnv.step``."""
        self.time += 1
        where = f"step {self.time}"
        step = self._call("step", actions, **({} if out is None else {"out": out}))
        if not isinstance(step, Step):
            raise Broken("shapes", where, f"step() gave {_kind(step)}", "Return a2po.envs.Step(...) with all six fields")
        self._check_observations(step.observations, where)
        self._check_observations(step.final, f"{where}, final")
        self._check_tensor("reward", step.reward, "BN" if self.spec.reward_per_agent else "B", torch.float32, where)
        for name in ("terminated", "truncated", "invalid"):
            self._check_tensor(name, getattr(step, name), "B", torch.bool, where)
        return step

    def drain_episodes(self) -> list[EpisodeRecord]:
        """See ``VectorEnv.drain_episodes``."""
        records = self._call("drain_episodes")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise Broken("episodes", f"drain_episodes() after step {self.time}", f"gave {_kind(records)}", "It must be a list of dicts")
        return records

    def render(self, copy: int) -> Any:
        """See ``VectorEnv.render``."""
        return self._call("render", copy)

    def state_dict(self) -> Any:
        """See ``VectorEnv.state_dict``."""
        saved = self._call("state_dict")
        if not isinstance(saved, dict):
            raise Broken("state", "state_dict()", f"gave {_kind(saved)}", "It must be a dict")
        return saved

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``VectorEnv.load_state_dict``."""
        self._call("load_state_dict", state)

    def close(self) -> None:
        """See ``VectorEnv.close``."""
        self._call("close")

    def _check_observations(self, observations: Any, where: str) -> None:
        if not isinstance(observations, Observations):
            raise Broken("shapes", where, f"{_kind(observations)} in place of observations", "Give a2po.envs.Observations(...)")
        self._check_tensor("obs", observations.obs, "BNO", torch.float32, where)
        self._check_tensor("state", observations.state, "BNS" if self.spec.state_per_agent else "BS", torch.float32, where)
        self._check_tensor("alive", observations.alive, "BN", torch.bool, where)
        if self.spec.discrete:
            self._check_tensor("action_mask", observations.action_mask, "BNA", torch.bool, where)
        elif observations.action_mask is not None:
            raise Broken("shapes", f"{where}: action_mask", "is given although the actions are continuous", "It must be None")

    def _check_tensor(self, name: str, value: Any, letters: str, dtype: torch.dtype, where: str) -> None:
        spec, where = self.spec, f"{where}: {name}"
        sizes = {"B": self.num_envs, "N": spec.num_agents, "O": spec.max_obs_size, "S": spec.state_size, "A": spec.max_action_size}
        shape = [sizes[letter] for letter in letters]
        wanted = f"{_name(dtype)} [{', '.join(letters)}] = {shape}"
        if not isinstance(value, torch.Tensor):
            raise Broken("shapes", where, f"is {_kind(value)}", f"It must be a torch tensor, {wanted}")
        if list(value.shape) != shape:
            raise Broken(
                "shapes",
                where,
                f"has the shape {list(value.shape)}, not {shape}",
                f"It must be {wanted} ({', '.join(f'{letter} {LETTERS[letter]}' for letter in letters)})",
            )
        if value.dtype != dtype:
            raise Broken("shapes", where, f"is {_name(value.dtype)}, not {_name(dtype)}", f"Convert it: .to(torch.{_name(dtype)})")
        if value.device.type != self.device.type:
            raise Broken("shapes", where, f"is on {value.device}, not on {self.device}", "Every tensor lives on the factory's device")


def place(spec: TaskSpec, field: str, wrong: torch.Tensor) -> str:
    """The first True of a field's flags in words: ``obs of copy 0, agent 'b', feature 'x'``."""
    index: list[int] = wrong.nonzero()[0].tolist()
    words = [f"copy {index[0]}"]
    per_agent = (
        field in ("obs", "action_mask", "alive") or (field == "state" and spec.state_per_agent) or (field == "reward" and len(index) == 2)
    )
    if per_agent:
        words.append(f"agent '{spec.agents[index[1]]}'")
    names = {"obs": ("feature", spec.feature_names), "action_mask": ("action", spec.action_names)}
    if field in names:
        kind, known = names[field]
        own, last = known[index[1]], index[2]
        words.append(f"{kind} '{own[last]}'" if last < len(own) else f"{kind} {last} (padding)")
    elif field == "state":
        words.append(f"entry {index[-1]}")
    return f"{field} of {', '.join(words)}"


def number(value: float) -> str:
    """A number of a message, short."""
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
