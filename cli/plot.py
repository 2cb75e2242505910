"""``a2po plot``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Axis(StrEnum):
    """What runs from left to right."""

    steps = "steps"
    time = "time"
    both = "both"


def plot(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Run folders, names in runs/, patterns, or folders of runs; by default the newest run.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="A .png, .svg or .pdf file; it is replaced.")] = Path("curves.png"),
    x: Annotated[Axis, typer.Option("--x", help="Environment steps, time spent training, or both side by side.")] = Axis.steps,
    metric: Annotated[
        str, typer.Option(help="return (training episodes, sampled), evaluation (greedy), or another number of metrics.jsonl.")
    ] = "return",
    as_json: Annotated[bool, typer.Option("--json", help="Print the groups as JSON on standard output.")] = False,
) -> None:
    """Draw learning curves. Runs that differ in their seed alone become one line: their mean, with a band."""
    from a2po.cli.show import show_groups
    from a2po.evaluation.curves import group_curves, plot_runs
    from a2po.evaluation.locate import find_runs

    folders = find_runs(runs or [])
    path = plot_runs(folders, output, metric=metric, x=x.value, say=lambda message: typer.echo(message, err=True))
    groups = [group.summary() for group in group_curves(folders, metric=metric, say=lambda message: None)]
    if as_json:
        print(json.dumps({"output": str(path), "metric": metric, "groups": groups}))
    else:
        show_groups(groups, str(path))
