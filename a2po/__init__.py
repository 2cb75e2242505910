"""a2po trains cooperative multi-agent policies, exports each agent as an ONNX actor and plays what it exported."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "train": "a2po.training.loop",
    "export": "a2po.exporters.export",
    "evaluate": "a2po.evaluation.evaluate",
    "TrainConfig": "a2po.config",
    "UserError": "a2po.errors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    """Load on first use, so that ``import a2po`` stays free of torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
