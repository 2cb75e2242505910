"""Orders and adaptive clip ranges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2po.algorithms import ordering
from a2po.algorithms.update_rules import RULES

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())
SELECTION = CASES["selection"]


def tensor(numbers: list[Any]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: torch.Tensor, expected: list[Any]) -> None:
    torch.testing.assert_close(actual, tensor(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        ("semi_greedy", "semi_greedy_greedy_first"),
        ("semi_greedy_random_first", "semi_greedy_random_first"),
        ("greedy", "greedy"),
        ("reverse_greedy", "reverse_greedy"),
        ("random", "random"),
        ("cyclic", "cyclic"),
    ],
)
def test_golden_orders(strategy: str, field: str) -> None:
    for scores in (SELECTION["scores"], torch.tensor(SELECTION["scores"], dtype=torch.float64)):
        assert ordering.agent_order(strategy, scores, SELECTION["uniforms"]) == SELECTION[field]


def test_golden_scores() -> None:
    advantages, active = tensor(SELECTION["adv_BxN"]), torch.tensor(SELECTION["active_BxN"])
    close(ordering.advantage_scores(advantages), SELECTION["scores"])
    masked = ordering.advantage_scores(advantages, active)
    close(masked, SELECTION["scores_masked"])
    assert ordering.agent_order("semi_greedy", masked, SELECTION["uniforms"]) == SELECTION["semi_greedy_greedy_first_masked"]
    public = ordering.advantage_scores(advantages / tensor(SELECTION["public_code_score"]["values_BxN"]))
    close(public, SELECTION["public_code_score"]["score_abs_A_over_V"])
    assert ordering.agent_order("greedy", public, []) == SELECTION["public_code_score"]["greedy_order"]


@pytest.mark.parametrize(("strategy", "field"), [("greedy", "greedy"), ("semi_greedy", "semi_greedy_greedy_first")])
def test_golden_order_with_scores_that_change(strategy: str, field: str) -> None:
    case: dict[str, Any] = SELECTION["dynamic"]
    uniforms, remaining, order = iter(case["uniforms"]), {0, 1, 2, 3}, []
    for position in range(4):
        uniform = next(uniforms) if ordering.is_random(strategy, position) else None
        agent = ordering.next_agent(strategy, position, case["scores_after_m_updates"][str(position)], remaining, uniform)
        remaining.remove(agent)
        order.append(agent)
    assert order == case[field]


def test_hand_picks() -> None:
    scores = [0.3, 0.9, 0.9, 0.3]
    assert ordering.next_agent("greedy", 5, scores, [3, 2, 1, 0]) == 1
    assert ordering.next_agent("reverse_greedy", 5, scores, [3, 2, 1, 0]) == 0
    assert ordering.next_agent("semi_greedy", 2, scores, [3, 2]) == 2
    assert ordering.next_agent("semi_greedy", 1, scores, [3, 2, 0], 0.34) == 2
    assert ordering.next_agent("semi_greedy_random_first", 1, scores, [3, 2, 0]) == 2
    assert ordering.next_agent("reverse_semi_greedy", 0, scores, [3, 2, 1]) == 3
    assert ordering.next_agent("reverse_semi_greedy", 1, scores, [3, 2, 1], 0.0) == 1
    assert ordering.next_agent("random", 0, scores, range(4), 0.9999999999999999) == 3
    assert ordering.next_agent("cyclic", 0, scores, {2, 3}) == 2


def test_ties_go_to_the_lowest_id() -> None:
    for strategy in ("greedy", "reverse_greedy", "cyclic"):
        assert ordering.agent_order(strategy, torch.full((6,), 0.5), []) == list(range(6))


@given(
    strategy=st.sampled_from(ordering.STRATEGIES),
    scores=st.lists(st.floats(0, 10), min_size=1, max_size=12),
    seed=st.integers(0, 10**6),
)
def test_every_order_is_a_permutation_and_consumes_one_uniform_per_random_pick(strategy: str, scores: list[float], seed: int) -> None:
    uniforms = iter(torch.rand(len(scores) + 5, generator=torch.Generator().manual_seed(seed)).tolist())
    order = ordering.agent_order(strategy, scores, uniforms)
    assert sorted(order) == list(range(len(scores)))
    picks = sum(ordering.is_random(strategy, position) for position in range(len(scores)))
    assert len(list(uniforms)) == len(scores) + 5 - picks


@given(strategy=st.sampled_from(ordering.STRATEGIES), count=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_an_order_is_its_picks_one_by_one(strategy: str, count: int, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    scores, uniforms = torch.rand(count, generator=stream), torch.rand(count, generator=stream).tolist()
    supply, remaining = iter(uniforms), list(range(count))
    for position, agent in enumerate(ordering.agent_order(strategy, scores, uniforms)):
        uniform = next(supply) if ordering.is_random(strategy, position) else None
        assert agent == ordering.next_agent(strategy, position, scores, reversed(remaining), uniform)
        remaining.remove(agent)


def test_rules_name_known_orders() -> None:
    assert {value.order for value in RULES.values()} - {None} <= set(ordering.STRATEGIES)


def test_wrong_orders_are_named() -> None:
    with pytest.raises(ValueError, match="unknown order 'semi'; known: cyclic"):
        ordering.next_agent("semi", 0, [1.0], [0])
    with pytest.raises(ValueError, match="no agent remains"):
        ordering.next_agent("cyclic", 0, [1.0], [])
    for uniform in (None, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="needs a uniform number"):
            ordering.next_agent("random", 0, [1.0, 2.0], [0, 1], uniform)
    with pytest.raises(ValueError, match="needs a uniform number"):
        ordering.agent_order("random", [1.0, 2.0], [0.5])
    with pytest.raises(ValueError, match=r"\[M, N\]"):
        ordering.advantage_scores(torch.ones(3))


# Adaptive clip


@pytest.mark.parametrize("case", CASES["adaptive_clip"], ids=lambda case: f"n={case['n']}")
def test_golden_adaptive_clip(case: dict[str, Any]) -> None:
    clips = [ordering.adaptive_clip(case["eps"], k, case["n"], case["c_eps"]) for k in range(1, case["n"] + 1)]
    assert clips == pytest.approx(case["values_k1_to_n"], rel=1e-12)


def test_golden_ratio_proportional_clip() -> None:
    case = CASES["adaptive_clip_ratio_proportional_public_code"]
    ratios = tensor(case["ratios_BxN"])
    close(ordering.ratio_proportional_clip(case["eps"], ratios), case["clip_per_agent_id"])
    close(ordering.ratio_proportional_clip(case["eps"], torch.ones_like(ratios)), case["all_ones"])


@given(clip=st.floats(0.001, 1), count=st.integers(1, 40), coefficient=st.floats(0, 1))
def test_the_clip_grows_to_exactly_the_full_range(clip: float, count: int, coefficient: float) -> None:
    clips = [ordering.adaptive_clip(clip, position, count, coefficient) for position in range(1, count + 1)]
    assert clips[-1] == clip
    assert clips == sorted(clips)
    assert clips[0] == pytest.approx(clip * coefficient + clip * (1 - coefficient) / count)


def test_wrong_positions_are_named() -> None:
    for position in (0, 4):
        with pytest.raises(ValueError, match="counts from 1 to 3"):
            ordering.adaptive_clip(0.2, position, 3, 0.5)
    with pytest.raises(ValueError, match="coefficient"):
        ordering.adaptive_clip(0.2, 1, 3, 1.5)
