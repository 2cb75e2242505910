"""What a round tells about itself, against exact expectations over a table of states and actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from a2po.algorithms.bounds import monotonic_bounds
from a2po.algorithms.diagnostics import estimated_bounds, explained_variance, kl, largest_advantage, policy_change, total_variation

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())
AGENTS, STATES, ACTIONS = 2, 5, 4


class Tabular:
    """Two agents' tabular policies before and after an update, and where the rollout policy meets which state."""

    def __init__(self, step: float = 0.6) -> None:
        self.stream = torch.Generator().manual_seed(7)
        logits = self._randn(AGENTS, STATES, ACTIONS)
        self.old, self.new = logits.softmax(-1), (logits + step * self._randn(AGENTS, STATES, ACTIONS)).softmax(-1)
        self.visits = self._randn(STATES).softmax(0)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.stream, dtype=torch.float64)

    def log_ratios(self, samples: int) -> Tensor:
        """[N, M] of actions that the old policies take in states of the rollout."""
        states = torch.multinomial(self.visits, samples, replacement=True, generator=self.stream)
        rows = []
        for old, new in zip(self.old, self.new, strict=True):
            actions = torch.multinomial(old[states], 1, generator=self.stream).squeeze(1)
            rows.append((new[states, actions] / old[states, actions]).log())
        return torch.stack(rows)

    def exactly(self, per_state: Tensor) -> Tensor:
        """[N, S] -> [N], the mean over the states of the rollout."""
        return per_state @ self.visits


def test_estimates_converge_to_the_exact_values() -> None:
    table = Tabular()
    exact_distance = table.exactly((table.new - table.old).abs().sum(-1) / 2)
    exact_kl = table.exactly((table.old * (table.old / table.new).log()).sum(-1))
    errors = []
    for samples in (1_000, 1_000_000):
        log_ratios = table.log_ratios(samples)
        mask = torch.ones_like(log_ratios)
        errors.append(((total_variation(log_ratios, mask) - exact_distance).abs().max(), (kl(log_ratios, mask) - exact_kl).abs().max()))
    spread = table.log_ratios(100_000).expm1().abs().std(1).max() / 2
    assert errors[1][0] < 4 * spread / 1_000_000**0.5
    assert errors[1][0] < errors[0][0] and errors[1][1] < errors[0][1]
    assert exact_distance.min() > 0.05 and errors[1][0] < 1e-3 and errors[1][1] < 1e-3


def test_the_mean_over_samples_is_below_the_largest_distance_of_a_state() -> None:
    table = Tabular()
    log_ratios = table.log_ratios(200_000)
    largest = ((table.new - table.old).abs().sum(-1) / 2).amax(1)
    assert (total_variation(log_ratios, torch.ones_like(log_ratios)) < largest).all()


def test_change_of_a_policy_by_hand() -> None:
    log_ratios = torch.tensor([[1.5, 0.5, 1.0, 7.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64).log()
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]])
    log_ratios[0, 3], log_ratios[1, 0] = torch.nan, torch.inf  # of an agent that is dead
    change = policy_change(log_ratios, mask)
    assert change["total_variation"].tolist() == pytest.approx([(0.25 + 0.25 + 0.0) / 3, 0.0])
    assert change["kl"].tolist() == pytest.approx([(0.5 - 0.4054651081 - 0.5 + 0.6931471806) / 3, 0.0])
    assert change["ratio"].tolist() == pytest.approx([1.0, 0.0]) and change["ratio_max"].tolist() == pytest.approx([1.5, 0.0])


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30))
def test_distances_are_never_negative_even_in_single_precision(values: list[float]) -> None:
    log_ratios = torch.tensor([values])
    tiny = log_ratios * 1e-4
    for moved in (log_ratios, tiny):
        assert kl(moved, torch.ones_like(moved)) >= 0 and total_variation(moved, torch.ones_like(moved)) >= 0
    exact = (tiny.double().expm1() - tiny.double()).mean()
    assert kl(tiny, torch.ones_like(tiny)).item() == pytest.approx(exact.item(), rel=1e-2, abs=1e-11)


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0, 4.0, torch.nan]]).expand(4, 5)
    values = torch.stack([returns[0] + 5.0, torch.full((5,), 2.5), -returns[0], torch.tensor([1.0, 2.0, 3.0, 3.0, 0.0])])
    mask = torch.tensor([True, True, True, True, False])
    # A constant error explains everything, a constant nothing, the negative is three times worse than nothing; 1 - (3/16) / (5/4).
    assert explained_variance(values, returns, mask).tolist() == pytest.approx([1.0, 0.0, -3.0, 0.85])


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_returns_that_are_all_alike_leave_nothing_to_explain(level: float) -> None:
    returns, mask = torch.full((2, 4000), level), torch.ones(4000)
    values = torch.stack([returns[0], torch.randn(4000, generator=torch.Generator().manual_seed(0))])
    assert explained_variance(values, returns, mask).tolist() == [0.0, 0.0]
    assert explained_variance(values, returns, 0 * mask).tolist() == [0.0, 0.0]


def test_largest_advantage_counts_active_samples_only() -> None:
    advantages = torch.tensor([[1.0, -3.0], [torch.nan, 9.0]])
    assert largest_advantage(advantages, torch.tensor([[1, 1], [0, 0]])) == 3.0


@pytest.mark.parametrize("case", CASES["bounds"])
def test_golden_bounds(case: dict[str, Any]) -> None:
    found = estimated_bounds(case["alpha"], case["epsilon"], case["gamma"], range(len(case["alpha"])))
    assert found is not None
    assert found["mappo"] == pytest.approx(case["mappo"], rel=1e-12)
    assert found["coppo"] == found["happo"] == pytest.approx(case["coppo_and_happo"], rel=1e-12)
    assert found["a2po"] == pytest.approx(case["a2po"] - sum(case["xi"]) / (1 - case["gamma"]), rel=1e-12)


def test_bounds_of_a_tabular_update_end_at_the_exact_ones() -> None:
    table = Tabular(step=0.05)
    exact = table.exactly((table.new - table.old).abs().sum(-1) / 2).tolist()
    log_ratios = table.log_ratios(1_000_000)
    found = estimated_bounds(total_variation(log_ratios, torch.ones_like(log_ratios)).tolist(), 2.0, 0.99, [1, 0])
    assert found == pytest.approx(monotonic_bounds(exact, 2.0, 0.99, [1, 0]), rel=1e-2)


def test_a_block_counts_as_one_agent_that_moved_by_the_sum() -> None:
    alphas, order = [0.01, 0.02, 0.03, 0.04], [2, 3, 0, 1]
    found = estimated_bounds(alphas, 1.5, 0.9, order, positions=[2, 2, 1, 1])
    assert found == pytest.approx(monotonic_bounds([0.07, 0.03], 1.5, 0.9, [0, 1]))
    single, everybody = estimated_bounds(alphas, 1.5, 0.9, order), estimated_bounds(alphas, 1.5, 0.9, order, [1, 1, 1, 1])
    assert found is not None and single is not None
    assert single["a2po"] < found["a2po"] < single["coppo"]
    for name in ("mappo", "coppo", "happo"):
        assert single[name] == pytest.approx(found[name])
    assert everybody == single == estimated_bounds(alphas, 1.5, 0.9, order, [3, 4, 1, 2])  # as if one after another


def test_agents_that_a_round_left_alone_and_no_discount() -> None:
    assert estimated_bounds([0.0, 0.2, 0.0], 1.0, 0.9, [1]) == pytest.approx(monotonic_bounds([0.0, 0.2, 0.0], 1.0, 0.9, [0, 1, 2]))
    one_per_rollout = estimated_bounds([0.0, 0.2, 0.0], 1.0, 0.9, [1], [0, 3, 0])
    assert one_per_rollout == pytest.approx(monotonic_bounds([0.2], 1.0, 0.9, [0]))
    assert estimated_bounds([0.1, 0.2], 1.0, 1.0, [0, 1]) is None


@given(alphas=st.lists(st.floats(0, 2), min_size=1, max_size=8), discount=st.floats(0, 0.999))
def test_policies_that_moved_very_far_keep_the_order_of_the_bounds(alphas: list[float], discount: float) -> None:
    found = estimated_bounds(alphas, 3.0, discount, range(len(alphas)))
    assert found is not None
    slack = 1e-9 * found["mappo"]
    assert found["a2po"] + slack >= 0 and found["a2po"] <= found["coppo"] + slack and found["coppo"] <= found["mappo"] + slack
