"""Which module a task name stands for. Names are looked up on the disk, without importing what is found."""

from __future__ import annotations

import importlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from a2po.errors import DependencyError, TaskError, did_you_mean, foreign, missing_extra

PREFIX = "pettingzoo/"
PUBLISHED = ("mpe2", "pettingzoo")
"""Packages that the extra ``pettingzoo`` installs; what they import comes with them."""
FAMILIES = ("atari", "butterfly", "classic", "sisl")
"""PettingZoo's folders of games, which a task name may begin with."""
IN_EXTRA = (*PUBLISHED, "Box2D", "gymnasium", "pygame", "pymunk", "scipy")
VERSION = re.compile(r"_v(\d+)$")


def newest(name: str) -> str | None:
    """The installed module that a name stands for: ``mpe2.simple_spread`` -> ``mpe2.simple_spread_v3``, or None."""
    package, _, last = name.rpartition(".")
    folders = _folders(package)
    if VERSION.search(last) is None:
        versions = [path.stem for folder in folders for path in folder.glob(f"{last}_v*.py") if VERSION.sub("", path.stem) == last]
        if versions:
            return ".".join([*filter(None, [package]), max(versions, key=_version)])
    found = any((folder / f"{last}.py").is_file() or (folder / last / "__init__.py").is_file() for folder in folders)
    return name if found or (not package and _top(last) is not None) else None


def full_name(task: str) -> str:
    """``pettingzoo/sisl.pursuit`` -> ``pettingzoo.sisl.pursuit``: nothing else of that name comes before PettingZoo's own."""
    name = task.removeprefix(PREFIX)
    return f"pettingzoo.{name}" if name.partition(".")[0] in FAMILIES else name


def is_published(task: str) -> bool:
    """True if PettingZoo or MPE2 published the module of a task."""
    return full_name(task).partition(".")[0] in PUBLISHED


def load(task: str) -> ModuleType:
    """Import the module of a task.

    Raises:
        TaskError: there is none, it cannot be imported, or it has no ``parallel_env``.
        DependencyError: a package that it needs is missing.
    """
    from a2po.envs.registry import reach_working_folder

    name = full_name(task)
    if not all(part.isidentifier() for part in name.split(".")):
        raise TaskError(f"unknown task '{task}': after {PREFIX} comes a module's name, for example {PREFIX}mpe2.simple_spread")
    if not is_published(task):
        reach_working_folder(name.partition(".")[0])
    found = newest(name)
    if found is None:
        raise _unknown(task, name)
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures are drawn in memory: no screen is needed
    try:
        module = importlib.import_module(found)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in IN_EXTRA:
            raise missing_extra(missing, "pettingzoo", f"the task '{task}'") from error
        raise DependencyError(f"the task '{task}' needs the package '{error.name}', which is not installed{_hint(found)}") from error
    except (Exception, SystemExit) as error:
        raise TaskError(f"task '{task}': the module '{found}' cannot be imported ({foreign(error)})") from error
    if not callable(getattr(module, "parallel_env", None)):
        raise TaskError(f"task '{task}': the module '{found}' has no parallel_env, so it is no parallel PettingZoo environment")
    return module


def _unknown(task: str, name: str) -> TaskError | DependencyError:
    top = name.partition(".")[0]
    siblings = [path.stem for folder in _folders(name.rpartition(".")[0]) for path in folder.glob("*_v*.py")]
    if top in PUBLISHED and _top(top) is None:
        return missing_extra(top, "pettingzoo", f"the task '{task}'")
    if _top("pettingzoo") is None:
        return missing_extra("pettingzoo", "pettingzoo", f"the task '{task}'")
    from a2po.envs.pettingzoo import task_names

    near = [f"{PREFIX}{name.rpartition('.')[0].removeprefix('pettingzoo.')}.{VERSION.sub('', sibling)}" for sibling in siblings]
    return TaskError(f"unknown task '{task}': there is no module '{name}'{did_you_mean(task, dict.fromkeys([*near, *task_names()]))}")


def _hint(module: str) -> str:
    parts = module.split(".")
    return f': pip install "pettingzoo[{parts[1]}]"' if parts[0] == "pettingzoo" and len(parts) > 2 else ""


def _version(module: str) -> int:
    match = VERSION.search(module)
    return int(match.group(1)) if match else -1


def _top(name: str) -> list[str] | None:
    """Where a top-level package's modules lie ([] for a single module); None if there is no such thing."""
    try:
        spec = find_spec(name) if name.isidentifier() else None
    except ValueError:
        return None
    return None if spec is None else list(spec.submodule_search_locations or [])


def _folders(package: str) -> list[Path]:
    """The folders that hold a package's modules; those on the path for the name of no package."""
    if not package:
        return [Path(entry or ".") for entry in sys.path]
    top, *rest = package.split(".")
    return [Path(place, *rest) for place in _top(top) or []]
