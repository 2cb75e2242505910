"""What a run folder tells without loading anything heavy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from a2po.errors import RunError
from a2po.provenance import PROVENANCE, read_provenance
from a2po.training.checkpoint_files import STEP
from a2po.training.metrics import iterate_metrics


def run_facts(run: Path) -> dict[str, Any]:
    """Configuration, checkpoints, last metrics and provenance of a run.

    Raises:
        RunError: its configuration cannot be read.
    """
    config = run_config(run)
    last = _last_rows(run / "metrics.jsonl")
    return {
        "path": str(run),
        "config": config,
        "checkpoints": sorted(path.name for path in (run / "checkpoints").glob(STEP)),
        "best": _text(run / "checkpoints" / "best"),
        "last_update": last.get("update"),
        "last_evaluation": last.get("evaluation"),
        "bundle": (run / "bundle" / "manifest.json").is_file(),
        "results": sorted(path.name for path in (run / "results").glob("*.json")),
        "provenance": read_provenance(run / PROVENANCE),
    }


def run_config(run: Path) -> dict[str, Any]:
    """The configuration of a run as it stands in its file.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"the configuration '{run / 'config.toml'}' cannot be read: {error}") from None


def _last_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Kind -> its last row."""
    return {row["kind"]: row for row in iterate_metrics(path) if "kind" in row}


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
