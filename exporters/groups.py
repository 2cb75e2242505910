"""Which agents are exported, and which of them share a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a2po.envs.protocol import TaskSpec
from a2po.errors import UserError, did_you_mean
from a2po.exporters.manifest import file_stem
from a2po.exporters.weights import sharing_key, weights_bytes
from a2po.exporters.wrapper import ActorGraph, actor_graph, box_of
from a2po.networks.team_policy import TeamPolicy


@dataclass(frozen=True)
class Group:
    """Agents that share one file."""

    agents: list[str]
    """In the order of the rows of its tables."""
    stem: str
    """Of the names of its files."""
    graph: ActorGraph
    weights: bytes


def choose_agents(spec: TaskSpec, agents: Sequence[str] | None) -> list[str]:
    """The agents to export, in the task's order.

    Raises:
        UserError: a name is unknown, or none is given.
    """
    if agents is None:
        return list(spec.agents)
    unknown = [name for name in agents if name not in spec.agents]
    known = f"(there are: {', '.join(spec.agents)})"
    if unknown:
        raise UserError(f"no agent '{unknown[0]}' in {spec.task}{did_you_mean(unknown[0], spec.agents)} {known}")
    if not agents:
        raise UserError(f"no agent chosen {known}")
    return [name for name in spec.agents if name in agents]


def group_agents(team: TeamPolicy, agents: Sequence[str], *, noise: bool = False) -> list[Group]:
    """Fold agents that one graph can serve into one group."""
    spec, together = team.spec, dict[str, list[str]]()
    for name in agents:
        row = spec.agents.index(name)
        together.setdefault(sharing_key(team.single_actor(row), box_of(spec, row)), []).append(name)
    groups: list[Group] = []
    for names in together.values():
        graph = actor_graph(team, *(spec.agents.index(name) for name in names), noise=noise)
        stem = file_stem(names[0], [group.stem for group in groups])
        groups.append(Group(names, stem, graph, weights_bytes(graph)))
    return groups
