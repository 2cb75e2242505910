"""Networks: actors and critics as stacks, distributions, normalisers, and the team that training sees."""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "Actor": "a2po.networks.actor",
    "Critic": "a2po.networks.critic",
    "MaskedCategorical": "a2po.networks.distributions",
    "PopArt": "a2po.networks.normalise",
    "RunningNorm": "a2po.networks.normalise",
    "TanhMeanGaussian": "a2po.networks.distributions",
    "TeamPolicy": "a2po.networks.team_policy",
    "ValueNorm": "a2po.networks.normalise",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
