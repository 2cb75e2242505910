"""Where the football engine lies: the folder that A2PO_FOOTBALL names, or what ``a2po install football`` built for this user."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from a2po.errors import DependencyError
from a2po.files import cache_folder

NATIVE = Path(__file__).parent / "native"
"""Our part of the engine: the C functions, and how everything is compiled."""
SDIST = "gfootball-2.10.2.tar.gz"
"""The engine's source distribution in the Python package index."""
SDIST_SHA256 = "1b0fdcfa78b7fadc3730585ee7f0f412ba825c27e422b2b85ea0cf7ba57800b6"


@dataclass(frozen=True)
class Installed:
    """A folder with ``libfootball.so``, ``data/`` and ``fonts/``."""

    folder: Path

    @property
    def library(self) -> Path:
        """The shared library."""
        return self.folder / "libfootball.so"

    @cached_property
    def build(self) -> str:
        """What tells one build from others: saved games fit the build that saved them."""
        return hashlib.sha256(self.library.read_bytes()).hexdigest()[:16]

    def export(self) -> None:
        """Tell the engine where its data and its font lie."""
        os.environ["GFOOTBALL_DATA_DIR"] = str(self.folder / "data")
        os.environ["GFOOTBALL_FONT"] = str(self.folder / "fonts" / "AlegreyaSansSC-ExtraBold.ttf")
        os.environ.setdefault("MESA_GL_VERSION_OVERRIDE", "3.2")
        os.environ.setdefault("MESA_GLSL_VERSION_OVERRIDE", "150")

    def load(self) -> ctypes.CDLL:
        """The library in this process, told where its data lie.

        Raises:
            DependencyError: something that it needs is gone, after an upgrade of the system for example.
        """
        self.export()
        try:
            return ctypes.CDLL(str(self.library))
        except OSError as error:
            raise DependencyError(
                f"the football engine in '{self.folder}' does not load ({error}); build it anew: a2po install football --force"
            ) from None


def engines_folder() -> Path:
    """Where this user's engines lie, a folder for each state of the sources."""
    return cache_folder("football")


def built_folder() -> Path:
    """Where the engine of this a2po lies once it is built. The name tells its source, our part and the machine."""
    return engines_folder() / f"{SDIST_SHA256[:8]}-{_ours()[:8]}-{platform.machine()}"


@cache
def _ours() -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in NATIVE.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(NATIVE)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def find_library() -> Installed:
    """The engine that is installed.

    Raises:
        DependencyError: there is none.
    """
    named = os.environ.get("A2PO_FOOTBALL")
    found = Installed(Path(named) if named else built_folder())
    if not found.library.is_file():
        where = f" in '{named}', which A2PO_FOOTBALL names; unset A2PO_FOOTBALL and" if named else ";"
        raise DependencyError(f"the football engine is not installed{where} build it with: a2po install football")
    return found
