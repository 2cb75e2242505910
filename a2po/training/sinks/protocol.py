"""The contract of a metric sink, and the names that a row of ``metrics.jsonl`` gets there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from a2po.config import TrainConfig
from a2po.files import write_json

IDENTIFIERS = "tracking.json"
"""The file in a run folder that holds the run's identifier in each tracker, so that a resumed run goes on there."""

TIMES = ("time_s", "sampling_s", "update_s", "steps_per_s")
COUNTS = ("episodes", "invalid_episodes")


class Sink(Protocol):
    """One place that metrics go to. Any method may raise: the sink is switched off then and training goes on."""

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        """Open the run, whose name is its folder's. At ``step`` it begins or goes on; what was tracked after ``step`` comes again."""
        ...

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Record the values of one step, by name."""
        ...

    def close(self, done: bool) -> None:
        """Flush and close. ``done``: all steps were played; else the run was interrupted or failed."""
        ...


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """A row of ``metrics.jsonl`` by the names of charts: ``return/train``, ``greedy/won``, ``agent/<name>/kl``, ``time/steps_per_s`` ..."""
    if row["kind"] == "evaluation":
        own = {key.removesuffix("_mean"): float(value) for key, value in row.items() if key.endswith("_mean")}
        return {"return/greedy" if name == "return" else f"greedy/{name}": value for name, value in own.items()}
    found = {f"time/{name}": row[name] for name in TIMES} | {f"episode/{name}": row[name] for name in COUNTS}
    for key, value in row.items():
        if key.endswith("_mean"):
            name = key.removesuffix("_mean")
            found["return/train" if name == "return" else f"episode/{name}"] = value
    found |= {f"team/{name}": value for name, value in row.get("team", {}).items()}
    found |= {f"bounds_estimated/{name}": bound for name, bound in row.get("bounds_estimated", {}).items()}
    for (name, values), position in zip(row["agents"].items(), row["positions"], strict=True):
        if position:  # else the round left this agent alone
            own = {**values, "position": position}
            if row["clips"]:  # one range for all, or one per position
                own["clip"] = row["clips"][min(position, len(row["clips"])) - 1]
            found |= {f"agent/{name}/{metric}": value for metric, value in own.items()}
    return {name: float(value) for name, value in found.items()}


def known_identifier(run: Path, tracker: str) -> str | None:
    """The run's identifier in a tracker, or None where it has none yet."""
    found = _identifiers(run).get(tracker)
    return found if isinstance(found, str) else None


def remember_identifier(run: Path, tracker: str, identifier: str) -> None:
    """Keep the run's identifier in a tracker."""
    write_json(run / IDENTIFIERS, {**_identifiers(run), tracker: identifier})


def _identifiers(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / IDENTIFIERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
