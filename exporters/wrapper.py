"""Actors as an exporter sees them: plain tensors in, plain tensors out, everything that a game needs inside.

Agents that share their numbers share one graph. What is their own (the agent's id, its observation statistics) stands in tables,
and the input ``agent`` picks the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from a2po.envs.protocol import TaskSpec
from a2po.networks.actor import Actor, ActorShape, normalised
from a2po.networks.distributions import MaskedCategorical
from a2po.networks.team_policy import TeamPolicy

TABLES = ("observation_mean", "observation_inverse_std", "agent_id")
"""What agents that share a graph may have of their own."""


@dataclass(frozen=True)
class Ports:
    """The names and shapes of a graph's inputs and outputs, without the batch axis that all of them begin with."""

    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, shape: ActorShape, *, folded: bool = False, noise: bool = False) -> Ports:
        """What an actor of this shape takes and gives; ``folded`` if it must know whose observations it gets."""
        sizes, actions, state = (shape.obs_size,), (shape.network.output_size,), shape.state_shape
        inputs: dict[str, tuple[int, ...]] = {"obs": sizes}
        outputs: dict[str, tuple[int, ...]] = {"action": () if shape.discrete else actions}
        if shape.discrete:
            inputs["action_mask"] = actions
            outputs["logits"] = actions
        else:
            outputs.update(mean=actions, log_std=actions)
        if shape.network.num_layers:
            inputs["state_in"], outputs["state_out"] = state, state
        if folded:
            inputs["agent"] = ()
        if noise:
            inputs["noise"] = actions
        return cls(inputs, outputs)


class ActorGraph(nn.Module):
    """The actor of one or more agents with its normalisation, its tanh, and the way to its Box, in single precision on the CPU.

    The observation statistics, the ids of a team with shared parameters and the Box are buffers, so that ``state_dict`` holds
    every number of the graph. Statistics and ids are one row where all agents have the same, else a table with a row for each.

    Args:
        actors: of agents that differ in these rows at most.
        box: of their actions, None if these are discrete.
        noise: the graph has an input ``noise`` and samples with it; else it is greedy.
    """

    def __init__(self, actors: Sequence[Actor], box: Box | None, *, noise: bool = False) -> None:
        super().__init__()
        actor, scales = actors[0], [actor.scale for actor in actors if actor.scale is not None]
        self.actor = Actor(actor.shape, actor.weights, scale=None, action_dims=actor.action_dims)
        self.clip = scales[0].clip if scales else None
        if scales:
            self.register_buffer("observation_mean", _rows([scale.mean for scale in scales]))
            self.register_buffer("observation_inverse_std", _rows([scale.inverse_std for scale in scales]))
        ids = [actor.agent_id for actor in actors if actor.agent_id is not None]
        if ids:
            self.register_buffer("agent_id", _rows(ids))
        if box is not None:
            low, high = (torch.from_numpy(np.asarray(bound, np.float32).reshape(-1).copy()) for bound in (box.low, box.high))
            self.register_buffer("action_low", low)
            self.register_buffer("action_high", high)
            self.register_buffer("action_shift", (low + high) / 2)
            self.register_buffer("action_span", (high - low) / 2)
        folded = any(self.get_buffer(name).dim() == 2 for name in TABLES if name in self.state_dict())
        self.ports = Ports.of(actor.shape, folded=folded, noise=noise)

    def forward(
        self,
        obs: Tensor,
        action_mask: Tensor | None = None,
        state_in: Tensor | None = None,
        agent: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One step.

        Args:
            obs: [M, O] raw observations.
            action_mask: [M, A] bool for discrete actions, else None.
            state_in: [M, L, H] for a recurrent actor, else None.
            agent: [M] int32, the rows of the agents in the tables, where there are tables.
            noise: [M, A] uniform in [0, 1) for discrete actions, standard normal for continuous ones; None to act greedily.

        Returns: action, then logits or (mean, log_std), then state_out of a recurrent actor. Each begins with [M].
        """
        features = obs
        if self.clip is not None:
            features = normalised(obs, self._own("observation_mean", agent), self._own("observation_inverse_std", agent), self.clip)
        if self.actor.shape.id_size:
            features = torch.cat([self._own("agent_id", agent).expand(obs.shape[0], -1), features], dim=-1)
        parameters, state_out = self.actor(features, action_mask, obs.new_zeros(0) if state_in is None else state_in)
        distribution = self.actor.distribution(parameters)
        if isinstance(distribution, MaskedCategorical):
            action = distribution.mode() if noise is None else distribution.sample(noise)
            outputs: tuple[Tensor, ...] = (action, distribution.logits)
        else:
            mean = distribution.mean
            sample = mean if noise is None else distribution.sample(noise)
            outputs = (self.to_env_units(sample), mean, distribution.log_std.expand(mean.shape))
        return outputs if state_in is None else (*outputs, state_out)

    def _own(self, name: str, agent: Tensor | None) -> Tensor:
        """A table's rows [M, ...] for the agents, or the one row [...] that all of them have."""
        table = self.get_buffer(name)
        return table if table.dim() == 1 or agent is None else table.index_select(0, agent)

    def to_env_units(self, samples: Tensor) -> Tensor:
        """[M, A] samples in [-1, 1] scaled to the Box. The last clip catches the rounding of the product."""
        scaled = self.get_buffer("action_shift") + samples.clamp(-1.0, 1.0) * self.get_buffer("action_span")
        return torch.minimum(torch.maximum(scaled, self.get_buffer("action_low")), self.get_buffer("action_high"))


def _rows(values: Sequence[Tensor]) -> Tensor:
    """[...] if all agents have the same, else [n, ...]."""
    return values[0] if all(torch.equal(value, values[0]) for value in values) else torch.stack(list(values))


def actor_graph(team: TeamPolicy, *agents: int, noise: bool = False) -> ActorGraph:
    """The graph of agents that may share one, copied out of a team at its real sizes."""
    return ActorGraph([team.single_actor(agent) for agent in agents], box_of(team.spec, agents[0]), noise=noise).eval()


def box_of(spec: TaskSpec, agent: int) -> Box | None:
    """The agent's Box, or None if its actions are discrete."""
    space = spec.action_spaces[agent]
    return space if isinstance(space, Box) else None
