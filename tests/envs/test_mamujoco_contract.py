"""The family mamujoco keeps the contract of an environment: reproducible, resumable, nothing lost at an episode's end."""

from __future__ import annotations

import copy as copying
import os
import sys
from typing import Any

import numpy as np
import pytest
import torch

import a2po.envs
from a2po.envs.episodes import episode_seed
from a2po.envs.protocol import Observations, Step, VectorEnv
from a2po.errors import CheckpointError, DependencyError

pytest.importorskip("mujoco")

# One of every kind: pool with and without resets, batch with and without resets, agents of different sizes, standardised
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("Ant-8x1", {}),
    ("Humanoid-9|8", {}),
    ("HumanoidStandup-17x1", {"max_episode_steps": 9}),
    ("HalfCheetah-6x1", {"max_episode_steps": 13}),
    ("Hopper-3x1", {}),
    ("Walker2d-3x2", {"obsk": "full", "agent_ids": True}),
    ("Humanoid-9|8", {"profile": "paper"}),
]
kinds = pytest.mark.parametrize(("task", "options"), KINDS, ids=[f"{task}-{number}" for number, (task, _) in enumerate(KINDS)])


def make(task: str, num_envs: int, **options: Any) -> VectorEnv:
    env: VectorEnv = a2po.envs.make(f"mamujoco/{task}", num_envs, **options)
    return env


def actions_for(env: VectorEnv, step: int, copies: int | None = None) -> torch.Tensor:
    """Random actions that depend on the copy and the step alone."""
    spec = env.spec
    shape = (spec.num_agents, spec.max_action_size)
    high = float(spec.action_spaces[0].high[0])  # type: ignore[union-attr]
    drawn = [np.random.default_rng([copy, step]).uniform(-high, high, shape) for copy in range(copies or env.num_envs)]
    return torch.tensor(np.array(drawn), dtype=torch.float32)


def play(env: VectorEnv, steps: int, first: int = 0) -> list[Step]:
    """Play and keep copies of everything."""
    return [copying.deepcopy(env.step(actions_for(env, step))) for step in range(first, first + steps)]


def assert_equal_steps(first: list[Step], second: list[Step], copies: int) -> None:
    for one, two in zip(first, second, strict=True):
        ended = (one.terminated | one.truncated)[:copies]
        for name in ("reward", "terminated", "truncated", "invalid"):
            assert torch.equal(getattr(one, name)[:copies], getattr(two, name)[:copies]), name
        for left, right, rows in ((one.observations, two.observations, slice(None)), (one.final, two.final, ended)):
            assert torch.equal(left.obs[:copies][rows], right.obs[:copies][rows])
            assert torch.equal(left.state[:copies][rows], right.state[:copies][rows])


@kinds
def test_nothing_depends_on_the_number_of_copies_or_threads(task: str, options: dict[str, Any]) -> None:
    reference = None
    for num_envs, num_threads in ((3, 1), (3, 2), (1, 1), (16, 1), (16, 3)):
        env = make(task, num_envs, seed=5, num_threads=num_threads, **options)
        env.reset()
        steps = play(env, 30)
        reference = reference or steps
        assert_equal_steps(reference, steps, min(3, num_envs))
        env.close()


@pytest.mark.parametrize("task", ["HalfCheetah-6x1", "Hopper-3x1", "Walker2d-2x3", "Ant-4x2", "Humanoid-9|8", "HumanoidStandup-9|8"])
def test_both_backends_give_the_same_bits(task: str) -> None:
    played = []
    for backend in ("pool", "batch"):
        env = make(task, 4, backend=backend, contact_forces=False, max_episode_steps=25)
        env.reset()
        played.append(play(env, 60))
    assert_equal_steps(played[0], played[1], 4)


@kinds
def test_a_saved_state_continues_bit_for_bit(task: str, options: dict[str, Any]) -> None:
    env = make(task, 3, seed=1, **options)
    env.reset()
    play(env, 17)
    saved = copying.deepcopy(env.state_dict())
    expected, records = play(env, 20, first=17), env.drain_episodes()
    other = make(task, 3, seed=99, num_threads=1, **options)
    other.load_state_dict(saved)
    assert_equal_steps(expected, play(other, 20, first=17), 3)
    assert other.drain_episodes() == records
    env.load_state_dict(saved)  # and back in time
    assert_equal_steps(expected, play(env, 20, first=17), 3)


def test_a_saved_state_is_plain_data() -> None:
    env = make("Hopper-3x1", 2)
    env.reset()
    play(env, 30)

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)
        else:
            assert isinstance(value, (np.ndarray, torch.Tensor, int, float, str)), type(value)

    check(env.state_dict())
    with pytest.raises(CheckpointError, match="2 copies of mamujoco/Hopper-3x1"):
        make("Hopper-3x1", 3).load_state_dict(env.state_dict())


@kinds
def test_episode_seeds_replay_episodes(task: str, options: dict[str, Any]) -> None:
    env = make(task, 3, seed=2, **options)
    env.reset()
    assert env.episode_seeds.tolist() == [episode_seed(2, copy, 0) for copy in range(3)]
    play(env, 40)
    seeds = env.episode_seeds
    assert seeds.dtype == np.int64
    first = copying.deepcopy(env.reset(seeds))
    steps = play(env, 5)
    other = make(task, 3, seed=77, **options)
    assert torch.equal(other.reset(seeds.tolist()).obs, first.obs)
    assert_equal_steps(steps, play(other, 5), 3)
    assert torch.equal(make(task, 1, **options).reset(seeds[1:2]).obs[0], first.obs[1])
    with pytest.raises(ValueError, match="one seed per copy"):
        env.reset([1])


@kinds
def test_out_is_filled(task: str, options: dict[str, Any]) -> None:
    plain, filling = make(task, 2, seed=3, **options), make(task, 2, seed=3, **options)
    first = plain.reset()
    assert torch.equal(filling.reset().obs, first.obs)
    buffer = Observations(
        torch.full((30, *first.obs.shape), 7.0),
        torch.full((30, *first.state.shape), 7.0),
        None,
        torch.zeros(30, 2, plain.spec.num_agents, dtype=torch.bool),
    )
    expected = []
    for index in range(30):
        slot = Observations(buffer.obs[index], buffer.state[index], None, buffer.alive[index])
        step = filling.step(actions_for(filling, index), slot)
        assert step.observations is slot
        expected.append(copying.deepcopy(plain.step(actions_for(plain, index))))
    for index, step in enumerate(expected):
        assert torch.equal(buffer.obs[index], step.observations.obs)
        assert torch.equal(buffer.state[index], step.observations.state)
    assert buffer.alive.all()
    strided = Observations(
        torch.zeros(2, plain.spec.num_agents, first.obs.shape[2], 2)[..., 0],
        torch.zeros(2, first.state.shape[1], 2)[..., 0],
        None,
        first.alive,
    )
    filling.step(actions_for(filling, 30), strided)
    assert torch.equal(strided.obs, plain.step(actions_for(plain, 30)).observations.obs)


@kinds
def test_shapes_types_and_padding(task: str, options: dict[str, Any]) -> None:
    env = make(task, 2, **options)
    assert isinstance(env, VectorEnv)
    spec, seen = env.spec, env.reset()
    assert seen.obs.shape == (2, spec.num_agents, spec.max_obs_size) and seen.obs.dtype == torch.float32
    assert seen.state.shape == (2, spec.state_size) and seen.state.dtype == torch.float32
    assert seen.action_mask is None and seen.alive.all() and seen.alive.shape == (2, spec.num_agents)
    for step in play(env, 30):
        assert (step.reward.dtype, step.reward.shape) == (torch.float32, (2,))
        assert all(flag.dtype == torch.bool and flag.shape == (2,) for flag in (step.terminated, step.truncated, step.invalid))
        for agent, size in enumerate(spec.obs_sizes):
            assert not step.observations.obs[:, agent, size:].any()
            assert not step.final.obs[:, agent, size:].any()


def test_padding_in_actions_is_ignored() -> None:
    env, other = (make("Humanoid-9|8", 2) for _ in range(2))
    env.reset([1, 2]), other.reset([1, 2])
    actions = actions_for(env, 0)
    noisy = actions.clone()
    noisy[:, 1, 8] = float("nan")
    assert torch.equal(env.step(actions).reward, other.step(noisy).reward)


def test_final_observations_and_records() -> None:
    env = make("HalfCheetah-2x3", 2, max_episode_steps=4)
    longer = make("HalfCheetah-2x3", 2)
    env.reset()
    seeds = env.episode_seeds
    longer.reset(seeds)
    steps, going_on = play(env, 4), play(longer, 4)
    assert steps[3].truncated.all() and not steps[3].terminated.any()
    assert torch.equal(steps[3].final.obs, going_on[3].observations.obs)  # the true successor
    assert torch.equal(steps[3].final.state, going_on[3].observations.state)
    fresh = make("HalfCheetah-2x3", 2).reset(env.episode_seeds)
    assert torch.equal(steps[3].observations.obs, fresh.obs)
    records = env.drain_episodes()
    assert [record["copy"] for record in records] == [0, 1]
    assert [record["seed"] for record in records] == seeds.tolist()
    assert env.drain_episodes() == []
    for copy, record in enumerate(records):
        assert (record["length"], record["invalid"]) == (4, False)
        assert record["return"] == pytest.approx(sum(float(step.reward[copy]) for step in steps), rel=1e-5)
        cost = sum(0.1 * float(actions_for(env, step)[copy].square().sum()) for step in range(4))
        assert record["control_cost"] == pytest.approx(cost, rel=1e-5)
        assert record["distance"] == pytest.approx((record["return"] + cost) * 0.05, rel=1e-4)  # reward = x / dt - cost


def test_step_before_reset_and_closing_twice() -> None:
    env = make("Ant-4x2", 3, num_threads=2)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(torch.zeros(3, 4, 2))
    env.close()
    env.close()


@pytest.mark.parametrize("task", ["HalfCheetah-2x3", "Ant-4x2"])
def test_rendering(task: str) -> None:
    env = make(task, 2)
    env.reset()
    before = copying.deepcopy(env.state_dict())
    try:
        picture = env.render(1)
    except DependencyError as error:
        assert "apt-get install" in str(error)
        pytest.skip(str(error))
    assert picture.shape == (480, 480, 3) and picture.dtype == np.uint8
    assert picture.std() > 1.0
    assert np.array_equal(env.state_dict()["simulation"], before["simulation"])
    env.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="EGL is Linux's")
def test_rendering_without_opengl_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: Any) -> None:
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    for name in ("MUJOCO_GL", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("a2po.envs.mamujoco.rendering.importlib.reload", fail)
    env = make("HalfCheetah-2x3", 1)
    env.reset()
    with pytest.raises(DependencyError, match="apt-get install -y libegl1"):
        env.render(0)
    assert "MUJOCO_GL" not in os.environ
