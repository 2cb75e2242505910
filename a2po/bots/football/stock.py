"""gfootball's own Python on a2po's engine: no build, no Boost.Python, no gym.

import_gfootball()
import gfootball.env

It is the stock package's code, unchanged: of the installed engine's folder, or else of an installed gfootball.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from a2po.bots.football import engine_stand_in, gym_stand_in
from a2po.envs.football.library import find_library
from a2po.errors import DependencyError, UserError, require

ENGINE = "gfootball_engine"
EAGER = ("env", "env.football_env", "env.wrappers", "env.script_helpers", "env.players", "scenarios")
"""What imports gym or the engine: loaded at once, while they are there."""


def import_gfootball() -> ModuleType:
    """The package ``gfootball``, which from now on ``import gfootball`` finds, too. Called again, it returns the same.

    Its engine is a2po's, under the name ``gfootball_engine`` in ``sys.modules``. Its gym is the installed one up to 0.25, and else a
    stand-in, which nobody but gfootball sees.

    Raises:
        DependencyError: the engine, gfootball's Python or a package that it imports is not installed.
        UserError: gfootball was imported before, with an engine of its own.
    """
    if "gfootball" in sys.modules:
        if getattr(sys.modules.get(ENGINE), "GameEnv", None) is not engine_stand_in.GameEnv:
            raise UserError("gfootball was imported before, with its own engine: call import_gfootball() before anything imports it")
        return sys.modules["gfootball"]
    require("gfootball's Python", cv2="football", absl="football", six="football")
    folder = _folder()
    sys.modules[ENGINE] = engine_stand_in.module()
    try:
        with _path(folder), _gym():
            found = import_module("gfootball")
            for name in EAGER:
                import_module(f"gfootball.{name}")
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("gfootball", ENGINE)]:
            del sys.modules[name]
        raise
    return found


def _folder() -> Path:
    """The folder in which gfootball's Python lies. Raises: DependencyError: there is none."""
    beside = find_library().folder / "python"
    if (beside / "gfootball" / "__init__.py").is_file():
        return beside
    installed = find_spec("gfootball")
    if installed is None or not installed.submodule_search_locations:
        raise DependencyError("gfootball's Python is not installed beside the engine; build it again with: a2po install football")
    return Path(next(iter(installed.submodule_search_locations))).parent


@contextmanager
def _path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _gym() -> Iterator[None]:
    """For the moment ``gym`` is what gfootball was written for."""
    if _gym_fits():
        yield
        return
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "gym"}
    stand_ins = gym_stand_in.modules()
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _gym_fits() -> bool:
    try:
        major, minor = (int(part) for part in version("gym").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return False
    return (major, minor) < (0, 26)
