"""What a callback of ``a2po.train`` is told after every update round, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.networks.team_policy import TeamPolicy

if TYPE_CHECKING:
    from a2po.training.trainer import Trainer


@dataclass(frozen=True)
class TrainProgress:
    """The state of a run after one update round, evaluated and saved where it was time for that."""

    run: Path
    """The run's folder."""
    step: int
    """Environment steps over all copies so far."""
    total_steps: int
    """Steps after which training ends by itself."""
    update: int
    """Update rounds so far."""
    return_mean: float | None
    """Mean return of the last 64 episodes, or None before the first one ends."""
    evaluation: float | None
    """Mean return of the newest greedy evaluation, or None before the first one."""
    evaluated: bool
    """That evaluation was played after this very round."""
    metrics: dict[str, Any]
    """This round's row of ``metrics.jsonl``: times in seconds, episodes, order of updates, clip ranges and more (docs/python.md)."""
    team: TeamPolicy
    """The team as it is now, for reading: changing it would change the training."""

    @property
    def agents(self) -> dict[str, dict[str, float]]:
        """Agent -> its diagnostics of this round: kl, clip_fraction, objective, value_loss, gradient norms."""
        found: dict[str, dict[str, float]] = self.metrics["agents"]
        return found

    @classmethod
    def of(cls, trainer: Trainer) -> TrainProgress:
        """The state of a trainer that has just done a round."""
        evaluated = trainer.journal.rows.get("evaluation", {}).get("step") == trainer.step
        row, total = trainer.journal.rows["update"], trainer.config.run.total_steps
        figures = (trainer.step, total, trainer.updates, trainer.journal.return_mean, trainer.evaluation, evaluated)
        return cls(trainer.folder, *figures, row, trainer.team)


Callback = Callable[[TrainProgress], bool | None]
"""Called after every update round; True ends training after saving."""


def ask(callback: Callback, progress: TrainProgress) -> bool:
    """Whether the callback wants to stop.

    Raises:
        TypeError: it answered neither True, False nor None: something else is more likely a slip than a wish to stop.
    """
    answer = callback(progress)
    if answer is not None and not isinstance(answer, bool | np.bool_):
        raise TypeError(f"the callback of a2po.train returned {answer!r:.60}; return True to stop, False or None to go on")
    return bool(answer)
