"""The difference of two means over the same episodes: each episode is played twice, so what its seed does to both drops out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from a2po.evaluation.bootstrap import bca_interval, mean_of_rows
from a2po.evaluation.statistics import CONFIDENCE, MIN_EPISODES_OF_A_BOOTSTRAP, mean_interval, wilson_interval

RESAMPLES = 20_000
"""An interval that is corrected for many comparisons reads the far tails."""


@dataclass(frozen=True)
class Difference:
    """``mean(first) - mean(second)`` over pairs of episodes."""

    mean: float
    interval: tuple[float, float] | None
    """None for fewer than two pairs."""
    method: str


def paired_difference(first: np.ndarray, second: np.ndarray, *, rate: bool, confidence: float = CONFIDENCE) -> Difference:
    """The mean of ``first - second``, and the interval of it.

    For rates it is Newcombe's. For numbers it is the BCa bootstrap of the pairs' differences, or Student's of them where there are
    too few for that or all are equal.

    Args:
        first: [n], one per episode.
        second: [n], of the same episodes in the same order.
        rate: 0 or 1 each.
        confidence: the share of such intervals that hold the true difference.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"expected as many numbers of both, got shapes {list(first.shape)} and {list(second.shape)}")
    differences = first.astype(np.float64) - second
    mean = float(differences.mean())
    if rate:
        return Difference(mean, newcombe_interval(first, second, confidence) if first.size > 1 else None, "Newcombe")
    if first.size >= MIN_EPISODES_OF_A_BOOTSTRAP:
        return Difference(mean, bca_interval(differences, mean_of_rows, confidence, RESAMPLES), "BCa bootstrap")
    return Difference(mean, mean_interval(differences, confidence), "Student t")


def newcombe_interval(first: np.ndarray, second: np.ndarray, confidence: float) -> tuple[float, float]:
    """Interval of the difference of two rates over the same n episodes, which also holds near 0 and 1 and where all pairs agree.

        low  = d − √(a² − 2φab + b²),  a = p₁ − l₁,  b = u₂ − p₂
        high = d + √(c² − 2φce + e²),  c = u₁ − p₁,  e = p₂ − l₂

    with Wilson's [l, u] of either rate p, and φ the correlation of the pairs, brought nearer to 0 where it is positive.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 1998, method 10.
    """
    count = len(first)
    wins, others = int(first.sum()), int(second.sum())
    (low, high), (other_low, other_high) = (wilson_interval(each, count, confidence) for each in (wins, others))
    rate, other = wins / count, others / count
    phi = _correlation(first, second)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = rate - other
    return difference - reach(rate - low, other_high - other), difference + reach(high - rate, other - other_low)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """φ of the 2 x 2 table of n pairs; of a positive one, n/2 is taken off the difference of its products."""
    yes, no = first.astype(bool), second.astype(bool)
    both, one, other, neither = (int(np.sum(cell)) for cell in (yes & no, yes & ~no, ~yes & no, ~yes & ~no))
    margins = (both + one) * (other + neither) * (both + other) * (one + neither)
    if margins == 0:
        return 0.0
    product = both * neither - one * other
    return (max(product - len(first) / 2, 0.0) if product > 0 else product) / math.sqrt(margins)
