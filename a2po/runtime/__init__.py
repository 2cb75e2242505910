"""Plays exported teams: numpy and onnxruntime, no torch.

from a2po.runtime import Team

team = Team.load("runs/demo/bundle")
actions = team.act(observations)
"""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "Team": "a2po.runtime.team",
    "Bundle": "a2po.runtime.bundle",
    "read_bundle": "a2po.runtime.bundle",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load on first use, so that importing the package costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
