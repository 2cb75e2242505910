"""``metrics.jsonl``: one JSON object per update and per evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a2po.files import replace_text


class MetricsFile:
    """Appends rows; on resume forgets those after the checkpoint, so that a curve never runs twice over the same steps."""

    def __init__(self, path: Path, resumed_step: int | None = None) -> None:
        self.path = path
        if resumed_step is not None and path.is_file():
            kept = [line for line, row in _rows(path) if row["step"] <= resumed_step]
            replace_text(path, "".join(line + "\n" for line in kept))

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a ``metrics.jsonl``; a line that a crash cut short, or that is no row of ours, is left out."""
    return list(iterate_metrics(path))


def iterate_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The same, one row after the other: a long run's rows need not fit into memory together."""
    if path.is_file():
        yield from (row for _, row in _rows(path))


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield line.rstrip("\n"), row
