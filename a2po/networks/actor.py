"""The actor: one step function that sampling, training, the exporter and the parity proof all call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a2po.networks import network
from a2po.networks.distributions import MaskedCategorical, TanhMeanGaussian, clamp_log_std, mask_logits
from a2po.networks.mlp import Parameters
from a2po.networks.network import NetworkShape


@dataclass(frozen=True)
class ActorShape:
    """What an actor computes."""

    network: NetworkShape
    discrete: bool
    id_size: int = 0
    """Width of the agent id that comes before the observation; 0 without one."""

    @property
    def obs_size(self) -> int:
        """Width of the observation, O."""
        return self.network.input_size - self.id_size

    @property
    def state_shape(self) -> tuple[int, int]:
        """(L, H) of the recurrent state; (0, 0) without one."""
        return self.network.num_layers, self.network.hidden_size

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one actor's parameters."""
        shapes = self.network.parameter_shapes()
        return shapes if self.discrete else {**shapes, "log_std": (self.network.output_size,)}


@dataclass(frozen=True)
class ObservationScale:
    """Frozen observation statistics: (obs - mean) · inverse_std, clipped to ±clip."""

    mean: Tensor  # [O] or [N, O]
    inverse_std: Tensor  # [O] or [N, O]
    clip: float
    rows: slice | Tensor | None = None
    """Which of the N rows belong to the stack; looked up at every call, because the statistics change in place."""

    def __call__(self, obs: Tensor) -> Tensor:
        """Normalise [..., M, O]."""
        mean, inverse_std = self.mean, self.inverse_std
        if mean.dim() == 2:
            mean, inverse_std = (values if self.rows is None else values[self.rows] for values in (mean, inverse_std))
            mean, inverse_std = mean[:, None], inverse_std[:, None]
        return normalised(obs, mean, inverse_std, self.clip)


def normalised(obs: Tensor, mean: Tensor, inverse_std: Tensor, clip: float) -> Tensor:
    """(obs - mean) · inverse_std within ±clip."""
    return ((obs - mean) * inverse_std).clamp(-clip, clip)


def with_agent_id(features: Tensor, agent_id: Tensor) -> Tensor:
    """[M, I] with an id [D] before every row: [M, D + I]; for a stack [n, M, I] with ids [n, D]."""
    return torch.cat([agent_id.unsqueeze(-2).expand(*features.shape[:-1], -1), features], dim=-1)


class Actor(nn.Module):
    """One agent's actor, or a stack of them.

    For one agent tensors are [M, ...]; for a stack of n agents they are [n, M, ...], with the same parameters stacked. Parameters
    that all agents share have a leading axis of 1, and the agents are told apart by their ids, which come before what they observe.
    """

    def __init__(
        self,
        shape: ActorShape,
        parameters: Parameters,
        *,
        scale: ObservationScale | None,
        action_dims: Tensor,
        real_widths: Tensor | None = None,
        agent_id: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.weights = nn.ParameterDict(dict(parameters))
        self.scale = scale
        self.action_dims = action_dims  # [A] or [n, A], 1 for an agent's own actions and 0 for padding
        self.real_widths = real_widths  # [n] of the network's input, or None where nothing is padded
        self.agent_id = agent_id  # [D] or [n, D], or None

    def forward(self, obs: Tensor, action_mask: Tensor | None, state_in: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """One step.

        Args:
            obs: [M, O] raw observations.
            action_mask: [M, A] bool for discrete actions, else None.
            state_in: [M, L, H] recurrent state.

        Returns: the distribution's parameters, (masked logits [M, A],) or (mean [M, A], log_std [A]), and the next state.
        """
        output, state_out = network.step(self._features(obs), state_in, self.weights, self.shape.network, self.real_widths)
        return self._distribution_parameters(output, action_mask), state_out

    def unroll(self, obs: Tensor, action_mask: Tensor | None, state_in: Tensor, keep: Tensor) -> tuple[Tensor, ...]:
        """T steps of a stack at once: what T calls of ``forward`` give, for training.

        Args:
            obs: [n, T·M, O], all rows of the first step, then all of the second, ...
            action_mask: [n, T·M, A] or None.
            state_in: [n, M, L, H] before the first step.
            keep: [T, M] 0 where an episode begins, which forgets the state, else 1.

        Returns: the distribution's parameters for all T·M rows.
        """
        output = network.unroll(self._features(obs), state_in, keep, self.weights, self.shape.network, self.real_widths)
        return self._distribution_parameters(output, action_mask)

    def _features(self, obs: Tensor) -> Tensor:
        features = obs if self.scale is None else self.scale(obs)
        return features if self.agent_id is None else with_agent_id(features, self.agent_id)

    def _distribution_parameters(self, output: Tensor, action_mask: Tensor | None) -> tuple[Tensor, ...]:
        if self.shape.discrete:
            return (output if action_mask is None else mask_logits(output, action_mask),)
        log_std = clamp_log_std(self.weights["log_std"])
        shared = output.dim() == 3 and log_std.shape[0] < output.shape[0]
        return torch.tanh(output), log_std.expand(output.shape[0], -1) if shared else log_std

    def distribution(self, parameters: tuple[Tensor, ...]) -> MaskedCategorical | TanhMeanGaussian:
        """The distribution over actions, before scaling to the environment's units."""
        if self.shape.discrete:
            return MaskedCategorical(parameters[0])
        return TanhMeanGaussian.from_mean(parameters[0], parameters[1], self.action_dims)
