"""Bootstrap intervals: resample the values with replacement and see how the statistic moves."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

RESAMPLES = 5000
CHUNK = 2**22
"""Resampled values that are held at a time: 32 MiB."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""[R, n] -> [R]: one number per row."""


def mean_of_rows(samples: np.ndarray) -> np.ndarray:
    """[R, n] -> [R]."""
    found: np.ndarray = samples.mean(axis=1)
    return found


def percentile_interval(values: np.ndarray, statistic: Statistic, confidence: float, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The middle ``confidence`` of the resampled statistic.

    Args:
        values: [n], independent.
        statistic: [R, n] -> [R].
        confidence: the share of such intervals that hold the true value, nearly, for large n.
        resamples: how many. Their random stream is fixed: the same values give the same interval.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(_resampled(values, statistic, resamples), [tail, 1 - tail])
    return float(low), float(high)


def bca_interval(values: np.ndarray, statistic: Statistic, confidence: float, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The percentile interval, its two ends moved for the bias and the skewness of the statistic. Arguments as there.

        z0 = Φ⁻¹(share of resampled statistics below the statistic, ties count half)
        a  = Σ d³ / (6 (Σ d²)^1.5),  d = mean of the leave-one-out statistics minus each of them
        ends: the quantiles Φ(z0 + (z0 ± z) / (1 − a (z0 ± z)))

    Source: Efron, "Better bootstrap confidence intervals", JASA 1987.
    """
    whole = float(statistic(values[None])[0])
    if np.ptp(values) == 0:
        return whole, whole
    found = _resampled(values, statistic, resamples)
    without_one = np.stack([np.delete(values, index) for index in range(len(values))])
    jackknife = statistic(without_one)
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum())
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    below = float(np.mean(found < whole) + np.mean(found == whole) / 2)
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))

    def level(z: float) -> float:
        shifted = bias + z
        return normal.cdf(bias + shifted / max(1 - acceleration * shifted, 1e-6))

    z = normal.inv_cdf(0.5 + confidence / 2)
    low, high = np.quantile(found, [level(-z), level(z)])
    return float(low), float(high)


def _resampled(values: np.ndarray, statistic: Statistic, resamples: int) -> np.ndarray:
    """The statistic of each resample [resamples]."""
    stream = np.random.default_rng(0)
    rows = max(1, CHUNK // len(values))
    parts = [
        statistic(values[stream.integers(len(values), size=(min(rows, resamples - begin), len(values)))])
        for begin in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def interquartile_mean_of_rows(samples: np.ndarray) -> np.ndarray:
    """[R, n] -> [R]: the mean of the middle half; where a quarter of n is no whole number, the values at its edges count in part."""
    ordered = np.sort(samples, axis=1)
    weights = _middle_half(samples.shape[1])
    found: np.ndarray = ordered @ weights
    return found


def _middle_half(count: int) -> np.ndarray:
    """[count], sums to 1: how much of each of the ordered values lies between the first and the third quartile."""
    edges = np.arange(count + 1)
    quarter = count / 4
    inside = np.clip(edges, quarter, count - quarter)
    shares: np.ndarray = np.diff(inside) / (count - 2 * quarter)
    return shares


def median_of_rows(samples: np.ndarray) -> np.ndarray:
    """[R, n] -> [R]."""
    found: np.ndarray = np.median(samples, axis=1)
    return found
