"""The critic: the value of a centralised state, for one critic or a stack of them."""

from __future__ import annotations

from torch import Tensor, nn

from a2po.networks import network
from a2po.networks.actor import ObservationScale
from a2po.networks.mlp import Parameters
from a2po.networks.network import NetworkShape


class Critic(nn.Module):
    """Values [n, M] of states [M, S] (the same for all) or [n, M, S], in units of the value normaliser."""

    def __init__(self, shape: NetworkShape, parameters: Parameters, *, scale: ObservationScale | None) -> None:
        super().__init__()
        self.shape = shape
        self.weights = nn.ParameterDict(dict(parameters))
        self.scale = scale

    def forward(self, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step: state [M, S] or [n, M, S] and memory [n, M, L, H] -> values [n, M] and the next memory."""
        values, memory = network.step(self._features(state), memory, self.weights, self.shape)
        return values.squeeze(-1), memory

    def unroll(self, state: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        """T steps at once: state [T·M, S] or [n, T·M, S] -> values [n, T·M]. The rest as in ``Actor.unroll``."""
        return network.unroll(self._features(state), memory, keep, self.weights, self.shape).squeeze(-1)

    def _features(self, state: Tensor) -> Tensor:
        features = state if self.scale is None else self.scale(state)
        return features if features.dim() == 3 else features.expand(self.weights["linear0_weight"].shape[0], -1, -1)
