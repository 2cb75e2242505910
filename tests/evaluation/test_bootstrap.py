"""Bootstrap intervals against slow loops, a symmetry, and how often they hold the true value."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from a2po.evaluation.bootstrap import (
    bca_interval,
    interquartile_mean_of_rows,
    mean_of_rows,
    median_of_rows,
    percentile_interval,
)
from a2po.evaluation.statistics import MIN_EPISODES_OF_A_BOOTSTRAP, episode_interval, mean_interval, summary

SKEWED = np.random.default_rng(5).lognormal(sigma=1.2, size=40)


def slow_resamples(values, statistic, resamples, seed):
    stream = np.random.default_rng(seed)
    return sorted(statistic([values[stream.integers(len(values))] for _ in values]) for _ in range(resamples))


def slow_bca(values, statistic, resamples, seed):
    """Efron's formula, one number at a time."""
    found = slow_resamples(values, statistic, resamples, seed)
    whole = statistic(list(values))
    normal = NormalDist()
    bias = normal.inv_cdf(sum((value < whole) + (value == whole) / 2 for value in found) / resamples)
    left_out = [statistic([other for at, other in enumerate(values) if at != index]) for index in range(len(values))]
    centre = sum(left_out) / len(left_out)
    cubes, squares = (sum((centre - value) ** power for value in left_out) for power in (3, 2))
    acceleration = cubes / (6 * squares**1.5)
    ends = []
    for probability in (0.025, 0.975):
        shifted = bias + normal.inv_cdf(probability)
        level = normal.cdf(bias + shifted / (1 - acceleration * shifted))
        ends.append(found[round(level * (resamples - 1))])
    return tuple(ends)


def mean(values):
    return math.fsum(values) / len(values)


def test_bca_by_a_slow_loop():
    slow = slow_bca(SKEWED, mean, 4000, seed=1)
    spread = mean_interval(SKEWED)[1] - mean_interval(SKEWED)[0]
    assert bca_interval(SKEWED, mean_of_rows, 0.95) == pytest.approx(slow, abs=0.06 * spread)
    percentile = percentile_interval(SKEWED, mean_of_rows, 0.95)
    assert bca_interval(SKEWED, mean_of_rows, 0.95)[1] > percentile[1] + 0.03 * spread, "the correction for skewness moves the ends up"


def test_percentile_by_a_slow_loop():
    found = slow_resamples(SKEWED, mean, 4000, seed=2)
    spread = found[-1] - found[0]
    assert percentile_interval(SKEWED, mean_of_rows, 0.95) == pytest.approx((found[100], found[3899]), abs=0.04 * spread)


def test_the_same_values_give_the_same_interval_and_mirrored_ones_the_mirrored():
    assert bca_interval(SKEWED, mean_of_rows, 0.95) == bca_interval(SKEWED.copy(), mean_of_rows, 0.95)
    low, high = bca_interval(SKEWED, mean_of_rows, 0.95)
    assert bca_interval(-SKEWED, mean_of_rows, 0.95) == pytest.approx((-high, -low))


def test_ties_of_resamples_count_half():
    """Wins and losses, as many of each: taken for one another, the interval is mirrored, though many resamples tie with the mean."""
    values = np.repeat([0.0, 1.0], 16)
    (low, high), mirrored = (bca_interval(own, mean_of_rows, 0.95) for own in (values, 1.0 - values))
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=1e-12)


def test_values_without_spread():
    assert bca_interval(np.full(50, 3.0), mean_of_rows, 0.95) == (3.0, 3.0)
    mostly = np.array([0.0] * 39 + [1.0])
    low, high = bca_interval(mostly, median_of_rows, 0.95)  # the jackknife does not move at all
    assert (low, high) == (0.0, 0.0)


@pytest.mark.parametrize("count", [4, 5, 6, 7, 12, 13])
def test_interquartile_mean_by_a_slow_loop(count):
    """Four copies of each value: then a quarter of them is a whole number."""
    values = np.random.default_rng(count).normal(size=(3, count))
    slow = [np.mean(sorted(np.repeat(row, 4))[count : 3 * count]) for row in values]
    assert interquartile_mean_of_rows(values) == pytest.approx(slow)


def test_bootstrap_holds_the_mean_nearly_as_often_as_it_says():
    """Of normal values; of skewed ones every interval of a mean falls short (docs/sweeps.md)."""
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 32))
    held = [low <= 3.0 <= high for low, high in (bca_interval(sample, mean_of_rows, 0.95, 500) for sample in samples)]
    assert np.mean(held) == pytest.approx(0.94, abs=0.015)


def test_the_number_of_episodes_chooses_the_method():
    few, enough = SKEWED[: MIN_EPISODES_OF_A_BOOTSTRAP - 1], SKEWED[:MIN_EPISODES_OF_A_BOOTSTRAP]
    assert episode_interval(few) == (mean_interval(few), "Student t")
    assert episode_interval(enough) == (bca_interval(enough, mean_of_rows, 0.95), "BCa bootstrap")
    assert summary(enough.tolist())["method"] == "BCa bootstrap" and summary(few.tolist())["method"] == "Student t"
    assert episode_interval(np.ones(40), rate=True)[1] == "Wilson"
