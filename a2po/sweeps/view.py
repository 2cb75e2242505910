"""What a person sees while a sweep runs: a table that fits 80 columns in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from a2po.sweeps.states import RunState, count, total_remaining_s

LINE_INTERVAL_S = 30.0


class SweepView(Protocol):
    """Anything that shows a sweep."""

    def show(self, states: Sequence[RunState]) -> None:
        """The runs have gone on."""
        ...

    def ended(self, state: RunState, states: Sequence[RunState]) -> None:
        """A run is done, has failed or was stopped."""
        ...

    def say(self, message: str) -> None:
        """Something happened that a person should know."""
        ...

    def stop(self) -> None:
        """Nothing runs any more."""
        ...


class TerminalSweepView:
    """One line for each running run and a total; each run that ends leaves a line."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._live: Live | None = None
        self._last_line = time.monotonic()

    def show(self, states: Sequence[RunState]) -> None:
        """See ``SweepView.show``."""
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, auto_refresh=False, transient=True)
                self._live.start()
                self.console.show_cursor()  # a second Ctrl-C ends the process where nobody could bring it back
            self._live.update(self._picture(states), refresh=True)
        elif time.monotonic() - self._last_line >= LINE_INTERVAL_S:
            self._last_line = time.monotonic()
            for state in states:
                if state.status == "running":
                    step, share, mean, greedy, speed, left = _cells(state)
                    self.say(f"  {state.run.name}: {step} ({share}) · return {mean} · greedy {greedy} · {speed} steps/s · {left}")
            self.say(_total(states))

    def ended(self, state: RunState, states: Sequence[RunState]) -> None:
        """See ``SweepView.ended``."""
        over = sum(other.status in ("done", "failed", "stopped") for other in states)
        self.say(f"[{over}/{len(states)}] {state.run.name} {state.status}: {state.message}")

    def say(self, message: str) -> None:
        """See ``SweepView.say``."""
        self.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """See ``SweepView.stop``."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self, states: Sequence[RunState]) -> Group:
        table = Table(box=None, pad_edge=False)
        prefix = _common_beginning([state.run.name for state in states])
        table.add_column(escape(f"{prefix}…" if prefix else "run"), overflow="ellipsis", no_wrap=True)
        for heading in ("step", "", "return", "greedy", "steps/s", "left"):
            table.add_column(heading, justify="right", no_wrap=True)
        running = [state for state in states if state.status == "running"]
        shown = max(self.console.height - 4, 1)
        for state in running[:shown]:
            table.add_row(escape(state.run.name.removeprefix(prefix)), *_cells(state))
        return Group(table, Text(_total(states), style="bold", no_wrap=True, overflow="ellipsis"))


def _common_beginning(names: list[str]) -> str:
    """The parts, up to dashes, that all names begin with: the rest tells them apart and must not be what a narrow terminal cuts off."""
    parts = zip(*(name.split("-") for name in names), strict=False)
    common = [first for first, *others in takewhile(lambda part: len(set(part)) == 1, parts) if others]
    return "".join(f"{part}-" for part in common)


def _cells(state: RunState) -> tuple[str, ...]:
    """Step, share, return, greedy return, speed and time left of one run."""
    step, speed = state.progress.step, state.steps_per_s
    left = "exporting" if step >= state.total_steps else _duration(state.remaining_s)
    share = f"{100 * min(step / state.total_steps, 1):.0f}%"
    returns = _number(state.progress.return_mean), _number(state.progress.evaluation)
    return f"{step:,}", share, *returns, f"{speed:,.0f}" if speed else "–", left


def _total(states: Sequence[RunState]) -> str:
    """``2 of 6 runs done, 1 failed, 2 running · 43% of the steps · 12 min left``."""
    steps = sum(state.total_steps for state in states)
    share = 100 * (1 - sum(state.remaining_steps for state in states) / steps)
    failed = count(states, "failed")
    counts = [f"{count(states, 'done')} of {len(states)} runs done", *([f"{failed} failed"] if failed else [])]
    counts.append(f"{count(states, 'running')} running")
    return f"{', '.join(counts)} · {share:.0f}% of the steps · {_duration(total_remaining_s(states))} left"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"
