"""Episode records."""

from __future__ import annotations

import numpy as np

from a2po.envs.episodes import EpisodeTracker


def test_what_is_yes_or_no_stays_so() -> None:
    """A win is a truth value, not a number: views show it as a rate."""
    tracker = EpisodeTracker(2, seed=0)
    tracker.start([0, 1])
    tracker.add(np.array([1.0, 2.0]))
    tracker.finish(np.array([0, 1]), np.zeros(2, bool), {"won": np.array([True, False]), "distance": np.array([3, 4])})
    records = tracker.drain()
    assert [record["won"] for record in records] == [True, False] and all(type(record["won"]) is bool for record in records)
    assert [record["distance"] for record in records] == [3.0, 4.0] and all(type(record["distance"]) is float for record in records)
