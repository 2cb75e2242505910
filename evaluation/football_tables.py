"""Counts of a football game as JSON holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from a2po.evaluation.football_moment import Score


def outcome(score: Score) -> dict[str, int]:
    """How a game ended."""
    ours, theirs = score
    return {"goals": ours, "conceded": theirs, "win": int(ours > theirs), "draw": int(ours == theirs), "loss": int(ours < theirs)}


def player_rows(counts: Mapping[tuple[int, str], int]) -> list[dict[str, int]]:
    """(player, what) -> count as one row for each player, by his number; what a row lacks was none."""
    rows: dict[int, dict[str, int]] = {}
    for (player, what), count in sorted(counts.items()):
        rows.setdefault(player, {"player": player})[what] = count
    return list(rows.values())


def pairs(counts: Mapping[tuple[int, int], int], first: str, second: str, count: str) -> list[dict[str, int]]:
    """(player, player) -> count as rows, the most frequent pair first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{first: pair[0], second: pair[1], count: number} for pair, number in ordered if number]


def summed_pairs(rows: Iterable[list[dict[str, int]]], first: str, second: str, count: str) -> list[dict[str, int]]:
    """The rows of several games that ``pairs`` made, as those of all of them."""
    total: Counter[tuple[int, int]] = Counter()
    for row in (row for game in rows for row in game):
        total[row[first], row[second]] += row[count]
    return pairs(total, first, second, count)


def summed_players(rows: Iterable[list[dict[str, int]]]) -> list[dict[str, int]]:
    """The rows of several games that ``player_rows`` made, as those of all of them."""
    total: Counter[tuple[int, str]] = Counter()
    for row in (row for game in rows for row in game):
        for what, count in row.items():
            if what != "player":
                total[row["player"], what] += count
    return player_rows(total)
