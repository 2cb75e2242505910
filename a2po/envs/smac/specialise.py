"""One set of rules, many forms: the functions of ``rules/`` bound to a size P, as plain Python or compiled.

The rules are ordinary functions that call each other by name and read P as a global. ``specialise`` makes copies of them that share
one namespace, in which P has its value and each name is the copy, put through ``jit``: nothing for plain Python (tests, debugging),
Numba for the processor, later a graphics card's compiler.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from a2po.envs.smac import fields, layout, paths, rules
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.terrain import Terrain
from a2po.files import cache_folder

RULES = (
    "chance",
    "targets",
    "motion",
    "damage",
    "combat",
    "upkeep",
    "masks",
    "sightings",
    "features",
    "states",
    "orders",
    "scripts",
    "enemies",
    "loop",
    "scoring",
    "muster",
    "spawning",
    "battle",
)
FAST = {"reassoc", "nnan", "ninf", "nsz", "contract", "arcp"}  # what lets sums over units become vector code
LEAN = {"_nrt": False, "no_cfunc_wrapper": True}  # nothing here allocates: counting references would cost half of the time
INNER = {"no_cpython_wrapper": True}  # nobody calls these from Python
# What every unit goes through in every loop is inlined. Not more: it takes longer to compile, and loops over pairs stop being vector code.
HOT = {"acquire", "arrive", "engage", "evade", "fits", "keeps_target", "play_loop", "separate", "set_out", "settle", "shift"}
HOT |= {"steer", "strike", "uniform", "upkeep", "walk"}

Jit = Callable[[FunctionType], Any]


def specialise(size: int, jit: Jit, entry_jit: Jit | None = None) -> SimpleNamespace:
    """All functions of the rules, for battles of ``size`` columns.

    Args:
        size: P.
        jit: what becomes of a function.
        entry_jit: what becomes of those of ``battle``, which nothing else calls; ``jit`` by default.
    """
    return _bound([f"{rules.__name__}.{name}" for name in RULES], {"P": size}, jit, entry_jit)


@cache
def compiled(size: int) -> SimpleNamespace:
    """The rules as machine code, kept on disk for the next process."""
    import numba

    from a2po.envs.smac.codecache import keep

    njit: Callable[..., Any] = numba.njit  # its declared types leave out options that it takes
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy", **LEAN}
    folder = _code_folder(size)

    def inner(function: FunctionType) -> Any:
        return njit(forceinline=function.__name__ in HOT, **INNER, **options)(function)

    return specialise(size, inner, lambda function: keep(njit(**options)(function), folder))


@cache
def plain(size: int) -> SimpleNamespace:
    """The rules as plain Python: slow, and what the compiled ones are held against."""
    return specialise(size, lambda function: function)


@lru_cache(maxsize=8)  # a table has four megabytes
def bends(terrain: Terrain) -> np.ndarray:
    """Where paths bend: int16 [2, 1024, 1024], see ``paths.waypoints``; [2, 1, 1] if all of them are straight. Kept on disk, too."""
    digest = hashlib.sha256(Path(paths.__file__).read_bytes() + terrain.walkable.tobytes()).hexdigest()[:16]
    file = cache_folder("smac") / f"paths-{digest}.npy"
    with suppress(OSError, ValueError, EOFError), file.open("rb") as stream:
        kept: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        if kept.dtype == np.int16 and kept.shape in ((2, 1, 1), (2, SIZE**2, SIZE**2)):
            return kept
    if all(paths.straight_everywhere(walkable) for walkable in terrain.walkable):
        table = np.zeros((2, 1, 1), np.int16)
    else:
        table = np.stack([_waypoints()(np.ascontiguousarray(walkable)) for walkable in terrain.walkable])
    with suppress(OSError):  # a home that cannot be written to costs the time again
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.stem}-{os.getpid()}.npy")
        np.save(part, table)
        part.replace(file)
    return table


@cache
def _waypoints() -> Callable[[np.ndarray], np.ndarray]:
    """``paths.waypoints`` as machine code."""
    import numba

    found: Callable[[np.ndarray], np.ndarray] = _bound([paths.__name__], {}, numba.njit(nogil=True), None).waypoints
    return found


def _bound(modules: list[str], constants: dict[str, Any], jit: Jit, entry_jit: Jit | None) -> SimpleNamespace:
    namespace: dict[str, Any] = {}
    functions: dict[str, tuple[FunctionType, Jit]] = {}
    for module in map(import_module, modules):
        for key, value in vars(module).items():
            if isinstance(value, FunctionType):
                if value.__module__ == module.__name__:
                    functions[key] = value, entry_jit if entry_jit and module.__name__ == modules[-1] else jit
            elif not key.startswith("__") and namespace.setdefault(key, value) != value and key not in constants:
                raise AssertionError(f"two modules of the rules mean different things by {key}")
    namespace |= {**constants, "__name__": modules[-1]}  # where a function that comes from disk looks for its module
    for key, (function, how) in functions.items():
        namespace[key] = how(FunctionType(function.__code__, namespace, key, function.__defaults__))
    return SimpleNamespace(**{key: namespace[key] for key in functions})


def _code_folder(size: int) -> Path:
    """Numba's cache does not notice that a callee, an option or P changed: so each state of the sources gets a folder of its own."""
    import numba

    digest = hashlib.sha256(repr((str(size), sorted(FAST), sorted(HOT), numba.__version__)).encode())
    for file in (Path(fields.__file__), Path(layout.__file__), *sorted(Path(rules.__file__).parent.glob("*.py"))):
        digest.update(file.read_bytes())
    return cache_folder("smac") / digest.hexdigest()[:16]
