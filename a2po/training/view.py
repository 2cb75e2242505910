"""What a person sees while a run trains: a dashboard in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live

from a2po.training.chart import Curve
from a2po.training.dashboard import Dashboard, SteadyLive
from a2po.training.panels import results

LINE_INTERVAL_S = 15.0
REFRESHES_PER_S = 2.0
MESSAGES = 8


@dataclass(frozen=True)
class Status:
    """The state of a run after one update.

    Attributes:
        step: environment steps so far.
        return_mean: of the last episodes.
        evaluation: return of the last greedy evaluation.
        steps_per_s: of this update, without evaluation and saving.
        sampling_share: of this update's time; the rest went into the update itself.
        title: what is trained.
        setting: how: copies, preset, seed, device.
        update: this update's row in ``metrics.jsonl``: times, order, clip ranges, values per agent.
        rates: share of the last episodes in which a yes-or-no metric of the task, such as a win, was yes.
        evaluation_rates: the same of the last greedy evaluation.
        returns: mean return of training episodes over steps.
        evaluations: greedy return over steps.
        episodes: finished ones so far.
        other_s: seconds that evaluation and saving took after this update.
        checkpoint: step and time (seconds since 1970) of the last one.
        memory: bytes, ``resident`` of this process and ``cuda`` where it is used.
    """

    step: int
    return_mean: float | None
    evaluation: float | None
    steps_per_s: float
    sampling_share: float
    title: str = ""
    setting: str = ""
    update: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    evaluation_rates: Mapping[str, float] = field(default_factory=dict)
    returns: Curve = field(default_factory=Curve)
    evaluations: Curve = field(default_factory=Curve)
    episodes: int = 0
    other_s: float = 0.0
    checkpoint: tuple[int, float] | None = None
    memory: Mapping[str, int] = field(default_factory=dict)


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
    """A dashboard in a terminal; plain lines now and then elsewhere, or where they are asked for.

    Args:
        console: where to; by default standard error.
        plain: lines even in a terminal.
    """

    def __init__(self, console: Console | None = None, *, plain: bool = False) -> None:
        # FORCE_COLOR makes rich take a file for a terminal; colours there are welcome, a dashboard is not.
        self.console = console or Console(stderr=True, force_terminal=None if sys.stderr.isatty() else False)
        self.plain = plain or not self.console.is_interactive
        self.messages: deque[str] = deque(maxlen=MESSAGES)
        self._dashboard: Dashboard | None = None
        self._live: Live | None = None
        self._total = 0
        self._last_line = 0.0

    def start(self, step: int, total: int) -> None:
        """See ``View.start``."""
        self._total, self._last_line = total, time.monotonic()
        if self.plain:
            return
        self._dashboard = Dashboard(step, total, self.messages)
        self._live = SteadyLive(
            self._dashboard,
            console=self.console,
            refresh_per_second=REFRESHES_PER_S,
            redirect_stdout=sys.stdout.isatty(),  # what goes into a pipe still goes there
            vertical_overflow="crop",
        )
        self._live.start()

    def show(self, status: Status) -> None:
        """See ``View.show``."""
        if self._dashboard:
            self._dashboard.update(status)
        elif time.monotonic() - self._last_line >= LINE_INTERVAL_S or status.step >= self._total:
            self._last_line = time.monotonic()
            self.console.print(f"{100 * min(status.step / self._total, 1):3.0f}%  {describe(status)}", highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """See ``View.say``. Above the dashboard, where it stays, and in it."""
        self.messages.append(message)
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """See ``View.stop``. The last state stays on the screen, without messages: they stand above."""
        if self._live and self._dashboard:
            self._dashboard.final = True
            self._live.stop()


def describe(status: Status) -> str:
    """``102,400 · return 1,234.5, won 45% · greedy 1,719.4, won 62% · 17,500 steps/s · sampling 52% update 48%``."""
    sampling = round(100 * status.sampling_share)
    return f"{status.step:,} · {results(status)} · {status.steps_per_s:,.0f} steps/s · sampling {sampling}% update {100 - sampling}%"


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
