"""Simulations that run away, actions that are not numbers, and MuJoCo's messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po.envs
from a2po.errors import ActionError

pytest.importorskip("mujoco")
# task, options: both backends, tasks with and without ends of their own
KINDS = [("HalfCheetah-2x3", {}), ("HalfCheetah-2x3", {"backend": "pool"}), ("Ant-4x2", {}), ("Humanoid-9|8", {}), ("Hopper-3x1", {})]


def make(task: str, num_envs: int = 3, **options: Any) -> Any:
    return a2po.envs.make(f"mamujoco/{task}", num_envs, **options)


def zeros(env: Any) -> torch.Tensor:
    return torch.zeros(env.num_envs, env.spec.num_agents, env.spec.max_action_size)


def blow_up(env: Any, copy: int, value: float) -> None:
    """Give one copy an absurd velocity."""
    saved = env.state_dict()
    saved["simulation"][copy, 1 + env.model.nq : 1 + env.model.nq + env.model.nv] = value  # after time and qpos
    env.load_state_dict(saved)


@pytest.mark.parametrize("value", [1e15, float("nan")])
@pytest.mark.parametrize(("task", "options"), KINDS)
def test_a_runaway_simulation_ends_as_invalid(
    task: str, options: dict[str, Any], value: float, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    env, healthy = make(task, seed=4, **options), make(task, seed=4, **options)
    env.reset(), healthy.reset()
    env.step(zeros(env)), healthy.step(zeros(env))
    seeds = env.episode_seeds
    blow_up(env, 1, value)
    step, expected = env.step(zeros(env)), healthy.step(zeros(env))
    assert step.invalid.tolist() == [False, True, False]
    assert step.terminated.tolist() == [False, True, False] and not step.truncated.any()
    assert step.reward[1] == 0.0
    assert torch.isfinite(step.observations.obs).all() and torch.isfinite(step.final.obs).all() and torch.isfinite(step.reward).all()
    for copy in (0, 2):  # the others never notice
        assert torch.equal(step.observations.obs[copy], expected.observations.obs[copy])
        assert step.reward[copy] == expected.reward[copy]
    assert env.episode_seeds[1] != seeds[1] and env.episode_seeds[0] == seeds[0]
    [record] = env.drain_episodes()
    assert (record["copy"], record["seed"], record["length"], record["invalid"]) == (1, int(seeds[1]), 2, True)
    fresh = make(task, 1, **options).reset(env.episode_seeds[1:2])
    assert torch.equal(step.observations.obs[1], fresh.obs[0])
    again = env.step(zeros(env))
    assert not again.invalid.any()
    assert list(tmp_path.iterdir()) == []  # no MUJOCO_LOG.TXT
    assert capfd.readouterr() == ("", "")


def test_a_fault_at_the_step_limit_is_not_a_truncation() -> None:
    env = make("HalfCheetah-2x3", max_episode_steps=1)
    env.reset()
    blow_up(env, 0, 1e15)
    step = env.step(zeros(env))
    assert step.truncated.tolist() == [False, True, True]
    assert step.terminated.tolist() == [True, False, False]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_actions_that_are_not_finite_are_refused(value: float) -> None:
    env = make("Humanoid-9|8")
    env.reset()
    before = env.state_dict()["simulation"]
    actions = zeros(env)
    actions[2, 1, 3] = value
    with pytest.raises(ActionError, match=rf"agent_1 in copy 2 is not finite: {env.spec.action_names[1][3]} = {value}"):
        env.step(actions)
    assert np.array_equal(env.state_dict()["simulation"], before)
    assert not env.step(zeros(env)).invalid.any()


def test_actions_of_a_wrong_shape_are_refused() -> None:
    env = make("Ant-4x2")
    env.reset()
    with pytest.raises(ActionError, match=r"\[3, 4, 2\], got \[3, 8\]"):
        env.step(torch.zeros(3, 8))


def test_nothing_is_printed_or_left_behind(tmp_path: Path) -> None:
    """A process of its own: MuJoCo warns of deprecated XML when a model is loaded."""
    code = (
        "import torch, a2po.envs\n"
        "for task in ('HalfCheetah-2x3', 'Ant-4x2', 'Walker2d-2x3', 'Humanoid-9|8'):\n"
        "    env = a2po.envs.make('mamujoco/' + task, 2)\n"
        "    env.reset()\n"
        "    env.step(torch.zeros(2, 2 if '4x2' not in task else 4, env.spec.max_action_size))\n"
        "    env.close()\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_processs_own_log_settings_survive() -> None:
    import mujoco

    if not hasattr(mujoco, "MjLogConfig"):
        pytest.skip("MuJoCo < 4")
    before = mujoco.MjLogConfig.get()
    env = make("Ant-4x2", num_threads=2)
    env.reset()
    env.step(zeros(env))
    after = mujoco.MjLogConfig.get()
    assert (after.logto_console, after.logto_file, after.logfile) == (before.logto_console, before.logto_file, before.logfile)
