"""What the statistics of many football games come to, with intervals, beside the figures that A2PO's authors published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a2po.evaluation.football_moment import ratio
from a2po.evaluation.football_tables import summed_pairs, summed_players
from a2po.evaluation.statistics import CONFIDENCE, summary, wilson_interval

FULL_GAME = "football/5_vs_5"
"""The published figures are of this game, in which difficulty is not said."""
SOURCE = "Table 3 of the authors' slides on A2PO (2023)"
PUBLISHED = {
    "MAPPO": {"goal": 1.95, "lost": 0.49, "assist": 0.04, "pass": 1.52, "pass_rate": 0.193},
    "CoPPO": {"goal": 4.42, "lost": 0.74, "assist": 0.19, "pass": 3.44, "pass_rate": 0.35},
    "HAPPO": {"goal": 2.68, "lost": 1.04, "assist": 0.07, "pass": 4.03, "pass_rate": 0.489},
    "A2PO": {"goal": 9.01, "lost": 0.78, "assist": 0.56, "pass": 6.42, "pass_rate": 0.671},
}
"""Means per episode; the rate is their mean of ratios."""
PUBLISHED_STEPS = 100_000_000
"""Of A2PO's public configuration for this game."""

COLUMNS = {
    "event": {"pass": "pass_completed", "pass_attempts": "pass_attempts", "pass_rate": "pass_rate"},
    "paper": {"pass": "succ_pass", "pass_attempts": "pass", "pass_rate": "succ_pass_rate"},
}
"""What the two definitions call the columns of the table."""
RATES = ("win", "draw", "loss")
_LISTS = ("players", "pass_network", "assist_pairs")


def pooled(games: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The statistics of all games: ``table`` (the columns of Table 3) and ``statistics`` of both definitions, and each game's own.

    Args:
        games: of each valid episode, definition -> its summary.
    """
    both = {definition: [game[definition] for game in games] for definition in COLUMNS}
    return {**{definition: _pooled(definition, own) for definition, own in both.items()}, "episodes": [dict(game) for game in games]}


def _pooled(definition: str, games: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in games[0] if name not in _LISTS]
    figures = {name: summary([game[name] for game in games], rate=name in RATES) for name in names}
    columns = COLUMNS[definition]
    completed, attempts = (sum(game[columns[name]] for game in games) for name in ("pass", "pass_attempts"))
    scorer = "scorer" if definition == "event" else "shooter"
    return {
        "table": {
            **{"goal": figures["goals"], "lost": figures["conceded"], "assist": figures["assist"]},
            **{name: figures[columns[name]] for name in ("pass", "pass_attempts")},
            "pass_rate_pooled": _pooled_rate(definition, completed, attempts),
            "pass_rate": figures[columns["pass_rate"]],
        },
        "statistics": figures,
        "players": summed_players([game["players"] for game in games]),
        "pass_network": summed_pairs([game["pass_network"] for game in games], "passer", "receiver", "passes"),
        "assist_pairs": summed_pairs([game["assist_pairs"] for game in games], "assister", scorer, "goals"),
    }


def _pooled_rate(definition: str, completed: int, attempts: int) -> dict[str, Any]:
    """All that were completed by all that were attempted. The paper counts two things of which none is part of the other: no interval."""
    known = definition == "event" and attempts > 1
    return {
        "mean": ratio(completed, attempts),
        "interval": list(wilson_interval(completed, attempts)) if known else None,
        "confidence": CONFIDENCE,
        "method": "Wilson over passes" if definition == "event" else "none",
        "completed": completed,
        "attempts": attempts,
    }


def reference(task: str, trained_on: str | None, steps: int | None, *, mixed: bool) -> dict[str, Any]:
    """The published figures, and why they are for orientation only, if they are.

    Args:
        task: that was played.
        trained_on: the team's own task; None: a script played.
        steps: it was trained, where that is known.
        mixed: others played some of the agents.
    """
    if trained_on is None:
        why = "a script played here"
    elif mixed:
        why = "a mixed team played here"
    elif not trained_on.startswith(FULL_GAME):
        why = f"this team was trained on {trained_on}, not on the full game"
    elif not task.startswith(FULL_GAME):
        why = "another game was played here"
    elif steps is None or steps < PUBLISHED_STEPS:
        trained = "an unknown number of" if steps is None else f"{steps:,}"
        why = f"{trained} steps of training here, {PUBLISHED_STEPS:,} in A2PO's configuration"
    else:
        why = None
    return {"source": SOURCE, "task": FULL_GAME, "figures": PUBLISHED, "orientation_only": why is not None, "why": why}
