"""Pictures: real OpenGL, in processes of their own where the environment's variables matter."""

from __future__ import annotations

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest
import torch

from a2po.envs.mamujoco.simulation import state_columns
from a2po.envs.registry import make
from a2po.errors import DependencyError

CHEETAH = "mamujoco/HalfCheetah-2x3"
CODE = f"""
from a2po.envs.registry import make
env = make({CHEETAH!r}, 1, num_threads=1)
env.reset()
try:
    print(env.render(0).shape)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def cheetah():
    env = make(CHEETAH, 2, num_threads=1)
    env.reset()
    try:
        env.render(0)
    except DependencyError as error:
        pytest.skip(str(error))
    yield env
    env.close()


def move(env, copy: int, metres: float) -> None:
    states = env._simulation.states()
    states[copy, state_columns(env.model, mujoco.mjtState.mjSTATE_QPOS).start] = metres
    env._simulation.set_states(states, env._simulation.rows)


def test_copies_and_moments_differ(cheetah):
    first = cheetah.render(0)
    assert np.array_equal(first, cheetah.render(0))
    assert not np.array_equal(first, cheetah.render(1))
    for _ in range(3):
        cheetah.step(torch.ones(2, 2, 3))
    assert not np.array_equal(first, cheetah.render(0))


def test_size_can_be_set(cheetah):
    for width, height in ((64, 48), (1000, 700)):  # the second is larger than MuJoCo's own limit
        cheetah.render_size = (width, height)
        assert cheetah.render(0).shape == (height, width, 3)


@pytest.mark.parametrize("metres", [56.0, 1000.0])
def test_floor_and_light_go_along(cheetah, metres):
    """MuJoCo draws the floor 40 m wide. 56 m and 1,000 m are whole numbers of its tiles, so the picture is the same."""
    move(cheetah, 0, 0.0)
    here = cheetah.render(0).astype(int)
    move(cheetah, 0, metres)
    there = cheetah.render(0).astype(int)
    assert np.abs(here - there).mean() < 1.0
    move(cheetah, 0, metres + 0.5)
    assert np.abs(here - cheetah.render(0)).mean() > 10.0  # the tiles pass by


@pytest.mark.parametrize("task", [CHEETAH, "mamujoco/Ant-4x2"], ids=["batch", "pool"])
def test_looking_changes_nothing(task):
    traces = []
    for look in (False, True):
        env, trace = make(task, 2, seed=3, num_threads=1), []
        observations = env.reset()
        for index in range(5):
            if look:
                try:
                    env.render(index % 2)
                except DependencyError as error:
                    pytest.skip(str(error))
            actions = torch.full((2, env.spec.num_agents, env.spec.max_action_size), 0.1 * index)
            observations = env.step(actions).observations
            trace.append(observations.obs.clone())
        env.close()
        traces.append(torch.stack(trace))
    assert torch.equal(*traces)


def test_matrix_game_shows_its_table():
    env = make("matrix/uneven", 2)
    env.reset()
    picture = env.render(1)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert picture.max() == 255 and picture.min() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="EGL is Linux's")
@pytest.mark.parametrize(
    ("variables", "mend"),
    [
        ({"__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"}, "): apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri"),
        ({"MUJOCO_GL": "glfw"}, "set MUJOCO_GL=egl"),
        ({"MUJOCO_GL": "disable"}, "set MUJOCO_GL=egl"),
        ({"DISPLAY": ":98765"}, "set MUJOCO_GL=egl"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_without_opengl_one_error_names_the_packages(variables, mend):
    """The first case hides Mesa from the real EGL library; in the others the user or a dead screen stand in the way."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    done = subprocess.run([sys.executable, "-c", CODE], env={**clean, **variables}, capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("DependencyError rendering needs OpenGL") and done.stdout.count("\n") == 1
    assert mend in done.stdout and "apt-get install -y libegl1" in done.stdout
