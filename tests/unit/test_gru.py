"""The GRU: the cell against torch's, the sequence against a loop of steps, in values and in gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from a2po.networks import gru, network
from a2po.networks.gru import GruShape
from a2po.networks.network import NetworkShape
from a2po.networks.stack import ParameterStack

CASES = [(1, 1, 6, 5), (1, 3, 1, 2), (2, 2, 7, 3), (1, 1, 1, 1)]
"""(layers, networks, steps, rows)"""


def random_parameters(shapes: dict[str, tuple[int, ...]], networks: int, dtype: torch.dtype) -> dict[str, Tensor]:
    stack = ParameterStack(shapes, networks)
    stack.values = torch.randn(stack.values.shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 0.5
    return {name: view.clone().requires_grad_() for name, view in stack.views(stack.values).items()}


def loop(inputs: Tensor, state: Tensor, keep: Tensor, parameters: dict[str, Tensor], shape: GruShape) -> Tensor:
    """One step after another, forgetting where an episode begins."""
    length, rows = keep.shape
    outputs = []
    for t in range(length):
        if t > 0:
            state = state * keep[t][None, :, None, None]
        output, state = gru.step(inputs[:, t * rows : (t + 1) * rows], state, parameters, shape)
        outputs.append(output)
    return torch.cat(outputs, dim=1)


def case(layers: int, networks: int, length: int, rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    stream = torch.Generator().manual_seed(2)
    inputs = torch.randn(networks, length * rows, 6, generator=stream, dtype=dtype, requires_grad=True)
    state = torch.randn(networks, rows, layers, 8, generator=stream, dtype=dtype, requires_grad=True)
    return inputs, state, (torch.rand(length, rows, generator=stream) > 0.3).to(dtype)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("layers", "networks", "length", "rows"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_sequence_is_a_loop_of_steps(
    dtype: torch.dtype, tolerance: float, layers: int, networks: int, length: int, rows: int, layer_norm: bool
) -> None:
    shape = GruShape(6, layers, 8, layer_norm)
    parameters = random_parameters(shape.parameter_shapes(), networks, dtype)
    inputs, state, keep = case(layers, networks, length, rows, dtype)
    fused, looped = gru.unroll(inputs, state, keep, parameters, shape), loop(inputs, state, keep, parameters, shape)
    torch.testing.assert_close(fused, looped, rtol=0, atol=tolerance)
    weight = torch.randn(fused.shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
    leaves = [inputs, state, *parameters.values()]
    mine, theirs = (torch.autograd.grad((outputs * weight).sum(), leaves) for outputs in (fused, looped))
    for gradient, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=tolerance * 10, atol=tolerance * 10)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("layers", "networks", "length", "rows"), CASES)
def test_one_network_for_all_is_n_networks_that_stay_equal(
    layers: int, networks: int, length: int, rows: int, layer_norm: bool, products: Any
) -> None:
    """The same values and the sum of their gradients, in a sequence and in single steps."""
    shape = GruShape(6, layers, 8, layer_norm)
    own = random_parameters(shape.parameter_shapes(), 1, torch.float64)
    separate = {name: value.expand(networks, *value.shape[1:]) for name, value in own.items()}
    inputs, state, keep = case(layers, networks, length, rows, torch.float64)
    outputs = [
        gru.unroll(inputs, state, keep, own, shape),
        loop(inputs, state, keep, own, shape),
        gru.unroll(inputs, state, keep, separate, shape),
    ]
    weight = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = [torch.autograd.grad((values * weight).sum(), [inputs, state, *own.values()]) for values in outputs]
    for values, found in zip(outputs[:2], gradients[:2], strict=True):
        torch.testing.assert_close(values, outputs[2], rtol=0, atol=1e-12)
        for gradient, expected in zip(found, gradients[2], strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
    with products() as found:
        gru.unroll(inputs, state, keep, own, shape).sum().backward()
    assert max(found.batches) == 1  # no product with n copies of the weights, forth or back


def test_a_gradient_that_is_shared_stays_as_it_was() -> None:
    """What autograd hands in belongs to others too."""
    shape = GruShape(6, 1, 8)
    parameters = random_parameters(shape.parameter_shapes(), 1, torch.float32)
    inputs, state, keep = case(1, 1, 5, 2, torch.float32)
    given = torch.ones(1, 10, 8)
    gru.unroll(inputs, state, keep, parameters, shape).backward(given)
    assert torch.equal(given, torch.ones(1, 10, 8))


def test_the_cell_is_torchs() -> None:
    stream = torch.Generator().manual_seed(0)
    reference = torch.nn.GRUCell(6, 8)
    shape = GruShape(6, 1, 8)
    with torch.no_grad():
        for value in reference.parameters():
            value.copy_(torch.randn(value.shape, generator=stream))
        parameters = {
            "gru0_input_weight": reference.weight_ih.T[None],
            "gru0_input_bias": reference.bias_ih[None],
            "gru0_state_weight": reference.weight_hh.T[None],
            "gru0_state_bias": reference.bias_hh[None],
        }
        inputs, state = torch.randn(9, 6, generator=stream), torch.randn(9, 8, generator=stream)
        outputs, state_out = gru.step(inputs[None], state[None, :, None], parameters, shape)
        expected = reference(inputs, state)
    torch.testing.assert_close(outputs[0], expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(state_out[:, :, 0], outputs)


def test_one_network_alone_is_its_slice_of_the_stack() -> None:
    shape = NetworkShape(6, (7, 5), 3, "relu", True, num_layers=2, hidden_size=4, head_sizes=(6,))
    parameters = random_parameters(shape.parameter_shapes(), 3, torch.float64)
    inputs = torch.randn(3, 4, 6, dtype=torch.float64)
    state = torch.randn(3, 4, 2, 4, dtype=torch.float64)
    outputs, state_out = network.step(inputs, state, parameters, shape)
    for index in range(3):
        own = {name: value[index] for name, value in parameters.items()}
        output, after = network.step(inputs[index], state[index], own, shape)
        torch.testing.assert_close(output, outputs[index])
        torch.testing.assert_close(after, state_out[index])


def test_initial_weights_are_orthogonal_over_all_gates() -> None:
    shape = GruShape(6, 2, 8, True)
    parameters = {name: torch.full(size, torch.nan) for name, size in shape.parameter_shapes().items()}
    gru.initialise(parameters, shape, torch.Generator().manual_seed(0))
    for layer in range(2):
        for part in ("input", "state"):
            weight = parameters[f"gru{layer}_{part}_weight"]
            torch.testing.assert_close(weight @ weight.T, torch.eye(weight.shape[0]), rtol=0, atol=1e-5)
            assert not parameters[f"gru{layer}_{part}_bias"].any()
    assert (parameters["gru_norm_scale"] == 1).all() and not parameters["gru_norm_shift"].any()
