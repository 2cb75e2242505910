"""The dashboard that a terminal of at least 80 x 24 shows; a smaller one gets one line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from a2po.training import panels

if TYPE_CHECKING:
    from a2po.training.view import Status

MIN_WIDTH, MIN_HEIGHT = 80, 24
FIXED_LINES = 12
"""All but the chart, the agents and the messages."""
ROOM_FOR_KEYS = 4
"""Columns that stay free behind the last line: a terminal writes ``^C`` there, and a line that it breaks would shift the next picture."""


class Dashboard:
    """Draws the newest status. Whoever shows it refreshes it, from another thread if they like.

    Args:
        step: where the run begins or goes on.
        total: steps of the whole run.
        messages: what was said, oldest first; a living list.
    """

    def __init__(self, step: int, total: int, messages: Sequence[str]) -> None:
        self.first_step, self.total, self.messages = step, total, messages
        self.final = False
        self.drawn: tuple[int, ConsoleDimensions] | None = None
        """Lines and terminal of the last picture."""
        self.status: Status | None = None
        self.seconds = (0.0, 0.0, 0.0)
        """Sampling, update, evaluation and saving; since the start."""
        self._began = self._first_round = self._updated = time.monotonic()

    def update(self, status: Status) -> None:
        """One more update is done."""
        latest = (status.update.get("sampling_s", 0.0), status.update.get("update_s", 0.0), status.other_s)
        self._updated = time.monotonic()
        if self.status is None:  # an evaluation that was still due came before; it is no measure of what is left
            self._first_round = self._updated - sum(latest)
        self.seconds = (self.seconds[0] + latest[0], self.seconds[1] + latest[1], self.seconds[2] + latest[2])
        self.status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self._picture(options)
        lines[-1].rstrip()
        lines[-1].truncate(max(options.max_width - ROOM_FOR_KEYS, 1), overflow="ellipsis", pad=True)
        self.drawn = len(lines), options.size
        yield from lines

    def _picture(self, options: ConsoleOptions) -> list[Text]:
        width, height = options.max_width, options.size.height
        if self.status is None:
            return [panels.line(width, "" if self.final else "starting")]
        if width < MIN_WIDTH or height < MIN_HEIGHT or options.ascii_only:
            return [self._one_line(self.status, width)]
        return self.lines(self.status, width, height)

    def lines(self, status: Status, width: int, height: int) -> list[Text]:
        """At most ``height`` lines. The last picture of a run is four lines shorter, so that nothing of it scrolls away."""
        room = height - FIXED_LINES - (4 if self.final else 2)
        agents = min(len(status.update.get("agents", ())), max(room - 6, 1))
        chart = min(room - agents, 14)
        messages = 0 if self.final else min(2 + room - agents - chart, 8)
        said = [*list(self.messages)[max(len(self.messages) - messages, 0) :], *[""] * messages][:messages]
        return [
            *panels.head(status, width, self.total, self._elapsed(), self._remaining(status)),
            *panels.chart(status, width, chart),
            *panels.speed(status, width, self.seconds),
            *panels.agents(status, width, agents),
            *panels.state(status, width, self.final),
            *(panels.line(width, (" ".join(message.split()), "dim")) for message in said),
        ]

    def _one_line(self, status: Status, width: int) -> Text:
        """As much of it as fits."""
        share = min(status.step / self.total, 1.0)
        remaining = panels.duration(self._remaining(status))
        return panels.line(width, f"{share:4.0%} {panels.results(status)} · {status.steps_per_s:,.0f} steps/s · ETA {remaining}")

    def _elapsed(self) -> float:
        return (self._updated if self.final else time.monotonic()) - self._began

    def _remaining(self, status: Status) -> float:
        """Seconds, as fast as it went since the first round began, all told."""
        speed = (status.step - self.first_step) / max(self._updated - self._first_round, 1e-9)
        left = max(self.total - status.step, 0) / max(speed, 1e-9)
        return max(left - (time.monotonic() - self._updated), 0.0)


class SteadyLive(Live):
    """Draws over the last picture instead of erasing it first: a terminal that shows half of a refresh shows no gap."""

    def __init__(self, dashboard: Dashboard, **options: Any) -> None:
        super().__init__(dashboard, **options)
        self.dashboard = dashboard

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See ``rich.console.RenderHook``. Where a message takes the picture's place, or the number of lines may change, it is erased."""
        drawn, final = self.dashboard.drawn, self.dashboard.final
        [erase, *rest] = super().process_renderables(renderables)
        refresh = all(isinstance(own, Control) for own in renderables)
        if not refresh or final or drawn is None or drawn[1] != self.console.size:
            return [erase, *rest]
        up = [(ControlType.CURSOR_UP, drawn[0] - 1)] if drawn[0] > 1 else []
        return [Control(ControlType.CARRIAGE_RETURN, *up), *rest]
