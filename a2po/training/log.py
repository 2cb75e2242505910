"""``log.txt``: what a run said, with times, for the day when nobody watched the terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from a2po.training.view import Status, View, describe

LINE_INTERVAL_S = 60.0


class LoggedView:
    """A view that also writes to ``log.txt``. A disk that refuses the line costs the line, not the run."""

    def __init__(self, view: View, path: Path) -> None:
        self.view, self.path = view, path
        self._last: datetime | None = None

    def start(self, step: int, total: int) -> None:
        """See ``View.start``."""
        self.view.start(step, total)

    def show(self, status: Status) -> None:
        """See ``View.show``. At most one line a minute goes into the file."""
        self.view.show(status)
        now = datetime.now()
        if self._last is None or (now - self._last).total_seconds() >= LINE_INTERVAL_S:
            self._last = now
            self._write(describe(status))

    def say(self, message: str) -> None:
        """See ``View.say``."""
        self.view.say(message)
        self._write(message)

    def stop(self) -> None:
        """See ``View.stop``."""
        self.view.stop()

    def _write(self, message: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {message}\n")
        except OSError:
            pass
