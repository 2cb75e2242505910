"""What the build needs of the operating system: looked for by using it, named by its Debian package, installed where that is allowed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from a2po.errors import DependencyError, WorkFailed

TOOLS = {"g++": ("c++", "g++", "clang++"), "make": ("make",), "cmake": ("cmake",)}
"""Debian package -> the programs of which one must be there."""
LIBRARIES = {
    "libsdl2-image-dev": ("SDL2/SDL_image.h", "SDL2_image"),
    "libsdl2-ttf-dev": ("SDL2/SDL_ttf.h", "SDL2_ttf"),
    "libsdl2-gfx-dev": ("SDL2/SDL2_gfxPrimitives.h", "SDL2_gfx"),
    "libopengl-dev": ("EGL/egl.h", "OpenGL"),
    "libboost-thread-dev": ("boost/thread/condition.hpp", "boost_thread"),
    "libboost-filesystem-dev": ("boost/filesystem.hpp", "boost_filesystem"),
}
"""Debian package -> a header that must be found, a library that must link."""


def require_linux() -> None:
    """The engine's other platforms need another build.

    Raises:
        DependencyError: this is not Linux.
    """
    if sys.platform != "linux":
        system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        raise DependencyError(f"the football engine builds on Linux only, and this is {system}: use a Linux machine, a container or WSL 2")


def compiler() -> list[str]:
    """The C++ compiler that CMake would take: what CXX names (``ccache g++``), or the first that is there; empty if there is none."""
    named = os.environ.get("CXX", "").split()
    if named and shutil.which(named[0]):
        return named
    return next(([found] for program in TOOLS["g++"] if (found := shutil.which(program))), [])


def compiler_version() -> str:
    """The first line that the compiler says of itself."""
    done = subprocess.run([*(compiler() or ["c++"]), "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0]


def missing_packages() -> list[str]:
    """The Debian packages that would bring what is not here. Without a compiler nothing can be tried, so then all libraries count."""
    missing = [package for package, programs in TOOLS.items() if not any(map(shutil.which, programs))]
    compile_with = compiler()
    if compile_with and "g++" in missing:
        missing.remove("g++")
    with tempfile.TemporaryDirectory() as folder:
        missing += [package for package, uses in LIBRARIES.items() if not compile_with or not _links(compile_with, *uses, folder)]
    return missing


def _links(compile_with: list[str], header: str, library: str, folder: str) -> bool:
    command = [*compile_with, "-x", "c++", "-", "-shared", "-fPIC", "-o", str(Path(folder) / "probe.so"), f"-l{library}"]
    return not subprocess.run(command, input=f"#include <{header}>\n", capture_output=True, text=True, check=False).returncode


def ensure_packages(*, apt: bool, say: Callable[[str], None]) -> None:
    """Install what is missing, as root or when asked to; else say how.

    Raises:
        DependencyError: something is missing, and installing it is up to the user.
        WorkFailed: apt-get failed.
    """
    missing = missing_packages()
    if not missing:
        return
    root = os.geteuid() == 0
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    sudo = shutil.which("sudo") is not None
    shown = " ".join((*["sudo"] * sudo, *command)) + " (as root)" * (not sudo)
    if not shutil.which("apt-get"):
        raise DependencyError(
            f"the football engine is built with what Debian calls {', '.join(missing)}; "
            f"this system ({_system_name()}) has no apt-get, so install what corresponds there"
        )
    if not root and not (apt and sudo):
        raise DependencyError(f"the football engine needs Debian packages that are missing: {shown}")
    say(f"installing Debian packages: {' '.join(missing)}")
    prefix = [] if root else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    for step in (["apt-get", "update"], command):
        step = [*prefix, *step, "-q", "-o", "DPkg::Lock::Timeout=600"]
        done = subprocess.run(step, capture_output=True, text=True, env=environment, check=False)
        if done.returncode and step[len(prefix) + 1] == "install":  # an update that fails in part may be enough
            words = (done.stderr + done.stdout).splitlines()
            cause = next((line for line in words if line.startswith("E:")), (words or ["it ended without a word"])[-1])
            raise WorkFailed(f"apt-get did not install {', '.join(missing)}: {cause.strip()}; try it yourself: {shown}")
    if still := missing_packages():
        raise WorkFailed(f"apt-get installed {', '.join(missing)}, but {', '.join(still)} cannot be compiled with")


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
