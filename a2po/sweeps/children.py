"""One run of a sweep as a child process: started, asked how far it is, stopped."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from a2po.errors import WorkFailed

PR_SET_PDEATHSIG = 1  # of Linux's prctl
TAIL = 2**16
"""Bytes at the end of a metrics file or log that are looked at: many rows."""


@dataclass(frozen=True)
class Progress:
    """How far a run is, from the last rows of its metrics."""

    step: int = 0
    return_mean: float | None = None
    evaluation: float | None = None


class Child:
    """A running ``a2po sweep-run``. It has its own process group: a Ctrl-C reaches it through the sweep alone, and once."""

    def __init__(self, sweep: Path, run: str, log: Path, threads: int) -> None:
        command = [sys.executable, "-P", "-m", "a2po.cli", "sweep-run", str(sweep), run]
        command += ["--threads", str(threads), "--parent", str(os.getpid())]
        # -P keeps the current folder's modules out; what this process can import, an own environment for example, the child can.
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path and os.path.exists(path))
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env={**os.environ, "PYTHONPATH": paths},
            )
        self.log = log

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def send(self, number: int) -> None:
        """Send a signal; a child that has just ended needs none."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def last_words(self) -> str:
        """The last line of its log, or what its exit code says where it could say nothing itself."""
        code = self.process.returncode
        if code is not None and code < 0:
            hint = " (the system may be out of memory)" if -code == signal.SIGKILL else ""
            return f"killed by {signal.Signals(-code).name}{hint}"
        lines = [line.strip() for line in _tail(self.log).splitlines() if line.strip()]
        return lines[-1].removeprefix("a2po: ") if lines else f"exit code {code}"


def die_with(parent: int) -> None:
    """Ask the system to kill this process when its parent dies, so that no run trains on unseen.

    The next start of the sweep goes on from the last checkpoint. Linux only; elsewhere nothing happens.

    Args:
        parent: its process id; if that is not the parent any more, it has died already.

    Raises:
        WorkFailed: the parent is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise WorkFailed("the sweep that started this run is gone")


def progress(run: Path) -> Progress:
    """The last state that a run's metrics tell."""
    found = Progress()
    for line in _tail(run / "metrics.jsonl").splitlines():
        try:
            row = json.loads(line)
            mean = row.get("return_mean")
            if row["kind"] == "evaluation":
                found = replace(found, evaluation=mean)
            elif row["kind"] == "update":  # one without a finished episode has no return: the one before stays
                found = replace(found, step=row["step"], return_mean=found.return_mean if mean is None else mean)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a line that is being written, or that the tail cuts
    return found


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
