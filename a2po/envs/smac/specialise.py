"""One set of rules, many forms: the functions of ``rules/`` bound to a size P, as plain Python or compiled.

The rules are ordinary functions that call each other by name and read P as a global. ``specialise`` makes copies of them that share
one namespace, in which P has its value and each name is the copy, put through ``jit``: nothing for plain Python (tests, debugging),
Numba for the processor, later a graphics card's compiler.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import a2po.envs.smac.rules as rules

MODULES = ("chance", "targets", "motion", "damage", "combat", "upkeep", "orders", "loop", "scoring", "spawning", "battle")
FAST = {"reassoc", "nnan", "ninf", "nsz", "contract", "arcp"}  # what lets sums over units become vector code

Jit = Callable[[Callable[..., Any]], Callable[..., Any]]


def specialise(size: int, jit: Jit, entry_jit: Jit | None = None) -> SimpleNamespace:
    """All functions of the rules, for battles of ``size`` columns.

    Args:
        size: P.
        jit: what becomes of a function.
        entry_jit: what becomes of those of ``battle``, which nothing else calls; ``jit`` by default.
    """
    namespace: dict[str, Any] = {"__name__": rules.__name__}  # where a cached function looks for its module
    functions: dict[str, tuple[FunctionType, Jit]] = {}
    for name in MODULES:
        module = import_module(f"{rules.__name__}.{name}")
        for key, value in vars(module).items():
            if isinstance(value, FunctionType):
                if value.__module__ == module.__name__:
                    functions[key] = value, entry_jit if name == "battle" and entry_jit else jit
            elif not key.startswith("__"):
                if key in namespace and key != "P" and namespace[key] != value:
                    raise AssertionError(f"two modules of the rules mean different things by {key}")
                namespace[key] = value
    namespace["P"] = size
    for key, (function, how) in functions.items():
        namespace[key] = how(FunctionType(function.__code__, namespace, key, function.__defaults__))
    return SimpleNamespace(**{key: namespace[key] for key in functions})


@cache
def compiled(size: int) -> SimpleNamespace:
    """The rules as machine code, kept on disk for the next process."""
    import numba

    options = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    with _cache_folder(size):
        return specialise(size, numba.njit(**options), numba.njit(cache=True, **options))


@cache
def plain(size: int) -> SimpleNamespace:
    """The rules as plain Python: slow, and what the compiled ones are held against."""
    return specialise(size, lambda function: function)


@contextmanager
def _cache_folder(size: int) -> Iterator[None]:
    """Numba's cache does not notice that a callee, an option or P changed: so each state of the rules gets a folder of its own."""
    import numba

    digest = hashlib.sha256(repr((size, sorted(FAST), numba.__version__)).encode())
    for file in sorted(Path(rules.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    digest.update((Path(rules.__file__).parent.parent / "fields.py").read_bytes())
    before = numba.config.CACHE_DIR
    home = Path(os.environ.get("A2PO_CACHE", Path.home() / ".cache" / "a2po"))
    numba.config.CACHE_DIR = str(home / "smac" / digest.hexdigest()[:16])
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
