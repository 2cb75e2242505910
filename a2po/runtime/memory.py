"""What the recurrent agents of one file remember: [B, n, L, H] for B games and n agents, in main memory or on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from a2po.errors import ObservationError
from a2po.runtime import guard
from a2po.runtime.bundle import AgentSpec

if TYPE_CHECKING:
    import onnxruntime


class Memory(ABC):
    """Runs the graph with the memory, and keeps what comes out only when it is told to."""

    def __init__(self, session: onnxruntime.InferenceSession, agents: Sequence[AgentSpec]) -> None:
        self.session, self.agents = session, agents
        self.shape = (len(agents), agents[0].num_layers, agents[0].hidden_size)

    @property
    @abstractmethod
    def values(self) -> np.ndarray | None:
        """[B, n, L, H]; None before the first step. May be set."""

    @values.setter
    @abstractmethod
    def values(self, values: np.ndarray | None) -> None: ...

    @property
    @abstractmethod
    def batch(self) -> int | None:
        """B; None before the first step."""

    @abstractmethod
    def run(self, outputs: list[str], feed: dict[str, np.ndarray], batch: int, places: list[int] | None) -> list[np.ndarray]:
        """One step of the agents at ``places`` in ``batch`` games, all agents if it is None: the outputs.

        Raises:
            ObservationError: the memory is that of another number of games.
        """

    @abstractmethod
    def keep(self, except_rows: np.ndarray | None) -> None:
        """The last step has happened, but not to these rows [R] bool."""

    def forget(self, rows: np.ndarray | None) -> None:
        """What happened in these rows of the games, or in all of them."""
        values = None if rows is None else self.values
        if values is not None:
            values[rows] = 0.0
        self.values = values

    def by_agent(self) -> dict[str, np.ndarray]:
        """Agent -> [B, L, H]; empty before the first step."""
        values = self.values
        return {} if values is None else {agent.name: values[:, place].copy() for place, agent in enumerate(self.agents)}

    def set_by_agent(self, memory: Mapping[str, np.ndarray]) -> None:
        """Remember this; agents that are left out begin anew.

        Raises:
            ObservationError: a wrong shape or type.
        """
        names = {agent.name: place for place, agent in enumerate(self.agents) if agent.name in memory}
        own = {place: guard.float_array(memory[name], f"agent '{name}': memory") for name, place in names.items()}
        if not own:
            self.values = None
            return
        batch = next((len(given) for given in own.values() if given.ndim), 0)
        values = self.new(batch)
        for place, given in own.items():
            if given.shape != (batch, *self.shape[1:]):
                expected = [batch, *self.shape[1:]]
                raise ObservationError(f"agent '{self.agents[place].name}': memory: expected shape {expected}, got {list(given.shape)}")
            values[:, place] = given
        self.values = values

    def new(self, batch: int) -> np.ndarray:
        """[B, n, L, H] of agents that have seen nothing."""
        return np.zeros((batch, *self.shape), np.float32)

    def check_batch(self, batch: int, places: list[int] | None) -> None:
        """Raises: ObservationError: the memory is that of another number of games."""
        if self.batch not in (None, batch):
            name = self.agents[places[0] if places else 0].name
            raise ObservationError(f"agent '{name}': {batch} rows, but its memory holds {self.batch}: call team.reset() first")


class HostMemory(Memory):
    """In main memory."""

    def __init__(self, session: onnxruntime.InferenceSession, agents: Sequence[AgentSpec]) -> None:
        super().__init__(session, agents)
        self._values: np.ndarray | None = None
        self._step: tuple[np.ndarray, np.ndarray, list[int] | None] | None = None

    @property
    def values(self) -> np.ndarray | None:
        """As of ``Memory``."""
        return self._values

    @values.setter
    def values(self, values: np.ndarray | None) -> None:
        self._values = values

    @property
    def batch(self) -> int | None:
        """As of ``Memory``."""
        return None if self._values is None else len(self._values)

    def run(self, outputs: list[str], feed: dict[str, np.ndarray], batch: int, places: list[int] | None) -> list[np.ndarray]:
        """As of ``Memory``; the last output is the next state [R, L, H]."""
        self.check_batch(batch, places)
        before = self.new(batch) if self._values is None else self._values
        seen = before if places is None else before[:, places]
        feed["state_in"] = seen.reshape(-1, *self.shape[1:])
        results: list[np.ndarray] = self.session.run([*outputs, "state_out"], feed)
        self._step = before, results[-1], places
        return results

    def keep(self, except_rows: np.ndarray | None) -> None:
        """As of ``Memory``."""
        assert self._step is not None
        (before, after, places), self._step = self._step, None
        self._values = merged(before, after, places, except_rows)


class DeviceMemory(Memory):
    """On the device: two buffers take turns as ``state_in`` and ``state_out``, and only what the game sees and does is copied.

    Reading, setting, resetting rows of it and playing some of the agents copy it to main memory and back.

    Args:
        device: onnxruntime's name of it: ``cuda``, or ``cpu``, where it works as well and is of no use.
    """

    def __init__(self, session: onnxruntime.InferenceSession, agents: Sequence[AgentSpec], device: str) -> None:
        super().__init__(session, agents)
        self._device = device
        self._now: onnxruntime.OrtValue | None = None
        self._next: onnxruntime.OrtValue | None = None
        self._step: tuple[onnxruntime.OrtValue, onnxruntime.OrtValue, np.ndarray | None, list[int] | None] | None = None

    @property
    def values(self) -> np.ndarray | None:
        """As of ``Memory``; a copy."""
        return None if self._now is None else self._now.numpy().reshape(-1, *self.shape)

    @values.setter
    def values(self, values: np.ndarray | None) -> None:
        self._now = self._next = None
        if values is not None:
            self._now = self._buffer(len(values) * self.shape[0])
            self._now.update_inplace(np.ascontiguousarray(values.reshape(-1, *self.shape[1:])))
            self._next = self._buffer(len(values) * self.shape[0])

    @property
    def batch(self) -> int | None:
        """As of ``Memory``."""
        return None if self._now is None else int(self._now.shape()[0]) // self.shape[0]

    def run(self, outputs: list[str], feed: dict[str, np.ndarray], batch: int, places: list[int] | None) -> list[np.ndarray]:
        """As of ``Memory``."""
        self.check_batch(batch, places)
        before = None
        if places is None and self._now is not None and self._next is not None:
            source, target = self._now, self._next
        else:
            before = self.new(batch) if self._now is None else self.values
            assert before is not None
            seen = before if places is None else before[:, places]
            source, target = self._buffer(len(seen) * seen.shape[1]), self._buffer(len(seen) * seen.shape[1])
            source.update_inplace(np.ascontiguousarray(seen).reshape(-1, *self.shape[1:]))
        binding = self.session.io_binding()
        for name, array in feed.items():
            binding.bind_cpu_input(name, array)
        binding.bind_ortvalue_input("state_in", source)
        for name in outputs:
            binding.bind_output(name, "cpu")
        binding.bind_ortvalue_output("state_out", target)
        binding.synchronize_inputs()
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        self._step = source, target, before, places
        return [value.numpy() for value in binding.get_outputs()[: len(outputs)]]

    def keep(self, except_rows: np.ndarray | None) -> None:
        """As of ``Memory``."""
        assert self._step is not None
        (source, target, before, places), self._step = self._step, None
        if places is None and except_rows is None:
            self._now, self._next = target, source
            return
        if before is None:
            before = source.numpy().reshape(-1, *self.shape)
        self.values = merged(before, target.numpy(), places, except_rows)

    def _buffer(self, rows: int) -> onnxruntime.OrtValue:
        import onnxruntime

        return onnxruntime.OrtValue.ortvalue_from_shape_and_type((rows, *self.shape[1:]), np.float32, self._device, 0)


def merged(before: np.ndarray, after: np.ndarray, places: list[int] | None, except_rows: np.ndarray | None) -> np.ndarray:
    """What is remembered after a step: [B, n, L, H].

    Args:
        before: [B, n, L, H].
        after: [R, L, H] of the agents that played.
        places: which they are, or None for all of them.
        except_rows: [R] of those, which remember what they did before; or None.
    """
    if places is None and except_rows is None:
        return after.reshape(before.shape)
    result = before.copy()
    played = result if places is None else result[:, places]
    rows = played.reshape(after.shape)
    chosen = slice(None) if except_rows is None else ~except_rows
    rows[chosen] = after.reshape(rows.shape)[chosen]
    result[:, slice(None) if places is None else places] = rows.reshape(played.shape)
    return result
