"""``a2po plot``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from a2po.errors import UserError


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
    output: Annotated[
        Path | None,
        typer.Option(
            help="A .png, .svg or .pdf file; it is replaced. By default curves.png, or diagnostics.png with --diagnostics.",
            show_default=False,
        ),
    ] = None,
    x: Annotated[Axis, typer.Option("--x", help="Environment steps, time spent training, or both side by side.")] = Axis.steps,
    metric: Annotated[
        str,
        typer.Option(
            help="return (training episodes, sampled), evaluation (greedy), won (of greedy games), or another number of metrics.jsonl."
        ),
    ] = "return",
    diagnostics: Annotated[
        bool, typer.Option("--diagnostics", help="What the update rounds of one run did: order, KL, clipping, critics, bounds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the groups as JSON on standard output.")] = False,
) -> None:
    """Draw learning curves. Runs that differ in their seed alone become one line: their mean, with a band."""
    from a2po.evaluation.locate import find_runs

    folders = find_runs(runs or [])
    if diagnostics:
        if metric != "return" or x is not Axis.steps:
            raise UserError("--diagnostics draws its own numbers over steps: leave out --metric and --x")
        _plot_diagnostics(folders, output or Path("diagnostics.png"), as_json)
    else:
        _plot_curves(folders, output or Path("curves.png"), x, metric, as_json)


def _plot_diagnostics(folders: list[Path], output: Path, as_json: bool) -> None:
    from a2po.evaluation.diagnostics_plot import plot_diagnostics

    if len(folders) > 1:
        raise UserError(f"--diagnostics draws one run, not {len(folders)}: name one of {', '.join(map(str, folders[:3]))} ...")
    path = plot_diagnostics(folders[0], output)
    print(json.dumps({"output": str(path), "run": str(folders[0])}) if as_json else f"update rounds of {folders[0]} -> {path}")


def _plot_curves(folders: list[Path], output: Path, x: Axis, metric: str, as_json: bool) -> None:
    from a2po.cli.show import show_groups
    from a2po.evaluation.curves import group_curves, plot_runs

    path = plot_runs(folders, output, metric=metric, x=x.value, say=lambda message: typer.echo(message, err=True))
    groups = [group.summary() for group in group_curves(folders, metric=metric, say=lambda message: None)]
    if as_json:
        print(json.dumps({"output": str(path), "metric": metric, "groups": groups}))
    else:
        show_groups(groups, str(path))
