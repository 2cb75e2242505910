"""Learning curves of many runs: ``a2po plot``.

Runs are grouped by task, algorithm and whatever else their configurations differ in; the seed does not divide a group.
A run's curve is thinned to at most ``MAX_POINTS`` points, each the mean of its neighbours. If the runs of a group share their
points, the mean over the runs is taken there; else on ``GRID_POINTS`` evenly spaced points over the range that all of them cover,
by linear interpolation. Nothing is drawn beyond the shortest run but the single runs.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from a2po.config import flat
from a2po.errors import RunError, UserError, did_you_mean, require
from a2po.evaluation.outputs import check_output
from a2po.evaluation.plots import FORMATS, draw_curves, thinned
from a2po.evaluation.statistics import mean_interval
from a2po.training.metrics import read_metrics

MAX_POINTS = 100
GRID_POINTS = 200
FEW = 10
"""Fewer runs than this show themselves, and their band is from the smallest to the largest: too few for an interval to say much."""

SOURCES = {"return": ("update", "return_mean"), "evaluation": ("evaluation", "return_mean")}
YLABELS = {"return": "return per training episode\n(sampled actions)", "evaluation": "return per evaluation episode\n(greedy actions)"}
CHOICES_OF_X = ("steps", "time", "both")
AXES = {"steps": "step", "time": "time_s"}
NOT_LEARNING = ("seed", "task", "algorithm", "preset", "device", "run.", "env.num_threads", "update.num_threads")
"""Settings that make no other curve, or that the label names anyway."""


Say = Callable[[str], None]


class NoPoints(RunError):
    """A run has nothing to draw, or not yet."""


@dataclass(frozen=True)
class RunCurve:
    """One run: its configuration, flat, and its points."""

    path: Path
    config: Mapping[str, Any]
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class GroupCurve:
    """The runs that differ in their seed alone."""

    task: str
    label: str
    runs: tuple[RunCurve, ...]
    x: np.ndarray  # [P], empty where the runs have no range in common
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    band: str

    @property
    def shows_runs(self) -> bool:
        """The runs are drawn as thin lines: they are few, or they have no range in common for a mean."""
        return len(self.runs) < FEW or not self.x.size

    @property
    def seeds(self) -> int:
        """How many different seeds."""
        return len({run.config.get("seed") for run in self.runs})

    def summary(self) -> dict[str, Any]:
        """The curve's end in numbers: the last point that all runs cover, or no point where there is none."""
        last = {
            name: float(values[-1])
            for name, values in (("x", self.x), ("mean", self.mean), ("low", self.low), ("high", self.high))
            if self.x.size
        }
        runs = [str(run.path) for run in self.runs]
        return {"task": self.task, "label": self.label, "runs": runs, "seeds": self.seeds, "band": self.band or None, "last": last or None}

    @property
    def legend(self) -> str:
        """The label with the number of runs and the meaning of the line and its band."""
        count = len(self.runs)
        what = "seed" if self.seeds == count else "run"
        return f"{self.label}: mean of {count} {what}s, band {self.band}" if count > 1 else f"{self.label}: 1 seed"


def plot_runs(runs: Sequence[Path], output: Path | str, *, metric: str = "return", x: str = "steps", say: Say = print) -> Path:
    """Draw the curves of runs into a file, which is replaced if it is there.

    A run that has no such numbers yet is left out and said, as long as another one has some.

    Args:
        runs: run folders, for example of ``find_runs``.
        output: a .png, .svg or .pdf file.
        metric: see ``group_curves``.
        x: ``steps``, ``time``, or ``both`` side by side.
        say: where notices go.

    Returns: the file.

    Raises:
        UserError: there is nothing to draw, a run cannot be read, an argument is wrong, or matplotlib is missing.
        OSError: the file cannot be written.
    """
    path = Path(output)
    if x not in CHOICES_OF_X:
        raise UserError(f"x must be {', '.join(CHOICES_OF_X)}, got '{x}'{did_you_mean(x, CHOICES_OF_X)}")
    if not runs:
        raise UserError("no run to draw")
    check_output(path, FORMATS, replace=True)
    require("the plot", matplotlib="report")
    first, *rest = ("steps", "time") if x == "both" else (x,)
    columns = {first: group_curves(runs, metric=metric, x=first, say=say)}
    columns |= {kind: group_curves(runs, metric=metric, x=kind, say=lambda message: None) for kind in rest}
    draw_curves(path, columns, _ylabel(runs, metric))
    return path


def _ylabel(runs: Sequence[Path], metric: str) -> str:
    greedy = any(_source(read_metrics(run / "metrics.jsonl"), metric)[0] == "evaluation" for run in runs)
    return YLABELS.get(metric) or (f"{metric}: mean of the evaluation episodes\n(greedy actions)" if greedy else metric)


def group_curves(runs: Sequence[Path], *, metric: str = "return", x: str = "steps", say: Say = print) -> list[GroupCurve]:
    """The curves of runs, grouped; by task and then by label.

    A run that has no such numbers yet is left out and said, as long as another one has some.

    Args:
        runs: run folders.
        metric: ``return`` of the training episodes (sampled actions), ``evaluation`` (greedy), a metric of the task such as ``won`` in the
            greedy evaluations, or a number of the update rows.
        x: ``steps``, or ``time`` in seconds.
        say: where notices go.

    Raises:
        RunError: a run's configuration cannot be read, or no run has such numbers.
    """
    curves, empty = [], []
    for run in runs:
        try:
            curves.append(read_curve(run, metric, x))
        except NoPoints as error:
            empty.append(error)
    if empty and not curves:
        raise empty[0]
    for problem in empty:
        say(f"left out: {problem}")
    labels = _labels(curves)
    groups: dict[tuple[str, str], list[RunCurve]] = {}
    for curve, label in zip(curves, labels, strict=True):
        groups.setdefault((str(curve.config.get("task")), label), []).append(curve)
    return [_group(task, label, members) for (task, label), members in sorted(groups.items(), key=lambda item: item[0])]


def read_curve(run: Path, metric: str, x: str) -> RunCurve:
    """One run's points; see ``group_curves``.

    Raises:
        NoPoints: it has none.
        RunError: its configuration cannot be read.
    """
    try:
        config = flat(tomllib.loads((run / "config.toml").read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"the configuration '{run / 'config.toml'}' cannot be read: {error}") from None
    rows = read_metrics(run / "metrics.jsonl")
    if not rows:
        raise NoPoints(f"'{run}' has no metrics yet (metrics.jsonl is missing or empty)")
    kind, key = _source(rows, metric)
    points = [(row.get(AXES[x]), row.get(key)) for row in rows if row.get("kind") == kind]
    good = [(at, value) for at, value in points if _is_number(at) and _is_number(value)]
    if not good:
        raise NoPoints(f"'{run}' has no '{metric}' in its metrics{_instead(rows, metric)}")
    ordered = sorted(good)
    return RunCurve(run, config, np.array([at for at, _ in ordered], float), np.array([value for _, value in ordered], float))


def _source(rows: Sequence[Mapping[str, Any]], metric: str) -> tuple[str, str]:
    """The kind of rows and the key that hold a metric: what greedy evaluations tell of the task goes by its plain name."""
    key = f"{metric}_mean"
    greedy = any(key in row for row in rows if row.get("kind") == "evaluation")
    return SOURCES.get(metric) or (("evaluation", key) if greedy else ("update", metric))


def _instead(rows: list[dict[str, Any]], metric: str) -> str:
    if metric in SOURCES:
        return ": no episode ended yet" if metric == "return" else ": it was not evaluated (run.evaluate_every)"
    row = {key: value for row in rows if row.get("kind") == "update" for key, value in row.items()}
    greedy = {key.removesuffix("_mean") for row in rows if row.get("kind") == "evaluation" for key in row if key.endswith("_mean")}
    known = [*SOURCES, *sorted(greedy - {"return"}), *(key for key, value in row.items() if _is_number(value) and key not in AXES.values())]
    return f"{did_you_mean(metric, known)} (there are: {', '.join(known)})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _labels(curves: Sequence[RunCurve]) -> list[str]:
    """Per run: algorithm, preset where several are used with it, and the settings in which such runs differ."""
    kinds = [tuple(str(curve.config.get(key)) for key in ("task", "algorithm", "preset")) for curve in curves]
    labels = []
    for curve, kind in zip(curves, kinds, strict=True):
        alike = [other for other, theirs in zip(curves, kinds, strict=True) if theirs == kind]
        presets = {theirs[2] for theirs in kinds if theirs[:2] == kind[:2]}
        settings = [f"{key.rsplit('.', 1)[-1]}={_shown(curve.config.get(key))}" for key in _differing(alike)]
        labels.append(", ".join([kind[1].upper(), *([f"preset {kind[2]}"] if len(presets) > 1 else []), *settings]))
    return labels


def _differing(curves: Sequence[RunCurve]) -> list[str]:
    keys = sorted({key for curve in curves for key in curve.config if not key.startswith(NOT_LEARNING)})
    return [key for key in keys if len({json.dumps(curve.config.get(key)) for curve in curves}) > 1]


def _shown(value: Any) -> str:
    return "default" if value is None else json.dumps(value).strip('"')


def _group(task: str, label: str, runs: Sequence[RunCurve]) -> GroupCurve:
    lines = [thinned(run.x, run.y, MAX_POINTS) for run in runs]
    x = common_grid([line_x for line_x, _ in lines])
    values = np.stack([np.interp(x, *line) for line in lines])
    low, high, band = values.min(axis=0), values.max(axis=0), "min to max" if len(runs) > 1 else ""
    if len(runs) >= FEW:
        intervals = [mean_interval(column) or (math.nan, math.nan) for column in values.T]
        low, high = (np.array(bounds, float) for bounds in zip(*intervals, strict=True)) if intervals else (low, high)
        band = "95 % t-interval of the mean"
    return GroupCurve(task, label, tuple(runs), x, values.mean(axis=0), low, high, band)


def common_grid(points: Sequence[np.ndarray]) -> np.ndarray:
    """The points themselves where all runs share them, else GRID_POINTS over the range that all cover; empty where there is none."""
    if all(np.array_equal(points[0], other) for other in points[1:]):
        return points[0]
    first, last = max(float(own[0]) for own in points), min(float(own[-1]) for own in points)
    return np.linspace(first, last, GRID_POINTS) if first < last else np.empty(0)
