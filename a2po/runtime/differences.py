"""How far two actors that get the same inputs are apart: the measure of the proof at export and of ``a2po verify``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2po.runtime.sampling import gumbel

ILLEGAL_LOGIT = -1e10
TOLERANCE = 1e-5
"""Largest difference of an output, absolute up to a value of 1 and relative beyond; of logits relative to the largest legal one of the row,
because their layer sums terms of that size. Observed: below 3e-6."""
ROUNDING = 8
"""What a graph may do in units of what single precision alone does to the same function, where that is the wider limit."""


@dataclass(frozen=True)
class ParityReport:
    """The largest differences of one agent, by output."""

    agent: str
    steps: int
    batches: tuple[int, ...]
    """Numbers of copies that were replayed at once."""
    max_error: dict[str, float]
    worst_step: int
    actions: int
    mismatches: int
    ties: int
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Every output within the tolerance and every greedy action the same."""
        return self.mismatches == 0 and all(error <= self.tolerance for error in self.max_error.values())

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        greedy = {"actions": self.actions, "mismatches": self.mismatches, "ties": self.ties} if self.actions else {}
        return {"passed": self.passed, "max_error": self.max_error, "worst_step": self.worst_step, **greedy}


class Tally:
    """The differences of n agents that share a graph, step by step."""

    def __init__(self, agents: Sequence[str], outputs: Iterable[str], steps: int, batches: tuple[int, ...]) -> None:
        self.agents, self.steps, self.batches, self.actions = agents, steps, batches, 0
        self.errors = {name: np.zeros(len(agents)) for name in outputs}
        self.worst_step, self.mismatches, self.ties = (np.zeros(len(agents), int) for _ in range(3))

    def add(
        self,
        step: int,
        expected: Mapping[str, np.ndarray],
        actual: Mapping[str, np.ndarray],
        noise: np.ndarray | None = None,
        *,
        tolerance: float = TOLERANCE,
    ) -> None:
        """Compare the outputs [B · n, ...] of one step; ``noise`` [B · n, A] is what the actions were sampled with.

        Scores that are closer than the tolerance are a tie, and either action is right.
        """
        for name, value in expected.items():
            if name == "action" and "logits" in expected:
                scores = expected["logits"] if noise is None else expected["logits"] + gumbel(noise)
                different = value != actual[name]
                ties = different & (_gap(scores) < tolerance)
                self.actions += value.size // len(self.agents)
                self.ties += self._by_agent(ties).sum(axis=(0, 2))
                self.mismatches += self._by_agent(different & ~ties).sum(axis=(0, 2))
                continue
            size = np.abs(value)
            if name == "logits":
                size = np.where(value > ILLEGAL_LOGIT, size, 0.0).max(axis=-1, keepdims=True)
            error = np.abs(value - actual[name]) / np.maximum(1.0, size)
            largest = self._by_agent(np.where(np.isfinite(error), error, np.inf)).max(axis=(0, 2), initial=0.0)
            self.worst_step[largest > np.max(list(self.errors.values()), axis=0)] = step
            np.maximum(self.errors[name], largest, out=self.errors[name])

    def _by_agent(self, values: np.ndarray) -> np.ndarray:
        """[B, n, X]."""
        return values.reshape(len(values) // len(self.agents), len(self.agents), -1)

    def reports(self, tolerance: float = TOLERANCE) -> list[ParityReport]:
        """One for each agent."""
        return [
            ParityReport(
                agent, self.steps, self.batches, {name: float(errors[row]) for name, errors in self.errors.items()},
                int(self.worst_step[row]), self.actions, int(self.mismatches[row]), int(self.ties[row]), tolerance,
            )
            for row, agent in enumerate(self.agents)
        ]  # fmt: skip


def _gap(logits: np.ndarray) -> np.ndarray:
    """[B] distance of the two largest logits [B, A], relative beyond a value of 1; infinite where only one is legal."""
    if logits.shape[-1] < 2:
        return np.full(len(logits), np.inf)
    top = np.sort(logits, axis=-1)[:, -2:]
    gap: np.ndarray = np.where(top[:, 0] <= ILLEGAL_LOGIT, np.inf, (top[:, 1] - top[:, 0]) / np.maximum(1.0, np.abs(top[:, 1])))
    return gap
