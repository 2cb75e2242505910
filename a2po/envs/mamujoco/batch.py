"""The backend on ``mujoco.batch`` (MuJoCo >= 4): stepping, and the copy-out of results, happen on C++ threads."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import Batch

from a2po.envs.mamujoco.quiet import quiet
from a2po.envs.mamujoco.rows import RowLayout
from a2po.envs.mamujoco.simulation import FAULTS, STATE


class BatchSimulation:
    """B simulations behind one C++ thread pool."""

    def __init__(self, model: mujoco.MjModel, layout: RowLayout, num_envs: int, frame_skip: int, num_threads: int) -> None:
        self.model = model
        self.rows = np.zeros((num_envs, layout.width))
        self._frame_skip = frame_skip
        self._batch = Batch(model, num_envs, num_threads)
        assert self._batch.nstate == mujoco.mj_stateSize(model, STATE)
        self._qpos, self._qvel, self._control = (self._batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        bound = {name: self._batch.bind(name).reshape(num_envs, -1) for name in layout.fields if name not in ("qpos", "qvel")}
        bound |= {"qpos": self._qpos, "qvel": self._qvel}
        self._copies = [(self.rows[:, columns], bound[name]) for name, columns in layout.fields.items()]
        self._fault_columns = [int(fault) for fault in FAULTS]

    def step(self, control: np.ndarray) -> None:
        """See ``Simulation.step``."""
        self._control[...] = control
        with quiet:
            self._batch.step(nstep=self._frame_skip)
        for rows, bound in self._copies:
            rows[...] = bound

    def faults(self) -> np.ndarray:
        """See ``Simulation.faults``."""
        found: np.ndarray = self._batch.warning[:, self._fault_columns, 1].any(axis=1)
        return found

    def reset(self, copies: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """See ``Simulation.reset``."""
        with quiet:
            self._batch.reset(copies, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
            self._qpos[copies], self._qvel[copies] = qpos, qvel
            self._batch.forward(copies)
        for rows, bound in self._copies:
            rows[copies] = bound[copies]

    def states(self) -> np.ndarray:
        """See ``Simulation.states``."""
        states: np.ndarray = self._batch.state.copy()
        return states

    def set_states(self, states: np.ndarray, rows: np.ndarray) -> None:
        """See ``Simulation.set_states``."""
        self._batch.state[...] = states
        self._batch.warning[...] = 0
        self.rows[...] = rows

    def data(self, copy: int) -> mujoco.MjData:
        """See ``Simulation.data``."""
        data = self._batch.get_data(copy)
        with quiet:
            mujoco.mj_forward(self.model, data)
        return data

    def close(self) -> None:
        """The batch ends its threads when nothing refers to it any more."""
        for name in ("_batch", "_qpos", "_qvel", "_control", "_copies"):
            self.__dict__.pop(name, None)
