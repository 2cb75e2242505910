"""What a bench of a policy comes to, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np

from a2po.evaluation.figures import number


def verdict(result: dict[str, Any]) -> str:
    """The largest drop that is no chance, or that there is none, and how small a drop would not have shown."""
    rows, trained = result["rows"], result["trained"]
    what = "win rate" if result["rate"] else "return"
    if result["rate"] and trained["mean"] == 0:
        return "The team wins no episode under the rules that it was trained with, so no change can show what it would lose."
    worse = [row for row in rows if row["difference"]["worse"]]
    if worse:
        return f"Largest drop: {_words(worse[0], result)}. {_count(len(worse), len(rows))} the {what} beyond chance."
    lows = [row["difference"]["corrected_interval"] for row in rows]
    tail = ""
    if all(lows):
        reach = float(np.median([row["difference"]["mean"] - row["difference"]["corrected_interval"][0] for row in rows]))
        tail = f"; {result['episodes']} episodes show drops from about {points(reach, result)} on"
    many = "The change does not lower" if len(rows) == 1 else f"None of {len(rows)} changes lowers"
    return f"{many} the {what} beyond chance{tail}. Worst: {_words(rows[0], result)}."


def points(value: float, result: dict[str, Any], *, signed: bool = False) -> str:
    """A difference: points of a win rate, or of the return."""
    shown = f"{100 * value:.1f}" if result["rate"] else number(abs(value))
    sign = "+" if value > 0 else "-" if value < 0 else ""
    text = shown.lstrip("-")
    return (sign if signed or value < 0 else "") + text + (" points" if result["rate"] and not signed else "")


def level(value: float, result: dict[str, Any]) -> str:
    """A win rate in percent, or a return."""
    return f"{100 * value:.1f} %" if result["rate"] else number(value)


def bounds(interval: list[float] | None, result: dict[str, Any]) -> str:
    """``[low, high]`` of a difference, or a dash."""
    return "-" if interval is None else f"[{', '.join(points(end, result, signed=True) for end in interval)}]"


def _words(row: dict[str, Any], result: dict[str, Any]) -> str:
    difference = row["difference"]
    change = f"{points(difference['mean'], result, signed=True)}{' points' if result['rate'] else ''}"
    levels = f"{level(result['trained']['mean'], result)} to {level(row['mean'], result)}"
    return f"{row['rule']} {row['value']}, {change} {bounds(difference['interval'], result)}, from {levels}"


def _count(some: int, every: int) -> str:
    return "The one change lowers" if every == 1 else f"{some} of {every} changes {'lower' if some > 1 else 'lowers'}"
