"""What a person sees while a run trains: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_INTERVAL_S = 15.0


@dataclass(frozen=True)
class Status:
    """The state of a run after one update."""

    step: int
    return_mean: float | None
    evaluation: float | None
    steps_per_s: float
    sampling_share: float


class View(Protocol):
    """Anything that shows a run."""

    def start(self, step: int, total: int) -> None:
        """The run begins, or goes on, at a step."""
        ...

    def show(self, status: Status) -> None:
        """One more update is done."""
        ...

    def say(self, message: str) -> None:
        """Something happened that a person should know."""
        ...

    def stop(self) -> None:
        """The run is over."""
        ...


class TerminalView:
    """A progress bar with return, speed, remaining time and the split into sampling and update; or plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._total = 0
        self._last_line = 0.0

    def start(self, step: int, total: int) -> None:
        """See ``View.start``."""
        self._total, self._last_line = total, time.monotonic()
        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(bar_width=6),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
        )
        self._task = self._bar.add_task("train", total=total, completed=step, text="starting")
        self._bar.start()

    def show(self, status: Status) -> None:
        """See ``View.show``."""
        if self._bar:
            self._bar.update(self._task, completed=status.step, text=describe_briefly(status))
        elif time.monotonic() - self._last_line >= LINE_INTERVAL_S or status.step >= self._total:
            self._last_line = time.monotonic()
            self.console.print(f"{100 * min(status.step / self._total, 1):3.0f}%  {describe(status)}", highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """See ``View.say``."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """See ``View.stop``."""
        if self._bar:
            self._bar.stop()


def describe(status: Status) -> str:
    """``102,400 · return 1,234.5 · greedy 1,719.4 · 17,500 steps/s · sampling 52% update 48%``."""
    return f"{status.step:,} · {_results(status)} · sampling {round(100 * status.sampling_share)}% {_update_share(status)}"


def describe_briefly(status: Status) -> str:
    """The same in about 60 characters, for a bar that fits 80 columns."""
    return f"{_results(status)} · {_update_share(status)}"


def _results(status: Status) -> str:
    mean = "return –" if status.return_mean is None else f"return {status.return_mean:,.1f}"
    evaluated = "" if status.evaluation is None else f" · greedy {status.evaluation:,.1f}"
    return f"{mean}{evaluated} · {status.steps_per_s:,.0f} steps/s"


def _update_share(status: Status) -> str:
    return f"update {100 - round(100 * status.sampling_share)}%"


class SilentView:
    """Shows nothing. For tests and scripts."""

    def start(self, step: int, total: int) -> None:
        """See ``View.start``."""

    def show(self, status: Status) -> None:
        """See ``View.show``."""

    def say(self, message: str) -> None:
        """See ``View.say``."""

    def stop(self) -> None:
        """See ``View.stop``."""
