"""The critic: the value of a centralised state, for one critic or a stack of them."""

from __future__ import annotations

from torch import Tensor, nn

from a2po.networks import mlp
from a2po.networks.actor import ObservationScale


class Critic(nn.Module):
    """Values [n, M] of states [M, S] (the same for all) or [n, M, S], in units of the value normaliser."""

    def __init__(self, shape: mlp.MlpShape, parameters: mlp.Parameters, *, scale: ObservationScale | None) -> None:
        super().__init__()
        self.shape = shape
        self.weights = nn.ParameterDict(dict(parameters))
        self.scale = scale

    def forward(self, state: Tensor) -> Tensor:
        """[M, S] or [n, M, S] -> [n, M]."""
        features = state if self.scale is None else self.scale(state)
        if features.dim() == 2:
            features = features.expand(self.weights["linear0_weight"].shape[0], -1, -1)
        return mlp.forward(features, self.weights, self.shape).squeeze(-1)
