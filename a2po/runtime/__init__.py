"""Plays exported teams: numpy and onnxruntime, no torch.

from a2po.runtime import Team

team = Team.load("runs/demo/bundle")
actions = team.act(observations)
"""

from __future__ import annotations

from a2po.lazy import lazy_names

_PUBLIC = {
    "Team": "a2po.runtime.team",
    "Bundle": "a2po.runtime.bundle",
    "read_bundle": "a2po.runtime.bundle",
}
__all__ = sorted(_PUBLIC)
__getattr__ = lazy_names(__name__, _PUBLIC)
