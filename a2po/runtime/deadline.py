"""Steps with a time limit: they run in a thread of their own, and the game's thread stops waiting for them."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

_at_work: dict[threading.Thread, SimpleQueue[Callable[[], Any] | None]] = {}


class Deadline:
    """At most so long for a step. One at a time: while a late one runs on, the next ones wait for it as long as they may.

    What it costs, waking two threads and a copy of the inputs: 20 to 65 us a step where steps follow each other (35 us without it;
    benchmarks/runtime.py), 70 to 80 us where the game pauses for 10 ms in between and every cache is cold (270 to 420 us without
    it), on two virtual cores with other work. Python threads of the game that compute without a break can add their switch
    interval, 5 ms.
    """

    def __init__(self, milliseconds: float) -> None:
        self.seconds = milliseconds / 1e3
        self._jobs: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._busy = False
        thread = threading.Thread(target=_work, args=(self._jobs, self._results), name="a2po-team", daemon=True)
        _at_work[thread] = self._jobs
        thread.start()
        weakref.finalize(self, self._jobs.put, None)

    def run(self, step: Callable[[], Any]) -> Any:
        """What ``step`` returns, or None if that is not known in time. Raises what it raises, at the latest in the next call."""
        end = time.monotonic() + self.seconds
        self._wait(end)
        if self._busy:
            return None
        self._jobs.put(step)
        self._busy = True
        return self._wait(end)

    def settle(self) -> None:
        """Wait for a late step. What it raises stays for the next ``run``."""
        if self._busy:
            self._results.put(self._results.get())

    def _wait(self, end: float) -> Any:
        """The result of the step that is running, None if there is none or it is late."""
        if not self._busy:
            return None
        try:
            result = self._results.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return None
        self._busy = False
        if isinstance(result, BaseException):
            raise result
        return result


def _work(jobs: SimpleQueue[Callable[[], Any] | None], results: SimpleQueue[Any]) -> None:
    for job in iter(jobs.get, None):
        try:
            results.put(job())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            results.put(error)
        del job
    del _at_work[threading.current_thread()]


@atexit.register
def _finish() -> None:
    """A process that ends while ONNX Runtime is in the middle of a step aborts."""
    for thread, jobs in list(_at_work.items()):
        jobs.put(None)
        thread.join()
