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

    def __call__(self, obs: Tensor) -> Tensor:
        """Normalise [..., M, O]."""
        mean, inverse_std = (self.mean, self.inverse_std) if self.mean.dim() == 1 else (self.mean[:, None], self.inverse_std[:, None])
        return ((obs - mean) * inverse_std).clamp(-self.clip, self.clip)


class Actor(nn.Module):
    """One agent's actor, or a stack of them.

    For one agent tensors are [M, ...]; for a stack of n agents they are [n, M, ...], with the same parameters stacked.
    """

    def __init__(
        self,
        shape: ActorShape,
        parameters: Parameters,
        *,
        scale: ObservationScale | None,
        action_dims: Tensor,
        real_widths: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.weights = nn.ParameterDict(dict(parameters))
        self.scale = scale
        self.action_dims = action_dims  # [A] or [n, A], 1 for an agent's own actions and 0 for padding
        self.real_widths = real_widths

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
        return obs if self.scale is None else self.scale(obs)

    def _distribution_parameters(self, output: Tensor, action_mask: Tensor | None) -> tuple[Tensor, ...]:
        if self.shape.discrete:
            return (output if action_mask is None else mask_logits(output, action_mask),)
        return torch.tanh(output), clamp_log_std(self.weights["log_std"])

    def distribution(self, parameters: tuple[Tensor, ...]) -> MaskedCategorical | TanhMeanGaussian:
        """The distribution over actions, before scaling to the environment's units."""
        if self.shape.discrete:
            return MaskedCategorical(parameters[0])
        return TanhMeanGaussian.from_mean(parameters[0], parameters[1], self.action_dims)
