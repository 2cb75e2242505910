"""The statistics of football games as rows for tables, on the terminal and in the report."""

from __future__ import annotations

from typing import Any, NamedTuple

TABLE = {
    "goal": "Goal",
    "lost": "Lost",
    "assist": "Assist",
    "pass": "Pass, completed",
    "pass_attempts": "Pass, attempted",
    "pass_rate_pooled": "Pass Rate %, pooled",
    "pass_rate": "Pass Rate %, mean",
}
"""The columns of the paper's Table 3, each in all readings that it may have."""
MORE = {"shots": "Shots", "possession_share": "Possession %", "ball_losses": "Ball losses", "interceptions": "Interceptions"}
"""What only ``event`` counts."""
PUBLISHED = {"goal": "Goal", "lost": "Lost", "assist": "Assist", "pass": "Pass", "pass_rate": "Pass Rate %"}
IN_PERCENT = ("pass_rate_pooled", "pass_rate", "possession_share")
PAIRS_SHOWN = 5
"""Pairs of players with the most passes."""


class Figure(NamedTuple):
    """One cell."""

    mean: float
    interval: list[float] | None


class Row(NamedTuple):
    """One statistic by both definitions."""

    label: str
    event: Figure
    paper: Figure | None


def figure_rows(football: dict[str, Any]) -> list[Row]:
    """Table 3, and what else ``event`` counts. Shares are in percent."""
    event, paper = football["event"], football["paper"]
    return [
        *(Row(label, _figure(name, event["table"]), _figure(name, paper["table"])) for name, label in TABLE.items()),
        *(Row(label, _figure(name, event["statistics"]), None) for name, label in MORE.items()),
    ]


def published_rows(reference: dict[str, Any]) -> dict[str, list[float]]:
    """Algorithm -> the published figures in the order of ``PUBLISHED``."""
    return {
        algorithm: [figures[name] * (100 if name in IN_PERCENT else 1) for name in PUBLISHED]
        for algorithm, figures in reference["figures"].items()
    }


def source_text(reference: dict[str, Any]) -> str:
    """Where the published figures are from, and what they are good for here."""
    return f"{reference['source']}; " + (
        f"orientation only: {reference['why']}" if reference["orientation_only"] else "the same game, trained as long"
    )


def passes_text(football: dict[str, Any]) -> str:
    """Who passed to whom most often, by ``event``."""
    pairs = football["event"]["pass_network"][:PAIRS_SHOWN]
    return ", ".join(f"{pair['passes']} from player {pair['passer']} to {pair['receiver']}" for pair in pairs) or "none completed"


def _figure(name: str, figures: dict[str, Any]) -> Figure:
    found, scale = figures[name], 100 if name in IN_PERCENT else 1
    return Figure(scale * found["mean"], found["interval"] and [scale * end for end in found["interval"]])
