"""How far two actors that get the same inputs are apart: the measure of the proof at export and of ``a2po verify``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from a2po.runtime.sampling import gumbel

ILLEGAL_LOGIT = -1e10
TOLERANCE = 1e-5
"""Largest difference of an output, absolute up to a value of 1 and relative beyond; of logits relative to the largest legal one of the row,
because their layer sums terms of that size. Observed: below 3e-6."""


@dataclass
class Differences:
    """The largest differences of one agent, by output, over all the steps that were added."""

    max_error: dict[str, float] = field(default_factory=dict)
    worst_step: int = 0
    actions: int = 0
    mismatches: int = 0
    ties: int = 0
    tolerance: float = TOLERANCE

    def add(self, step: int, expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray], noise: np.ndarray | None = None) -> None:
        """Compare the outputs of one step.

        Args:
            step: its number.
            expected: output -> [M, ...] of the actor that is the measure.
            actual: the same of the other.
            noise: [M, A] if the actors sampled with it.
        """
        for name, value in expected.items():
            if name == "action" and "logits" in expected:
                different = value != actual[name]
                scores = expected["logits"] if noise is None else expected["logits"] + gumbel(noise)
                ties = different & (_gap(scores) < self.tolerance)
                self.actions += value.size
                self.ties += int(ties.sum())
                self.mismatches += int(different.sum() - ties.sum())
                continue
            size = np.abs(value)
            if name == "logits":
                size = np.where(value > ILLEGAL_LOGIT, size, 0.0).max(axis=-1, keepdims=True)
            error = np.abs(value - actual[name]) / np.maximum(1.0, size)
            largest = float(error.max(initial=0.0)) if np.isfinite(error).all() else float("inf")
            if largest > max(self.max_error.values(), default=0.0):
                self.worst_step = step
            self.max_error[name] = max(self.max_error.get(name, 0.0), largest)

    @property
    def largest(self) -> float:
        """Over all outputs."""
        return max(self.max_error.values(), default=0.0)

    @property
    def passed(self) -> bool:
        """Every output within the tolerance and every action the same."""
        return self.mismatches == 0 and self.largest <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        greedy = {"actions": self.actions, "mismatches": self.mismatches, "ties": self.ties} if self.actions else {}
        return {"passed": self.passed, "max_error": self.max_error, "worst_step": self.worst_step, **greedy}


def _gap(logits: np.ndarray) -> np.ndarray:
    """[B] distance of the two largest logits [B, A], relative beyond a value of 1; infinite where only one is legal."""
    if logits.shape[-1] < 2:
        return np.full(len(logits), np.inf)
    top = np.sort(logits, axis=-1)[:, -2:]
    gap: np.ndarray = np.where(top[:, 0] <= ILLEGAL_LOGIT, np.inf, (top[:, 1] - top[:, 0]) / np.maximum(1.0, np.abs(top[:, 1])))
    return gap
