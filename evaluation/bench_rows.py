"""What the episodes of a bench come to: a row for each change, compared with the trained rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.evaluation.measure import Played, is_rate
from a2po.evaluation.paired import paired_difference
from a2po.evaluation.statistics import CONFIDENCE, episode_interval

if TYPE_CHECKING:
    from a2po.envs.perturbation import Perturbation

SUCCESS = "won"
"""The metric that is compared where a task has it and it is a rate; else the return is."""


def compared(trained: Played, changes: Sequence[Perturbation], others: Sequence[Played]) -> dict[str, Any]:
    """The rows, the worst first; the values of their episodes are in the order of ``seeds``, None where a row lacks an episode."""
    rate = SUCCESS in trained.metrics and is_rate([record[SUCCESS] for record in trained.valid])
    measure = SUCCESS if rate else "return"
    corrected = 1 - (1 - CONFIDENCE) / max(len(changes), 1)
    own = _by_seed(trained, measure)
    rows = [
        {
            "rule": change.rule,
            "value": change.value,
            "options": dict(change.options),
            "stands_for": change.stands_for,
            **_figures(played, measure, rate, own),
            "difference": difference_of(_by_seed(played, measure), own, rate, corrected),
        }
        for change, played in zip(changes, others, strict=True)
    ]
    return {
        "measure": measure,
        "rate": rate,
        "episodes": len(own),
        "confidence": CONFIDENCE,
        "corrected_confidence": corrected,
        "seeds": list(own),
        "trained": _figures(trained, measure, rate, own),
        "rows": sorted(rows, key=lambda row: row["difference"]["mean"]),
    }


def _by_seed(played: Played, measure: str) -> dict[int, float]:
    """Episode seed -> what is compared."""
    return {int(record["seed"]): float(record[measure]) for record in played.valid}


def _figures(played: Played, measure: str, rate: bool, own: Mapping[int, float]) -> dict[str, Any]:
    values = _by_seed(played, measure)
    array = np.array(list(values.values()))
    interval, method = episode_interval(array, rate=rate)
    return {
        "mean": float(array.mean()),
        "interval": interval and list(interval),
        "method": method,
        "invalid_episodes": len(played.records) - len(played.valid),
        "values": [values.get(seed) for seed in own],
    }


def difference_of(values: Mapping[int, float], own: Mapping[int, float], rate: bool, corrected: float) -> dict[str, Any]:
    """Changed minus trained rules over the episodes that both have, ``worse`` and ``better`` after the correction for many rows."""
    both = [seed for seed in own if seed in values]
    first, second = (np.array([each[seed] for seed in both]) for each in (values, own))
    plain, strict = (paired_difference(first, second, rate=rate, confidence=share) for share in (CONFIDENCE, corrected))
    low, high = strict.interval or (-np.inf, np.inf)
    return {
        "mean": plain.mean,
        "interval": plain.interval and list(plain.interval),
        "corrected_interval": strict.interval and list(strict.interval),
        "method": plain.method,
        "pairs": len(both),
        "worse": bool(high < 0),
        "better": bool(low > 0),
    }
