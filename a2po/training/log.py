"""``log.txt``: what a run said, with times, for the day when nobody watched the terminal."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from a2po.files import append_text
from a2po.training.view import Status, View, describe

LINE_INTERVAL_S = 60.0


class Trouble:
    """Says once that something cannot be written, and once that it can be again."""

    def __init__(self, what: str, consequence: str, say: Callable[[str], None]) -> None:
        self._what, self._consequence, self._say = what, consequence, say
        self._lasting = False

    def began(self, error: OSError) -> None:
        """It failed."""
        if not self._lasting:
            self._say(f"{self._what} cannot be written ({error.strerror or error}): {self._consequence}")
        self._lasting = True

    def over(self) -> None:
        """It worked."""
        if self._lasting:
            self._say(f"{self._what} can be written again")
        self._lasting = False


class LoggedView:
    """A view that also writes to ``log.txt``. A disk that refuses the line costs the line, not the run."""

    def __init__(self, view: View, path: Path) -> None:
        self.view, self.path = view, path
        self._last: datetime | None = None
        self._trouble = Trouble(path.name, "its lines are left out until it can", view.say)

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

    def keep(self, error: BaseException) -> None:
        """The traceback of an error, its causes included: into the file alone."""
        self._write("".join(traceback.format_exception(error)).rstrip())

    def stop(self) -> None:
        """See ``View.stop``."""
        self.view.stop()

    def _write(self, message: str) -> None:
        if not self.path.parent.is_dir():  # a run that is refused has no folder
            return
        try:
            append_text(self.path, f"{datetime.now():%Y-%m-%d %H:%M:%S}  {message}\n")
        except OSError as error:
            self._trouble.began(error)
        else:
            self._trouble.over()
