"""What agents remember, in main memory and on the device. The device is the CPU here; the code that binds buffers is the same."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.errors import ObservationError
from a2po.runtime import Team, actors
from a2po.runtime.memory import DeviceMemory, HostMemory, merged

MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 2, "recurrent_size": 12}
TASKS = {
    "discrete, one file": ("matrix/climbing", {"share_parameters": True, **MEMORY}),
    "discrete, uneven": ("matrix/uneven", MEMORY),
    "continuous, one file": ("mamujoco/HalfCheetah-2x3", {"share_parameters": True, **MEMORY}),
}


@pytest.fixture(scope="module", params=TASKS.values(), ids=TASKS)
def bundle(request, policy_at, build, tmp_path_factory):
    task, network = request.param
    return build(policy_at(tmp_path_factory.mktemp("memory") / "run", task, **network))


@pytest.fixture
def both(bundle, monkeypatch):
    """The same team twice, with its memory in either place."""
    monkeypatch.setitem(actors.PROVIDERS, "bound", actors.PROVIDERS["cpu"]._replace(device="cpu"))
    host, device = Team.load(bundle), Team.load(bundle, "bound")
    assert all(isinstance(group.memory, HostMemory) for group in host._groups)
    assert all(isinstance(group.memory, DeviceMemory) for group in device._groups)
    return host, device


def observations(team, batch, steps, seed=0):
    task = team.manifest["task"]
    return np.random.default_rng(seed).normal(size=(steps, batch, len(team.agents), task["obs_width"])).astype(np.float32)


def same(host, device):
    assert host.memory.keys() == device.memory.keys() == set(host.agents)
    for name, kept in device.memory.items():
        np.testing.assert_array_equal(kept, host.memory[name])
        assert kept.any()


def test_memory_on_the_device_is_the_same(both):
    host, device = both
    rngs = [np.random.default_rng(3) for _ in both]
    for step, obs in enumerate(observations(host, 5, 12)):
        played = [team.act(obs, noise=rng if step % 2 else None) for team, rng in zip(both, rngs, strict=True)]
        np.testing.assert_array_equal(*played)
        if step % 3 == 2:
            for team in both:
                team.reset(np.isin(np.arange(5), [step % 5, 1]))
            assert not any(kept[1].any() for kept in device.memory.values())
        if step == 7:
            for team in both:
                team.reset()
            assert not device.memory
            continue
        same(host, device)


def test_some_of_the_agents_on_the_device(both):
    host, device = both
    for step, obs in enumerate(observations(host, 3, 6)):
        names = host.agents if step % 2 == 0 else host.agents[1:]
        seen = {name: obs[:, column, : host.bundle.agents[column].obs_size] for column, name in enumerate(host.agents) if name in names}
        before = host.memory
        played = [team.act(seen) for team in both]
        for name in names:
            np.testing.assert_array_equal(played[0][name], played[1][name])
        same(host, device)
        if step % 2:
            np.testing.assert_array_equal(host.memory[host.agents[0]], before[host.agents[0]])  # it did not play


def test_faults_on_the_device(both, bundle):
    host, device = Team.load(bundle, on_fault="fallback"), Team.load(bundle, "bound", on_fault="fallback")
    for step, obs in enumerate(observations(host, 3, 5)):
        if step > 1:
            obs[2, 1, 0] = np.nan
        np.testing.assert_array_equal(host.act(obs), device.act(obs))
        same(host, device)
    assert host.faults == device.faults == {("observation", host.agents[1]): 3}


def test_a_step_that_failed_leaves_nothing_behind(both):
    """Neither the memory of its number of games nor what its agents would have remembered."""
    obs = observations(both[0], 3, 3)
    first = both[0].bundle.agents[0]
    for team in both:
        team.act(obs[0])
        healthy, ill = team.memory, team.memory
        ill[first.name][0] = np.nan
        team.memory = ill
        with pytest.raises(ObservationError, match="its outputs for row 0 are not finite"):
            team.act({first.name: obs[1, :, 0, : first.obs_size]})
        team.memory = healthy
        team.act(obs[2])
    same(*both)
    for team in both:
        team.reset()
        team._groups[0]._greedy_outputs = ["action", "nothing"]
        with pytest.raises(Exception, match="nothing"):
            team.act(obs[0])
        assert not team.memory


def test_memory_may_be_set(both):
    host, device = both
    obs = observations(host, 4, 3)
    for team in both:
        team.act(obs[0])
        team.memory = {name: kept[[3, 1]] for name, kept in team.memory.items()}
    np.testing.assert_array_equal(host.act(obs[1, :2]), device.act(obs[1, :2]))
    same(host, device)
    for team in both:
        held = team.memory
        held[team.agents[0]][:] = 7.0  # a copy
        assert not (team.memory[team.agents[0]] == 7.0).any()
        with pytest.raises(ObservationError, match=r"3 rows, but its memory holds 2: call team.reset\(\) first"):
            team.act(obs[2, :3])
        with pytest.raises(ObservationError, match=rf"agent '{team.agents[0]}': memory: expected shape \[2, 2, 12\], got \[2, 12\]"):
            team.memory = {name: kept[:, 0] for name, kept in held.items()}
        for wrong in (3.0, "all", [[0.0], [0.0, 1.0]], None):
            with pytest.raises(ObservationError, match=rf"agent '{team.agents[0]}': memory: "):
                team.memory = {**held, team.agents[0]: wrong}
        with pytest.raises(ObservationError, match=rf"memory: no agent '{team.agents[0]}x'; did you mean '{team.agents[0]}'"):
            team.memory = {team.agents[0] + "x": held[team.agents[0]]}
        with pytest.raises(ObservationError, match="memory: expected a dict by agent name, got NoneType"):
            team.memory = None
        with pytest.raises(ObservationError, match=r"rows to reset: expected \[2\] bools or indices of 2 rows"):
            team.reset([2])
        team.memory = {}
        assert not team.memory


def test_a_step_that_did_not_happen_to_some():
    """Games 0 and 1, agents 0 to 2, of whom the last two play; agent 2 of game 0 is left out."""
    before, after = np.zeros((2, 3, 1, 1)), np.arange(1.0, 5.0).reshape(4, 1, 1)
    left_out = np.array([False, True, False, False])
    assert merged(before, after, [1, 2], left_out)[..., 0, 0].tolist() == [[0, 1, 0], [0, 3, 4]]
    assert merged(before, after, [1, 2], None)[..., 0, 0].tolist() == [[0, 1, 2], [0, 3, 4]]
    assert merged(before[:, 1:], after, None, left_out)[..., 0, 0].tolist() == [[1, 0], [3, 4]]
    assert not before.any()
