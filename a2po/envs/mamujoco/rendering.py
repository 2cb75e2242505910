"""Pictures of a copy, with or without a screen."""

from __future__ import annotations

import copy
import importlib
import os
import sys
import warnings

import mujoco
import numpy as np

from a2po.envs.mamujoco.quiet import quiet
from a2po.errors import DependencyError

SIZE = (480, 480)
CAMERA = "track"  # every robot's own camera, which Gymnasium uses, too
_PACKAGES = "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri"


class CopyRenderer:
    """Draws MjData of one model off screen, ``size`` (width, height) pixels large, as a camera sees ``field_of_view`` degrees.

    Raises:
        DependencyError: OpenGL is missing.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int] = SIZE, field_of_view: float = 45.0) -> None:
        self.size = size
        width, height = size
        model = copy.copy(model)
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height  # MuJoCo's limit would be 640 x 480
        model.cam_fovy[:] = model.vis.global_.fovy = field_of_view
        try:
            _use_egl_without_a_screen()
            with quiet, warnings.catch_warnings(action="ignore"):  # GLFW warns of what the error says, too
                self._renderer = mujoco.Renderer(model, height, width)
        except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
            raise DependencyError(_remedy(error)) from error
        self._camera = CAMERA if CAMERA in (model.camera(index).name for index in range(model.ncam)) else -1
        self._tile = _floor_tile(model)

    def render(self, data: mujoco.MjData) -> np.ndarray:
        """uint8 [height, width, 3]."""
        self._renderer.update_scene(data, self._camera)
        self._bring_along(data)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def _bring_along(self, data: mujoco.MjData) -> None:
        """Move the drawn floor and lights by whole tiles to where the robot is.

        The floor carries a robot everywhere, but is drawn 40 m wide and lit in its middle: a fast one runs out of the picture.
        """
        offset = np.round(data.subtree_com[0, :2] / self._tile) * self._tile
        scene = self._renderer.scene
        for geom in scene.geoms[: scene.ngeom]:
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                geom.pos[:2] += offset
        for light in scene.lights[: scene.nlight]:
            light.pos[:2] += offset


def _floor_tile(model: mujoco.MjModel) -> np.ndarray:
    """[2] metres after which the floor's texture repeats, so that a floor moved by it looks as if it had stood still."""
    planes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    if not planes.size:
        return np.ones(2)
    extent, material = 2.0 * model.geom_size[planes[0], :2], int(model.geom_matid[planes[0]])
    if material < 0:
        return np.where(extent > 0, extent, 1.0)
    repeats = np.maximum(model.mat_texrepeat[material].astype(np.float64), 1e-6)
    tile: np.ndarray = 1.0 / repeats if model.mat_texuniform[material] or not extent.all() else extent / repeats
    return tile


def _remedy(error: BaseException) -> str:
    backend = os.environ.get("MUJOCO_GL", "glfw on the screen of DISPLAY" if os.environ.get("DISPLAY") else "glfw")
    reason = str(error).split(". ")[0].rstrip(".")
    mend = _PACKAGES if backend == "egl" else f"set MUJOCO_GL=egl, which needs no screen but these packages: {_PACKAGES}"
    return f"rendering needs OpenGL, which MuJoCo cannot use (MUJOCO_GL={backend}: {reason}): {mend}"


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
