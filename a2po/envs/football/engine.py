"""One football engine: a game that is reset, stepped, saved and restored through the C functions of ``native/shim.cpp``.

A call of the library drops Python's lock, so engines in several threads run side by side. The engine checks itself and ends the
process where a check fails: ``workers`` keeps that away from the caller.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from a2po.envs.football.frames import ENGINE_CODES, frame_type
from a2po.envs.football.library import Installed, find_library
from a2po.envs.football.scenarios import MAX_PLAYERS, Scenario
from a2po.errors import UserError

PHYSICS_STEPS = 10
"""Steps of 10 ms in a step of the game."""
PICTURE = (640, 360)
"""Width and height of rendered pictures, pixels."""


class _Entry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in ("x", "y")] + [(name, ctypes.c_int) for name in ("role", "lazy", "controllable")]


class _Setup(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_float) for name in ("ball_x", "ball_y", "left_difficulty", "right_difficulty")),
        *((name, ctypes.c_int) for name in ("left_players", "right_players", "left_agents", "right_agents", "duration", "second_half")),
        *((name, ctypes.c_int) for name in ("offsides", "magnet", "deterministic", "reverse")),
        *((name, ctypes.c_int) for name in ("end_on_score", "end_on_out_of_play", "end_on_possession_change")),
        ("seed", ctypes.c_uint),
        ("players", _Entry * (2 * MAX_PLAYERS)),
    ]


@cache
def _library(installed: Installed) -> ctypes.CDLL:
    """The loaded library. Its data and font are found through the environment, which the engine reads when it starts."""
    library = installed.load()
    pointer, number, long, frame = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p
    for name, result, arguments in (
        ("open", pointer, [number] * 4),
        ("reset", number, [pointer, ctypes.POINTER(_Setup), frame]),
        ("step", number, [pointer, ctypes.c_void_p, frame]),
        ("save", long, [pointer]),
        ("restore", None, [pointer, ctypes.c_char_p, long, frame]),
        ("render", long, [pointer]),
        ("take", None, [pointer, ctypes.c_void_p]),
        ("waited", number, [pointer]),
    ):
        function = getattr(library, f"football_{name}")
        function.restype, function.argtypes = result, arguments
    return library


_idle: dict[tuple[int, int, int, bool], list[int]] = {}
"""Engines that nobody uses, by how they were opened: one takes 60 MB and cannot be freed, so the next game gets it."""
_drawing: list[tuple[int, int]] = []
"""The size of the pictures of the one engine that draws, once there is one."""


class Engine:
    """A game. ``reset`` first; ``frame`` is always what it shows now.

    Args:
        render: this is the engine that draws pictures; a process can have one.
        size: width and height of its pictures, pixels.
        physics_steps: of 10 ms, in a step of the game.

    Raises:
        DependencyError: the engine is not installed.
        UserError: another engine of this process draws pictures.
    """

    def __init__(self, *, render: bool = False, size: tuple[int, int] = PICTURE, physics_steps: int = PHYSICS_STEPS) -> None:
        self._library = _library(find_library())
        self._opened = (physics_steps, *size, render)
        idle = _idle.setdefault(self._opened, [])
        if render and not idle:
            _draw_once(size)
        self._game = idle.pop() if idle else self._library.football_open(*self._opened)
        self.frame = np.zeros((), frame_type(1, 1, 0))
        self._closed = False

    def reset(
        self, scenario: Scenario, *, seed: int, left_agents: int, right_agents: int = 0, reverse: bool | None = None, frame: Any = None
    ) -> None:
        """Begin a game.

        Args:
            scenario: who stands where; its line-ups as they are.
            seed: of the engine's chance, below 2^31.
            left_agents: controlled players on the left.
            right_agents: and on the right.
            reverse: the right team is processed first; by default where the seed is odd, as in a fresh stock environment.
            frame: [] or a row of an array of frames, which the engine fills from now on; its own by default.
        """
        setup = _setup(scenario, seed, left_agents, right_agents, bool(seed % 2) if reverse is None else reverse)
        kind = frame_type(len(scenario.left), len(scenario.right), left_agents, right_agents)
        self.frame = np.zeros((), kind) if frame is None else frame
        assert self.frame.dtype == kind and self.frame.flags.c_contiguous
        self._pointer = self.frame.ctypes.data
        self._codes = np.zeros(left_agents + right_agents, np.int32)
        self._check(self._library.football_reset(self._game, ctypes.byref(setup), self._pointer))

    def step(self, actions: np.ndarray) -> None:
        """Play one step. ``actions``: [left agents + right agents], as in ``frames.ACTIONS``, as seen on the pitch."""
        self.step_codes(ENGINE_CODES[actions])

    def step_codes(self, codes: np.ndarray) -> None:
        """Play one step with the engine's own numbers [left agents + right agents] for what the agents do."""
        self._codes[...] = codes
        self._check(self._library.football_step(self._game, self._codes.ctypes.data, self._pointer))

    def save(self) -> bytes:
        """The whole game. It fits engines of the same build that play the same scenario with as many agents."""
        return self._take(self._library.football_save(self._game))

    def restore(self, saved: bytes) -> None:
        """Go back to a saved game; ``reset`` with the same scenario has been called before."""
        self._library.football_restore(self._game, saved, len(saved), self._pointer)

    def picture(self) -> np.ndarray:
        """What the camera sees: uint8 [H, W, 3]. For the engine that renders."""
        _, width, height, _ = self._opened
        pixels = np.frombuffer(self._take(self._library.football_render(self._game)), np.uint8)
        return np.ascontiguousarray(pixels.reshape(height, width, 3)[::-1])

    def holds(self, code: int, agent: int, *, left: bool = True) -> bool:
        """The agent goes on with what the engine's number ``code``, that of a sticky action, began."""
        return bool(self._library.football_sticky(ctypes.c_void_p(self._game), code, left, agent))

    @property
    def waited(self) -> int:
        """Steps since the ball went out of play; see the hold rule in ``shim.cpp``."""
        return int(self._library.football_waited(self._game))

    def close(self) -> None:
        """Give the engine back, for the next game. Harmless when called twice."""
        if not self._closed:
            self._closed = True
            _idle[self._opened].append(self._game)

    def _take(self, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        self._library.football_take(self._game, buffer)
        return buffer.raw

    @staticmethod
    def _check(steps: int) -> None:
        if not steps:
            raise RuntimeError("the football engine is stuck: 1,000 steps without play")


def _draw_once(size: tuple[int, int]) -> None:
    """A second engine that draws would end the process. Raises: UserError: there is one already."""
    if _drawing:
        width, height = _drawing[0]
        raise UserError(
            f"one football engine of this process draws already ({width}x{height}), and there can be one: "
            "close it first and keep to its size, or draw the game from above"
        )
    _drawing.append(size)


def _setup(scenario: Scenario, seed: int, left_agents: int, right_agents: int, reverse: bool) -> _Setup:
    setup = _Setup(
        *scenario.ball, scenario.left_difficulty, scenario.right_difficulty,
        len(scenario.left), len(scenario.right), left_agents, right_agents, scenario.duration,
        scenario.second_half or 999999999, scenario.offsides, True, scenario.deterministic, reverse,
        scenario.end_on_score, scenario.end_on_out_of_play, scenario.end_on_possession_change, 42 if scenario.deterministic else seed,
    )  # fmt: skip
    for index, player in enumerate((*scenario.left, *scenario.right)):
        setup.players[index] = _Entry(player.x, player.y, player.role, player.lazy, player.controllable)
    return setup
