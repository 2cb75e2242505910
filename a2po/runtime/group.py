"""The agents of one file at play: R = B · n rows for B games and n agents, game by game."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2po.runtime import guard
from a2po.runtime.actors import Actors
from a2po.runtime.forms import Part
from a2po.runtime.memory import DeviceMemory, HostMemory, Memory
from a2po.runtime.sampling import sample_continuous, sample_discrete


@dataclass(slots=True)
class Turn:
    """What the agents of one file see in one step."""

    part: Part
    batch: int
    obs: np.ndarray
    """[R, O]"""
    mask: np.ndarray | None
    """[R, A] as it was given, which is None where all actions are legal."""
    noise: np.ndarray | None
    """[R, A], None for greedy play."""
    faulty: np.ndarray | None = None
    """[R] bool: rows whose outputs are not to be played and not to be remembered; None if there are none."""

    def copy(self) -> Turn:
        """The same with arrays of its own: the caller may write into its observations while the step goes on."""
        obs, mask, noise = (None if given is None else given.copy() for given in (self.obs, self.mask, self.noise))
        assert obs is not None
        return Turn(self.part, self.batch, obs, mask, noise, self.faulty)


class Group:
    """The actors of one file with what they remember."""

    def __init__(self, actors: Actors) -> None:
        first = actors.agents[0]
        self.actors, self.agents, self.discrete = actors, actors.agents, first.discrete
        self._session = actors.session
        # The second output tells whether the actor computed with numbers; an action alone would not show it.
        shown = ["logits"] if first.discrete else ["mean"]
        self._greedy_outputs, self._sampled_outputs = ["action", *shown], shown if first.discrete else ["mean", "log_std"]
        self._takes_noise = "noise" in first.inputs
        self._table_rows = np.array([agent.row for agent in actors.agents], np.int32)
        self._agent = _Endless(self._table_rows) if "agent" in first.inputs else None
        self._all_legal = _Endless(np.ones((1, first.action_size), bool))
        self._no_noise = _Endless(np.full((1, first.action_size), 0.5 if first.discrete else 0.0, np.float32))
        self._low, self._high = np.asarray(first.low, np.float32), np.asarray(first.high, np.float32)
        self.memory: Memory | None = None
        if first.num_layers:
            device = actors.device
            self.memory = DeviceMemory(self._session, self.agents, device) if device else HostMemory(self._session, self.agents)

    def play(self, turn: Turn) -> tuple[np.ndarray, np.ndarray | None]:
        """The actions [R] or [R, A] in the environment's units, and the rows [R] where something is not finite, or None.

        Nothing is remembered before ``keep``.

        Raises:
            ObservationError: the memory is that of another number of games.
        """
        sampled = turn.noise is not None and not self._takes_noise
        outputs = self._sampled_outputs if sampled else self._greedy_outputs
        feed = self._feed(turn)
        if self.memory is None:
            results: list[np.ndarray] = self._session.run(outputs, feed)
        else:
            results = self.memory.run(outputs, feed, turn.batch, turn.part.places)
        broken = _broken(results)
        if not sampled:
            # ONNX Runtime's ArgMax gives [0, A] where there are no rows
            return results[0].reshape(len(turn.obs)) if self.discrete else results[0], broken
        assert turn.noise is not None
        if self.discrete:
            return sample_discrete(results[0], turn.noise), broken
        return sample_continuous(results[0], results[1], turn.noise, self._low, self._high), broken

    def keep(self, faulty: np.ndarray | None) -> None:
        """Remember the last step, but for the faulty rows [R]."""
        if self.memory is not None:
            self.memory.keep(faulty)

    def _feed(self, turn: Turn) -> dict[str, np.ndarray]:
        rows, places = len(turn.obs), turn.part.places
        feed = {"obs": turn.obs}
        if self.discrete:
            feed["action_mask"] = self._all_legal(rows) if turn.mask is None else turn.mask
        if self._agent is not None:
            feed["agent"] = self._agent(rows) if places is None else np.tile(self._table_rows[places], turn.batch)
        if self._takes_noise:
            feed["noise"] = self._no_noise(rows) if turn.noise is None else turn.noise
        return feed


class _Endless:
    """The first rows of a pattern [k, ...] that repeats for ever."""

    def __init__(self, pattern: np.ndarray) -> None:
        self._pattern = self._made = pattern

    def __call__(self, rows: int) -> np.ndarray:
        if rows > len(self._made):
            times = -(-rows // len(self._pattern))
            self._made = np.tile(self._pattern, (times, *[1] * (self._pattern.ndim - 1)))
        return self._made[:rows]


def _broken(outputs: list[np.ndarray]) -> np.ndarray | None:
    """[R] True where an output is not finite; None if all are."""
    numbers = [values for values in outputs if values.dtype.kind == "f"]
    if all(map(guard.all_finite, numbers)):
        return None
    broken: np.ndarray = np.logical_or.reduce([~np.isfinite(values).reshape(len(values), -1).all(axis=1) for values in numbers])
    return broken
