"""B copies of one robot that step together: what the two backends offer, and the choice between them."""

from __future__ import annotations

import os
from typing import Protocol

import mujoco
import numpy as np

from a2po.envs.mamujoco.rows import RowLayout
from a2po.errors import TaskError

STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)  # everything that the next step depends on, the solver's warm start included
FAULTS = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


class Simulation(Protocol):
    """B copies of one robot. ``rows`` is float64 [B, width], refreshed by every call."""

    rows: np.ndarray

    def step(self, control: np.ndarray) -> None:
        """Advance every copy by one environment step. ``control``: float64 [B, actuators]."""
        ...

    def faults(self) -> np.ndarray:
        """[B] bool: copies that MuJoCo restarted during the last step because their numbers ran away."""
        ...

    def reset(self, copies: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Put ``copies`` [K] at rest at ``qpos`` [K, nq], ``qvel`` [K, nv]."""
        ...

    def states(self) -> np.ndarray:
        """The integration state of every copy, float64 [B, size]."""
        ...

    def set_states(self, states: np.ndarray, rows: np.ndarray) -> None:
        """Go back to what ``states()`` and ``rows`` were."""
        ...

    def data(self, copy: int) -> mujoco.MjData:
        """An up-to-date MjData of one copy, for rendering. It must not be stepped."""
        ...

    def close(self) -> None:
        """End the threads."""
        ...


def make_simulation(
    model: mujoco.MjModel, layout: RowLayout, num_envs: int, frame_skip: int, num_threads: int | None, backend: str
) -> Simulation:
    """The backend for this row: ``mujoco.batch`` where it is there and exact, else a pool of threads over MjData.

    Both give the same bits. ``mujoco.batch`` does not refresh contact forces, so tasks that show them use the pool.

    Raises:
        TaskError: ``backend="batch"`` is not possible.
    """
    threads = min(num_envs, num_threads or _num_cores())
    exact = "cfrc_ext" not in layout.fields
    available = _has_batch()
    if backend == "batch" and not (exact and available):
        reason = "it needs MuJoCo >= 4.0" if exact else "it cannot refresh contact forces; set contact_forces=False"
        raise TaskError(f"backend 'batch' is not possible here: {reason}, or backend='pool'")
    if backend != "pool" and exact and available:
        from a2po.envs.mamujoco.batch import BatchSimulation

        return BatchSimulation(model, layout, num_envs, frame_skip, threads)
    from a2po.envs.mamujoco.pool import PoolSimulation

    return PoolSimulation(model, layout, num_envs, frame_skip, threads)


def state_columns(model: mujoco.MjModel, part: mujoco.mjtState) -> slice:
    """Where ``part`` stands in a row of integration state: components are stored in the order of their bits."""
    before = mujoco.mj_stateSize(model, STATE & (int(part) - 1))
    return slice(before, before + mujoco.mj_stateSize(model, int(part)))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_batch() -> bool:
    try:
        import mujoco.batch  # noqa: F401
    except ImportError:
        return False
    return True
