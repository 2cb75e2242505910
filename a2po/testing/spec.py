"""The rule ``spec``: what a task says about itself fits together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from a2po.envs.protocol import TaskSpec
from a2po.testing.broken import Broken

RECORD_KEYS = ("copy", "seed", "length", "return", "invalid")
"""What every finished episode's record has; the task's metrics come besides."""


def check_spec(spec: Any) -> None:
    """Types, lengths, names and spaces of a spec.

    Raises:
        Broken: naming the first field that is wrong.
    """
    if not isinstance(spec, TaskSpec):
        raise Broken("spec", "env.spec", f"is {_kind(spec)}", "It must be an a2po.envs.TaskSpec")
    _fields(spec)
    for name in ("agents", "metrics"):
        _names(name, getattr(spec, name))
    clash = [name for name in spec.metrics if name in RECORD_KEYS]
    if clash:
        raise _wrong("metrics", f"'{clash[0]}' is the name of what every record has already", "Choose another name")
    for name in ("obs_sizes", "action_spaces", "feature_names", "action_names"):
        _length(name, getattr(spec, name), spec.num_agents, "one per agent")
    for agent, size in enumerate(spec.obs_sizes):
        if not _whole(size):
            raise _wrong(f"obs_sizes[{agent}]", f"is {size!r}", "It must be a whole number of at least 1")
    kinds = {type(space).__name__ for space in spec.action_spaces}
    if len(kinds) > 1:
        raise _wrong("action_spaces", f"mixes {' and '.join(sorted(kinds))}", "All agents must have Discrete, or all Box")
    for agent, space in enumerate(spec.action_spaces):
        _space(f"action_spaces[{agent}] of agent '{spec.agents[agent]}'", space)
    for name, sizes in (("feature_names", spec.obs_sizes), ("action_names", spec.action_sizes)):
        for agent, size in enumerate(sizes):
            where = f"{name}[{agent}] of agent '{spec.agents[agent]}'"
            _names(where, getattr(spec, name)[agent])
            of = "obs_sizes" if name == "feature_names" else "action_spaces"
            _length(where, getattr(spec, name)[agent], size, f"as {of}[{agent}] says")


def _fields(spec: TaskSpec) -> None:
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "task": (lambda value: isinstance(value, str) and bool(value), "a text"),
        "state_size": (_whole, "a whole number of at least 1"),
        "max_episode_steps": (_whole, "a whole number of at least 1"),
        **{
            name: (lambda value: isinstance(value, bool), "True or False")
            for name in ("state_per_agent", "reward_per_agent", "exact_state", "observes_ids")
        },
        **{name: (_sequence, "a tuple") for name in ("agents", "metrics", "obs_sizes", "action_spaces", "feature_names", "action_names")},
    }
    for name, (good, wanted) in checks.items():
        value = getattr(spec, name)
        if not good(value):
            raise _wrong(name, f"is {value!r}", f"It must be {wanted}")
    if not spec.agents:
        raise _wrong("agents", "is empty", "A task has at least one agent")


def _space(where: str, space: Any) -> None:
    if not isinstance(space, (Discrete, Box)):
        raise _wrong(where, f"is {_kind(space)}", "It must be a gymnasium Discrete or Box")
    if isinstance(space, Discrete):
        if space.start != 0:
            raise _wrong(where, f"starts at {space.start}", "Actions are counted from 0: Discrete(n), and shift them inside of step()")
        return
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    if not low.size:
        raise _wrong(where, f"has the shape {list(space.shape)}, which holds no control", "Give it at least one")
    unbounded = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))
    if unbounded.size:
        control = unbounded[0]
        raise _wrong(
            where, f"is unbounded: control {control} in [{low[control]}, {high[control]}]", "Actors scale to bounds: give finite ones"
        )
    empty = np.flatnonzero(low >= high)
    if empty.size:
        raise _wrong(where, f"is empty: control {empty[0]} in [{low[empty[0]]}, {high[empty[0]]}]", "Its low must be below its high")


def _names(where: str, names: Any) -> None:
    if not _sequence(names):
        raise _wrong(where, f"is {names!r}", "It must be a tuple of names")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise _wrong(where, f"entry {index} is {name!r}", "Names are texts that are not empty")
        if name in names[:index]:
            raise _wrong(where, f"'{name}' stands there twice", "Give each its own name")


def _length(where: str, values: Sequence[Any], wanted: int, why: str) -> None:
    if len(values) != wanted:
        raise _wrong(where, f"has {len(values)} entries, not {wanted}", f"It needs {wanted}, {why}")


def _wrong(where: str, what: str, mend: str) -> Broken:
    return Broken("spec", f"spec.{where}", what, mend)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def _sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
