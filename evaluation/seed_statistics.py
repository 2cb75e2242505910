"""Statistics over training seeds: one number per trained team, never one per episode.

A team's mean over its episodes says how good *that team* is; how good the *algorithm* is shows in the spread between teams
that were trained with different seeds. So everything here takes a mapping of seed -> that seed's mean return (or win rate),
while ``statistics.summary`` takes the episodes of one team. Nothing pools the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from a2po.evaluation.bootstrap import bca_interval, interquartile_mean_of_rows, median_of_rows, percentile_interval
from a2po.evaluation.statistics import CONFIDENCE, mean_interval

MIN_SEEDS_OF_A_MEDIAN = 10
"""Below this many seeds no interval of a median or an interquartile mean is given: resamples of few values say nothing of their middle."""

PerSeed = Mapping[int, float]
"""Seed -> the mean over the episodes of the team that was trained with it."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class SeedSummary:
    """A number of the algorithm: an estimate over trained teams."""

    value: float
    interval: Interval | None
    seeds: int
    method: str
    """Of the interval; where there is none, why not."""


def mean_over_seeds(per_seed: PerSeed, *, rate: bool = False, confidence: float = CONFIDENCE) -> SeedSummary:
    """The mean over seeds with Student's interval, which holds the mean over *all* seeds in ``confidence`` of such experiments.

    One seed has no interval. A ``rate``'s interval is cut to [0, 1], where the true rate is.

    Raises:
        ValueError: no seed.
    """
    values = _values(per_seed)
    found = mean_interval(values, confidence)
    if found is not None and rate:
        found = (max(found[0], 0.0), min(found[1], 1.0))
    method = "Student t over seeds" if found else "no interval: one seed does not show how much seeds differ"
    return SeedSummary(float(values.mean()), found, len(values), method)


def median_over_seeds(per_seed: PerSeed, *, confidence: float = CONFIDENCE) -> SeedSummary:
    """The median over seeds; from 10 seeds on with a percentile bootstrap interval, below with None."""
    values = _values(per_seed)
    if len(values) < MIN_SEEDS_OF_A_MEDIAN:
        return SeedSummary(float(np.median(values)), None, len(values), _too_few(values))
    found = percentile_interval(values, median_of_rows, confidence)
    return SeedSummary(float(np.median(values)), found, len(values), "percentile bootstrap over seeds")


def interquartile_mean_over_seeds(per_seed: PerSeed, *, confidence: float = CONFIDENCE) -> SeedSummary:
    """The mean of the middle half of the seeds; from 10 seeds on with a BCa bootstrap interval, below with None."""
    values = _values(per_seed)
    value = float(interquartile_mean_of_rows(values[None])[0])
    if len(values) < MIN_SEEDS_OF_A_MEDIAN:
        return SeedSummary(value, None, len(values), _too_few(values))
    return SeedSummary(value, bca_interval(values, interquartile_mean_of_rows, confidence), len(values), "BCa bootstrap over seeds")


def paired_difference_over_seeds(first: PerSeed, second: PerSeed, *, confidence: float = CONFIDENCE) -> SeedSummary | None:
    """The mean of ``first - second`` over the seeds that both have, with Student's interval; None where they share no seed.

    Pairing takes out what a seed does to both, here the evaluation's episodes, which depend on the seed alone.
    """
    both = sorted({*first} & {*second})
    return mean_over_seeds({seed: first[seed] - second[seed] for seed in both}, confidence=confidence) if both else None


def _values(per_seed: PerSeed) -> np.ndarray:
    """[n] float64, in the order of the seeds."""
    if not per_seed:
        raise ValueError("expected at least one seed")
    return np.array([per_seed[seed] for seed in sorted(per_seed)], np.float64)


def _too_few(values: np.ndarray) -> str:
    return f"no interval: {len(values)} seeds, at least {MIN_SEEDS_OF_A_MEDIAN} are needed"
