"""``a2po runs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def runs(
    folder: Annotated[Path, typer.Argument(help="The folder that holds the runs, or one run.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with everything on standard output.")] = False,
) -> None:
    """List runs, newest first: how far they are, how well they play, and whether they train, are done or can be resumed."""
    from a2po.evaluation.run_list import run_summary, runs_in

    found = [run_summary(run) for run in runs_in(folder)]
    if as_json:
        print(json.dumps(found))
    else:
        show_runs(found)


def show_runs(summaries: list[dict[str, Any]]) -> None:
    """One row per run, with as many columns as the terminal has room for, then what is damaged and what can be resumed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(emoji=False)
    left_out = {
        *(() if console.width >= 140 else _WIDE_ONLY),
        *(() if any(summary["won"] is not None for summary in summaries) else ("won",)),
    }
    table = Table(box=None, pad_edge=False)
    for heading, justify in _HEADINGS.items():
        if heading not in left_out:
            table.add_column(heading, justify=justify, no_wrap=heading not in _FOLDED, overflow="fold", min_width=5)
    for summary in summaries:
        cells = dict(zip(_HEADINGS, _cells(summary), strict=True))
        table.add_row(*(escape(cell) for heading, cell in cells.items() if heading not in left_out))
    console.print(table)
    for summary in summaries:
        if summary["damage"]:
            console.print(f"{summary['name']}: {summary['damage']}", markup=False, highlight=False, soft_wrap=True)
    if any(summary["state"] == "stopped" for summary in summaries):
        console.print("Stopped runs go on with: a2po train --resume --name NAME", style="dim", highlight=False)


_HEADINGS: dict[str, Any] = {
    "run": "left", "task": "left", "algorithm": "left", "seed": "right", "state": "left", "steps": "right", "return": "right",
    "greedy": "right", "best": "right", "won": "right", "saved": "right", "size": "right", "bundle": "left", "age": "right",
}  # fmt: skip
_WIDE_ONLY = ("task", "algorithm", "seed", "saved", "size", "bundle")
_FOLDED = ("run", "task")


def _cells(summary: dict[str, Any]) -> list[str]:
    return [
        summary["name"],
        str(summary["task"] or "–"),
        str(summary["algorithm"] or "–"),
        str("–" if summary["seed"] is None else summary["seed"]),
        summary["state"],
        f"{_short(summary['step'])}/{_short(summary['total_steps'])}",
        *(_score(summary[key]) for key in ("return_mean", "evaluation", "best_evaluation")),
        "–" if summary["won"] is None else f"{summary['won']:.0%}",
        str(len(summary["checkpoints"])),
        f"{summary['bytes'] / 1e6:,.1f} MB",
        "yes" if summary["bundle"] else "no",
        _age(summary["age_s"]),
    ]


def _short(count: int | None) -> str:
    """``1.5M`` for 1,500,000."""
    if count is None:
        return "–"
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.3g}"


def _age(seconds: float) -> str:
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {letter}"
    return f"{max(seconds, 0):.0f} s"
