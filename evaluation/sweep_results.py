"""What the runs of a sweep came to: one row per cell, with the mean over seeds, and the differences between cells."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from a2po.evaluation.seed_statistics import (
    SeedSummary,
    interquartile_mean_over_seeds,
    mean_over_seeds,
    median_over_seeds,
    paired_difference_over_seeds,
)
from a2po.evaluation.statistics import CONFIDENCE
from a2po.provenance import provenance
from a2po.sweeps.folder import SweepFolder
from a2po.sweeps.plan import Cell, SweepPlan, cells, overrides_text

Outcome = dict[str, Any]


def collect(folder: SweepFolder, plan: SweepPlan, reasons: Mapping[str, str]) -> dict[str, Any]:
    """The table as data, from the outcomes of the runs.

    Args:
        folder: of the sweep.
        plan: whose cells and seeds are the rows.
        reasons: run name -> why it has no outcome, for the gaps.
    """
    rows = [_cell_row(folder, plan, cell, reasons) for cell in cells(plan)]
    return {
        "kind": "sweep",
        "name": folder.path.name,
        "plan": plan.model_dump(mode="json"),
        "protocol": {
            "policy": "the last checkpoint's, exported to ONNX",
            "actions": "greedy",
            "episodes_per_seed": plan.evaluation_episodes,
            "evaluation_seed": "the run's seed: the same episodes for all cells, others for each seed",
            "confidence": CONFIDENCE,
        },
        "cells": rows,
        "differences": _differences(rows, plan),
        "provenance": provenance(),
    }


def _cell_row(folder: SweepFolder, plan: SweepPlan, cell: Cell, reasons: Mapping[str, str]) -> dict[str, Any]:
    names = {seed: f"{cell.name}-s{seed}" for seed in plan.seeds}
    found = {seed: outcome for seed, name in names.items() if (outcome := folder.outcome(name)) and name not in reasons}
    row: dict[str, Any] = {
        "cell": cell.name,
        "task": cell.task,
        "algorithm": cell.algorithm,
        "overrides": cell.overrides,
        "seeds": sorted(found),
        "missing": {str(seed): reasons.get(name, "not run yet") for seed, name in names.items() if seed not in found},
        "runs": {str(seed): _run_row(outcome) for seed, outcome in found.items()},
    }
    if not found:
        return {**row, "return": None}
    means = {seed: float(outcome["evaluation"]["mean"]) for seed, outcome in found.items()}
    return {
        **row,
        "return": _summary(mean_over_seeds(means)),
        "median": _summary(median_over_seeds(means)),
        "interquartile_mean": _summary(interquartile_mean_over_seeds(means)),
        "best_seed": max(means, key=lambda seed: means[seed]),
        "rates": {name: _summary(mean_over_seeds(rates, rate=True)) for name, rates in _rates(found).items()},
        "steps": max(outcome["step"] for outcome in found.values()),
        "wall_s": sum(outcome["wall_s"] for outcome in found.values()) / len(found),
        "cpu_s": sum(outcome["cpu_s"] for outcome in found.values()) / len(found),
        "times_complete": all(outcome["times_complete"] for outcome in found.values()),
    }


def _run_row(outcome: Outcome) -> dict[str, Any]:
    kept = ("run", "step", "checkpoint", "evaluation", "training", "wall_s", "cpu_s", "times_complete", "judge_s", "commit")
    return {key: outcome.get(key) for key in kept}


def _rates(found: Mapping[int, Outcome]) -> dict[str, dict[int, float]]:
    """Metric -> seed -> share of the episodes, for the metrics that say yes or no of each episode."""
    rates: dict[str, dict[int, float]] = {}
    for seed, outcome in found.items():
        for name, metric in outcome["evaluation"]["metrics"].items():
            if metric["rate"]:
                rates.setdefault(name, {})[seed] = metric["mean"]
    return rates


def _differences(rows: list[dict[str, Any]], plan: SweepPlan) -> list[dict[str, Any]]:
    """Between cells of one task that differ in one thing: every two algorithms, and each value of an override to its first."""
    found = []
    for first, second in itertools.combinations(rows, 2):
        one, other = ({"algorithm": row["algorithm"], **row["overrides"]} for row in (first, second))
        changed = [key for key in one if one[key] != other[key]]
        if first["task"] != second["task"] or len(changed) != 1:
            continue
        if changed == ["algorithm"]:
            found.append(_difference(first, second, "algorithm"))
        elif one[changed[0]] == plan.vary[changed[0]][0]:
            found.append(_difference(second, first, changed[0]))
    return found


def _difference(first: dict[str, Any], second: dict[str, Any], key: str) -> dict[str, Any]:
    """``first`` minus ``second``, which differ in ``key``, paired by seed."""
    same = {other: value for other, value in first["overrides"].items() if other != key}
    rules = key == "algorithm"
    names = [row["algorithm"] if rules else overrides_text({key: row["overrides"][key]}) for row in (first, second)]
    algorithm = None if rules else first["algorithm"]
    means = [{int(seed): run["evaluation"]["mean"] for seed, run in row["runs"].items()} for row in (first, second)]
    difference = paired_difference_over_seeds(*means)
    pair = {"task": first["task"], "algorithm": algorithm, "overrides": same, "first": names[0], "second": names[1]}
    return {**pair, "difference": difference and _summary(difference)}


def _summary(summary: SeedSummary) -> dict[str, Any]:
    return {**asdict(summary), "interval": summary.interval and list(summary.interval)}
