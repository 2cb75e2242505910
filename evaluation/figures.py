"""Numbers as a reader needs them, in reports and tables."""

from __future__ import annotations

from typing import Any


def number(value: Any) -> str:
    """A number with as many digits as a reader needs, or a dash."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval_of(summary: dict[str, Any]) -> str:
    """``[low, high]`` of a summary, or a dash where it has none."""
    bounds = summary.get("interval")
    return "–" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"
