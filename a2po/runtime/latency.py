"""How long one step of a team takes on this machine."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from a2po.runtime.team import Team

WARM_UP = 50
DRAWN = 64
"""Inputs that take turns."""


def measure(team: Team, steps: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Time ``team.act`` on one game, greedy, with drawn observations and masks; the team's memory is as new afterwards.

    Steps follow each other without a pause. Where a game computes something else in between, caches are cold and a step takes longer.

    Returns: p50_us and p99_us of a step of the whole team, in microseconds; steps, rows (1), provider, threads, processor (the
        CPU's model) and onnxruntime (its version).
    """
    obs, masks = drawn_inputs(team, DRAWN, seed)
    team.reset()
    times = np.empty(steps)
    for step in range(-WARM_UP, steps):
        seen, mask = obs[step % DRAWN], None if masks is None else masks[step % DRAWN]
        begun = time.perf_counter_ns()
        team.act(seen, mask)
        if step >= 0:
            times[step] = time.perf_counter_ns() - begun
    team.reset()
    half, worst = np.percentile(times, [50, 99]) / 1e3
    return {
        "p50_us": round(float(half), 1),
        "p99_us": round(float(worst), 1),
        "steps": steps,
        "rows": 1,
        "provider": team.provider,
        "threads": team.threads,
        "processor": processor(),
        "onnxruntime": _onnxruntime(),
    }


def drawn_inputs(team: Team, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Observations [B, N, O] and masks [B, N, A] with at least one legal action, or None for continuous actions."""
    rng, agents, task = np.random.default_rng(seed), team.bundle.agents, team.manifest["task"]
    obs = rng.standard_normal((batch, len(agents), task["obs_width"]), dtype=np.float32)
    if not team.discrete:
        return obs, None
    masks = rng.random((batch, len(agents), task["action_width"])) < 0.5
    masks[..., 0] = True
    return obs, masks


def processor() -> str:
    """The model of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _onnxruntime() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
