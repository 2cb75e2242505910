"""Chance as a pure function of the episode's seed and the number of the draw, for all copies at once.

A generator per copy costs more than a step of these tasks; this costs a few array operations, and there is nothing to save.
"""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def uniform(seeds: np.ndarray, draw: np.ndarray | int) -> np.ndarray:
    """[B] float64 in [0, 1): draw number ``draw`` (0, 1, ...; one, or [B]) of the episodes with these seeds [B].

    Source: SplitMix64, Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. The seed is
    mixed first, so that episodes are streams of their own and not shifts of one.
    """
    number = np.atleast_1d(np.asarray(draw, np.uint64)) + np.uint64(1)  # arrays wrap around silently, scalars warn
    bits = _mix(_mix(np.asarray(seeds).astype(np.uint64)) + number * _STEP)
    drawn: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
    return drawn


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed
