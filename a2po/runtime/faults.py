"""What agents do that cannot play, and how often that was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from a2po.runtime import guard
from a2po.runtime.bundle import AgentSpec
from a2po.runtime.group import Turn

OBSERVATION, MASK, OUTPUT, LATE = "observation", "mask", "output", "late"
"""Not finite; no legal action; the actor's outputs are not finite; not in time."""


class Fallback:
    """For the agents of one file: the action before if it is still legal, else the first legal one, else action 0.

    Continuous actions: the one before, at first the one nearest to zero in the Box.

    Args:
        agents: the agents of the file.
        counts: how many rows it has played, by (kind, agent).
    """

    def __init__(self, agents: Sequence[AgentSpec], counts: Counter[tuple[str, str]]) -> None:
        self.agents, self.counts = agents, counts
        self._first = _first_action(agents[0])
        self._before: np.ndarray | None = None  # [B, n] with -1 for no action, or [B, n, A]

    @property
    def batch(self) -> int | None:
        """B of the step before, None before the first one."""
        return None if self._before is None else len(self._before)

    def forget(self, rows: np.ndarray | None) -> None:
        """What was done before in these rows of the games, or in all of them."""
        if rows is None:
            self._before = None
        elif self._before is not None:
            self._before[rows] = self._first

    def inspect(self, turn: Turn) -> None:
        """Find and count the rows that cannot be played; their observations become harmless."""
        unseen, stuck = guard.not_finite(turn.obs), None if turn.mask is None else guard.nothing_legal(turn.mask)
        if unseen is not None:
            self._count(OBSERVATION, turn, unseen)
            turn.obs = np.where(unseen[:, None], np.float32(0.0), turn.obs)
        if stuck is not None:
            self._count(MASK, turn, stuck)
        turn.faulty = either(unseen, stuck)

    def mend(self, turn: Turn, actions: np.ndarray, broken: np.ndarray | None) -> np.ndarray:
        """The actions [R] or [R, A] with other ones in rows that are faulty, or whose outputs are ``broken`` [R]."""
        if broken is not None:
            self._count(OUTPUT, turn, broken if turn.faulty is None else broken & ~turn.faulty)
        faulty = either(turn.faulty, broken)
        if faulty is not None:
            actions = actions.copy()
            actions[faulty] = self._actions(turn)[faulty]
        self._remember(turn, actions)
        return actions

    def late(self, turn: Turn) -> np.ndarray:
        """The actions [R] or [R, A] of agents whose own ones did not come in time."""
        self._count(LATE, turn, np.ones(len(turn.obs), bool))
        actions = self._actions(turn)
        self._remember(turn, actions)
        return actions

    def _actions(self, turn: Turn) -> np.ndarray:
        before = self._of(turn.batch)
        own = before if turn.part.places is None else before[:, turn.part.places]
        chosen = own.reshape(len(turn.obs), *own.shape[2:])
        if chosen.ndim == 1:
            first = 0 if turn.mask is None else turn.mask.argmax(axis=1)
            possible = chosen >= 0
            if turn.mask is not None:
                possible &= np.take_along_axis(turn.mask, np.maximum(chosen, 0)[:, None], axis=1)[:, 0]
            chosen = np.where(possible, chosen, first)
        return np.array(chosen)

    def _remember(self, turn: Turn, actions: np.ndarray) -> None:
        places = slice(None) if turn.part.places is None else turn.part.places
        self._of(turn.batch)[:, places] = actions.reshape(turn.batch, len(turn.part.agents), *actions.shape[1:])

    def _of(self, batch: int) -> np.ndarray:
        if self._before is None or len(self._before) != batch:
            self._before = np.tile(self._first, (batch, len(self.agents), *[1] * self._first.ndim))
        return self._before

    def _count(self, kind: str, turn: Turn, rows: np.ndarray) -> None:
        times = rows.reshape(turn.batch, len(turn.part.agents)).sum(axis=0)
        for agent, count in zip(turn.part.agents, times, strict=True):
            if count:
                self.counts[kind, agent.name] += int(count)


def either(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """The rows of both; None is no row."""
    if first is None or second is None:
        return second if first is None else first
    both: np.ndarray = first | second
    return both


def _first_action(agent: AgentSpec) -> np.ndarray:
    if agent.discrete:
        return np.array(-1, np.int64)
    low, high = np.asarray(agent.low, np.float32), np.asarray(agent.high, np.float32)
    return np.clip(np.zeros_like(low), low, high)
