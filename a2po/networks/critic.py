"""The critic: values of what critics see, for one critic or a stack of them."""

from __future__ import annotations

from torch import Tensor, nn

from a2po.networks import network
from a2po.networks.actor import ObservationScale, with_agent_id
from a2po.networks.mlp import Parameters
from a2po.networks.network import NetworkShape


class Critic(nn.Module):
    """Values [n, M] of states [M, S] (the same for all) or [n, M, S], in units of the value normaliser.

    What is called the state here is the agents' own observations with ``network.critic_input = "observation"``; these may be
    padded. A network that gives the values of n agents has parameters with a leading axis of 1 and the agents' ids [n, D].
    """

    def __init__(
        self,
        shape: NetworkShape,
        parameters: Parameters,
        *,
        scale: ObservationScale | None,
        real_widths: Tensor | None = None,
        agent_id: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.weights = nn.ParameterDict(dict(parameters))
        self.scale = scale
        self.real_widths = real_widths  # [n] of the network's input, or None where nothing is padded
        self.agent_id = agent_id
        self.num_values = len(self.weights["linear0_weight"] if agent_id is None else agent_id)

    def forward(self, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step: state [M, S] or [n, M, S] and memory [n, M, L, H] -> values [n, M] and the next memory."""
        values, memory = network.step(self._features(state), memory, self.weights, self.shape, self.real_widths)
        return values.squeeze(-1), memory

    def unroll(self, state: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        """T steps at once: state [T·M, S] or [n, T·M, S] -> values [n, T·M]. The rest as in ``Actor.unroll``."""
        return network.unroll(self._features(state), memory, keep, self.weights, self.shape, self.real_widths).squeeze(-1)

    def _features(self, state: Tensor) -> Tensor:
        features = state if self.scale is None else self.scale(state)
        features = features if features.dim() == 3 else features.expand(self.num_values, -1, -1)
        return features if self.agent_id is None else with_agent_id(features, self.agent_id)
