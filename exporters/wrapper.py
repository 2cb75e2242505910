"""One agent's actor as an exporter sees it: plain tensors in, plain tensors out, everything that a game needs inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from a2po.envs.protocol import TaskSpec
from a2po.networks.actor import Actor, ActorShape, ObservationScale, with_agent_id
from a2po.networks.distributions import MaskedCategorical
from a2po.networks.team_policy import TeamPolicy


@dataclass(frozen=True)
class Ports:
    """The names and shapes of a graph's inputs and outputs, without the batch axis that all of them begin with."""

    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, shape: ActorShape) -> Ports:
        """What an actor of this shape takes and gives."""
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
        return cls(inputs, outputs)


class ActorGraph(nn.Module):
    """An actor with its normalisation, its tanh, and the way to its Box, in single precision on the CPU.

    The observation statistics, the agent id of a team with shared parameters and the Box are buffers, so that ``state_dict`` holds
    every number of the graph.
    """

    def __init__(self, actor: Actor, box: Box | None) -> None:
        super().__init__()
        scale = actor.scale
        self.actor = Actor(actor.shape, actor.weights, scale=None, action_dims=actor.action_dims)
        self.clip = None if scale is None else scale.clip
        if scale is not None:
            self.register_buffer("observation_mean", scale.mean)
            self.register_buffer("observation_inverse_std", scale.inverse_std)
        if actor.agent_id is not None:
            self.register_buffer("agent_id", actor.agent_id)
        if box is not None:
            low, high = (torch.from_numpy(np.asarray(bound, np.float32).reshape(-1).copy()) for bound in (box.low, box.high))
            self.register_buffer("action_low", low)
            self.register_buffer("action_high", high)
            self.register_buffer("action_shift", (low + high) / 2)
            self.register_buffer("action_span", (high - low) / 2)
        self.ports = Ports.of(actor.shape)

    def forward(self, obs: Tensor, action_mask: Tensor | None = None, state_in: Tensor | None = None) -> tuple[Tensor, ...]:
        """One step.

        Args:
            obs: [M, O] raw observations.
            action_mask: [M, A] bool for discrete actions, else None.
            state_in: [M, L, H] for a recurrent actor, else None.

        Returns: action, then logits or (mean, log_std), then state_out of a recurrent actor. Each begins with [M].
        """
        features = obs
        if self.clip is not None:
            features = ObservationScale(self.get_buffer("observation_mean"), self.get_buffer("observation_inverse_std"), self.clip)(obs)
        if self.actor.shape.id_size:
            features = with_agent_id(features, self.get_buffer("agent_id"))
        parameters, state_out = self.actor(features, action_mask, obs.new_zeros(0) if state_in is None else state_in)
        distribution = self.actor.distribution(parameters)
        if isinstance(distribution, MaskedCategorical):
            outputs: tuple[Tensor, ...] = (distribution.mode(), distribution.logits)
        else:
            mean = distribution.mean
            outputs = (self.to_env_units(mean), mean, distribution.log_std.expand(mean.shape))
        return outputs if state_in is None else (*outputs, state_out)

    def to_env_units(self, samples: Tensor) -> Tensor:
        """[M, A] samples in [-1, 1] scaled to the Box. The last clip catches the rounding of the product."""
        scaled = self.get_buffer("action_shift") + samples.clamp(-1.0, 1.0) * self.get_buffer("action_span")
        return torch.minimum(torch.maximum(scaled, self.get_buffer("action_low")), self.get_buffer("action_high"))


def actor_graph(team: TeamPolicy, agent: int) -> ActorGraph:
    """One agent's actor, copied out of a team at its real sizes."""
    return ActorGraph(team.single_actor(agent), box_of(team.spec, agent)).eval()


def box_of(spec: TaskSpec, agent: int) -> Box | None:
    """The agent's Box, or None if its actions are discrete."""
    space = spec.action_spaces[agent]
    return space if isinstance(space, Box) else None
