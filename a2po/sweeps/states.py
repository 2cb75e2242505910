"""How far each run of a sweep is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from a2po.sweeps.children import Progress, progress
from a2po.sweeps.plan import PlannedRun

Status = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class RunState:
    """A run of the plan and how far it is."""

    run: PlannedRun
    folder: Path
    total_steps: int
    status: Status = "waiting"
    message: str = ""
    """What it came to, or why it failed."""
    progress: Progress = field(default_factory=Progress)
    _first_look: tuple[float, int] | None = None
    _last_look: float = 0.0

    def look(self) -> None:
        """Read its metrics."""
        self.progress, self._last_look = progress(self.folder), time.monotonic()
        if self._first_look is None and self.status == "running" and self.progress.step:
            self._first_look = self._last_look, self.progress.step

    @property
    def steps_per_s(self) -> float | None:
        """Speed since it was started this time; None before it is known."""
        if self._first_look is None or self.progress.step <= self._first_look[1]:
            return None
        return (self.progress.step - self._first_look[1]) / max(self._last_look - self._first_look[0], 1e-9)

    @property
    def remaining_steps(self) -> int:
        """Steps that are left to train."""
        return 0 if self.status == "done" else max(self.total_steps - self.progress.step, 0)

    @property
    def remaining_s(self) -> float | None:
        """Seconds to its last step; None while its speed is not known."""
        return self.remaining_steps / self.steps_per_s if self.steps_per_s else None


def count(states: Sequence[RunState], status: Status) -> int:
    """How many have a status."""
    return sum(state.status == status for state in states)


def total_remaining_s(states: Sequence[RunState]) -> float | None:
    """Seconds to the last step of all runs at the present speed; None while that is not known."""
    running = [state for state in states if state.status == "running"]
    speeds = [state.steps_per_s for state in running if state.steps_per_s]
    if not running or not speeds:
        return None
    together = sum(speeds) / len(speeds) * len(running)
    left = sum(state.remaining_steps for state in states if state.status in ("running", "waiting"))
    return left / together
