"""The learning curve as an SVG that stands inside a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_POINTS = 400
"""A curve with more points only makes the page larger."""


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
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Fixed ids and no date: the same run gives the same picture.
    with rc_context({"svg.hashsalt": "a2po", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axes = figure.add_subplot()
        if training:
            axes.plot(*_thinned(training), color="#4c78a8", linewidth=1.2, label="episodes while training (sampled actions)")
        if evaluations:
            steps, means = [row["step"] for row in evaluations], [row["return_mean"] for row in evaluations]
            spread = [np.std(row["returns"]) if row.get("returns") else 0.0 for row in evaluations]
            label = f"evaluation (greedy, {evaluations[-1]['episodes']} episodes, ± standard deviation)"
            axes.errorbar(steps, means, yerr=spread, fmt="o", color="#e45756", markersize=4, capsize=2, linewidth=1, label=label)
        axes.set(xlabel="environment steps", ylabel="return per episode")
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        FigureCanvasSVG(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _thinned(points: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """At most MAX_POINTS points, each the mean of its neighbours."""
    groups = np.array_split(np.asarray(points, np.float64), min(len(points), MAX_POINTS))
    means = np.stack([group.mean(axis=0) for group in groups])
    return means[:, 0].tolist(), means[:, 1].tolist()
