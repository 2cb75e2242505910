"""Curves with bounded memory, drawn with braille dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CAPACITY = 512
# The eight dots of a braille cell, by row from the top and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BLANK = 0x2800


class Curve:
    """Values over steps. However long the run, at most ``CAPACITY`` points: then neighbours are averaged, two by two."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._every = 1  # values in one point
        self._open = (0, 0.0, 0.0)  # the point being filled: how many, sum of steps, sum of values

    def add(self, step: float, value: float) -> None:
        """Add the value of a step, later than those before. What is not finite cannot be drawn and is left out."""
        if not math.isfinite(value):
            return
        count, steps, values = self._open
        self._open = (count + 1, steps + step, values + value)
        if self._open[0] == self._every:
            self._points.append(_mean(*self._open))
            self._open = (0, 0.0, 0.0)
        if len(self._points) == CAPACITY:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairs]
            self._every *= 2

    @property
    def points(self) -> list[tuple[float, float]]:
        """(step, value), oldest first."""
        return [*self._points, *([_mean(*self._open)] if self._open[0] else [])]


def _mean(count: int, steps: float, values: float) -> tuple[float, float]:
    return steps / count, values / count


def value_range(curves: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float] | None:
    """Lowest and highest value of all points, at least a little apart; None where there is no point."""
    values = [value for points in curves for _, value in points]
    if not values:
        return None
    low, high = min(values), max(values)
    margin = 0.0 if high > low else max(abs(high), 1.0) / 10
    return low - margin, high + margin


def draw_line(points: Sequence[tuple[float, float]], last_step: float, low: float, high: float, width: int, height: int) -> list[str]:
    """``height`` strings of ``width`` braille cells: a line through the points, from step 0 to ``last_step``."""
    cells = np.zeros((height, width), np.int64)
    if points:
        steps, values = np.array(points).T
        columns = np.linspace(0.0, max(last_step, 1.0), 2 * width)
        inside = (columns >= steps[0]) & (columns <= steps[-1])
        inside[min(int(steps[-1] / max(last_step, 1.0) * (2 * width - 1)), 2 * width - 1)] = True  # a single point is seen, too
        rows = np.rint((high - np.interp(columns, steps, values)) / (high - low) * (4 * height - 1)).astype(int).clip(0, 4 * height - 1)
        before: int | None = None
        for column in np.flatnonzero(inside):
            row = int(rows[column])
            first = row if before is None or before == row else before + (1 if row > before else -1)  # no gap, and no dot twice
            for dot in range(min(first, row), max(first, row) + 1):
                cells[dot // 4, column // 2] |= DOTS[dot % 4][column % 2]
            before = row
    return ["".join(chr(BLANK + cell) if cell else " " for cell in line) for line in cells.tolist()]


def place_marks(
    points: Sequence[tuple[float, float]], last_step: float, low: float, high: float, width: int, height: int
) -> set[tuple[int, int]]:
    """The (row, column) cells of the same picture that hold a point."""
    cells = set()
    for step, value in points:
        column = min(round(step / max(last_step, 1.0) * (width - 1)), width - 1)
        row = min(max(round((high - value) / (high - low) * height - 0.5), 0), height - 1)
        cells.add((row, column))
    return cells
