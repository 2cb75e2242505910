"""The monotonic bounds of the four algorithms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2po.algorithms.bounds import monotonic_bounds

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())


@pytest.mark.parametrize("case", CASES["bounds"])
def test_golden_bounds(case: dict[str, Any]) -> None:
    bounds = monotonic_bounds(case["alpha"], case["epsilon"], case["gamma"], range(len(case["alpha"])), case["xi"])
    assert bounds["mappo"] == pytest.approx(case["mappo"], rel=1e-12)
    assert bounds["coppo"] == bounds["happo"] == pytest.approx(case["coppo_and_happo"], rel=1e-12)
    assert bounds["a2po"] == pytest.approx(case["a2po"], rel=1e-12)
    assert sum(case["a2po_single"]) == pytest.approx(case["a2po"], rel=1e-12)


def test_one_agent_by_hand() -> None:
    """4 · 1 · 0.5 · [2 − 1/(1 − ¼)] with γ = ½: nothing is summed over, so only MAPPO's bound differs."""
    bounds = monotonic_bounds([0.5], 1.0, 0.5, [0])
    assert bounds == pytest.approx({"mappo": 4.0, "coppo": 4 / 3, "happo": 4 / 3, "a2po": 4 / 3})


@given(alphas=st.lists(st.floats(0.001, 0.1), min_size=1, max_size=8), discount=st.floats(0.1, 0.999), data=st.data(), xi=st.floats(0, 0.1))
def test_the_sequential_bound_is_the_tightest(alphas: list[float], discount: float, data: st.DataObject, xi: float) -> None:
    order = data.draw(st.permutations(range(len(alphas))))
    bounds = monotonic_bounds(alphas, 1.0, discount, order)
    slack = 1e-9 * bounds["mappo"]
    assert bounds["a2po"] <= bounds["coppo"] + slack
    assert bounds["coppo"] <= bounds["mappo"] + slack
    one, each = (monotonic_bounds(alphas, 1.0, discount, order, errors)["a2po"] for errors in (xi, [xi] * len(alphas)))
    assert one == each
    assert one == pytest.approx(bounds["a2po"] + len(alphas) * xi / (1 - discount))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="permutation of the 2 agents"):
        monotonic_bounds([0.1, 0.1], 1.0, 0.9, [0, 0])
    with pytest.raises(ValueError, match="one xi for each"):
        monotonic_bounds([0.1, 0.1], 1.0, 0.9, [0, 1], [0.1])
    with pytest.raises(ValueError, match="discount"):
        monotonic_bounds([0.1], 1.0, 1.0, [0])
