"""Where the football engine lies: what ``a2po install football`` built, or the folder that A2PO_FOOTBALL names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from a2po.errors import DependencyError


@dataclass(frozen=True)
class Installed:
    """A folder with ``libfootball.so``, ``data/`` and ``fonts/``."""

    folder: Path

    @property
    def library(self) -> Path:
        """The shared library."""
        return self.folder / "libfootball.so"

    def export(self) -> None:
        """Tell the engine where its data and its font lie."""
        os.environ["GFOOTBALL_DATA_DIR"] = str(self.folder / "data")
        os.environ["GFOOTBALL_FONT"] = str(self.folder / "fonts" / "AlegreyaSansSC-ExtraBold.ttf")
        os.environ.setdefault("MESA_GL_VERSION_OVERRIDE", "3.2")
        os.environ.setdefault("MESA_GLSL_VERSION_OVERRIDE", "150")


def find_library() -> Installed:
    """The engine that is installed.

    Raises:
        DependencyError: there is none.
    """
    named = os.environ.get("A2PO_FOOTBALL")
    found = Installed(Path(named)) if named else None
    if found is None or not found.library.is_file():
        raise DependencyError("the football engine is not installed; build it with: a2po install football")
    return found
