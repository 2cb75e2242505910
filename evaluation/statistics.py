"""Means over the episodes of one team, with 95 % intervals: bootstrapped or Student's for numbers, Wilson's for rates. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from a2po.evaluation.bootstrap import bca_interval, mean_of_rows

CONFIDENCE = 0.95
MIN_EPISODES_OF_A_BOOTSTRAP = 32
"""Below this many episodes a resample is too coarse, and Student's interval is the better one."""


def summary(values: Sequence[float], *, rate: bool = False) -> dict[str, Any]:
    """Mean, standard deviation, interval of the mean, median and extremes of one number per episode.

    Args:
        values: one per episode.
        rate: each value says whether something happened, 0 or 1: the interval is Wilson's. One value has no interval.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"expected at least one number, got shape {list(array.shape)}")
    interval, method = episode_interval(array, rate=rate)
    return {
        "mean": float(array.mean()),
        "std": float(array.std(ddof=1)) if array.size > 1 else None,
        "interval": interval and list(interval),
        "confidence": CONFIDENCE,
        "method": method,
        "median": float(np.median(array)),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def episode_interval(values: np.ndarray, *, rate: bool = False) -> tuple[tuple[float, float] | None, str]:
    """Interval of the mean over one team's episodes, and its method.

    From 32 episodes on it is the BCa bootstrap's, below Student's, for a rate Wilson's. It says how well the episodes show
    this team's mean, and nothing of other seeds: for those see ``seed_statistics``.

    Args:
        values: [n], one per episode.
        rate: 0 or 1 each.
    """
    if rate:
        return (wilson_interval(int(values.sum()), len(values)) if len(values) > 1 else None), "Wilson"
    if len(values) >= MIN_EPISODES_OF_A_BOOTSTRAP:
        return bca_interval(values, mean_of_rows, CONFIDENCE), "BCa bootstrap"
    return mean_interval(values), "Student t"


def mean_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Interval of the mean of independent numbers: mean ± t · s / √n. None for fewer than two values.

    Args:
        values: [n].
        confidence: the share of such intervals that hold the true mean.
    """
    if len(values) < 2:
        return None
    half = student_quantile(0.5 + confidence / 2, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half


def wilson_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a rate that also holds near 0 and 1 and for few trials.

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = student_quantile(0.5 + confidence / 2, 10**9)
    rate, spread = successes / trials, z * z / trials
    centre = rate + spread / 2
    half = z * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    # At the ends the exact bounds are 0 and 1; rounding must not leave them.
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """The point below which Student's t with ``degrees`` degrees of freedom lies with a probability in [0.5, 1).

    By bisection of the integral of the density. The substitution x = √d tan θ makes it ∝ cos^(d−1) θ on a finite range,
    where Gauss-Legendre quadrature is exact to ten digits.
    """
    if not 0.5 <= probability < 1.0 or degrees < 1:
        raise ValueError(f"probability {probability} must be in [0.5, 1) and degrees {degrees} at least 1")
    nodes, weights = np.polynomial.legendre.leggauss(100)
    scale = math.sqrt(degrees)
    # Γ((d+1)/2) / (Γ(d/2) √π), by Stirling's ratio where lgamma of large numbers would cancel.
    if degrees < 10**6:
        factor = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    else:
        factor = math.sqrt(degrees / 2) * (1 - 1 / (4 * degrees)) / math.sqrt(math.pi)

    def above_half(x: float) -> float:
        angle = math.atan(x / scale)
        cosines = np.cos((nodes + 1) * (angle / 2))
        return factor * float(np.sum(weights * np.exp((degrees - 1) * np.log(cosines)))) * angle / 2

    low, high = 0.0, 1.0
    while above_half(high) < probability - 0.5:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if above_half(middle) < probability - 0.5 else (low, middle)
    return (low + high) / 2
