"""Multi-layer perceptrons for one agent or a stack of agents: the same function of explicit parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

Parameters = Mapping[str, Tensor] | nn.ParameterDict
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True)
class MlpShape:
    """Layers of a network. ``input_size`` is the padded width, ``hidden_sizes`` the widths of the hidden layers.

    ``prefix`` begins the names of the parameters; with ``activate_output`` the last layer is a hidden one of a larger network.
    """

    input_size: int
    hidden_sizes: tuple[int, ...]
    output_size: int
    activation: str = "tanh"
    layer_norm: bool = False
    prefix: str = ""
    activate_output: bool = False

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every linear layer."""
        widths = [self.input_size, *self.hidden_sizes, self.output_size]
        return list(pairwise(widths))

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one network's parameters."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (inputs, outputs) in enumerate(self.layer_sizes):
            if self.layer_norm:
                shapes[f"{self.prefix}norm{layer}_scale"] = (inputs,)
                shapes[f"{self.prefix}norm{layer}_shift"] = (inputs,)
            shapes[f"{self.prefix}linear{layer}_weight"] = (inputs, outputs)
            shapes[f"{self.prefix}linear{layer}_bias"] = (outputs,)
        return shapes


@torch.no_grad()
def initialise(
    parameters: Mapping[str, Tensor], shape: MlpShape, input_size: int, output_size: int, head_gain: float, generator: torch.Generator
) -> None:
    """Fill one network's parameters: orthogonal weights at the real widths, zeros in the padding, zero biases.

    Hidden gains are √2 (relu) or 5/3 (tanh); the head's gain is ``head_gain``.
    """
    prefix, last = shape.prefix, len(shape.layer_sizes) - 1
    hidden_gain = sqrt(2.0) if shape.activation == "relu" else 5.0 / 3.0
    for layer, (inputs, outputs) in enumerate(shape.layer_sizes):
        real_inputs = input_size if layer == 0 else inputs
        real_outputs = output_size if layer == last else outputs
        weight = torch.empty(real_outputs, real_inputs)
        is_head = layer == last and not shape.activate_output
        torch.nn.init.orthogonal_(weight, head_gain if is_head else hidden_gain, generator=generator)
        parameters[f"{prefix}linear{layer}_weight"].zero_()[:real_inputs, :real_outputs] = weight.T
        parameters[f"{prefix}linear{layer}_bias"].zero_()
        if shape.layer_norm:
            parameters[f"{prefix}norm{layer}_scale"].zero_()[:real_inputs] = 1.0
            parameters[f"{prefix}norm{layer}_shift"].zero_()


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``inputs @ weight + bias`` for [M, I] with [I, J] or, stacked, [N, M, I] with [N, I, J].

    N inputs may share one weight [1, I, J], with a bias [1, J] or [N, J].
    """
    if inputs.dim() == 2:
        return torch.addmm(bias, inputs, weight)
    if weight.shape[0] < inputs.shape[0]:  # one product over all rows, whose gradient is summed as it is made
        rows, sizes = inputs.flatten(0, 1), (*inputs.shape[:2], weight.shape[2])
        if bias.shape[0] == 1:
            return torch.addmm(bias[0], rows, weight[0]).view(sizes)
        return torch.mm(rows, weight[0]).view(sizes) + bias.unsqueeze(1)
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight)


def normalise_features(inputs: Tensor, real_widths: Tensor | None = None) -> Tensor:
    """Mean 0 and variance 1 over the features of each row.

    Args:
        inputs: [M, I] or [N, M, I], zero in the padding.
        real_widths: [N] float, where networks of a stack have different real widths; else all of I is real.
    """
    if real_widths is None:
        return functional.layer_norm(inputs, inputs.shape[-1:])
    widths, real = real_widths[:, None, None], _real_features(inputs, real_widths)
    centred = torch.where(real, inputs - inputs.sum(-1, keepdim=True) / widths, 0.0)
    return centred * torch.rsqrt(centred.square().sum(-1, keepdim=True) / widths + 1e-5)


def _real_features(inputs: Tensor, real_widths: Tensor) -> Tensor:
    """[N, 1, I] bool, False in the padding."""
    return torch.arange(inputs.shape[-1], device=inputs.device) < real_widths[:, None, None]


def normalised_linear(
    inputs: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, real_widths: Tensor | None = None
) -> Tensor:
    """LayerNorm with its own scale and shift, then ``linear``.

    (s·x̂ + c) W + b = x̂ (s·W) + (c W + b): scaling the weights costs less than scaling every sample.
    """
    shift = shift.unsqueeze(-2)
    if real_widths is not None:  # the shift of a feature that others have is not one's own
        shift = torch.where(_real_features(inputs, real_widths), shift, 0.0)
    bias = linear(shift, weight, bias).squeeze(-2)
    return linear(normalise_features(inputs, real_widths), scale.unsqueeze(-1) * weight, bias)


def forward(inputs: Tensor, parameters: Parameters, shape: MlpShape, real_widths: Tensor | None = None) -> Tensor:
    """Outputs [..., M, J] for inputs [..., M, I]: (norm) linear, activation, ..., (norm) linear."""
    activation = ACTIVATIONS[shape.activation]
    hidden, last = inputs, len(shape.layer_sizes) - 1
    for layer in range(last + 1):
        weight, bias = parameters[f"{shape.prefix}linear{layer}_weight"], parameters[f"{shape.prefix}linear{layer}_bias"]
        if shape.layer_norm:
            scale, shift = parameters[f"{shape.prefix}norm{layer}_scale"], parameters[f"{shape.prefix}norm{layer}_shift"]
            hidden = normalised_linear(hidden, weight, bias, scale, shift, real_widths if layer == 0 else None)
        else:
            hidden = linear(hidden, weight, bias)
        if layer < last or shape.activate_output:
            hidden = activation(hidden)
    return hidden
