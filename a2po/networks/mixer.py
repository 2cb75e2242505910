"""The mixer of QMIX: from the agents' Q values and the state to the team's, never falling in any agent's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from a2po.networks import mlp
from a2po.networks.mlp import MlpShape
from a2po.networks.stack import ParameterStack


class QMixer(nn.Module):
    """Q_tot = elu(q · |W₁(s)| + b₁(s)) · |w₂(s)| + b₂(s), where hyper-networks make W₁ [N, E], b₁ [E], w₂ [E] and b₂ from the state.

    The weights' absolute values keep ∂Q_tot/∂qᵢ ≥ 0, so every agent's own greedy action is part of the team's.

    Args:
        num_agents: N.
        state_size: S.
        mixer_size: E, the hidden width.
        hypernet_size: hidden width of the hyper-networks of W₁ and w₂.
        hypernet_layers: 2, or 1 where these are linear. That of b₁ is linear, that of b₂ has a hidden layer of E.
        generator: the stream of initial weights; by default one of its own, the same every time.
        device: where the parameters live.

    Raises: ValueError: there are neither one nor two hyper-network layers.
    Source: Rashid et al., "QMIX: Monotonic Value Function Factorisation for Deep Multi-Agent Reinforcement Learning", ICML 2018.
    """

    def __init__(
        self,
        num_agents: int,
        state_size: int,
        *,
        mixer_size: int = 32,
        hypernet_size: int = 64,
        hypernet_layers: int = 2,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if hypernet_layers not in (1, 2):
            raise ValueError(f"hypernet_layers is {hypernet_layers}; it must be 1 or 2")
        self.num_agents, self.mixer_size = num_agents, mixer_size
        hidden = (hypernet_size,) * (hypernet_layers - 1)
        self.parts = {
            "w1_": MlpShape(state_size, hidden, num_agents * mixer_size, "relu", prefix="w1_"),
            "b1_": MlpShape(state_size, (), mixer_size, "relu", prefix="b1_"),
            "w2_": MlpShape(state_size, hidden, mixer_size, "relu", prefix="w2_"),
            "b2_": MlpShape(state_size, (mixer_size,), 1, "relu", prefix="b2_"),
        }
        shapes = {name: size for part in self.parts.values() for name, size in part.parameter_shapes().items()}
        self.stack = ParameterStack(shapes, 1, device)
        """The parameters in one piece, with their optimiser."""
        own = {name: view[0] for name, view in self.stack.views(self.stack.values).items()}
        stream = generator or torch.Generator().manual_seed(0)
        # W₁ and w₂ begin near ± 1/√E: the mix is about as steep as the sum, whatever the state. With hyper-networks of gain 1 and no bias
        # it is 10 times as steep, and the maxima of a Q that is noise above all rewards run away; and it is flat for a state of zeros.
        size = 1.0 / math.sqrt(mixer_size)
        for part in self.parts.values():
            mlp.initialise(own, part, state_size, part.output_size, size, stream)
        for prefix in ("w1_", "w2_"):
            own[f"{prefix}linear{len(hidden)}_bias"].uniform_(-2.0 * size, 2.0 * size, generator=stream)
        self.weights = nn.ParameterDict(dict(self.stack.leaves(slice(0, 1))))

    def forward(self, q_agents: Tensor, state: Tensor) -> Tensor:
        """[..., N] Q values of the agents' actions and [..., S] states -> [...] Q_tot."""
        rows = state.reshape(1, -1, state.shape[-1])
        made = {name: mlp.forward(rows, self.weights, part)[0] for name, part in self.parts.items()}
        w1 = made["w1_"].view(-1, self.num_agents, self.mixer_size)
        q_tot = self.mix(q_agents.reshape(-1, self.num_agents), w1, made["b1_"], made["w2_"], made["b2_"].squeeze(-1))
        return q_tot.view(q_agents.shape[:-1])

    @staticmethod
    def mix(q_agents: Tensor, hyper_w1: Tensor, hyper_b1: Tensor, hyper_w2: Tensor, hyper_b2: Tensor) -> Tensor:
        """Q_tot [...] of q_agents [..., N] by what the hyper-networks gave: [..., N, E], [..., E], [..., E] and [...]."""
        hidden = functional.elu((q_agents.unsqueeze(-2) @ hyper_w1.abs()).squeeze(-2) + hyper_b1)
        return (hidden * hyper_w2.abs()).sum(-1) + hyper_b2
