"""The actor: one step function that sampling, training, the exporter and the parity proof all call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from a2po.networks import mlp
from a2po.networks.distributions import MaskedCategorical, TanhMeanGaussian, clamp_log_std, mask_logits


@dataclass(frozen=True)
class ActorShape:
    """What an actor computes. The recurrent part is empty: ``num_layers`` is L of the state [M, L, H]."""

    mlp: mlp.MlpShape
    discrete: bool
    num_layers: int = 0
    hidden_size: int = 0

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one actor's parameters."""
        shapes = self.mlp.parameter_shapes()
        return shapes if self.discrete else {**shapes, "log_std": (self.mlp.output_size,)}


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
        parameters: mlp.Parameters,
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
        features = obs if self.scale is None else self.scale(obs)
        output = mlp.forward(features, self.weights, self.shape.mlp, self.real_widths)
        if self.shape.discrete:
            return (output if action_mask is None else mask_logits(output, action_mask),), state_in
        return (torch.tanh(output), clamp_log_std(self.weights["log_std"])), state_in

    def distribution(self, parameters: tuple[Tensor, ...]) -> MaskedCategorical | TanhMeanGaussian:
        """The distribution over actions, before scaling to the environment's units."""
        if self.shape.discrete:
            return MaskedCategorical(parameters[0])
        return TanhMeanGaussian.from_mean(parameters[0], parameters[1], self.action_dims)
