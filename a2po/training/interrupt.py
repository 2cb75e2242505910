"""SIGINT and SIGTERM ask the loop to save and leave; the second one leaves at once.

"At once" is an exception in the main thread, so that whatever is being written is cleared away on the way out; the third
signal does what it would do without us.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """While active, remembers the first signal in ``received`` instead of dying of it. Only the main thread can listen.

    Args:
        heard: told of the first signal at once, in a thread of its own: what the signal broke into may be in the middle of a line.
    """

    def __init__(self, heard: Callable[[], None] = lambda: None) -> None:
        self.received: int | None = None
        self.heard = heard
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
        if self.received is None:
            self.received = number
            threading.Thread(target=self.heard, daemon=True).start()
            return
        for own in self._before:
            signal.signal(own, signal.SIG_DFL)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
