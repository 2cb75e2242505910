"""StarCraft micromanagement battles: units, maps and rules."""

from __future__ import annotations

from typing import Any

_LAZY = {"duel": "duels", "Duel": "duels", "battle": "sandbox", "Post": "sandbox"}  # what loads the rules and their compiler


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
