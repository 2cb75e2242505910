"""B engines that step side by side, in threads of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from a2po.envs.football.engine import Engine
from a2po.envs.football.frames import frame_type
from a2po.envs.football.scenarios import Scenario


@dataclass(frozen=True)
class Game:
    """What one game is: enough to play it again with the same actions."""

    scenario: Scenario
    """With its line-ups as they stand in this game."""
    seed: int
    """Of the engine, below 2^31."""
    left_agents: int
    right_agents: int = 0

    @property
    def frame_type(self) -> np.dtype[np.void]:
        """Of its frames."""
        return frame_type(len(self.scenario.left), len(self.scenario.right), self.left_agents, self.right_agents)


class ThreadedEngines:
    """An engine for each row of ``frames``. The engine drops Python's lock while it works, so that threads are enough.

    Args:
        frames: [B], what the games show; the engines write into it.
        num_threads: how many of them may work at a time; None: one per core.

    Raises:
        DependencyError: the engine is not installed.
    """

    def __init__(self, frames: np.ndarray, num_threads: int | None = None) -> None:
        self.frames = frames
        self._engines: list[Engine | None] = [None] * len(frames)
        threads = min(len(frames), num_threads or len(os.sched_getaffinity(0)))
        self._helpers = threads - 1
        self._pool = ThreadPoolExecutor(self._helpers, "football") if self._helpers else None
        self._engine(0)  # so that an engine that is missing is missed here

    def begin(self, copies: Sequence[int] | np.ndarray, games: Sequence[Game]) -> None:
        """Begin the ``games`` [K] in the ``copies`` [K]."""
        chosen = dict(zip(map(int, copies), games, strict=True))
        self._each(chosen, lambda copy: self._begin(copy, chosen[copy]))

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Play one step of every game.

        Args:
            actions: [B, agents of both sides], as in ``frames.ACTIONS``.

        Returns: [B] bool: the games that were lost by a fault. None here: a fault ends the process.
        """
        self._each(range(len(actions)), lambda copy: self._engine(copy).step(actions[copy]))
        return np.zeros(len(actions), bool)

    def save(self, copy: int) -> bytes:
        """One game, whole."""
        return self._engine(copy).save()

    def restore(self, copy: int, game: Game, saved: bytes) -> None:
        """Go back to a saved game."""
        self._begin(copy, game)
        if saved:  # empty: it had just been lost, in a process of its own
            self._engine(copy).restore(saved)

    def close(self) -> None:
        """End the threads and give the engines back. Harmless when called twice."""
        if self._pool:
            self._pool.shutdown()
        for engine in self._engines:
            if engine:
                engine.close()

    def _engine(self, copy: int) -> Engine:
        engine = self._engines[copy]
        if engine is None:
            engine = self._engines[copy] = Engine()
        return engine

    def _begin(self, copy: int, game: Game) -> None:
        self._engine(copy).reset(
            game.scenario,
            seed=game.seed,
            left_agents=game.left_agents,
            right_agents=game.right_agents,
            frame=self.frames[copy : copy + 1],
        )

    def _each(self, copies: Iterable[int], work: Callable[[int], None]) -> None:
        """``work`` for every copy. Each thread takes the next copy as soon as it is free: some steps take longer than others."""
        waiting = iter(list(copies))

        def take() -> None:
            for copy in waiting:
                work(copy)

        helpers = [self._pool.submit(take) for _ in range(self._helpers)] if self._pool else []
        take()
        for helper in helpers:
            helper.result()
