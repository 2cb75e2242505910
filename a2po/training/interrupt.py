"""SIGINT and SIGTERM ask the loop to save and leave; the second one leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

LEAVING_S = 1.0


class Interrupt:
    """While active, remembers the first signal in ``received`` instead of dying of it. Only the main thread can listen.

    Args:
        leaving: called before the second signal ends the process, for a second at most: to leave the terminal as it was.
    """

    def __init__(self, leaving: Callable[[], None] = lambda: None) -> None:
        self.received: int | None = None
        self.leaving = leaving
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            last = threading.Thread(target=self.leaving, daemon=True)  # not here: what the signal broke into may hold a lock that it needs
            last.start()
            last.join(LEAVING_S)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = number
