"""Pictures of a copy, with or without a screen."""

from __future__ import annotations

import importlib
import os
import sys

import mujoco
import numpy as np

from a2po.envs.mamujoco.quiet import quiet
from a2po.errors import DependencyError

SIZE = 480
CAMERA = "track"  # every robot's own camera, which Gymnasium uses, too
_REMEDY = "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri"


class CopyRenderer:
    """Draws MjData of one model off screen."""

    def __init__(self, model: mujoco.MjModel) -> None:
        try:
            _use_egl_without_a_screen()
            with quiet:
                self._renderer = mujoco.Renderer(model, SIZE, SIZE)
        except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
            backend = os.environ.get("MUJOCO_GL", "glfw")
            raise DependencyError(f"rendering needs OpenGL, which MuJoCo cannot use (MUJOCO_GL={backend}: {error}): {_REMEDY}") from error
        self._camera = CAMERA if CAMERA in (model.camera(index).name for index in range(model.ncam)) else -1

    def render(self, data: mujoco.MjData) -> np.ndarray:
        """uint8 [480, 480, 3]."""
        self._renderer.update_scene(data, self._camera)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def _use_egl_without_a_screen() -> None:
    """Choose EGL where there is no display and the user chose nothing. MuJoCo chose when it was imported: let it again."""
    if not sys.platform.startswith("linux") or os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY"):
        return
    module = sys.modules[mujoco.Renderer.__module__]
    os.environ["MUJOCO_GL"] = "egl"
    try:
        importlib.reload(module.gl_context)
    except Exception:
        del os.environ["MUJOCO_GL"]  # a process that we start could not import MuJoCo with it
        raise
