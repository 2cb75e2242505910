"""Stacked networks compute what the single ones compute, and padding neither weighs nor moves anything."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from a2po.networks import mlp
from a2po.networks.mlp import MlpShape
from a2po.networks.stack import ParameterStack

INPUTS, OUTPUTS = (5, 3, 4), (2, 4, 1)
"""Real widths of three agents; the stack is padded to 5 and 4."""


def build(
    activation: str, layer_norm: bool, inputs: tuple[int, ...] = INPUTS, outputs: tuple[int, ...] = OUTPUTS
) -> tuple[MlpShape, ParameterStack]:
    shape = MlpShape(max(inputs), (8, 6), max(outputs), activation, layer_norm)
    stack = ParameterStack(shape.parameter_shapes(), len(inputs))
    stack.values.fill_(123.0)  # initialise must not rely on zeros
    for agent, (width_in, width_out) in enumerate(zip(inputs, outputs, strict=True)):
        own = {name: view[agent] for name, view in stack.views(stack.values).items()}
        mlp.initialise(own, shape, width_in, width_out, 0.5, torch.Generator().manual_seed(agent))
    return shape, stack


def perturb(stack: ParameterStack) -> None:
    """Move every parameter that is not zero; the padding is."""
    noise = torch.randn(stack.values.shape, generator=torch.Generator().manual_seed(5)) * 0.3
    stack.values.add_(noise * (stack.values != 0))


def padded_inputs(inputs: tuple[int, ...], rows: int = 7) -> Tensor:
    values = torch.randn(len(inputs), rows, max(inputs), generator=torch.Generator().manual_seed(6)) * 2.0 + 1.0
    for agent, width in enumerate(inputs):
        values[agent, :, width:] = 0.0
    return values


def plain(values: Tensor, own: dict[str, Tensor], shape: MlpShape, width_in: int, width_out: int) -> Tensor:
    """One agent at its real sizes, in float64 with torch's own layers."""
    hidden, last = values[:, :width_in].double(), len(shape.layer_sizes) - 1
    for layer in range(last + 1):
        rows = slice(0, width_in) if layer == 0 else slice(None)
        columns = slice(0, width_out) if layer == last else slice(None)
        if shape.layer_norm:
            scale, shift = own[f"norm{layer}_scale"][rows].double(), own[f"norm{layer}_shift"][rows].double()
            hidden = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], scale, shift)
        hidden = hidden @ own[f"linear{layer}_weight"][rows, columns].double() + own[f"linear{layer}_bias"][columns].double()
        if layer < last:
            hidden = {"tanh": torch.tanh, "relu": torch.relu}[shape.activation](hidden)
    return hidden


@pytest.mark.parametrize(("activation", "layer_norm", "same"), list(product(["tanh", "relu"], [False, True], [False, True])))
def test_a_stack_computes_what_each_agent_computes_alone(activation: str, layer_norm: bool, same: bool) -> None:
    inputs, outputs = ((5, 5, 5), (4, 4, 4)) if same else (INPUTS, OUTPUTS)
    shape, stack = build(activation, layer_norm, inputs, outputs)
    views = stack.views(stack.values)
    perturb(stack)
    for agent, (width_in, width_out) in enumerate(zip(inputs, outputs, strict=True)):
        for layer, (width, units) in enumerate([(width_in, 8), (8, 6), (6, width_out)]):
            views[f"linear{layer}_bias"][agent, :units] = 0.1 * (layer + 1)
            if layer_norm:
                views[f"norm{layer}_shift"][agent, :width] = 0.2
    values = padded_inputs(inputs)
    stacked = mlp.forward(values, views, shape, None if same else torch.tensor(inputs).float())
    for agent, (width_in, width_out) in enumerate(zip(inputs, outputs, strict=True)):
        own = {name: view[agent] for name, view in views.items()}
        expected = plain(values[agent], own, shape, width_in, width_out)
        torch.testing.assert_close(stacked[agent, :, :width_out].double(), expected, rtol=1e-5, atol=1e-5)
        assert not stacked[agent, :, width_out:].any()  # padded outputs are zero
        if same:
            torch.testing.assert_close(mlp.forward(values[agent], own, shape), stacked[agent], rtol=1e-5, atol=1e-6)


def test_layer_norm_ignores_the_padding() -> None:
    """Over the padded width the statistics would be others: this is what real_widths is for."""
    shape, stack = build("tanh", True)
    values, views = padded_inputs(INPUTS), stack.views(stack.values)
    real = mlp.forward(values, views, shape, torch.tensor(INPUTS).float())
    wrong = mlp.forward(values, views, shape)
    assert torch.allclose(real[0], wrong[0], atol=1e-6)  # the widest agent has no padding
    assert (real[1] - wrong[1]).abs().max() > 1e-3


def test_a_constant_observation_stays_finite_under_layer_norm() -> None:
    shape, stack = build("tanh", True)
    values = torch.zeros(3, 2, 5)
    leaves = stack.leaves(slice(0, 3))
    output = mlp.forward(values, leaves, shape, torch.tensor(INPUTS).float())
    gradients = torch.autograd.grad(output.sum(), list(leaves.values()))
    assert torch.isfinite(output).all() and all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0**0.5), ("tanh", 5.0 / 3.0)])
def test_weights_are_orthogonal_at_the_real_widths(activation: str, gain: float) -> None:
    _, stack = build(activation, True)
    views = stack.views(stack.values)
    for agent, (width_in, width_out) in enumerate(zip(INPUTS, OUTPUTS, strict=True)):
        for layer, (rows, columns, expected) in enumerate([(width_in, 8, gain), (8, 6, gain), (6, width_out, 0.5)]):
            weight = views[f"linear{layer}_weight"][agent]
            block = weight[:rows, :columns].double()
            gram = block @ block.T if rows <= columns else block.T @ block
            torch.testing.assert_close(gram, expected**2 * torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-5)
            assert not weight[rows:].any() and not weight[:, columns:].any()
            assert not views[f"linear{layer}_bias"][agent].any()
        assert (views["norm0_scale"][agent, :width_in] == 1).all() and not views["norm0_scale"][agent, width_in:].any()
        assert (views["norm1_scale"][agent] == 1).all() and not views["norm0_shift"][agent].any()


def test_initialisation_depends_on_its_own_stream_alone() -> None:
    _, one = build("tanh", False)
    _, two = build("tanh", False)
    assert torch.equal(one.values, two.values)
    assert not torch.equal(one.views(one.values)["linear1_weight"][0], one.views(one.values)["linear1_weight"][1])


def test_padded_parameters_get_no_gradient() -> None:
    """Through the real outputs, so that a padded weight stays zero for ever."""
    shape, stack = build("tanh", True)
    leaves = stack.leaves(slice(0, 3))
    output = mlp.forward(padded_inputs(INPUTS), leaves, shape, torch.tensor(INPUTS).float())
    loss = sum(output[agent, :, :width].square().sum() for agent, width in enumerate(OUTPUTS))
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    for agent, (width_in, width_out) in enumerate(zip(INPUTS, OUTPUTS, strict=True)):
        assert not gradients["linear0_weight"][agent, width_in:].any()
        assert not gradients["norm0_scale"][agent, width_in:].any()
        assert not gradients["linear2_weight"][agent, :, width_out:].any()
        assert not gradients["linear2_bias"][agent, width_out:].any()
        assert gradients["linear0_weight"][agent, :width_in].any() and gradients["linear2_weight"][agent, :, :width_out].any()


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_shared_parameters_are_those_of_n_networks_that_stay_equal(layer_norm: bool, same: bool, products: Any) -> None:
    """The same values, the sum of their gradients, and one product for all."""
    widths = (5, 5, 5) if same else INPUTS
    shape = MlpShape(5, (8, 6), 4, "relu", layer_norm)
    stream = torch.Generator().manual_seed(3)
    own = {name: torch.randn(1, *size, generator=stream).double().requires_grad_() for name, size in shape.parameter_shapes().items()}
    values, real = padded_inputs(widths).double().requires_grad_(), None if same else torch.tensor(widths).float()
    # Networks of their own have zeros where an agent has no feature.
    here = (torch.arange(5) < torch.tensor(widths)[:, None]).double()
    masks = {"linear0_weight": here[:, :, None], "norm0_scale": here, "norm0_shift": here}
    separate = {name: value.expand(3, *value.shape[1:]) * masks.get(name, 1.0) for name, value in own.items()}
    weight = torch.randn(3, 7, 4, generator=stream).double()
    leaves = [values, *own.values()]
    with products() as found:
        shared = mlp.forward(values, own, shape, real)
        mine = torch.autograd.grad((shared * weight).sum(), leaves)
    expected = mlp.forward(values, separate, shape, real)
    theirs = torch.autograd.grad((expected * weight).sum(), leaves)
    torch.testing.assert_close(shared, expected, rtol=0, atol=1e-12)
    for gradient, other, leaf in zip(mine, theirs, leaves, strict=True):
        at = here[:, None] if leaf is values else 1.0  # nobody reads the padding
        torch.testing.assert_close(gradient * at, other * at, rtol=1e-12, atol=1e-12)
    assert max(found.batches, default=1) == 1  # no product with n copies of the weights, forth or back
