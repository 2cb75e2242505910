"""Means and intervals against numbers from tables and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.evaluation.statistics import mean_interval, student_quantile, summary, wilson_interval


# Source: table of Student's t, two-sided 95 % and 99 %.
@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 4, 2.7764), (0.975, 9, 2.2622), (0.975, 29, 2.0452), (0.975, 99, 1.9842),
        (0.995, 4, 4.6041), (0.995, 30, 2.7500), (0.975, 10**9, 1.959964), (0.5, 7, 0.0),
    ],
)  # fmt: skip
def test_student_quantiles(probability, degrees, expected):
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=5e-5)


def test_student_quantile_has_no_seam():
    assert student_quantile(0.975, 10**6 - 1) == pytest.approx(student_quantile(0.975, 10**6), abs=1e-6)


def test_mean_interval_by_hand():
    # mean 5, standard deviation 2.5820, n 4, t(3) 3.1824: 5 ± 3.1824 · 2.5820 / 2
    assert mean_interval(np.array([2.0, 4.0, 6.0, 8.0])) == pytest.approx((0.8915, 9.1085), abs=1e-4)


def test_one_episode_has_no_interval():
    one = summary([3.0])
    assert one["interval"] is None
    assert one["std"] is None
    assert one["mean"] == 3.0


def test_equal_returns():
    assert summary([5.0] * 10)["interval"] == [5.0, 5.0]


# Source: Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_intervals(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=5e-5)


def test_rates_get_wilson_and_numbers_get_student():
    assert summary([1.0, 0.0, 1.0], rate=True)["method"] == "Wilson"
    assert summary([1.0, 0.0, 1.0])["method"] == "Student t"
    assert summary([1.0] * 8, rate=True)["interval"] == pytest.approx([0.6756, 1.0], abs=1e-4)
    assert summary([1.0], rate=True)["interval"] is None


def test_summary_by_hand():
    result = summary([1.0, 2.0, 6.0])
    assert (result["mean"], result["median"], result["min"], result["max"]) == (3.0, 2.0, 1.0, 6.0)
    assert result["std"] == pytest.approx(2.6458, abs=1e-4)


def test_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, size=(2000, 6))
    held = [low <= 3.0 <= high for low, high in map(mean_interval, samples)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_nothing_to_summarise():
    with pytest.raises(ValueError, match="at least one number"):
        summary([])
