"""Surrogates and value loss: golden values, losses and gradients of all four forms, and what must leave them unchanged."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2po.algorithms import objectives
from a2po.algorithms.update_rules import A2PO, COPPO, HAPPO, IPPO, MAPPO, RPISA, RULES, UpdateRule, rule
from a2po.errors import ConfigError

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())
GOLDEN = CASES["surrogates"]
ALL_FORMS = (MAPPO, COPPO, HAPPO, A2PO)


def tensor(numbers: list[Any]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def golden_updates() -> list[Any]:
    """(rule, agent, the others, clip, the others' clip, golden entry) of every per-agent update in the file."""
    updates: list[tuple[UpdateRule, int, list[int], float, float | None, dict[str, Any]]] = []
    updates += [(form, entry["agent"], [], 0.2, None, entry) for form in (MAPPO, IPPO, RPISA) for entry in GOLDEN["mappo"]]
    for entry in GOLDEN["coppo"]["per_agent"]:
        others = [agent for agent in range(3) if agent != entry["agent"]]
        updates.append((COPPO, entry["agent"], others, 0.2, GOLDEN["coppo"]["eps_outer"], entry))
    for form, name in ((HAPPO, "happo"), (A2PO, "a2po"), (A2PO, "a2po_official_static_others_clip")):
        for position, entry in enumerate(GOLDEN[name]["per_agent"]):
            preceding = GOLDEN[name]["order"][:position]
            updates.append((form, entry["agent"], preceding, entry.get("eps_i", 0.2), entry.get("eps_others"), entry))
    return [pytest.param(*update, id=f"{update[0].name}-{i}") for i, update in enumerate(updates)]


@pytest.mark.parametrize(("form", "agent", "others", "clip", "others_clip", "golden"), golden_updates())
def test_golden_surrogates(
    form: UpdateRule, agent: int, others: list[int], clip: float, others_clip: float | None, golden: dict[str, Any]
) -> None:
    log_ratios = tensor(GOLDEN["ratios_BxN"]).log().requires_grad_()
    ratios, advantages = log_ratios.exp(), tensor(GOLDEN["advantages"])
    mask = torch.tensor(GOLDEN["active_mask_of_updated_agent"])
    product = ratios[:, others].prod(1)
    gains = objectives.surrogate(form, ratios[:, agent], product, advantages, clip=clip, others_clip=others_clip)
    close(gains.detach(), golden.get("per_sample_min", golden.get("per_sample")))
    for weights in (mask, mask.bool(), mask.double()):
        loss = objectives.surrogate_loss(form, ratios, agent, others, advantages, weights, clip=clip, others_clip=others_clip)
        close(loss.detach(), golden["loss"])
    (gradient,) = torch.autograd.grad(loss, log_ratios)
    close(gradient[:, agent], golden["grad_wrt_logprob"])
    gradient[:, agent] = 0.0
    assert not gradient.any()


@pytest.mark.parametrize("form", ALL_FORMS, ids=lambda form: form.name)
def test_golden_single_agent(form: UpdateRule) -> None:
    case = CASES["n1_reduction"]
    ratios, advantages = tensor(case["ratios"]).unsqueeze(1), tensor(case["advantages"])
    close(objectives.surrogate_loss(form, ratios, 0, [], advantages, None, clip=case["eps"]), case["ppo_loss"])


@pytest.mark.parametrize("form", ALL_FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_forms_are_bit_equal_where_the_others_did_not_move(form: UpdateRule, dtype: torch.dtype) -> None:
    stream = torch.Generator().manual_seed(0)
    ratio, advantages = torch.randn(500, generator=stream, dtype=dtype).mul(0.3).exp(), torch.randn(500, generator=stream, dtype=dtype)
    plain = objectives.surrogate(MAPPO, ratio, None, advantages, clip=0.2)
    assert plain.dtype == dtype
    for others in (None, torch.ones_like(ratio)):
        assert torch.equal(objectives.surrogate(form, ratio, others, advantages, clip=0.2), plain)


def test_equals_a_loop_over_samples() -> None:
    stream = torch.Generator().manual_seed(1)
    ratio, others = (torch.randn(200, generator=stream, dtype=torch.float64).mul(0.3).exp() for _ in range(2))
    advantages = torch.randn(200, generator=stream, dtype=torch.float64)

    def clip(number: float, size: float) -> float:
        return min(max(number, 1 - size), 1 + size)

    for form in ALL_FORMS:
        expected = []
        for r, o, a in zip(ratio.tolist(), others.tolist(), advantages.tolist(), strict=True):
            if form is HAPPO:
                expected.append(o * min(r * a, clip(r, 0.3) * a))
            else:
                inside = r * (1.0 if form is MAPPO else clip(o, 0.1))
                expected.append(min(inside * a, clip(inside, 0.3) * a))
        close(objectives.surrogate(form, ratio, others, advantages, clip=0.3, others_clip=0.1), expected)


def test_no_gradient_through_others_and_advantages() -> None:
    ratio, others, advantages = (torch.rand(6, dtype=torch.float64).add(0.9).requires_grad_() for _ in range(3))
    for form in ALL_FORMS:
        gains = objectives.surrogate(form, ratio, others, advantages, clip=5.0).sum()
        gradients = torch.autograd.grad(gains, (ratio, others, advantages), allow_unused=True)
        assert gradients[0].abs().sum() > 0
        assert gradients[1:] == (None, None)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), junk=st.floats(0.01, 100))
def test_masked_samples_do_not_matter(seed: int, junk: float) -> None:
    stream = torch.Generator().manual_seed(seed)
    ratios, advantages = torch.randn(9, 2, generator=stream).double().mul(0.3).exp(), torch.randn(9, generator=stream).double()
    mask = torch.rand(9, generator=stream) < 0.5
    mask[0] = True
    changed = torch.where(mask, advantages, junk), torch.where(mask.unsqueeze(1), ratios, junk)
    for form in ALL_FORMS:
        one = objectives.surrogate_loss(form, ratios, 1, [0], advantages, mask, clip=0.2)
        close(objectives.surrogate_loss(form, changed[1], 1, [0], changed[0], mask, clip=0.2), one)
        close(objectives.surrogate_loss(form, ratios[mask], 1, [0], advantages[mask], None, clip=0.2), one)


@pytest.mark.parametrize("form", ALL_FORMS, ids=lambda form: form.name)
def test_an_empty_mask_gives_zero_without_gradient(form: UpdateRule) -> None:
    ratios = torch.ones(4, 2, requires_grad=True)
    loss = objectives.surrogate_loss(form, ratios, 0, [1], torch.ones(4), torch.zeros(4), clip=0.2)
    loss.backward()
    assert loss.item() == 0.0
    assert ratios.grad is not None
    assert not ratios.grad.any()


def test_wrong_samples_are_named() -> None:
    ratios, advantages = torch.ones(4, 2), torch.ones(4)
    with pytest.raises(ValueError, match=r"advantages \[3\] and ratio \[4\]"):
        objectives.surrogate(MAPPO, advantages, None, torch.ones(3), clip=0.2)
    with pytest.raises(ValueError, match=r"others \[4, 1\] and ratio \[4\]"):
        objectives.surrogate(A2PO, advantages, torch.ones(4, 1), advantages, clip=0.2)
    with pytest.raises(ValueError, match="floating point"):
        objectives.surrogate(MAPPO, advantages, None, torch.ones(4, dtype=torch.int64), clip=0.2)
    with pytest.raises(ValueError, match=r"clip is -0\.2"):
        objectives.surrogate(MAPPO, advantages, None, advantages, clip=-0.2)
    with pytest.raises(ValueError, match=r"ratios must be \[M, N\]"):
        objectives.surrogate_loss(MAPPO, advantages, 0, [], advantages, None, clip=0.2)
    for agent, others in ((2, []), (0, [0]), (0, [1, 1]), (0, [2]), (-1, [])):
        with pytest.raises(ValueError, match="ids must be distinct and below 2"):
            objectives.surrogate_loss(A2PO, ratios, agent, others, advantages, None, clip=0.2)
    with pytest.raises(ValueError, match=r"mask \[3\]"):
        objectives.surrogate_loss(A2PO, ratios, 0, [1], advantages, torch.ones(3), clip=0.2)


# Rules


def test_rules_are_frozen_values_found_by_name() -> None:
    assert rule("a2po") is A2PO
    assert rule("mappo") is MAPPO
    assert MAPPO.simultaneous and not A2PO.simultaneous
    assert all(value.name == name for name, value in RULES.items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        A2PO.adaptive_clip = False  # type: ignore[misc]
    with pytest.raises(ConfigError, match=r"unknown algorithm 'a2p0'; did you mean 'a2po'"):
        rule("a2p0")


# Value loss


def test_golden_value_loss() -> None:
    case = CASES["value_loss"]
    values, old_values, returns = (tensor(case[name]) for name in ("values", "old_values", "returns"))
    losses = objectives.value_loss(values, old_values, returns, clip=case["clip"], huber_delta=case["huber_delta"])
    close(losses, case["per_sample"])
    close(losses.mean(), case["loss_mean"])
    active = tensor(case["active"])
    close((losses * active).sum() / active.sum(), case["loss_active"])
    close(objectives.value_loss(values, old_values, returns), case["per_sample_mse_unclipped"])


def test_huber_loss_is_symmetric_and_matches_torch() -> None:
    errors = torch.linspace(-30, 30, 121, dtype=torch.float64)
    zeros = torch.zeros_like(errors)
    losses = objectives.value_loss(errors, zeros, zeros, huber_delta=10.0)
    assert torch.equal(losses, losses.flip(0))
    close(losses, torch.nn.functional.huber_loss(errors, zeros, delta=10.0, reduction="none"))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), clip=st.floats(0.01, 2), delta=st.one_of(st.none(), st.floats(0.1, 5)))
def test_clipped_value_loss_is_the_larger_of_two(seed: int, clip: float, delta: float | None) -> None:
    values, old_values, returns = torch.randn(3, 50, generator=torch.Generator().manual_seed(seed)).double()
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    plain, other = (objectives.value_loss(v, old_values, returns, huber_delta=delta) for v in (values, clipped))
    close(objectives.value_loss(values, old_values, returns, clip=clip, huber_delta=delta), torch.maximum(plain, other))
    inside = objectives.value_loss(values, old_values, returns, clip=100.0, huber_delta=delta)
    close(inside, plain)


def test_value_gradient_flows_through_values_only_and_is_whole_where_nothing_clips() -> None:
    values, old_values, returns = (torch.tensor([x], requires_grad=True) for x in (1.0, 1.0, 3.0))
    loss = objectives.value_loss(values, old_values, returns, clip=0.2).sum()
    gradients = torch.autograd.grad(loss, (values, old_values, returns), allow_unused=True)
    assert gradients[0].item() == -2.0
    assert gradients[1:] == (None, None)


def test_wrong_value_inputs_are_named() -> None:
    ones = torch.ones(3)
    with pytest.raises(ValueError, match=r"returns \[4\] and values \[3\]"):
        objectives.value_loss(ones, ones, torch.ones(4))
    for name in ("clip", "huber_delta"):
        for wrong in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=name):
                objectives.value_loss(ones, ones, ones, **{name: wrong})
