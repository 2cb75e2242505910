"""Machine code that is kept on disk for the next process, in a folder that may be read-only, and in files that may be torn."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache


class TolerantCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, for which a file that it cannot read is a file that is not there."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for a signature, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 - what reading a torn pickle raises is anybody's guess
            with suppress(OSError):
                self.flush()  # its index, which saving reads again, may be the torn file
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the machine code, if there is room for it."""
        with suppress(OSError):
            super().save_overload(sig, data)


def keep(function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """Let a compiled ``function`` look for its machine code in ``folder`` first, and leave it there."""
    if not writable(folder):
        return function
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        function._cache = TolerantCache(function.py_func)  # type: ignore[attr-defined] # what cache=True does, too
    finally:
        numba.config.CACHE_DIR = before
    return function


@cache
def writable(folder: Path) -> bool:
    """Whether files can be left in ``folder``; made if need be. If not, Numba would look for a place that knows no sizes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _say_once(f"{folder.parent} cannot be written to ({error.strerror}): battles are compiled anew in each process; "
                  "the environment variable A2PO_CACHE names another folder")  # fmt: skip
        return False
    return True


@cache
def _say_once(text: str) -> None:
    logging.getLogger("a2po").warning(text)
