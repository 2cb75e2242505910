"""One process trains a run at a time: an advisory lock on ``lock`` in the run folder.

The operating system holds the lock for the open file and frees it however the process ends, so a kill leaves no stale
lock and nobody has to judge whether a process number is still the same process. The file itself stays; its text only
says who holds the lock. Commands that read a run need no lock. Standard library only: ``a2po runs`` starts at once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from a2po.errors import RunError

LOCK = "lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems without locks answer, some network ones among them."""
ATTEMPTS, PAUSE_S = 5, 0.05
"""``holder`` holds the lock for an instant while it looks."""


class RunLock:
    """The right to train a run, or another ``kind`` of folder such as a sweep."""

    def __init__(self, folder: Path, say: Callable[[str], None], kind: str = "run") -> None:
        self.folder, self.kind, self._say = folder, kind, say
        self._file: TextIO | None = None

    def take(self) -> None:
        """Lock the folder, which is made if it is not there. A file system without locks is said, and nothing else.

        Raises:
            RunError: another process works on it, or the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise RunError(f"the {self.kind} folder '{self.folder}' cannot be made: {error.strerror or error}") from error
        try:
            if not _try_lock(file, fcntl.LOCK_EX, ATTEMPTS):
                raise RunError(busy(self.folder, self.kind))
            _write_owner(file)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                file.close()
                raise
            alone = f"see to it that nothing else trains this {self.kind}"
            self._say(f"the file system of '{self.folder}' has no locks ({error.strerror}): {alone}")
        except RunError:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Let others train the run."""
        if self._file is not None:
            self._file.close()
            self._file = None


def holder(folder: Path) -> dict[str, Any] | None:
    """Who trains the run: ``pid``, ``host``, ``since`` (as far as they could be read); None if nobody does or nobody can tell."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as file:
            if _try_lock(file, fcntl.LOCK_SH, 1):
                return None
            return _owner(file)
    except OSError:
        return None


def busy(folder: Path, kind: str = "run") -> str:
    """Who trains the run, since when, and what to do."""
    owner = holder(folder) or {}
    pid = owner.get("pid")
    who = f"process {pid} on '{owner.get('host')}' since {owner.get('since')}" if pid else "another process"
    stop = f"'kill {pid}'" if pid else "a signal"
    return f"the {kind} '{folder}' is being trained by {who}: wait for it, or stop it with {stop} (it saves first)"


def _try_lock(file: TextIO, kind: int, attempts: int) -> bool:
    for attempt in range(attempts):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < attempts:
                time.sleep(PAUSE_S)
    return False


def _write_owner(file: TextIO) -> None:
    """Information only: a disk that is full costs the name of the holder, not the lock."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now().isoformat(sep=" ", timespec="seconds")}
    try:
        file.truncate(0)
        file.write(json.dumps(owner) + "\n")
        file.flush()
    except OSError:
        return


def _owner(file: TextIO) -> dict[str, Any]:
    try:
        found = json.loads(file.read(1000))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
