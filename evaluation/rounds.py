"""What the update rounds of a run told, read from its ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FIGURES = ("kl", "clip_fraction", "entropy", "total_variation", "explained_variance")
BOUNDS = ("mappo", "coppo", "a2po")
"""CoPPO's and HAPPO's are the same number."""


@dataclass(frozen=True)
class Rounds:
    """The update rounds of a run; nan where there is no number. U rounds, N agents."""

    agents: tuple[str, ...]
    steps: np.ndarray  # [U]
    positions: np.ndarray  # [U, N] from 1; 0 for an agent that the round left alone
    figures: Mapping[str, np.ndarray]  # [U, N] by name
    scores: np.ndarray | None  # [U, N] what the order saw first; None where there is no order
    bounds: Mapping[str, np.ndarray]  # [U] by algorithm, empty where there are none

    @property
    def ordered(self) -> bool:
        """Agents are updated one after another, or block after block."""
        return bool((self.positions > 1).any())

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Rounds | None:
        """The rounds in rows of a ``metrics.jsonl``, or None where no row has such numbers."""
        updates = [row for row in rows if row.get("kind") == "update" and row.get("positions")]
        told = [row for row in updates if any("kl" in figures for figures in row["agents"].values())]
        if not told:
            return None
        agents = tuple(told[-1]["agents"])
        figures = {
            name: np.array([[row["agents"][agent].get(name, np.nan) for agent in agents] for row in told], float) for name in FIGURES
        }
        scores = [row["scores"][0] for row in told if row.get("scores")]
        bounds = [row["bounds_estimated"] for row in told if row.get("bounds_estimated")]
        return cls(
            agents,
            np.array([row["step"] for row in told], float),
            np.array([row["positions"] for row in told], int),
            figures,
            np.array(scores, float) if len(scores) == len(told) else None,
            {name: np.array([bound[name] for bound in bounds], float) for name in BOUNDS if len(bounds) == len(told)},
        )
