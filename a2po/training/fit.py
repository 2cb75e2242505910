"""Does a team fit a task? Every difference is named: nothing is played on the wrong observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def check_fits(what: str, team: Description, spec: TaskSpec, agents: Sequence[str] | None = None) -> None:
    """The team can play the task.

    Args:
        what: the team in words, for the message.
        team: its description.
        spec: the task.
        agents: those that it plays where others play the rest; by default it must have the task's agents and no others.

    Raises:
        BundleError: saying what differs.
    """
    problems = differences(team, spec, agents)
    if problems:
        part = agents is None and set(team) < set(spec.agents)
        hint = "; in evaluate and play, teammates can play the others" if part else ""
        raise BundleError(f"{what} does not fit '{spec.task}': {'; '.join(problems)}{hint}")


def fitting_agents(team: Description, spec: TaskSpec) -> list[str]:
    """The agents of the task that the team can play, in the task's order."""
    return [name for name, needs in describe_task(spec).items() if name in team and not _differences(team[name], needs)]


def differences(team: Description, spec: TaskSpec, agents: Sequence[str] | None = None) -> list[str]:
    """What keeps a team from playing a task, in words; agents that share a problem share its line. Empty where it fits."""
    task = describe_task(spec)
    lacking = [name for name in agents or () if name not in team]
    if lacking:
        return [f"it has no agent {', '.join(lacking)} (it has: {', '.join(team)})"]
    if agents is None and list(team) != list(task):
        missing, extra = [name for name in task if name not in team], [name for name in team if name not in task]
        parts = [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"the task has no {', '.join(extra)}"] * bool(extra)
        detail = " and ".join(parts) or f"their order is {', '.join(team)} instead of {', '.join(task)}"
        return [f"its agents differ ({detail})"]
    concerned: dict[str, list[str]] = {}
    for name in task if agents is None else agents:
        for problem in _differences(team[name], task[name]):
            concerned.setdefault(problem, []).append(f"'{name}'")
    return [f"agent{'s' * (len(names) > 1)} {', '.join(names)}: {problem}" for problem, names in concerned.items()]


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


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In words. Lists of unequal lengths are told by the size that they go with."""
    found = []
    for key, value in mine.items():
        other = theirs[key]
        if value == other:
            continue
        if not isinstance(value, list):
            found.append(f"{key} is {value}, the task has {other}")
        elif len(value) == len(other):
            index = next(index for index, (a, b) in enumerate(zip(value, other, strict=True)) if a != b)
            found.append(f"{key}: number {index} is {value[index]!r}, the task has {other[index]!r}")
    return found
