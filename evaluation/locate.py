"""Finding runs and bundles. Standard library only, so that ``inspect`` starts at once."""

from __future__ import annotations

import json
import os
import shlex
import zipfile
from collections.abc import Sequence
from pathlib import Path

from a2po.errors import BundleError, RunError, did_you_mean, require
from a2po.files import existing

RUNS = Path("runs")
MANIFEST = "manifest.json"


def find_bundle(path: Path | str | None = None, runs: Path = RUNS) -> Path:
    """The bundle at ``path`` (a bundle, a .zip, a run folder, or a run's name in ``runs``), or the one that was exported last.

    Raises:
        BundleError: there is none.
    """
    if path is None:
        return newest_bundle(runs)
    path = existing(path, runs)
    for candidate in (path, path / "bundle"):
        if (candidate / MANIFEST).is_file():
            return named(candidate)
    if is_run(path):
        raise BundleError(f"the run '{path}' has no bundle yet: a2po export {shlex.quote(str(path))}")
    if path.is_file():
        if zipfile.is_zipfile(path):
            return path
        raise BundleError(f"'{path}' is a file and no bundle: name a bundle folder, its .zip, or a run folder")
    if path.is_dir():
        raise BundleError(f"'{path}' is neither a bundle nor a run folder (no {MANIFEST}, no config.toml)")
    raise BundleError(f"there is no '{path}'{did_you_mean(str(path), known_paths(runs, path))}")


def newest_bundle(runs: Path = RUNS) -> Path:
    """The bundle of a run in ``runs`` that was exported last.

    Raises:
        BundleError: no run has one.
    """
    found = [manifest.parent for manifest in runs.glob(f"*/bundle/{MANIFEST}")]
    if not found:
        run = next((path.parent for path in runs.glob("*/config.toml")), None)
        raise BundleError(f"no bundle in '{runs}' yet: 'a2po export' makes one" + ("" if run else " of a run, 'a2po train' makes a run"))
    return max(found, key=_exported)


def find_runs(names: Sequence[Path | str], runs: Path = RUNS) -> list[Path]:
    """The run folders that are meant: each name is a run, a run's name inside ``runs``, a pattern, or a folder of runs.

    Without a name it is the newest run.

    Raises:
        RunError: a name means no run, or there is none.
    """
    if not names:
        require("finding the newest run", torch="train", gymnasium="train")
        from a2po.training.runs import newest_run

        return [newest_run(runs)]
    found = [run for name in names for run in _runs_at(Path(name), runs)]
    return list({run.resolve(): run for run in found}.values())


def _runs_at(name: Path, runs: Path) -> list[Path]:
    if any(letter in str(name) for letter in "*?["):
        root = Path(name.anchor)
        pattern = str(name.relative_to(root)) if name.anchor else str(name)
        matches = sorted(root.glob(pattern)) or sorted(runs.glob(pattern))
    else:
        matches = [existing(name, runs)]
    found = []
    for path in matches:
        found += [path] if is_run(path) else sorted((config.parent for config in path.glob("**/config.toml")), key=str)
    if not found:
        raise RunError(f"no run in '{name}'{did_you_mean(str(name), _known_runs(runs, name))}")
    return found


def _known_runs(runs: Path, name: Path) -> list[str]:
    paths = [path for path in known_paths(runs, name) if is_run(Path(path))]
    return [*paths, *(Path(path).name for path in paths)]


def run_of(bundle: Path) -> Path | None:
    """The run folder that a bundle lies in, or None."""
    folder = named(bundle).parent
    return folder if is_run(folder) else None


def named(path: Path) -> Path:
    """The path by its last name, so that it has a parent: ``../bundle`` for ``.`` inside of a bundle."""
    if path.name not in ("", ".."):
        return path
    whole = Path(os.path.abspath(path))
    return Path(os.path.relpath(whole.parent)) / whole.name


def is_run(path: Path) -> bool:
    """The folder is a run's."""
    return (path / "config.toml").is_file()


def known_paths(runs: Path, path: Path) -> list[str]:
    """What a user may have meant: runs, their bundles, and what lies beside the path."""
    found = [run for manifest in runs.glob("*/config.toml") for run in (manifest.parent, manifest.parent / "bundle") if run.exists()]
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return list(dict.fromkeys(str(entry) for entry in [*found, *beside]))


def _exported(bundle: Path) -> tuple[str, float]:
    """When a bundle was exported. The file's own time also changes when an evaluation is noted, so it only breaks ties."""
    path = bundle / MANIFEST
    try:
        created = str(json.loads(path.read_text(encoding="utf-8"))["export"]["created"])
    except (OSError, ValueError, KeyError, TypeError):
        created = ""
    return created, path.stat().st_mtime
