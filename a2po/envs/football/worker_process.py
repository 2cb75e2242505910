"""What runs in a child process of ``workers``: engines that are told what to do, and whose frames lie in memory that both processes see.

It imports numpy and the engine, no torch, so that a child is up in half a second.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

import numpy as np

from a2po.envs.football.engine import Engine
from a2po.envs.football.engines import Game

__all__ = ["Layout", "serve"]


class Layout:
    """Where in the shared memory the frames and actions of B copies lie."""

    def __init__(self, num_envs: int, frame_size: int, agents: int) -> None:
        self.sizes = (num_envs, frame_size, agents)
        self._actions_at, self._agents = num_envs * frame_size, agents
        self.total = self._actions_at + 4 * num_envs * agents
        """Bytes."""

    def frames(self, memory: mmap.mmap, kind: np.dtype[np.void]) -> np.ndarray:
        """[B]."""
        return np.ndarray(self.sizes[0], kind, memory)

    def actions(self, memory: mmap.mmap) -> np.ndarray:
        """int32 [B, agents of both sides]."""
        return np.ndarray((self.sizes[0], self._agents), np.int32, memory, self._actions_at)


class _Engines:
    """The engines of some of the copies. Its methods are the requests that ``serve`` answers."""

    def __init__(self, layout: Layout, memory: mmap.mmap) -> None:
        self._layout, self._memory = layout, memory
        self._actions = layout.actions(memory)
        self._engines: dict[int, Engine] = {}

    def load(self) -> None:
        """Load the library; the first game gets this engine."""
        Engine().close()

    def begin(self, copy: int, game: Game) -> None:
        engine = self._engines.get(copy)
        if engine is None:
            engine = self._engines[copy] = Engine()
        frame = self._layout.frames(self._memory, game.frame_type)[copy : copy + 1]
        engine.reset(game.scenario, seed=game.seed, left_agents=game.left_agents, right_agents=game.right_agents, frame=frame)

    def step(self, copies: Sequence[int]) -> None:
        for copy in copies:
            self._engines[copy].step(self._actions[copy])

    def save(self, copy: int) -> bytes:
        return self._engines[copy].save()

    def restore(self, copy: int, game: Game, saved: bytes) -> None:
        self.begin(copy, game)
        self._engines[copy].restore(saved)


def serve(channel_descriptor: int, memory_descriptor: int, *sizes: int) -> None:
    """Answer requests (method's name, its arguments) until the other side hangs up. What is raised ends the process: it is a fault, too."""
    _end_with_parent(channel_descriptor)
    channel, layout = Connection(channel_descriptor), Layout(*sizes)
    engines = _Engines(layout, mmap.mmap(memory_descriptor, layout.total))
    while True:
        try:
            name, *arguments = channel.recv()
        except EOFError:
            os._exit(0)
        channel.send(getattr(engines, name)(*arguments))


def _end_with_parent(channel: int) -> None:
    """Leave at once when the other side of the channel is gone, also out of the midst of a step that never ends."""

    def wait() -> None:
        hang_up = select.poll()
        hang_up.register(channel, 0)
        hang_up.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
