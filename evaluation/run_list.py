"""Runs as rows of a list. Nothing heavy is loaded, so that ``a2po runs`` answers at once."""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from a2po.errors import RunError, did_you_mean
from a2po.evaluation.locate import RUNS, is_run, known_paths
from a2po.evaluation.run_facts import run_config
from a2po.provenance import PROVENANCE, read_provenance
from a2po.training.checkpoint_files import FORMAT, MANIFEST, STEP, foreign
from a2po.training.lock import holder
from a2po.training.metrics import iterate_metrics, rank


def runs_in(folder: Path) -> list[Path]:
    """The runs in a folder, or the folder itself if it is one. First is the one that `train --resume` takes: whose configuration is newest.

    Raises:
        RunError: there is none.
    """
    if is_run(folder):
        return [folder]
    found = [(path.stat().st_mtime_ns, path.parent) for path in folder.glob("*/config.toml")]
    if not found:
        if folder.is_dir() or folder == RUNS:
            raise RunError(f"no run in '{folder}' yet: 'a2po train' makes one")
        raise RunError(f"there is no folder '{folder}'{did_you_mean(str(folder), known_paths(RUNS, folder))}")
    return [run for _, run in sorted(found, reverse=True)]


def run_summary(run: Path) -> dict[str, Any]:
    """One run as a row of a list: name, task, algorithm, seed, steps, returns, state, checkpoints, bytes on disk, age in seconds.

    ``state``: ``training`` (a process holds its lock), ``done``, ``stopped`` (can be resumed) or ``damaged`` (cannot be). ``damage``
    says what is wrong, also where an earlier checkpoint can stand in. Hashes are checked on loading only.
    """
    checkpoints = sorted(path for path in (run / "checkpoints").glob(STEP) if path.is_dir())
    torn = {path.name: reason for path in checkpoints if (reason := _torn(path))}
    damage = [f"{name}: {reason}" for name, reason in torn.items()]
    lost = bool(checkpoints) and len(torn) == len(checkpoints)
    config: dict[str, Any] = {}
    try:
        config = run_config(run)
    except RunError as error:
        damage, lost = [str(error)], True
    section = config.get("run")
    total = section.get("total_steps") if isinstance(section, dict) else None
    saved = max((int(path.name.removeprefix("step_")) for path in checkpoints if path.name not in torn), default=0)
    done, owner = isinstance(total, int) and saved >= total, holder(run)
    created = (read_provenance(run / PROVENANCE) or {}).get("created")
    return {
        "name": run.name, "path": str(run), **{key: config.get(key) for key in ("task", "algorithm", "seed")},
        "state": "training" if owner is not None else "damaged" if lost else "done" if done else "stopped",
        "holder": owner, "damage": "; ".join(damage) or None,
        **_progress(run / "metrics.jsonl"), "total_steps": total, "saved_step": saved,
        "checkpoints": [path.name for path in checkpoints], "bundle": (run / "bundle" / "manifest.json").is_file(),
        "bytes": _size(run), "created": created, "age_s": round(time.time() - _started(created, run), 1),
    }  # fmt: skip


def _progress(path: Path) -> dict[str, Any]:
    """The last step and returns of a run's metrics, and the share of won games in its last greedy evaluation."""
    found: dict[str, Any] = {"step": 0, "return_mean": None, "evaluation": None, "won": None}
    evaluations = []
    for row in iterate_metrics(path):
        kind, value = row.get("kind"), row.get("return_mean")
        number = value if isinstance(value, (int, float)) and math.isfinite(value) else None
        if kind == "update":
            found |= {"step": row["step"]} | ({} if number is None else {"return_mean": number})
        elif kind == "evaluation" and number is not None:
            found |= {"evaluation": number, "won": row.get("won_mean")}
            evaluations.append(rank(row))
    return {**found, "best_evaluation": max(evaluations)[-1] if evaluations else None}


def _torn(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint at first sight."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            return foreign(manifest["format"])
        missing = [name for name in manifest["sha256"] if not (checkpoint / name).is_file()]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{MANIFEST} is missing or no manifest"
    return f"{', '.join(missing)} missing" if missing else None


def _started(created: Any, run: Path) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        return (run / "config.toml").stat().st_mtime


def _size(folder: Path) -> int:
    """Bytes of all files. A run that trains makes and removes files meanwhile."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.stat(os.path.join(place, name), follow_symlinks=False).st_size
    return size
