"""ParameterStack: Adam and clipping per network, equal to torch's own, and no network moves for another."""

from __future__ import annotations

import pytest
import torch

from a2po.networks.stack import AdamSettings, ParameterStack

SHAPES = {"weight": (3, 2), "bias": (2,), "log_std": (1,)}
SETTINGS = AdamSettings(epsilon=1e-5, max_grad_norm=1.0)


def filled_stack(num_networks: int, seed: int = 0) -> ParameterStack:
    stack = ParameterStack(SHAPES, num_networks)
    stack.values.copy_(torch.randn(stack.values.shape, generator=torch.Generator().manual_seed(seed)))
    return stack


def gradients_for(count: int, scales: torch.Tensor, stream: torch.Generator) -> list[torch.Tensor]:
    """One [count, *shape] per parameter; network i's are scaled by scales[i], so that some are clipped and some not."""
    return [torch.randn(count, *shape, generator=stream) * scales[:count].view(-1, *(1,) * len(shape)) for shape in SHAPES.values()]


@pytest.mark.parametrize("which", [slice(0, 4), slice(0, 1), slice(1, 3), slice(3, 4)])
@pytest.mark.parametrize("num_steps", [1, 25])
def test_adam_is_torchs_for_each_network(which: slice, num_steps: int) -> None:
    stack = filled_stack(4)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    count = which.stop - which.start
    scales = torch.tensor([0.01, 30.0, 1.0, 1e-4])
    theirs = [[value[agent].clone().requires_grad_() for value in stack.views(stack.values).values()] for agent in range(4)][which]
    optimisers = [torch.optim.Adam(parameters, lr=1e-2, eps=SETTINGS.epsilon) for parameters in theirs]
    stream = torch.Generator().manual_seed(1)
    for step in range(num_steps):
        rate = 1e-2 / (1 + step)
        gradients = gradients_for(count, scales, stream)
        copies = [part.clone() for part in gradients]
        norms = stack.adam_step(which, gradients, rate, SETTINGS)
        for network, (parameters, optimiser) in enumerate(zip(theirs, optimisers, strict=True)):
            for parameter, part in zip(parameters, copies, strict=True):
                parameter.grad = part[network].clone()
            norm = torch.nn.utils.clip_grad_norm_(parameters, SETTINGS.max_grad_norm)
            torch.testing.assert_close(norms[network], norm)
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
    for network, parameters in enumerate(theirs):
        mine = [view[which][network] for view in stack.views(stack.values).values()]
        for own, other in zip(mine, parameters, strict=True):
            torch.testing.assert_close(own, other.detach(), rtol=1e-5, atol=1e-6)
    idle = [agent for agent in range(4) if not which.start <= agent < which.stop]
    for name, value in stack.state_dict().items():
        assert torch.equal(value[idle], before[name][idle]), name
    assert (stack.steps[which] == num_steps).all()
    assert not torch.equal(stack.views(stack.values)["weight"][which], before["weights.weight"][which])


def test_gradients_are_clipped_per_network_not_together() -> None:
    """A network with a huge gradient takes nothing from its neighbour's step."""
    together, alone = filled_stack(2), filled_stack(2)
    stream = torch.Generator().manual_seed(2)
    gradients = gradients_for(2, torch.tensor([0.5, 1e6]), stream)
    single = [part[:1].clone() for part in gradients]
    for _ in range(2):
        together.adam_step(slice(0, 2), [part.clone() for part in gradients], 1e-2, SETTINGS)
        alone.adam_step(slice(0, 1), [part.clone() for part in single], 1e-2, SETTINGS)
    assert torch.equal(together.values[0], alone.values[0]) and torch.equal(together.second_moments[0], alone.second_moments[0])


def test_step_counts_are_per_network() -> None:
    """The bias correction of a network that joins late is that of its first step."""
    stack, fresh = filled_stack(2), filled_stack(2)
    stream = torch.Generator().manual_seed(3)
    for _ in range(10):
        stack.adam_step(slice(0, 1), gradients_for(1, torch.ones(2), stream), 1e-2, SETTINGS)
    gradients = gradients_for(1, torch.ones(2), stream)
    stack.adam_step(slice(1, 2), [part.clone() for part in gradients], 1e-2, SETTINGS)
    fresh.adam_step(slice(1, 2), gradients, 1e-2, SETTINGS)
    assert torch.equal(stack.values[1], fresh.values[1])


def test_views_and_leaves_are_the_parameters_themselves() -> None:
    stack = filled_stack(3)
    views, leaves = stack.views(stack.values), stack.leaves(slice(1, 3))
    assert {name: tuple(view.shape[1:]) for name, view in views.items()} == SHAPES
    assert list(leaves) == list(SHAPES)
    start = stack.values.untyped_storage().data_ptr()
    for tensor in (*views.values(), *leaves.values()):
        assert tensor.untyped_storage().data_ptr() == start
    stack.values[2].fill_(7.0)
    assert all((leaf[1] == 7.0).all() and leaf.requires_grad for leaf in leaves.values())
    with torch.no_grad():
        leaves["bias"][0].fill_(-3.0)
    assert (views["bias"][1] == -3.0).all() and (stack.values[1] == -3.0).sum() == 2
    # Together the views are all of the flat tensor, in order and without overlap.
    assert torch.equal(torch.cat([view.flatten(1) for view in views.values()], dim=1), stack.values)


def test_a_step_is_seen_through_old_leaves_and_gradients_flow_to_them() -> None:
    stack = filled_stack(2)
    leaves = stack.leaves(slice(0, 2))
    loss = sum((leaf**2).sum() for leaf in leaves.values())
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    stack.adam_step(slice(0, 2), gradients, 1e-2, SETTINGS)
    for name, view in stack.views(stack.values).items():
        assert torch.equal(leaves[name].detach(), view)


def test_state_round_trip() -> None:
    stack, other = filled_stack(2), filled_stack(2, seed=9)
    stream = torch.Generator().manual_seed(4)
    stack.adam_step(slice(0, 2), gradients_for(2, torch.ones(2), stream), 1e-2, SETTINGS)
    saved = {name: value.clone() for name, value in stack.state_dict().items()}
    leaves = other.leaves(slice(0, 2))
    other.load_state_dict(saved)
    assert torch.equal(leaves["weight"].detach(), stack.views(stack.values)["weight"])  # in place
    gradients = gradients_for(2, torch.ones(2), stream)
    for one in (stack, other):
        one.adam_step(slice(0, 2), [part.clone() for part in gradients], 1e-2, SETTINGS)
    assert all(torch.equal(one, two) for one, two in zip(stack.state_dict().values(), other.state_dict().values(), strict=True))

    warm = filled_stack(2, seed=9)
    warm.load_weights(saved)
    assert torch.equal(warm.views(warm.values)["weight"], saved["weights.weight"]) and not warm.first_moments.any()
    with pytest.raises(KeyError):
        warm.load_weights({name: value for name, value in saved.items() if name != "weights.bias"})
    with pytest.raises(RuntimeError):
        ParameterStack(SHAPES, 3).load_state_dict(saved)
