"""Checks of what everything stands on: Python, a2po's own packages, numpy, the disk."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import a2po
from a2po.doctor.finding import Finding, Found, load, versions, works
from a2po.files import cache_folder

REQUIRED = ("pydantic", "rich", "safetensors", "typer")
ENOUGH_ROOM = 1e9
"""Bytes; a run with its checkpoints, or the football engine while it is built."""


def python() -> Finding:
    """The interpreter, and where packages go."""
    venv = sys.prefix if sys.prefix != sys.base_prefix else ""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {f'environment {venv}' if venv else 'no environment'}"
    if sys.maxsize < 2**32:
        return Finding("broken", f"{said}: 32 bits, for which no packages are made", "install a Python of 64 bits")
    return works(said)


def a2po_itself() -> Finding:
    """The packages without which the command line does not start."""
    for package in REQUIRED:
        load(package)
    return works(f"{a2po.__version__} in {Path(a2po.__file__).parent}")


def numpy() -> Finding:
    """Everything computes with it."""
    module = load("numpy")
    if int(module.__version__.split(".")[0]) < 2:
        return Finding("broken", f"{module.__version__} is too old", 'pip install "numpy>=2.0"')
    assert (module.ones(3) @ module.ones(3)) == 3.0
    return works(module.__version__)


def disk() -> Finding:
    """The cache can be written, and there is room there and here."""
    cache = cache_folder("")
    _try_to_write(cache)
    for folder in (cache, Path.cwd()):
        if (free := shutil.disk_usage(folder).free) < ENOUGH_ROOM:
            return Finding("doubtful", f"{free / 1e6:,.0f} MB are free in '{folder}'", f"df -h '{folder}'  # and make room")
    if not os.access(Path.cwd(), os.W_OK):
        return Finding("doubtful", f"this folder, '{Path.cwd()}', cannot be written, and runs go to ./runs", "cd ~")
    return works(f"the cache {cache} can be written, {shutil.disk_usage(cache).free / 1e9:,.0f} GB are free")


def _try_to_write(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as file:
            file.write(bytes(100_000))
    except OSError as error:
        mend = f"df -h '{cache}'  # and make room" if error.errno == errno.ENOSPC else "export A2PO_CACHE=/a/folder/of/yours"
        raise Found("broken", f"the cache '{cache}' cannot be written ({error.strerror})", mend) from None


CLASHES = (
    (("pys2clientprotocol", "s2clientprotocol"), "the same files", "pys2clientprotocol"),
    (
        ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
        "the import name cv2",
        "opencv-python-headless",
    ),
    (("pygame-ce", "pygame"), "the import name pygame", "pygame-ce"),
)
"""Distributions of which one may be installed, what they share, and the one to keep."""


def clashes() -> Finding:
    """Packages that overwrite each other, or that are known to hurt."""
    for group, shared, kept in CLASHES:
        found = versions(*group)
        if len(found) > 1:
            mend = f"pip uninstall -y {' '.join(found)} && pip install {kept}"
            return Finding("broken", f"{' and '.join(found)} are both installed and share {shared}", mend)
    found = versions("pys2clientprotocol", "protobuf")
    if len(found) == 2 and _number(found["protobuf"]) < (6, 31):
        return Finding("broken", f"protobuf {found['protobuf']} is too old for pys2clientprotocol", 'pip install "protobuf>=6.31"')
    if found := versions("gym"):
        detail = f"gym {found['gym']} is installed: a2po does not use it, and the original gfootball fails with gym 0.26"
        return Finding("doubtful", detail, "pip uninstall -y gym")
    return works("no package hides or breaks another")


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
