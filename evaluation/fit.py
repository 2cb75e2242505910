"""Does a team fit a task? Every difference is named: nothing is played on the wrong observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from a2po.envs.protocol import TaskSpec
from a2po.errors import BundleError
from a2po.runtime.bundle import AgentSpec, Bundle

Description = dict[str, dict[str, Any]]
"""Agent -> what must be equal."""


def describe_task(spec: TaskSpec) -> Description:
    """What a task gives to and takes from its agents."""
    found: Description = {}
    for agent, name in enumerate(spec.agents):
        space = spec.action_spaces[agent]
        bounds = (space.low, space.high) if isinstance(space, Box) else ((), ())
        kind = "continuous" if isinstance(space, Box) else "discrete"
        found[name] = _description(
            spec.obs_sizes[agent], spec.feature_names[agent], kind, spec.action_sizes[agent], spec.action_names[agent], bounds
        )
    return found


def describe_bundle(bundle: Bundle) -> Description:
    """The same of an exported team."""

    def describe(agent: AgentSpec) -> dict[str, Any]:
        kind = "discrete" if agent.discrete else "continuous"
        return _description(agent.obs_size, agent.features, kind, agent.action_size, agent.action_names, (agent.low, agent.high))

    return {agent.name: describe(agent) for agent in bundle.agents}


def check_fits(what: str, team: Description, spec: TaskSpec) -> None:
    """The team can play the task.

    Args:
        what: the team in words, for the message.
        team: its description.
        spec: the task.

    Raises:
        BundleError: saying what differs.
    """
    task = describe_task(spec)
    if list(team) != list(task):
        missing, extra = [name for name in task if name not in team], [name for name in team if name not in task]
        parts = [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"the task has no {', '.join(extra)}"] * bool(extra)
        detail = " and ".join(parts) or f"their order is {', '.join(team)} instead of {', '.join(task)}"
        raise BundleError(f"{what} does not fit '{spec.task}': its agents differ ({detail})")
    problems = [f"agent '{name}': {problem}" for name in task if (problem := _difference(team[name], task[name]))]
    if problems:
        raise BundleError(f"{what} does not fit '{spec.task}': {'; '.join(problems)}")


def _description(size: int, features: Any, kind: str, actions: int, names: Any, bounds: tuple[Any, Any]) -> dict[str, Any]:
    low, high = (np.asarray(bound, np.float32).reshape(-1).tolist() for bound in bounds)
    return {
        "observation size": size,
        "features": list(features),
        "action kind": kind,
        "number of actions": actions,
        "action names": list(names),
        "lower bounds": low,
        "upper bounds": high,
    }


def _difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first difference in words, or an empty string."""
    for key, value in mine.items():
        other = theirs[key]
        if value == other:
            continue
        if not isinstance(value, list) or len(value) != len(other):
            return f"{key} is {value}, the task has {other}"
        index = next(index for index, (a, b) in enumerate(zip(value, other, strict=True)) if a != b)
        return f"{key}: number {index} is {value[index]!r}, the task has {other[index]!r}"
    return ""
