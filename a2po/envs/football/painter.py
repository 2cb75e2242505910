"""Pictures of games by the engine itself, off screen, whichever engine plays them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from a2po.envs.football.engine import PICTURE, Engine
from a2po.envs.football.engines import Game
from a2po.errors import DependencyError

GAMMA = 2.2
"""Off screen the engine leaves out this correction: its pictures are a third as bright as on a screen."""
_LIFTED = np.rint(255 * (np.arange(256) / 255) ** (1 / GAMMA)).astype(np.uint8)
_EGL_DEVICES, _EGL_PLATFORM_DEVICE = 16, 0x313F


class Painter:
    """The one engine of this process that draws. It takes over the state of games that others play.

    Args:
        size: width and height of the pictures, pixels.

    Raises:
        DependencyError: the engine or what it draws with is not installed.
        UserError: another engine of this process draws.
    """

    def __init__(self, size: tuple[int, int] = PICTURE) -> None:
        _check_drawing()
        with _off_screen():
            self._engine = Engine(render=True, size=size)
        self._shown: Game | None = None

    def picture(self, game: Game, saved: bytes) -> np.ndarray:
        """What the camera sees of a game that another engine ``saved``: uint8 [H, W, 3]."""
        if game != self._shown:
            self._engine.reset(game.scenario, seed=game.seed, left_agents=game.left_agents, right_agents=game.right_agents)
            self._engine.restore(saved)
            self._engine.picture()  # the camera is in its place from the second one on
            self._shown = game
        self._engine.restore(saved)
        return np.asarray(_LIFTED[self._engine.picture()])

    def close(self) -> None:
        """Give the engine back. Harmless when called twice."""
        self._engine.close()


@contextmanager
def _off_screen() -> Iterator[None]:
    """Without a screen, even where there is one; and what the engine says about that goes nowhere."""
    display = os.environ.pop("DISPLAY", None)
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
        if display is not None:
            os.environ["DISPLAY"] = display


def _check_drawing() -> None:
    """Where nothing can draw, the engine would end the process. Raises: DependencyError: nothing can."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
        egl.eglGetProcAddress.restype = ctypes.c_void_p
        devices, count = (ctypes.c_void_p * _EGL_DEVICES)(), ctypes.c_int()
        _function(egl, "eglQueryDevicesEXT", ctypes.c_uint, 3)(_EGL_DEVICES, devices, ctypes.byref(count))
        display_of = _function(egl, "eglGetPlatformDisplayEXT", ctypes.c_void_p, 3)
        works = any(_works(egl, display_of(_EGL_PLATFORM_DEVICE, device, None)) for device in devices[: count.value])
    except (OSError, AttributeError):
        works = False
    if not works:
        raise DependencyError(
            "the football engine cannot draw here: there is no EGL device. Install one (apt-get install libegl1 libgl1-mesa-dri), "
            "or draw the game from above"
        )


def _function(egl: ctypes.CDLL, name: str, result: type, arguments: int) -> Callable[..., Any]:
    address = egl.eglGetProcAddress(name.encode())
    if not address:
        raise AttributeError(name)
    first = ctypes.c_int if result is ctypes.c_uint else ctypes.c_uint
    return ctypes.CFUNCTYPE(result, first, *(ctypes.c_void_p,) * (arguments - 1))(address)


def _works(egl: ctypes.CDLL, display: int | None) -> bool:
    return bool(display) and bool(egl.eglInitialize(ctypes.c_void_p(display), None, None))
