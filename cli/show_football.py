"""The statistics of football games as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from a2po.cli.show import interval, number, show_pairs
from a2po.evaluation.football_rows import PUBLISHED, Figure, figure_rows, passes_text, published_rows, source_text


def show_football(console: Console, football: dict[str, Any]) -> None:
    """Both definitions side by side, the published figures, and who passed to whom."""
    reference = football["reference"]
    published = _table(f"published, {reference['task']}", *PUBLISHED.values())
    for algorithm, row in published_rows(reference).items():
        published.add_row(algorithm, *map(number, row))
    for each in (figures(football), published):
        console.print()
        console.print(each)
    console.print()
    show_pairs(
        console,
        [
            ("event", "what happened; the pooled rate's interval is Wilson's over all passes"),
            ("paper", "the counters of A2PO's public code, which lose most assists"),
            ("published", source_text(reference)),
            ("most passes", passes_text(football)),
        ],
    )


def figures(football: dict[str, Any]) -> Table:
    """Both definitions side by side."""
    table = _table("per episode", "event", "95 % interval", "paper", "95 % interval")
    for row in figure_rows(football):
        table.add_row(row.label, *_cells(row.event), *_cells(row.paper))
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    return table


def _cells(figure: Figure | None) -> tuple[str, str]:
    return ("", "") if figure is None else (number(figure.mean), escape(interval(figure.interval)))
