"""Paired differences against slow, obvious computations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from a2po.evaluation.paired import newcombe_interval, paired_difference


def pairs(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cells = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return np.array(cells, float)[:, 0], np.array(cells, float)[:, 1]


def test_the_published_example():
    """Newcombe 1998, table III: 36, 12, 2 and 0 of 50 pairs."""
    assert newcombe_interval(*pairs(36, 12, 2, 0), 0.95) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@pytest.mark.parametrize(("first", "second", "low", "high"), [(1, 1, 0.0, 0.1), (1, 0, 0.85, 1.0), (0, 0, 0.0, 0.1)])
def test_where_all_episodes_agree_there_is_still_doubt(first, second, low, high):
    """The bootstrap would give an interval without width."""
    ends = newcombe_interval(np.full(50, float(first)), np.full(50, float(second)), 0.95)
    assert ends[0] < first - second <= ends[1] <= 1 and low < max(abs(end) for end in ends) <= high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Every table of 20 episodes, weighted by how likely it is, for teams of several strengths."""
    for shares in ((0.5, 0.2, 0.1, 0.2), (0.85, 0.05, 0.05, 0.05), (0.3, 0.3, 0.1, 0.3), (0.25, 0.25, 0.25, 0.25)):
        truth, covered, total = shares[1] - shares[2], 0.0, 0.0
        for a, b, c in itertools.product(range(21), repeat=3):
            if a + b + c > 20:
                continue
            counts = (a, b, c, 20 - a - b - c)
            weight = math.factorial(20) * math.prod(share**n / math.factorial(n) for share, n in zip(shares, counts, strict=True))
            low, high = newcombe_interval(*pairs(*counts), 0.95)
            covered, total = covered + weight * (low <= truth <= high), total + weight
        assert total == pytest.approx(1) and 0.93 < covered < 0.999


@pytest.mark.parametrize("rate", [True, False])
def test_many_episodes_give_what_resampling_pairs_gives(rate):
    stream = np.random.default_rng(3)
    skill = stream.random(1000)
    first, second = ((skill + stream.normal(0, 0.3, 1000) > cut).astype(float) for cut in (0.4, 0.55))
    if not rate:
        first, second = 20 * first + stream.exponential(3, 1000), 20 * second
    resampled = []
    for _ in range(4000):
        chosen = stream.integers(1000, size=1000)
        resampled.append(first[chosen].mean() - second[chosen].mean())
    found = paired_difference(first, second, rate=rate, confidence=0.9)
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert found.interval == pytest.approx(np.quantile(resampled, [0.05, 0.95]), abs=0.1 * np.ptp(found.interval))


def test_pairing_helps_where_episodes_resemble_each_other():
    stream = np.random.default_rng(4)
    same = (stream.random(200) < 0.5).astype(float)
    other, strange = same.copy(), stream.permutation(same)
    other[:10] = 1 - other[:10]
    near, far = (np.ptp(paired_difference(each, same, rate=True).interval) for each in (other, strange))
    assert near < 0.5 * far


def test_few_episodes_and_none():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 1.0])
    found = paired_difference(first, second, rate=False)
    spread = np.std([0, 1, 3], ddof=1) / math.sqrt(3) * 4.302652729911275  # Student's quantile for two degrees of freedom
    assert found.method == "Student t" and found.interval == pytest.approx((4 / 3 - spread, 4 / 3 + spread))
    assert paired_difference(first[:1], second[:1], rate=True).interval is None
    with pytest.raises(ValueError, match=r"shapes \[3\] and \[2\]"):
        paired_difference(first, second[:2], rate=False)
    with pytest.raises(ValueError, match="as many"):
        paired_difference(first[:0], second[:0], rate=True)


def test_a_stricter_interval_is_wider():
    first, second = pairs(36, 12, 2, 0)
    plain, strict = (newcombe_interval(first, second, confidence) for confidence in (0.95, 0.9976))
    assert strict[0] < plain[0] < plain[1] < strict[1] and strict[0] < 0
