"""``metrics.jsonl``: one JSON object per update and per evaluation."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from a2po.files import append_text, replace_text, sync

MAX_HELD = 10_000
"""Rows that wait for a disk that is full. The oldest are lost beyond that."""


class MetricsFile:
    """Appends rows; on resume forgets those after the checkpoint, so that a curve never runs twice over the same steps."""

    def __init__(self, path: Path, resumed_step: int | None = None, *, evaluation_due: bool = False) -> None:
        self.path = path
        self._held: deque[str] = deque(maxlen=MAX_HELD)
        if resumed_step is not None and path.is_file():
            self._forget(resumed_step, evaluation_due)

    def _forget(self, resumed_step: int, evaluation_due: bool) -> None:
        """Leave out torn lines and what is played again, the evaluation of the step itself if it is due."""
        kept = []
        for line, row in _rows(self.path):
            again = evaluation_due and row["step"] == resumed_step and row.get("kind") == "evaluation"
            if row["step"] <= resumed_step and not again:
                kept.append(line + "\n")
        text = "".join(kept)
        if text.encode("utf-8") != self.path.read_bytes():
            replace_text(self.path, text)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row, and those that a full disk refused before.

        Raises:
            OSError: it was not written. The row is held back and comes with the next one.
        """
        self._held.append(json.dumps(row) + "\n")
        self._flush()

    def _flush(self) -> None:
        append_text(self.path, "".join(self._held))
        self._held.clear()

    @property
    def held(self) -> int:
        """Rows that could not be written so far."""
        return len(self._held)

    def sync(self) -> None:
        """Wait until all rows are on the disk: a checkpoint should not be ahead of its metrics.

        Raises:
            OSError: they are not.
        """
        if self._held:
            self._flush()
        if self.path.is_file():
            sync(self.path)


def rank(evaluation: Mapping[str, Any]) -> tuple[float, float]:
    """What the best of several rows of evaluations is chosen by: the share of won episodes, where the task knows of winning; the return."""
    return evaluation.get("won_mean", 0.0), evaluation["return_mean"]


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
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield line.rstrip("\n"), row
