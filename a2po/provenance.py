"""What a run or result was made with: versions, machine, source commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import a2po

PROVENANCE = "provenance.json"
"""The file in a run folder."""

PACKAGES = ("torch", "numpy", "mujoco", "gymnasium", "onnx", "onnxscript", "onnxruntime", "safetensors")


def provenance() -> dict[str, Any]:
    """Versions of everything that can change a number, the commit of a source checkout, the time and the machine's kind."""
    return {
        "a2po": a2po.__version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def read_provenance(path: Path) -> dict[str, Any] | None:
    """What was written beside a run; None where it is missing or damaged: nothing but information hangs on it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def source_commit() -> str | None:
    """The commit of the checkout that this package runs from (with ``+changes`` if it was edited), or None if installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
