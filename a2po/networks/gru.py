"""Gated recurrent units for a stack of networks: one step, and a whole sequence whose gradient is written out.

    r = σ(x W_r + b_r + h U_r + c_r)          how much of the state the candidate sees
    z = σ(x W_z + b_z + h U_z + c_z)          how much of the state stays
    n = tanh(x W_n + b_n + r · (h U_n + c_n))
    h ← n + z (h - n)

The three gates stand side by side in the columns of W [I, 3H] and U [H, 3H], in the order r, z, n.
Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014, with the reset gate behind the
product, as in cuDNN and ``torch.nn.GRU``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from a2po.networks.mlp import Parameters, linear, normalised_linear


@dataclass(frozen=True)
class GruShape:
    """L layers of H units over inputs of width I."""

    input_size: int
    num_layers: int
    hidden_size: int
    layer_norm: bool = False

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one network's parameters."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.layer_norm:
            shapes["gru_norm_scale"] = shapes["gru_norm_shift"] = (self.input_size,)
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.hidden_size
            shapes[f"gru{layer}_input_weight"] = (inputs, 3 * self.hidden_size)
            shapes[f"gru{layer}_input_bias"] = (3 * self.hidden_size,)
            shapes[f"gru{layer}_state_weight"] = (self.hidden_size, 3 * self.hidden_size)
            shapes[f"gru{layer}_state_bias"] = (3 * self.hidden_size,)
        return shapes


@torch.no_grad()
def initialise(parameters: Mapping[str, Tensor], shape: GruShape, generator: torch.Generator) -> None:
    """Fill one network's parameters: orthogonal weights of gain 1 over all gates together, zero biases."""
    for name, size in shape.parameter_shapes().items():
        if name.endswith("weight"):
            weight = torch.empty(size[1], size[0])
            torch.nn.init.orthogonal_(weight, generator=generator)
            parameters[name].copy_(weight.T)
        else:
            parameters[name].fill_(1.0 if name.endswith("scale") else 0.0)


def cell(gates: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The next state [..., M, H] from the inputs' part of the gates [..., M, 3H] and the state [..., M, H]."""
    size = state.shape[-1]
    own = linear(state, weight, bias)
    reset, update = torch.sigmoid(gates[..., : 2 * size] + own[..., : 2 * size]).chunk(2, dim=-1)
    candidate = torch.tanh(gates[..., 2 * size :] + reset * own[..., 2 * size :])
    return candidate + update * (state - candidate)


def step(inputs: Tensor, state: Tensor, parameters: Parameters, shape: GruShape) -> tuple[Tensor, Tensor]:
    """One step of all layers: inputs [..., M, I] and state [..., M, L, H] -> outputs [..., M, H] and the next state."""
    hidden, states = inputs, []
    for layer in range(shape.num_layers):
        gates = _input_gates(hidden, parameters, shape, layer)
        hidden = cell(gates, state[..., layer, :], *_state_parameters(parameters, layer))
        states.append(hidden)
    return hidden, torch.stack(states, dim=-2)


def unroll(inputs: Tensor, state: Tensor, keep: Tensor, parameters: Parameters, shape: GruShape) -> Tensor:
    """T steps of all layers at once.

    Args:
        inputs: [n, T·M, I], all rows of the first step, then all of the second, ...
        state: [n, M, L, H] before the first step.
        keep: [T, M] 0 where the state is forgotten before the step, else 1. Its first row is not looked at.
        parameters: of n networks, or of one that serves all.
        shape: of these networks.

    Returns: [n, T·M, H].
    """
    hidden, length = inputs, keep.shape[0]
    for layer in range(shape.num_layers):
        gates = _input_gates(hidden, parameters, shape, layer)
        gates = gates.view(gates.shape[0], length, -1, gates.shape[-1])
        outputs = _Sequence.apply(  # type: ignore[no-untyped-call]
            gates, state[:, :, layer], keep.unsqueeze(-1), *_state_parameters(parameters, layer)
        )
        hidden = outputs.flatten(1, 2)
    return hidden


def _input_gates(inputs: Tensor, parameters: Parameters, shape: GruShape, layer: int) -> Tensor:
    weight, bias = parameters[f"gru{layer}_input_weight"], parameters[f"gru{layer}_input_bias"]
    if shape.layer_norm and layer == 0:
        return normalised_linear(inputs, weight, bias, parameters["gru_norm_scale"], parameters["gru_norm_shift"])
    return linear(inputs, weight, bias)


def _state_parameters(parameters: Parameters, layer: int) -> tuple[Tensor, Tensor]:
    return parameters[f"gru{layer}_state_weight"], parameters[f"gru{layer}_state_bias"]


class _Sequence(torch.autograd.Function):
    """One layer over T steps. Only the product with U has to wait for the step before; the rest is done for all steps at once.

    Buffers are [T, n, M, ...], so that one step is one piece of memory; taking them apart once is cheaper than indexing at every step.
    Products see them as [T, w, n / w · M, ...] for w weights: n, or 1 that serves all rows at once.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, state: Tensor, keep: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Gates [n, T, M, 3H], state [n, M, H], keep [T, M, 1], weight [w, H, 3H], bias [w, 3H] -> outputs [n, T, M, H]."""
        (networks, length, rows, _), size = gates.shape, state.shape[-1]
        own = gates.new_empty(length, networks, rows, 3 * size).copy_(bias.unsqueeze(1))  # always a copy: products are added into it
        reset_update = gates.new_empty(length, networks, rows, 2 * size)
        previous, candidate, outputs = (gates.new_empty(length, networks, rows, size) for _ in range(3))
        previous[0] = state
        gate, gate_n = (part.unbind(1) for part in torch.split(gates, [2 * size, size], dim=-1))
        own_gate, own_n = (part.unbind() for part in torch.split(own, [2 * size, size], dim=-1))
        reset, update = (part.unbind() for part in torch.split(reset_update, size, dim=-1))
        both, old, new, output, kept = (part.unbind() for part in (reset_update, previous, candidate, outputs, keep))
        product, before = (part.view(length, weight.shape[0], -1, part.shape[-1]).unbind() for part in (own, previous))
        for t in range(length):
            if t > 0:
                torch.mul(output[t - 1], kept[t], out=old[t])
            product[t].baddbmm_(before[t], weight)
            torch.add(gate[t], own_gate[t], out=both[t]).sigmoid_()
            torch.addcmul(gate_n[t], reset[t], own_n[t], out=new[t]).tanh_()
            torch.lerp(new[t], old[t], update[t], out=output[t])
        ctx.save_for_backward(previous, reset_update, candidate, own[..., 2 * size :], keep, weight)
        return outputs.transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, Tensor, Tensor]:
        """Gradients of gates, state, weight and bias, from those of the outputs [n, T, M, H]."""
        previous, reset_update, candidate, own_candidate, keep, weight = ctx.saved_tensors
        (length, networks, rows, size), (num_weights, _, size_all) = previous.shape, weight.shape
        reset, update = torch.split(reset_update, size, dim=-1)
        # ∂h/∂(what r, z and n are the functions of), for every step at once
        factors = previous.new_empty(length, networks, rows, 3, size)
        through_candidate = (1.0 - update) * (1.0 - candidate.square())
        torch.mul(through_candidate, reset, out=factors[..., 2, :])
        torch.mul(factors[..., 2, :] * own_candidate, 1.0 - reset, out=factors[..., 0, :])
        torch.mul((previous - candidate) * update, 1.0 - update, out=factors[..., 1, :])
        own_gradient, carried = torch.empty_like(factors), torch.zeros_like(previous[0])
        # [T, n, M, H], to which is added what later steps carry back; a copy, because the gradient given is not ours to change
        state_gradient = torch.empty_like(previous).copy_(gradients[0].transpose(0, 1))
        transposed = weight.transpose(1, 2)
        factor, stays, kept, gradient = (part.unbind() for part in (factors, update, keep, state_gradient))
        own, products = own_gradient.unbind(), own_gradient.view(length, num_weights, -1, size_all)
        product, carried_rows = products.unbind(), carried.view(num_weights, -1, size)
        for t in reversed(range(length)):
            gradient[t].add_(carried)
            torch.mul(factor[t], gradient[t].unsqueeze(-2), out=own[t])
            torch.mul(gradient[t], stays[t], out=carried)
            carried_rows.baddbmm_(product[t], transposed)
            if t > 0:
                carried.mul_(kept[t])
        whole = products.transpose(0, 1).reshape(num_weights, -1, size_all)  # [w, n / w · T·M, 3H]
        states = previous.view(length, num_weights, -1, size).transpose(0, 1).reshape(num_weights, -1, size)
        weight_gradient, bias_gradient = states.transpose(1, 2) @ whole, whole.sum(1)
        torch.mul(state_gradient, through_candidate, out=own_gradient[..., 2, :])  # what the inputs' part of n gets instead
        return own_gradient.flatten(-2).transpose(0, 1), carried, None, weight_gradient, bias_gradient
