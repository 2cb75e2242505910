"""The backend that works for every task: Python threads, each with one MjData (MuJoCo releases the GIL while it steps).

As in ``mujoco.batch``, a copy is its row of integration state: a thread loads the row into its MjData, steps, copies the
results out and saves the row. One MjData per thread stays in the processor's cache, one per copy would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np

from a2po.envs.mamujoco.quiet import quiet
from a2po.envs.mamujoco.rows import RowLayout
from a2po.envs.mamujoco.simulation import FAULTS, STATE, state_columns


class _Worker:
    """One thread's MjData, with views of what is copied out of it. Making a view costs more than copying it."""

    def __init__(self, model: mujoco.MjModel, derived: list[str]) -> None:
        self.data = mujoco.MjData(model)
        self.sources = [getattr(self.data, name).reshape(-1) for name in derived]
        self.warnings = self.data.warning.number


class PoolSimulation:
    """Threads take one copy after another until none is left. Each copy writes its own rows, so the order cannot matter."""

    def __init__(self, model: mujoco.MjModel, layout: RowLayout, num_envs: int, frame_skip: int, num_threads: int) -> None:
        self.model = model
        self.rows = np.zeros((num_envs, layout.width))
        self._frame_skip = frame_skip
        self._contact_forces = "cfrc_ext" in layout.fields
        self._states = np.zeros((num_envs, mujoco.mj_stateSize(model, STATE)))
        self._controls = self._states[:, state_columns(model, mujoco.mjtState.mjSTATE_CTRL)]
        positions, velocities = (state_columns(model, part) for part in (mujoco.mjtState.mjSTATE_QPOS, mujoco.mjtState.mjSTATE_QVEL))
        self._moved = [(self.rows[:, layout.fields["qpos"]], self._states[:, positions])]
        self._moved += [(self.rows[:, layout.fields["qvel"]], self._states[:, velocities])]
        derived = [name for name in layout.fields if name not in ("qpos", "qvel")]
        self._state_rows = list(self._states)
        self._derived_rows = [[row[layout.fields[name]] for name in derived] for row in self.rows]
        self._warnings = np.zeros((num_envs, int(mujoco.mjtWarning.mjNWARNING)), np.int32)
        self._fault_columns = [int(fault) for fault in FAULTS]
        self._workers = [_Worker(model, derived) for _ in range(num_threads)]
        self._executor = ThreadPoolExecutor(len(self._workers) - 1, "a2po-mujoco") if len(self._workers) > 1 else None

    def step(self, control: np.ndarray) -> None:
        """See ``Simulation.step``."""
        self._controls[...] = control
        self._share(self._step_copies, range(len(self.rows)))
        for rows, states in self._moved:
            rows[...] = states

    def _share(self, work: Callable[[_Worker, Iterator[Any]], None], jobs: Sequence[Any]) -> None:
        """Let all threads, this one included, take jobs until none is left: taking the next one is atomic. One job needs no helper."""
        left = iter(jobs)
        with quiet:
            helpers = [self._executor.submit(work, worker, left) for worker in self._workers[1 : len(jobs)]] if self._executor else []
            work(self._workers[0], left)
            for helper in helpers:
                helper.result()

    def _step_copies(self, worker: _Worker, copies: Iterator[int]) -> None:
        model, data, frame_skip, contact_forces = self.model, worker.data, self._frame_skip, self._contact_forces
        load, save, step, post_constraint = mujoco.mj_setState, mujoco.mj_getState, mujoco.mj_step, mujoco.mj_rnePostConstraint
        state_rows, derived_rows, warnings = self._state_rows, self._derived_rows, self._warnings
        sources, counters = worker.sources, worker.warnings
        for copy in copies:
            state = state_rows[copy]
            counters[...] = 0
            load(model, data, state, STATE)
            step(model, data, frame_skip)
            if contact_forces:
                post_constraint(model, data)
            save(model, data, state, STATE)
            for row, source in zip(derived_rows[copy], sources):  # noqa: B905 (equal by construction; strict costs time here)
                row[...] = source
            warnings[copy] = counters

    def faults(self) -> np.ndarray:
        """See ``Simulation.faults``."""
        if not self._warnings.any():
            return np.zeros(len(self.rows), bool)
        found: np.ndarray = np.logical_or.reduce(self._warnings[:, self._fault_columns], axis=1)
        return found

    def reset(self, copies: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """See ``Simulation.reset``."""
        self._share(self._reset_copies, list(zip(copies.tolist(), qpos, qvel, strict=True)))
        for rows, states in self._moved:
            rows[copies] = states[copies]

    def _reset_copies(self, worker: _Worker, jobs: Iterator[tuple[int, np.ndarray, np.ndarray]]) -> None:
        model, data = self.model, worker.data
        for copy, qpos, qvel in jobs:
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = qpos, qvel
            mujoco.mj_forward(model, data)
            mujoco.mj_getState(model, data, self._state_rows[copy], STATE)
            for row, source in zip(self._derived_rows[copy], worker.sources, strict=True):
                row[...] = source

    def states(self) -> np.ndarray:
        """See ``Simulation.states``."""
        return self._states.copy()

    def set_states(self, states: np.ndarray, rows: np.ndarray) -> None:
        """See ``Simulation.set_states``."""
        self._states[...], self.rows[...] = states, rows

    def data(self, copy: int) -> mujoco.MjData:
        """See ``Simulation.data``."""
        data = mujoco.MjData(self.model)
        with quiet:
            mujoco.mj_setState(self.model, data, self._state_rows[copy], STATE)
            mujoco.mj_forward(self.model, data)
        return data

    def close(self) -> None:
        """End the threads."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
