"""Statistics over seeds: by hand, by loops, and what is never given."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from a2po.evaluation import seed_statistics
from a2po.evaluation.seed_statistics import (
    MIN_SEEDS_OF_A_MEDIAN,
    interquartile_mean_over_seeds,
    mean_over_seeds,
    median_over_seeds,
    paired_difference_over_seeds,
)


def seeds(values):
    return dict(enumerate(map(float, values)))


def test_mean_by_hand():
    # mean 5, standard deviation 2.5820, n 4, t(3) 3.1824: 5 ± 3.1824 · 2.5820 / 2
    found = mean_over_seeds({7: 2.0, 1: 8.0, 3: 4.0, 2: 6.0})
    assert (found.value, found.seeds, found.method) == (5.0, 4, "Student t over seeds")
    assert found.interval == pytest.approx((0.8915, 9.1085), abs=1e-4)


def test_one_seed_has_no_interval_and_says_so():
    found = mean_over_seeds({4: 3.0})
    assert (found.value, found.interval, found.seeds) == (3.0, None, 1)
    assert "one seed" in found.method


def test_no_seed():
    with pytest.raises(ValueError, match="at least one seed"):
        mean_over_seeds({})


def test_a_rate_stays_between_none_and_all():
    assert mean_over_seeds({0: 0.9, 1: 1.0}, rate=True).interval[1] == 1.0
    assert mean_over_seeds({0: 0.0, 1: 0.1}, rate=True).interval[0] == 0.0
    assert mean_over_seeds({0: 0.9, 1: 1.0}).interval[1] > 1.0


@pytest.mark.parametrize("function", [median_over_seeds, interquartile_mean_over_seeds])
def test_no_interval_of_a_middle_below_ten_seeds(function):
    assert MIN_SEEDS_OF_A_MEDIAN == 10
    for count in range(1, 10):
        found = function(seeds(range(count)))
        assert found.interval is None and f"{count} seeds" in found.method
        assert found.value == pytest.approx((count - 1) / 2)
    values = np.random.default_rng(3).normal(size=MIN_SEEDS_OF_A_MEDIAN)
    low, high = function(seeds(values)).interval
    assert low < function(seeds(values)).value < high


def test_every_middle_of_this_module_was_asked():
    """A new function of the same kind must be added to the test above."""
    middles = [name for name, _ in inspect.getmembers(seed_statistics, inspect.isfunction) if "median" in name or "quartile" in name]
    assert sorted(name for name in middles if name.endswith("_over_seeds")) == ["interquartile_mean_over_seeds", "median_over_seeds"]


def test_paired_difference_by_hand():
    first, second = {0: 10.0, 1: 20.0, 2: 33.0, 9: 1.0}, {2: 30.0, 1: 18.0, 0: 9.0, 4: 7.0}
    found = paired_difference_over_seeds(first, second)
    differences = [1.0, 2.0, 3.0]  # mean 2, standard deviation 1, t(2) 4.3027
    assert (found.value, found.seeds) == (np.mean(differences), 3)
    assert found.interval == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)
    assert paired_difference_over_seeds({0: 1.0}, {1: 1.0}) is None


def test_pairing_takes_out_what_both_share():
    stream = np.random.default_rng(0)
    shared = stream.normal(0, 100, size=6)
    first, second = shared + 3 + stream.normal(0, 0.1, 6), shared + stream.normal(0, 0.1, 6)
    low, high = paired_difference_over_seeds(seeds(first), seeds(second)).interval
    assert 2.5 < low < 3 < high < 3.5
    assert mean_over_seeds(seeds(first)).interval[1] - mean_over_seeds(seeds(first)).interval[0] > 50


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_intervals_over_seeds_hold_the_mean_as_often_as_they_say(count):
    samples = np.random.default_rng(count).normal(-7.0, 3.0, size=(4000, count))
    held = [low <= -7.0 <= high for low, high in (mean_over_seeds(seeds(sample)).interval for sample in samples)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
