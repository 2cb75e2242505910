"""Environments: one folder per family, one contract (``protocol.py``), one door (``make``)."""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "make": "a2po.envs.registry",
    "task_names": "a2po.envs.registry",
    "Observations": "a2po.envs.protocol",
    "Step": "a2po.envs.protocol",
    "TaskSpec": "a2po.envs.protocol",
    "VectorEnv": "a2po.envs.protocol",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load on first use: the bot runtime passes through here and must not load torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
