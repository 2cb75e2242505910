"""Keep MuJoCo's warnings off the user's screen and its log file out of the user's folder.

A model's deprecated XML and a simulation that diverges both print, and append to ``MUJOCO_LOG.TXT`` in the working
directory. We count diverged simulations ourselves, so the messages are switched off while our own calls run, and only then:
the settings are the process's, and other code in it may rely on them.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import mujoco


class _Quiet:
    """A context that any number of threads may be inside at once; the last one out restores the settings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = _silence()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _restore(self._before)


if hasattr(mujoco, "MjLogConfig"):  # MuJoCo >= 4

    def _silence() -> Any:
        before, silent = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
        silent.logto_console = silent.logto_file = False
        silent.set()
        return before

    def _restore(before: Any) -> None:
        before.set()

else:

    def _silence() -> Any:
        before = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(lambda message: None)
        return before

    def _restore(before: Any) -> None:
        mujoco.set_mju_user_warning(before)


quiet = _Quiet()
