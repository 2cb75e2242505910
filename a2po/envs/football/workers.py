"""B engines in child processes: a fault of the engine, which ends its process, costs the games of one child and nothing else."""

from __future__ import annotations

import logging
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from a2po.envs.football.engines import Game
from a2po.envs.football.library import find_library
from a2po.envs.football.lost_games import write_lost_game
from a2po.envs.football.worker_process import Layout
from a2po.errors import WorkFailed

__all__ = ["FAULTS_FOLDER", "PATIENCE", "ProcessEngines"]

PATIENCE = 30.0
"""Seconds after which a child that does not answer is given up."""
FAULTS_FOLDER = Path("football-faults")
"""Where lost games are left, in the working folder; ``lost_games.replay`` plays one again."""
_START = 60.0  # seconds more, for the first answer
_FAULTS_IN_A_ROW = 3
"""So many in one child, without a step between them that went well, are no accident."""

_COMMAND = "import sys; from a2po.envs.football.worker_process import serve; serve(*map(int, sys.argv[1:]))"
_FATAL = re.compile(r"FATAL ERROR[^]]*] *(.+)|(.*Assertion .+)")  # what the engine, or C, says is wrong; the stack follows
_TAIL = 2**16


class _Child:
    """A process with some of the engines.

    Args:
        memory: descriptor of what both sides see.
        layout: of the memory.
        patience: seconds that a message may take.
        faults: how many children in its place have ended in a row.
    """

    def __init__(self, memory: int, layout: Layout, patience: float, faults: int = 0) -> None:
        self.faults, self.is_up = faults, False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 # `end` closes it
        ours, theirs = socket.socketpair()
        for limit in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # a child can stop in the midst of a message, too
            ours.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", int(patience) + 1, 0))
        with theirs:
            self.process = subprocess.Popen(
                # -P keeps the current folder's modules out; what this process can import, the child can.
                [sys.executable, "-P", "-c", _COMMAND, *map(str, (theirs.fileno(), memory, *layout.sizes))],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), memory),
                process_group=0,  # a Ctrl-C is for us; the child ends when we hang up
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path and os.path.exists(path)),
                },
            )
        self.channel = Connection(ours.detach())

    def end(self, reason: str | None = None) -> str:
        """Hang up, and see to it that the process is gone.

        Returns: why it is: what the engine says, or ``reason``, or what the system says.
        """
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)  # as a rule it goes by itself
        self.process.kill()
        self.process.wait()
        if self._output.closed:  # it has been ended before
            return ""
        with self._output:
            self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - _TAIL))
            output = self._output.read().decode(errors="replace")
        if fatal := _FATAL.findall(output):
            return "".join(fatal[-1]).strip()
        return reason or _last_words(self.process.returncode, output)


def _last_words(code: int, output: str) -> str:
    if code < 0:
        hint = " (the system may be out of memory)" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {code}"


class ProcessEngines:
    """An engine for each of B copies, in child processes that share the copies among them. The methods are those of ``ThreadedEngines``.

    A child that dies, or does not answer in time, is replaced. The next ``step`` reports its games as lost, whatever it was asked; each of
    them is left in a file with its seed and actions; the games of the other children go on as if nothing had happened.

    Args:
        num_envs: B.
        kind: of a frame, ``Game.frame_type``.
        num_processes: how many children; None: one per core.
        patience: seconds after which a child that does not answer is given up.
        faults: the folder for lost games; made when there is one.

    Raises:
        DependencyError: the engine is not installed.
        WorkFailed: the children cannot start, or one after the other fails.
    """

    def __init__(
        self,
        num_envs: int,
        kind: np.dtype[np.void],
        num_processes: int | None = None,
        *,
        patience: float = PATIENCE,
        faults: Path = FAULTS_FOLDER,
    ) -> None:
        find_library()
        agents = sum(kind[f"{side}_agent_controlled_player"].shape[0] for side in ("left", "right"))
        self._layout = Layout(num_envs, kind.itemsize, agents)
        self._descriptor = os.memfd_create("football")  # has no name that could be left behind
        os.ftruncate(self._descriptor, self._layout.total)
        memory = mmap.mmap(self._descriptor, self._layout.total)
        self.frames = self._layout.frames(memory, kind)
        """[B], what the games show; the children write into it."""
        self._actions = self._layout.actions(memory)
        self.patience, self._faults = patience, faults
        self._games: list[Game | None] = [None] * num_envs  # None: lost, or not begun
        self._starts, self._played = [b""] * num_envs, [bytearray() for _ in range(num_envs)]
        self._children: list[_Child] = []
        self._finish = weakref.finalize(self, _end_all, self._children, self._descriptor)
        for _ in range(min(num_envs, num_processes or len(os.sched_getaffinity(0)))):
            self._children.append(_Child(self._descriptor, self._layout, patience))
        if len(self._ask({number: ("load",) for number in range(len(self._children))})) < len(self._children):
            self.close()
            raise WorkFailed(f"the football engine cannot be started in a process of its own: {self._reason}")

    @property
    def processes(self) -> list[int]:
        """The children's process ids; copy c plays in child c modulo their number."""
        return [child.process.pid for child in self._children]

    def begin(self, copies: Sequence[int] | np.ndarray, games: Sequence[Game]) -> None:
        """Begin the ``games`` [K] in the ``copies`` [K]."""
        queues: list[list[tuple[int, Game]]] = [[] for _ in self._children]
        for copy, game in zip(map(int, copies), games, strict=True):
            self._note(copy, game, b"")
            queues[self._child_of(copy)].append((copy, game))
        for turn in zip_longest(*queues):  # a game at a time: the first one of an engine takes much longer than a step
            self._ask({number: ("begin", *begun) for number, begun in enumerate(turn) if begun and self._games[begun[0]]})

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Play one step of every game.

        Args:
            actions: [B, agents of both sides], as in ``frames.ACTIONS``.

        Returns: [B] bool: the games that were lost by a fault, in this step or since the last one.
        """
        self._actions[...] = actions
        for played, row in zip(self._played, self._actions.astype(np.uint8), strict=True):
            played += row.tobytes()
        shares = {number: self._playing(number) for number in range(len(self._children))}
        for number in self._ask({number: ("step", copies) for number, copies in shares.items() if copies}):
            self._children[number].faults = 0
        return np.array([game is None for game in self._games])

    def save(self, copy: int) -> bytes:
        """One game, whole; empty where it is lost."""
        number = self._child_of(copy)
        saved = self._ask({number: ("save", copy)}).get(number, b"") if self._games[copy] else b""
        return bytes(saved)

    def restore(self, copy: int, game: Game, saved: bytes) -> None:
        """Go back to a saved game."""
        self._note(copy, game if saved else None, saved)
        if saved:
            self._ask({self._child_of(copy): ("restore", copy, game, saved)})

    def close(self) -> None:
        """End the children. Harmless when called twice."""
        self._finish()

    def _child_of(self, copy: int) -> int:
        return copy % len(self._children)

    def _playing(self, number: int) -> list[int]:
        """The copies in a child whose games go on."""
        return [copy for copy in range(number, len(self._games), len(self._children)) if self._games[copy]]

    def _note(self, copy: int, game: Game | None, start: bytes) -> None:
        self._games[copy], self._starts[copy] = game, start
        self._played[copy].clear()

    def _ask(self, requests: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Answers of the children [number -> request]; a child that has none is replaced and left out."""
        answers: dict[int, Any] = {}
        waiting: dict[Any, int] = {}
        for number, request in requests.items():
            try:
                self._children[number].channel.send(request)
                waiting[self._children[number].channel] = number
            except OSError:
                self._replace(number)
        starting = any(not self._children[number].is_up for number in waiting.values())
        deadline = time.monotonic() + self.patience + _START * starting
        while waiting:
            heard = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            for channel in heard:
                number = waiting.pop(channel)
                try:
                    answers[number] = self._children[number].channel.recv()
                    self._children[number].is_up = True
                except (EOFError, OSError):
                    self._replace(number)
            if not heard:
                for number in waiting.values():
                    self._replace(number, f"no answer in {self.patience:g} s")
                break
        return answers

    def _replace(self, number: int, reason: str | None = None) -> None:
        """Put a new child in the place of one that has failed, and leave its games in files."""
        child, copies = self._children[number], self._playing(number)
        self._reason = child.end(reason)
        files = [self._leave(copy) for copy in copies]
        for copy in copies:
            self._note(copy, None, b"")
        left = f"; {len(files)} of its games lost, to be replayed from {', '.join(files)}" if files else ""
        logging.getLogger("a2po").warning(f"a football engine was replaced: {self._reason}{left}")
        if child.faults + 1 >= _FAULTS_IN_A_ROW:
            raise WorkFailed(f"the football engine failed {_FAULTS_IN_A_ROW} times in a row, at last with: {self._reason}{left}")
        self._children[number] = _Child(self._descriptor, self._layout, self.patience, child.faults + 1)

    def _leave(self, copy: int) -> str:
        game = self._games[copy]
        assert game
        actions = np.frombuffer(self._played[copy], np.uint8).reshape(-1, self._actions.shape[1])
        try:
            return str(write_lost_game(self._faults, copy, game, actions, self._starts[copy], self._reason))
        except OSError as error:
            return f"nowhere, as nothing can be written to {self._faults}: {error.strerror}"


def _end_all(children: list[_Child], memory: int) -> None:
    for child in children:
        child.channel.close()  # all of them hang up before the first one is waited for
    for child in children:
        child.end()
    os.close(memory)
