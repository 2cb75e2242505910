"""Numbers as a reader needs them, in reports and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST_VALUE = 60
"""Letters of an option's value that are shown: one can hold a whole file."""


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


def options_text(options: Mapping[str, Any]) -> str:
    """``action_delay = 1, terrain = "cliff"``."""
    return ", ".join(f"{name} = {_value_text(value)}" for name, value in options.items())


def teammates_text(teammates: Mapping[str, Any]) -> str:
    """``agent_1: runs/other/bundle (0a1b2c3d); marine_3, marine_4: the player random``: a result's teammates, each with its agents."""
    agents: dict[str, list[str]] = {}
    for agent, who in teammates.items():
        bundle = who.get("bundle") or {}
        name = f"{bundle.get('path')} ({str(bundle.get('fingerprint'))[:8]})" if bundle else f"the player {who.get('player')}"
        agents.setdefault(name, []).append(agent)
    return "; ".join(f"{', '.join(names)}: {who}" for who, names in agents.items())


def _value_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
