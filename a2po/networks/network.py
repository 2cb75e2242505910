"""What actors and critics have in common: hidden layers, recurrent layers where there are any, hidden layers, output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from a2po.config import NetworkConfig
from a2po.networks import gru, mlp
from a2po.networks.gru import GruShape
from a2po.networks.mlp import MlpShape, Parameters


@dataclass(frozen=True)
class NetworkShape:
    """``hidden_sizes``, then L = ``num_layers`` GRU layers of H = ``hidden_size`` units, then ``head_sizes`` and the output.

    Without GRU layers the network is one MLP of ``hidden_sizes`` and ``head_sizes``, and its state [..., 0, 0] is empty.
    """

    input_size: int
    hidden_sizes: tuple[int, ...]
    output_size: int
    activation: str = "tanh"
    layer_norm: bool = False
    num_layers: int = 0
    hidden_size: int = 0
    head_sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, network: NetworkConfig, input_size: int, output_size: int) -> NetworkShape:
        """The configured network between an input and an output."""
        layers = network.recurrent_layers
        size = network.recurrent_size if layers else 0
        body = (network.hidden_sizes, output_size, network.activation, network.layer_norm)
        return cls(input_size, *body, layers, size, network.head_sizes)

    @cached_property
    def stem(self) -> MlpShape:
        """The layers before the memory; the whole network where there is none."""
        if not self.num_layers:
            hidden_sizes = (*self.hidden_sizes, *self.head_sizes)
            return MlpShape(self.input_size, hidden_sizes, self.output_size, self.activation, self.layer_norm)
        *first, last = self.hidden_sizes
        return MlpShape(self.input_size, tuple(first), last, self.activation, self.layer_norm, activate_output=True)

    @cached_property
    def memory(self) -> GruShape:
        """The recurrent layers."""
        return GruShape(self.hidden_sizes[-1], self.num_layers, self.hidden_size, self.layer_norm)

    @cached_property
    def head(self) -> MlpShape:
        """The layers behind the memory."""
        return MlpShape(self.hidden_size, self.head_sizes, self.output_size, self.activation, self.layer_norm, prefix="head_")

    @property
    def output_layer(self) -> str:
        """The name that the output layer's weight and bias begin with."""
        last = self.head if self.num_layers else self.stem
        return f"{last.prefix}linear{len(last.layer_sizes) - 1}"

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one network's parameters."""
        shapes = self.stem.parameter_shapes()
        if self.num_layers:
            shapes |= self.memory.parameter_shapes() | self.head.parameter_shapes()
        return shapes


def initialise(
    parameters: Mapping[str, Tensor], shape: NetworkShape, input_size: int, output_size: int, head_gain: float, generator: torch.Generator
) -> None:
    """Fill one network's parameters at its real widths (``mlp.initialise``, ``gru.initialise``)."""
    if not shape.num_layers:
        mlp.initialise(parameters, shape.stem, input_size, output_size, head_gain, generator)
        return
    mlp.initialise(parameters, shape.stem, input_size, shape.stem.output_size, head_gain, generator)
    gru.initialise(parameters, shape.memory, generator)
    mlp.initialise(parameters, shape.head, shape.hidden_size, output_size, head_gain, generator)


def step(
    inputs: Tensor, state: Tensor, parameters: Parameters, shape: NetworkShape, real_widths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step: inputs [..., M, I] and state [..., M, L, H] -> outputs [..., M, J] and the next state.

    For a stack [n, M, ...] the parameters are those of n networks, or of one that serves all.
    """
    hidden = mlp.forward(inputs, parameters, shape.stem, real_widths)
    if not shape.num_layers:
        return hidden, state
    hidden, state = gru.step(hidden, state, parameters, shape.memory)
    return mlp.forward(hidden, parameters, shape.head), state


def unroll(
    inputs: Tensor, state: Tensor, keep: Tensor, parameters: Parameters, shape: NetworkShape, real_widths: Tensor | None = None
) -> Tensor:
    """T steps of a stack at once, which equals T calls of ``step``; shapes as in ``gru.unroll``.

    Returns: outputs [n, T·M, J].
    """
    hidden = mlp.forward(inputs, parameters, shape.stem, real_widths)
    if not shape.num_layers:
        return hidden
    return mlp.forward(gru.unroll(hidden, state, keep, parameters, shape.memory), parameters, shape.head)
