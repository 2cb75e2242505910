"""Runs the waiting runs of a sweep, as many at once as it was told, until all are done, failed or stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from a2po.sweeps.children import Child
from a2po.sweeps.plan import PlannedRun
from a2po.sweeps.states import RunState
from a2po.sweeps.view import SweepView
from a2po.training.interrupt import Interrupt

POLL_S = 0.2
LOOK_S = 1.0
"""Seconds between two looks at the metrics of the running runs."""


class Schedule:
    """Holds the children.

    Args:
        states: all runs of the plan; their status is kept up to date.
        jobs: how many at once.
        start: starts the child of a run.
        view: shows the states and is told what ended.
    """

    def __init__(self, states: list[RunState], jobs: int, start: Callable[[PlannedRun], Child], view: SweepView) -> None:
        self.states, self.jobs, self.start, self.view = states, jobs, start, view
        self._running: list[tuple[RunState, Child]] = []
        self._last_look = 0.0

    def run(self) -> int | None:
        """Run every waiting one.

        Returns: the signal that stopped it, after every child has saved and left; or None.
        """
        told = False
        try:
            with Interrupt() as interrupt:
                while True:
                    if interrupt.received is None:
                        self._start_waiting()
                    elif not told:
                        told = True
                        self._pass_on(interrupt.received)
                    self._collect(stopping=interrupt.received is not None)
                    if not self._running and (interrupt.received is not None or not self._waiting()):
                        return interrupt.received
                    self._look()
                    time.sleep(POLL_S)
        finally:
            for _, child in self._running:  # only after an error of our own
                child.send(signal.SIGKILL)
            self.view.stop()

    def _waiting(self) -> list[RunState]:
        return [state for state in self.states if state.status == "waiting"]

    def _start_waiting(self) -> None:
        for state in self._waiting()[: self.jobs - len(self._running)]:
            self._running.append((state, self.start(state.run)))
            state.status = "running"

    def _pass_on(self, number: int) -> None:
        self.view.say(f"{signal.Signals(number).name}: {len(self._running)} runs save and leave; once more to leave at once")
        for _, child in self._running:
            child.send(number)

    def _collect(self, stopping: bool) -> None:
        ended = [(state, child) for state, child in self._running if child.poll() is not None]
        self._running = [pair for pair in self._running if pair not in ended]
        for state, child in ended:
            state.look()
            state.status = "done" if child.poll() == 0 else "stopped" if stopping else "failed"
            state.message = child.last_words() if state.status != "stopped" else f"at step {state.progress.step:,}"
            self.view.ended(state, self.states)

    def _look(self) -> None:
        if time.monotonic() - self._last_look >= LOOK_S:
            self._last_look = time.monotonic()
            for state, _ in self._running:
                state.look()
            self.view.show(self.states)
