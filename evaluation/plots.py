"""Learning curves as pictures: one run's for the report, many runs' for ``a2po plot``."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.files import complete_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from a2po.evaluation.curves import GroupCurve

MAX_POINTS = 400
"""A curve with more points only makes the page larger."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by the colour-blind, too. Source: Okabe and Ito, "Color Universal Design", 2008."""

FORMATS = (".png", ".svg", ".pdf")
STYLES = ("-", "--", "-.", ":")  # once through the colours
FIXED: Any = {"svg.hashsalt": "a2po", "svg.fonttype": "none", "font.family": "sans-serif"}
"""Fixed ids (and no date): the same data gives the same picture."""


def learning_curve(rows: Sequence[dict[str, Any]]) -> str | None:
    """Return per training step: training episodes as a line, greedy evaluations as points with their spread.

    Args:
        rows: of a ``metrics.jsonl``.

    Returns: an ``<svg>`` element, or None if no episode ended yet.
    """
    training = [(row["step"], row["return_mean"]) for row in rows if row.get("kind") == "update" and "return_mean" in row]
    evaluations = [row for row in rows if row.get("kind") == "evaluation"]
    if not training and not evaluations:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(FIXED):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axes = figure.add_subplot()
        if training:
            steps, returns = np.asarray(training, np.float64).T
            axes.plot(
                *thinned(steps, returns, MAX_POINTS), color="#4c78a8", linewidth=1.2, label="episodes while training (sampled actions)"
            )
        if evaluations:
            at, means = [row["step"] for row in evaluations], [row["return_mean"] for row in evaluations]
            spread = [np.std(row["returns"]) if row.get("returns") else 0.0 for row in evaluations]
            label = f"evaluation (greedy, {evaluations[-1]['episodes']} episodes, ± standard deviation)"
            axes.errorbar(at, means, yerr=spread, fmt="o", color="#e45756", markersize=4, capsize=2, linewidth=1, label=label)
        axes.set(xlabel="environment steps", ylabel="return per episode")
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
        axes.legend(loc="lower right", fontsize=8, frameon=False)
        plain(axes)
        return svg(figure)


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save(figure: Figure, path: Path) -> None:
    """Write the figure whole or not at all; the format is the suffix. Replaces what is there.

    Raises:
        OSError: it cannot be written.
    """
    stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    try:
        with complete_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lower().removeprefix("."), dpi=150, metadata=stamp)
    except OSError as error:  # a full disk does not say of which file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def draw_curves(path: Path, columns: Mapping[str, Sequence[GroupCurve]], ylabel: str) -> None:
    """Draw a panel for each task (and each of steps and time) into a file; see ``save``.

    Args:
        path: the file.
        columns: "steps" or "time" (in seconds) -> the groups of all tasks.
        ylabel: what the curves show.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = next(iter(columns.values()))
    tasks, labels = (list(dict.fromkeys(names)) for names in ([group.task for group in groups], sorted(group.label for group in groups)))
    wide = len(columns) if len(columns) > 1 else min(3, len(tasks))
    high = math.ceil(len(tasks) * len(columns) / wide)
    with rc_context(FIXED):
        figure = Figure(figsize=(max(6.4, 4.6 * wide), 4.0 * high), layout="constrained")
        panels = [(task, kind) for task in tasks for kind in columns]
        for number, (task, kind) in enumerate(panels):
            axes = figure.add_subplot(high, wide, number + 1)
            _panel(axes, [group for group in columns[kind] if group.task == task], labels, kind)
            axes.set_ylabel(ylabel if number % wide == 0 else "")
        save(figure, path)


def _panel(axes: Axes, groups: Sequence[GroupCurve], labels: Sequence[str], kind: str) -> None:
    scale, unit = _time_unit(max(float(run.x[-1]) for group in groups for run in group.runs)) if kind == "time" else (1.0, "")
    for group in groups:
        index = labels.index(group.label)
        style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}
        if group.shows_runs and len(group.runs) > 1:
            for run in group.runs:
                axes.plot(run.x / scale, run.y, linewidth=0.7, alpha=0.55, **style)
        axes.fill_between(group.x / scale, group.low, group.high, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(group.x / scale, group.mean, linewidth=2.0, marker="o" * (group.x.size == 1), label=group.legend, **style)
    if kind == "time":
        axes.set_xlabel(f"time spent training ({unit})")
    else:
        axes.set_xlabel("environment steps")
        axes.xaxis.set_major_formatter(lambda step, _: short(step))
    thin = any(group.shows_runs and len(group.runs) > 1 for group in groups)
    title = groups[0].task + (" (thin lines: single runs)" if thin else "")
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "alignment": "left"}  # above the axes, where no curve is
    axes.legend(title=title, fontsize=8, title_fontsize=9, frameon=False, **place)
    plain(axes)


def plain(axes: Axes) -> None:
    """A grid, and no frame where nothing is read."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _time_unit(seconds: float) -> tuple[float, str]:
    """(seconds in it, its name), so that the axis ends at a number that can be read."""
    return (1.0, "s") if seconds < 180 else (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")


def short(number: float) -> str:
    """1,500,000 -> ``1.5M``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.6g}{letter}"
    return f"{number:.6g}"


def thinned(x: np.ndarray, y: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``points`` points, each the mean of its neighbours: x [P] and y [P]."""
    groups = np.array_split(np.arange(len(x)), min(len(x), points))
    means = [(x[group].mean(), y[group].mean()) for group in groups]
    return np.array([at for at, _ in means]), np.array([value for _, value in means])
