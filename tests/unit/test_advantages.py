"""GAE and PreOPC: golden numbers, the sums they abbreviate, and what must not change them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2po.algorithms import advantages as estimators

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())
FIELDS = ("rewards", "values", "next_values", "terminated", "truncated")
TRACES = ("paper", "squared", "cumulative")


def tensor(numbers: list[Any]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor | list[Any], tolerance: float = 1e-12) -> None:
    expected = expected if isinstance(expected, Tensor) else tensor(expected)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def scan(case: dict[str, Any]) -> dict[str, float]:
    return {"discount": case["gamma"], "trace_decay": case["lam"]}


def random_data(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Rewards, values, next values, terminated, truncated and ratios."""
    stream = torch.Generator().manual_seed(seed)
    rewards, values, next_values = (torch.randn(shape, generator=stream, dtype=dtype) for _ in range(3))
    terminated, truncated = (torch.rand(shape, generator=stream) < 0.1 for _ in range(2))
    return rewards, values, next_values, terminated, truncated, (0.5 * torch.randn(shape, generator=stream, dtype=dtype)).exp()


def double_sum(data: tuple[Tensor, ...], discount: float, trace_decay: float, max_ratio: float = 1.0, trace: str = "paper") -> list[float]:
    """One column, by the definition: every advantage is its own sum over the steps after it."""
    rewards, values, next_values, terminated, truncated, ratios = (column.double().tolist() for column in data)
    advantages = []
    for t in range(len(rewards)):
        total, weight, product = 0.0, 1.0, 1.0
        for u in range(t, len(rewards)):
            total += weight * (rewards[u] + discount * (1 - terminated[u]) * next_values[u] - values[u])
            if terminated[u] or truncated[u] or u + 1 == len(rewards):
                break
            if trace == "cumulative":
                product, before = min(max_ratio, product * ratios[u + 1]), product
                factor = trace_decay * (product / before if before else 0.0)
            else:
                factor = min(max_ratio, ratios[u + 1]) * trace_decay ** (2 if trace == "squared" else 1)
            weight *= discount * factor
        advantages.append(total)
    return advantages


# Golden numbers


@pytest.mark.parametrize("case", CASES["preopc"], ids=lambda case: case["name"])
def test_golden_preopc(case: dict[str, Any]) -> None:
    data = [tensor(case[name]) for name in (*FIELDS, "rho")]
    for options, field in (
        ({"max_ratio": case["clip_bar"]}, "advantages"),
        ({"trace": "squared"}, "advantages_official_default_lambda_squared"),
        ({"trace": "cumulative"}, "advantages_cumulative_clip"),
        ({"max_ratio": math.inf}, "advantages_unclipped"),
        ({"max_ratio": math.inf, "trace": "cumulative"}, "advantages_unclipped"),
        ({"max_ratio": 1e6, "trace": "cumulative"}, "advantages_unclipped"),
    ):
        if field in case:
            close(estimators.preopc(*data, **scan(case), **options), case[field])
    close(estimators.preopc(*data, **scan(case)) + data[1], case["value_targets"])
    close(estimators.preopc(*data, discount=case["gamma"], trace_decay=0.0), case["deltas"])
    if case["name"].endswith("rho_ones"):
        close(estimators.gae(*data[:5], **scan(case)), case["advantages"])


def test_golden_sequence_multiplies_the_preceding_ratios_first() -> None:
    case = CASES["preopc_sequence"]
    per_agent = tensor(case["per_agent_ratios_TxN"])
    for step in case["expected"]:
        ratios = per_agent[:, step["preceding"]].prod(1)
        close(ratios, step["joint_rho"])
        close(estimators.preopc(*(tensor(case[name]) for name in FIELDS), ratios, **scan(case)), step["advantages"])


def test_golden_truncation_bootstraps_from_the_true_successor() -> None:
    case = CASES["truncation_conventions"]
    values = case["values_with_bootstrap"]
    next_values = [*values[1:3], case["final_obs_value"], values[4]]
    data = (tensor(case["rewards"]), tensor(values[:4]), tensor(next_values), torch.zeros(4), torch.tensor([0, 0, 1, 0]))
    close(estimators.gae(*data, **scan(case)), case["recommended_bootstrap"])


def test_golden_normalisation() -> None:
    case = CASES["advantage_normalisation"]
    advantages, mask = tensor(case["adv_TxN"]), torch.tensor(case["active_TxN"])
    for flags in (mask, mask.bool(), mask.double()):
        close(estimators.normalise(advantages, flags), case["normalised"])


def test_hand_numbers() -> None:
    """γ = λ = 1/2 and δ = 4, 4, 4: A₂ = 4, A₁ = 4 + ¼ · ½ · 4, A₀ = 4 + ¼ · 1 · 4.5. The ratio at step 0 is not used."""
    zeros = torch.zeros(3, dtype=torch.float64)
    advantages = estimators.preopc(zeros + 4, zeros, zeros, zeros, zeros, tensor([9.0, 2.0, 0.5]), discount=0.5, trace_decay=0.5)
    assert advantages.tolist() == [5.125, 4.5, 4.0]


# The sums that the recursions abbreviate


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("max_ratio", [1.0, 0.4, 0.0, 1.7, 50.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_double_sum(trace: Any, max_ratio: float, seed: int) -> None:
    data = random_data(seed, 40, 3, 2)
    advantages = estimators.preopc(*data, discount=0.97, trace_decay=0.9, max_ratio=max_ratio, trace=trace)
    for copy in range(3):
        for agent in range(2):
            column = tuple(whole[:, copy, agent] for whole in data)
            close(advantages[:, copy, agent], double_sum(column, 0.97, 0.9, max_ratio, trace))


@pytest.mark.parametrize("decay", [1.0, 0.94])
def test_cumulative_trace_over_a_long_rollout(decay: float) -> None:
    """Longer than the horizon after which terms are dropped, and without one at γ λ = 1."""
    *data, ratios = random_data(4, 1200, 1)
    none = torch.zeros(1200, 1)
    columns = (*data[:3], none, none, ratios)
    advantages = estimators.preopc(*columns, discount=1.0, trace_decay=decay, trace="cumulative")
    close(advantages[:, 0], double_sum(tuple(column[:, 0] for column in columns), 1.0, decay, trace="cumulative"), 1e-10)


def test_mean_over_sampled_rollouts_is_the_exact_expectation() -> None:
    """On the exactly solved two-state task: 10 000 rollouts of π from each state and joint action, corrected for π̂."""
    case = CASES["tabular_dec_mdp"]
    expected = next(e for e in case["expected_preopc"] if (e["value"], e["lam"], e["clip_bar"]) == ("V_pi", 0.5, 1.0))
    transitions, rewards, values = tensor(case["P_s_a1_a2_s2"]).flatten(1, 2), tensor(case["R_s_a1_a2"]).flatten(1), tensor(case["V_pi"])
    old = (tensor(case["pi1"]).unsqueeze(2) * tensor(case["pi2"]).unsqueeze(1)).flatten(1)  # [2, 4] over joint actions
    new = (tensor(case["pi1_updated"]).unsqueeze(2) * tensor(case["pi2"]).unsqueeze(1)).flatten(1)
    stream = torch.Generator().manual_seed(0)
    start = torch.arange(8).repeat_interleave(10_000)
    state, action, rows = start // 4, start % 4, []
    for _ in range(30):  # (γ λ)³⁰ < 1e-10
        after = torch.multinomial(transitions[state, action], 1, generator=stream)[:, 0]
        rows.append((rewards[state, action], values[state], values[after], (new / old)[state, action]))
        state, action = after, torch.multinomial(old[after], 1, generator=stream)[:, 0]
    data = [torch.stack(column) for column in zip(*rows, strict=True)]
    ends = torch.zeros(30, len(start))
    sampled = estimators.preopc(*data[:3], ends, ends, data[3], discount=0.9, trace_decay=0.5)[0]
    means = sampled.view(8, -1).mean(1)
    torch.testing.assert_close(means, tensor(expected["expected_preopc_s_a1_a2"]).flatten(), rtol=0, atol=0.04)


# Invariants


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 30), discount=st.floats(0, 1), trace_decay=st.floats(0, 1))
def test_recursion_equals_double_sum_for_any_numbers(seed: int, length: int, discount: float, trace_decay: float) -> None:
    data = random_data(seed, length)
    for trace in TRACES:
        advantages = estimators.preopc(*data, discount=discount, trace_decay=trace_decay, trace=trace)
        close(advantages, double_sum(data, discount, trace_decay, trace=trace), 1e-11)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), max_ratio=st.floats(1, 5))
def test_ratios_of_one_give_gae(seed: int, max_ratio: float) -> None:
    *data, ratios = random_data(seed, 20, 2)
    plain = estimators.gae(*data, discount=0.99, trace_decay=0.95)
    for trace in ("paper", "cumulative"):
        ones = torch.ones_like(ratios)
        close(estimators.preopc(*data, ones, discount=0.99, trace_decay=0.95, max_ratio=max_ratio, trace=trace), plain)


def test_ratios_of_one_give_gae_bit_for_bit() -> None:
    *data, ratios = random_data(0, 50, 4, dtype=torch.float32)
    plain = estimators.gae(*data, discount=0.99, trace_decay=0.95)
    assert torch.equal(plain, estimators.preopc(*data, torch.ones_like(ratios), discount=0.99, trace_decay=0.95))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), excess=st.floats(0, 100))
def test_ratios_above_the_ceiling_do_not_matter(seed: int, excess: float) -> None:
    *data, ratios = random_data(seed, 20, 2)
    raised = torch.where(ratios > 1, ratios + excess, ratios)
    for trace in ("paper", "squared"):
        options = {"discount": 0.99, "trace_decay": 0.95, "trace": trace}
        assert torch.equal(estimators.preopc(*data, ratios, **options), estimators.preopc(*data, raised, **options))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 18), terminal=st.booleans())
def test_an_end_separates_what_is_before_from_what_is_after(seed: int, cut: int, terminal: bool) -> None:
    data = random_data(seed, 20, 2)
    data[3][cut], data[4][cut] = terminal, not terminal
    changed = [whole.clone() for whole in data]
    for before, other in zip(changed, random_data(seed + 1, 20, 2), strict=True):
        before[cut + 1 :] = other[cut + 1 :]
    for trace in TRACES:
        options = {"discount": 0.99, "trace_decay": 0.95, "trace": trace}
        one, two = estimators.preopc(*data, **options), estimators.preopc(*changed, **options)
        assert torch.equal(one[: cut + 1], two[: cut + 1])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 100), shift=st.floats(-10, 10))
def test_normalisation_has_unit_moments_and_ignores_masked_entries(seed: int, scale: float, shift: float) -> None:
    advantages = random_data(seed, 30, 3)[0] * scale + shift
    mask = torch.rand(30, 3, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask[:2] = True
    spoilt = torch.where(mask, advantages, math.nan)
    normalised = estimators.normalise(spoilt, mask)[mask]
    assert abs(normalised.mean().item()) < 1e-9
    assert normalised.std(correction=0).item() == pytest.approx(1.0, abs=1e-3)


# Shapes, dtypes, flags


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_flags_may_be_bool_or_numbers(trace: Any, dtype: torch.dtype) -> None:
    rewards, values, next_values, terminated, truncated, ratios = random_data(3, 25, 2, dtype=dtype)
    results = [
        estimators.preopc(
            rewards, values, next_values, terminated.to(kind), truncated.to(kind), ratios, discount=0.99, trace_decay=0.95, trace=trace
        )
        for kind in (torch.bool, torch.int64, torch.uint8, torch.float32, torch.float64)
    ]
    assert all(result.dtype == dtype and torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("trace", TRACES)
def test_views_are_read_and_not_written(trace: Any) -> None:
    rewards, values, next_values, terminated, truncated, ratios = random_data(5, 12, 3)
    data = [rewards, terminated, truncated, ratios]
    rewards, terminated, truncated, ratios = (column.unsqueeze(-1).expand(12, 3, 4) for column in data)
    values = torch.randn(4, 3, 12, dtype=torch.float64).permute(2, 1, 0)
    next_values = next_values.unsqueeze(-1).expand(12, 3, 4)
    inputs = [rewards, values, next_values, terminated, truncated, ratios]
    before = [whole.clone() for whole in inputs]
    options = {"discount": 0.99, "trace_decay": 0.95, "trace": trace}
    result = estimators.preopc(*inputs, **options)
    assert result.is_contiguous()
    assert torch.equal(result, estimators.preopc(*(whole.contiguous() for whole in before), **options))
    assert all(torch.equal(one, other) for one, other in zip(inputs, before, strict=True))


def test_no_gradient_is_recorded() -> None:
    data = list(random_data(6, 5))
    data[1].requires_grad_()
    data[5].requires_grad_()
    assert not estimators.preopc(*data, discount=0.99, trace_decay=0.95).requires_grad
    assert not estimators.gae(*data[:5], discount=0.99, trace_decay=0.95).requires_grad


def test_whatever_stands_behind_a_terminal_step_is_not_read() -> None:
    *data, ratios = random_data(7, 6, 2)
    data[3][2] = True
    plain = estimators.preopc(*data, ratios, discount=0.99, trace_decay=0.95)
    data[2][2] = math.nan
    assert torch.equal(plain, estimators.preopc(*data, ratios, discount=0.99, trace_decay=0.95))


@pytest.mark.parametrize("trace", TRACES)
def test_infinite_and_zero_ratios_stay_finite(trace: Any) -> None:
    *data, ratios = random_data(8, 20, 2, dtype=torch.float32)
    ratios[3], ratios[5], ratios[6] = math.inf, 0.0, math.inf
    assert estimators.preopc(*data, ratios, discount=0.99, trace_decay=0.95, trace=trace).isfinite().all()


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("trace", TRACES)
def test_very_short_rollouts(length: int, trace: Any) -> None:
    data = random_data(9, length, 3)
    assert estimators.preopc(*data, discount=0.99, trace_decay=0.95, trace=trace).shape == (length, 3)


def test_wrong_inputs_are_named() -> None:
    data = list(random_data(10, 6, 2))
    options: dict[str, Any] = {"discount": 0.99, "trace_decay": 0.95}
    for position, name in enumerate((*FIELDS, "ratios")):
        if position:
            with pytest.raises(ValueError, match=rf"{name} \[6\] and rewards \[6, 2\] differ in shape"):
                estimators.preopc(*data[:position], data[position][:, 0], *data[position + 1 :], **options)
    with pytest.raises(ValueError, match=r"values is torch.float32 and rewards is torch.float64"):
        estimators.gae(data[0], data[1].float(), *data[2:5], **options)
    with pytest.raises(ValueError, match="floating-point"):
        estimators.gae(*(whole.long() for whole in data[:5]), **options)
    for wrong in ({"discount": 1.5}, {"trace_decay": -0.1}, {"trace": "v"}, {"max_ratio": -1.0}, {"max_ratio": math.nan}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            estimators.preopc(*data, **{**options, **wrong})


def test_normalisation_of_nothing_and_of_constants() -> None:
    advantages = torch.full((7, 3), 100.1)
    assert torch.equal(estimators.normalise(advantages, None), torch.zeros(7, 3))
    assert torch.equal(estimators.normalise(torch.randn(7, 3), torch.zeros(7, 3)), torch.zeros(7, 3))
    assert estimators.normalise(advantages, None).dtype == torch.float32
    with pytest.raises(ValueError, match="differ in shape"):
        estimators.normalise(advantages, torch.ones(7))
    with pytest.raises(ValueError, match="floating point"):
        estimators.normalise(advantages.long(), None)


# Memory


def peak_bytes(length: int, trace: Any) -> int:
    """Most bytes of tensors alive at once during one call, inputs not counted, as torch's allocator reports them."""
    data = random_data(0, length, 24, 4, dtype=torch.float32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        estimators.preopc(*data, discount=0.99, trace_decay=0.95, trace=trace)
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


@pytest.mark.parametrize("trace", TRACES)
def test_memory_grows_with_the_rollout_and_not_with_its_square(trace: Any) -> None:
    short, long = peak_bytes(3000, trace), peak_bytes(6000, trace)
    assert short > 3000 * 96 * 4  # at least the result
    assert long <= 2.2 * short
    assert long < 50e6
