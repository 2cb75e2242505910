"""Environments: one folder per family, one contract (``protocol.py``), one door (``make``)."""

from __future__ import annotations

from a2po.lazy import lazy_names

_PUBLIC = {
    "make": "a2po.envs.registry",
    "optimum": "a2po.envs.registry",
    "task_names": "a2po.envs.registry",
    "Observations": "a2po.envs.protocol",
    "SimpleEnv": "a2po.envs.simple",
    "Step": "a2po.envs.protocol",
    "TaskSpec": "a2po.envs.protocol",
    "VectorEnv": "a2po.envs.protocol",
}
__all__ = sorted(_PUBLIC)
__getattr__ = lazy_names(__name__, _PUBLIC)
