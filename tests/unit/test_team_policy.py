"""TeamPolicy: sampling, its log-probabilities, real widths against padding, and its saved state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import Tensor

from a2po.config import NetworkConfig
from a2po.envs.protocol import Observations, TaskSpec
from a2po.envs.registry import make
from a2po.errors import ConfigError
from a2po.networks.team_policy import TeamActions, TeamPolicy
from a2po.testing import RandomPlayer

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS: dict[str, dict[str, Any]] = {
    "mamujoco/HalfCheetah-2x3": {"num_threads": 1, "max_episode_steps": 20},
    "mamujoco/Humanoid-9|8": {"num_threads": 1, "max_episode_steps": 20},
    "matrix/uneven": {"length": 3},
}
NETWORKS = {
    "plain": NetworkConfig(),
    "layer norm": NetworkConfig(layer_norm=True, activation="relu", hidden_sizes=(24, 16, 8)),
    "shared": NetworkConfig(share_parameters=True),
    "shared, layer norm": NetworkConfig(share_parameters=True, layer_norm=True, activation="relu", hidden_sizes=(24, 16, 8)),
}
B = 5


_SEEN: dict[str, tuple[TaskSpec, Observations, Tensor]] = {}


def seen(task: str) -> tuple[TaskSpec, Observations, Tensor]:
    """A task's spec, observations of B copies a few steps in, and a rollout [T, B, N, O] for the statistics."""
    if task not in _SEEN:
        env = make(task, B, seed=1, **TASKS[task])
        player, now, rows = RandomPlayer(env), env.reset(), []
        for _ in range(4):
            rows.append(now.obs.clone())
            now = env.step(player(now)).observations
        copies = Observations(*(None if values is None else values.clone() for values in now))  # type: ignore[arg-type]
        _SEEN[task] = env.spec, copies, torch.stack(rows)
        env.close()
    return _SEEN[task]


def trained_team(task: str, network: NetworkConfig = NETWORKS["plain"], seed: int = 0) -> TeamPolicy:
    """A team whose heads, biases and normalisers are no longer those of the start, but whose padding is untouched."""
    spec, _, rollout = seen(task)
    team = TeamPolicy(spec, network, seed=seed)
    noise = torch.randn(team.actors.values.shape, generator=torch.Generator().manual_seed(seed + 1))
    team.actors.values.mul_(1.0 + 0.3 * noise)
    if team.shared:  # whose padding is somebody's
        team.actors.values.add_(0.1 * noise)
    last = f"linear{len(network.hidden_sizes)}_weight"
    team.actors.views(team.actors.values)[last].mul_(40.0)
    state = torch.randn(4, B, spec.state_size, generator=torch.Generator().manual_seed(7))
    team.update_statistics(rollout, state, torch.ones(rollout.shape[:3], dtype=torch.bool))
    return team


def act(team: TeamPolicy, observations: Observations, seed: int | None) -> TeamActions:
    noise = None if seed is None else torch.Generator().manual_seed(seed)
    return team.act(observations.obs, observations.action_mask, team.initial_state(B), noise)


@torch.no_grad()
def log_probs(team: TeamPolicy, observations: Observations, samples: Tensor, agents: slice) -> Tensor:
    """[n, B] of samples [B, N, ...] under some agents' actors."""
    actor = team.actor(agents.start, agents.stop)
    masks = None if observations.action_mask is None else observations.action_mask.transpose(0, 1)[agents]
    parameters, _ = actor(observations.obs.transpose(0, 1)[agents], masks, team.initial_state(B)[agents])
    return actor.distribution(parameters).log_prob(samples.transpose(0, 1)[agents])


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_log_probs_of_a_slice_are_those_of_the_stack(task: str, network: NetworkConfig) -> None:
    """Over samples that were played."""
    _, observations, _ = seen(task)
    team = trained_team(task, network)
    samples = act(team, observations, seed=3).samples
    stacked = log_probs(team, observations, samples, slice(0, team.spec.num_agents))
    for agent in range(team.spec.num_agents):
        own = log_probs(team, observations, samples, slice(agent, agent + 1))
        torch.testing.assert_close(own[0], stacked[agent], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_greedy_is_deterministic_and_the_mode(task: str) -> None:
    _, observations, _ = seen(task)
    team = trained_team(task)
    one, two = act(team, observations, None), act(team, observations, None)
    assert torch.equal(one.actions, two.actions)
    everyone = slice(0, team.spec.num_agents)
    likelihood = log_probs(team, observations, one.samples, everyone)
    assert (likelihood >= log_probs(team, observations, act(team, observations, 5).samples, everyone) - 1e-5).all()
    assert_legal(team.spec, observations, one.actions)


@pytest.mark.parametrize("task", TASKS)
def test_samples_follow_their_stream_and_are_legal(task: str) -> None:
    _, observations, _ = seen(task)
    team = trained_team(task)
    views = team.actors.views(team.actors.values)
    if "log_std" in views:
        views["log_std"].add_(1.5 * (views["log_std"] != 0))  # wide: many samples leave [-1, 1]
    assert torch.equal(act(team, observations, 3).samples, act(team, observations, 3).samples)
    assert any(not torch.equal(act(team, observations, 3).samples, act(team, observations, seed).samples) for seed in range(4, 14))
    for seed in range(20):
        assert_legal(team.spec, observations, act(team, observations, seed).actions)


def assert_legal(spec: TaskSpec, observations: Observations, actions: Tensor) -> None:
    if spec.discrete:
        assert observations.action_mask is not None and actions.dtype == torch.int64
        assert observations.action_mask.gather(2, actions.unsqueeze(-1)).all()
        return
    for agent, (space, size) in enumerate(zip(spec.action_spaces, spec.action_sizes, strict=True)):
        assert isinstance(space, Box)
        assert all(space.contains(row.numpy()) for row in actions[:, agent, :size])
        assert not actions[:, agent, size:].any()


def test_env_units_stay_inside_any_box() -> None:
    """Bounds that float32 cannot halve exactly: the ends of the scale may not overshoot by a rounding error."""
    spec = seen("mamujoco/HalfCheetah-2x3")[0]
    stream = np.random.default_rng(0)
    for _ in range(50):
        bounds = np.sort(stream.normal(size=(2, 2, 3)) * 10 ** stream.uniform(-2, 2), axis=0).astype(np.float32)
        boxes = tuple(Box(bounds[0, agent], bounds[1, agent], dtype=np.float32) for agent in range(2))
        team = TeamPolicy(replace(spec, action_spaces=boxes), NetworkConfig(hidden_sizes=(4,)), seed=0)
        ends = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])[:, None, None].expand(-1, 2, 3)
        actions = team.to_env_units(ends)
        for agent, box in enumerate(boxes):
            assert all(box.contains(row.numpy()) for row in actions[:, agent])
        torch.testing.assert_close(actions[0], torch.from_numpy(bounds[0]))
        torch.testing.assert_close(actions[4], torch.from_numpy(bounds[1]))


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_a_single_actor_at_its_real_sizes_equals_the_stack(task: str, network: NetworkConfig, normalise: bool) -> None:
    _, observations, _ = seen(task)
    team = trained_team(task, network.model_copy(update={"normalise_observations": normalise}))
    spec = team.spec
    masks = None if observations.action_mask is None else observations.action_mask.transpose(0, 1)
    stacked, _ = team.actor(0, spec.num_agents)(observations.obs.transpose(0, 1), masks, team.initial_state(B))
    for agent, (width, size) in enumerate(zip(spec.obs_sizes, spec.action_sizes, strict=True)):
        single = team.single_actor(agent)
        assert single.weights["linear0_weight"].shape[0] == width + spec.num_agents * team.shared
        mask = None if masks is None else masks[agent, :, :size]
        parameters, _ = single(observations.obs[:, agent, :width], mask, torch.zeros(B, 0, 0))
        torch.testing.assert_close(parameters[0], stacked[0][agent, :, :size], rtol=1e-4, atol=1e-5)
        if not spec.discrete:
            assert torch.equal(parameters[1], stacked[1][agent, :size])


def test_a_single_actor_is_an_own_copy() -> None:
    team = trained_team("mamujoco/HalfCheetah-2x3")
    single = team.single_actor(1)
    before = {name: value.clone() for name, value in single.state_dict().items()}
    assert single.scale is not None
    scale = single.scale.mean.clone()
    team.actors.values.zero_()
    team.obs_norm.update(torch.full((3, *team.obs_norm.shape), 50.0))
    assert all(torch.equal(value, before[name]) for name, value in single.state_dict().items())
    assert torch.equal(single.scale.mean, scale)


@pytest.mark.parametrize("task", TASKS)
def test_padding_enters_no_log_prob_entropy_or_gradient(task: str) -> None:
    """Rubbish in an agent's padded observation, sample and log_std changes nothing, and nothing flows there."""
    _, observations, _ = seen(task)
    team = trained_team(task, NETWORKS["layer norm"])
    spec = team.spec
    smaller = [agent for agent in range(spec.num_agents) if spec.action_sizes[agent] < spec.max_action_size]
    assert smaller or task == "mamujoco/HalfCheetah-2x3"
    actor = team.actor(0, spec.num_agents)
    masks = None if observations.action_mask is None else observations.action_mask.transpose(0, 1)
    obs = observations.obs.transpose(0, 1).clone()
    samples = act(team, observations, 3).samples.transpose(0, 1).clone()

    def numbers() -> tuple[Tensor, Tensor]:
        distribution = actor.distribution(actor(obs, masks, team.initial_state(B))[0])
        return distribution.log_prob(samples), distribution.entropy()

    clean = [values.detach().clone() for values in numbers()]
    if not spec.discrete:
        for agent in smaller:
            size = spec.action_sizes[agent]
            assert not samples[agent, :, size:].any()
            samples[agent, :, size:] = 1e3
            team.actors.views(team.actors.values)["log_std"][agent, size:] = 1.7
    for mine, other in zip(numbers(), clean, strict=True):
        assert torch.equal(mine.detach(), other)
    log_probs, entropy = numbers()
    leaves = [actor.weights[name] for name in team.actors.shapes]
    gradients = dict(zip(team.actors.shapes, torch.autograd.grad(log_probs.sum() + entropy.sum(), leaves), strict=True))
    last = len(team.network.hidden_sizes)
    for agent, (width, size) in enumerate(zip(spec.obs_sizes, spec.action_sizes, strict=True)):
        assert not gradients[f"linear{last}_weight"][agent, :, size:].any()
        assert not gradients[f"linear{last}_bias"][agent, size:].any()
        assert not gradients["linear0_weight"][agent, width:].any()
        assert spec.discrete or not gradients["log_std"][agent, size:].any()
    if spec.discrete:
        legal = torch.tensor(spec.action_sizes).double().log()
        assert (entropy <= legal[:, None] + 1e-6).all()


@pytest.mark.parametrize(("critics", "count"), [("per_agent", 2), ("one", 1)])
@pytest.mark.parametrize("task", ["mamujoco/HalfCheetah-2x3", "matrix/uneven"])
def test_critics(task: str, critics: Any, count: int) -> None:
    spec, observations, _ = seen(task)
    team = TeamPolicy(spec, NetworkConfig(critics=critics), seed=0)
    values = team.values(observations.state, team.initial_memory(B))[0]
    assert team.num_critics == count and tuple(values.shape) == (count, B)
    if count == 2:
        assert not torch.equal(values[0], values[1])
        torch.testing.assert_close(team.critic(1, 2)(observations.state, team.initial_memory(B)[1:])[0][0], values[1])
    team.value_norm.update(torch.arange(count).float()[None] * 10.0 + torch.tensor([[1.0], [3.0]]))
    torch.testing.assert_close(team.normalise_returns(team.denormalise_values(values)), values, rtol=1e-4, atol=1e-4)
    returns = team.denormalise_values(torch.zeros(count, 1))
    torch.testing.assert_close(returns, torch.arange(count).float()[:, None] * 10.0 + 2.0)
    plain = TeamPolicy(spec, NetworkConfig(critics=critics, normalise_values=False), seed=0)
    assert plain.denormalise_values(values) is values and plain.normalise_returns(values) is values


def test_states_of_their_own() -> None:
    """Where every agent has its own central state, critic i reads state i, normalised by its own statistics."""
    spec = replace(seen("mamujoco/HalfCheetah-2x3")[0], state_per_agent=True)
    team = TeamPolicy(spec, NetworkConfig(), seed=0)
    state = torch.randn(B, 2, spec.state_size, generator=torch.Generator().manual_seed(1))
    team.state_norm.update(torch.stack([state[:, 0] * 3 + 1, state[:, 1] * 0.1], 1))
    memory = team.initial_memory(B)
    values = team.values(state, memory)[0]
    changed = state.clone()
    changed[:, 1] += 1.0
    after = team.values(changed, memory)[0]
    assert torch.equal(after[0], values[0]) and not torch.equal(after[1], values[1])
    torch.testing.assert_close(team.critic(1, 2)(state[:, 1][None], memory[1:])[0][0], values[1])
    with pytest.raises(ConfigError, match="critics"):
        TeamPolicy(spec, NetworkConfig(critics="one"), seed=0)


@contextmanager
def unchanged(*tensors: Tensor) -> Iterator[None]:
    before = [tensor.clone() for tensor in tensors]
    yield
    assert all(torch.equal(one, two) for one, two in zip(tensors, before, strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_state_round_trip(task: str) -> None:
    spec, observations, _ = seen(task)
    team = trained_team(task)
    team.value_norm.update(torch.randn(9, team.num_critics))
    team.actors.first_moments.normal_()
    other = TeamPolicy(spec, NETWORKS["plain"], seed=5)
    act(other, observations, None)  # fills the caches, which must not go stale
    other.values(observations.state, other.initial_memory(B))
    saved = {name: value.clone() for name, value in team.state_dict().items()}
    other.load_state_dict(saved)
    assert saved.keys() == other.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in other.state_dict().items())
    for seed in (None, 2):
        mine, theirs = act(team, observations, seed), act(other, observations, seed)
        assert torch.equal(mine.actions, theirs.actions) and torch.equal(mine.state_out, theirs.state_out)
    memory = team.initial_memory(B)
    assert torch.equal(team.values(observations.state, memory)[0], other.values(observations.state, memory)[0])
    values = torch.ones(team.num_critics, 1)
    assert torch.equal(team.denormalise_values(values), other.denormalise_values(values))
    with unchanged(*saved.values()):  # the saved tensors are not the living ones
        other.actors.values.add_(1.0)


def test_networks_have_streams_of_their_own() -> None:
    spec = seen("mamujoco/HalfCheetah-2x3")[0]
    one, again, other = (TeamPolicy(spec, NetworkConfig(), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.actors.values, again.actors.values) and torch.equal(one.critics.values, again.critics.values)
    assert not torch.equal(one.actors.values, other.actors.values)
    assert not torch.equal(one.actors.values[0], one.actors.values[1])
    shared = TeamPolicy(spec, NetworkConfig(critics="one"), seed=0)
    assert torch.equal(shared.actors.values, one.actors.values)  # what the critics are does not shift the actors' numbers


def test_statistics_count_living_agents_only() -> None:
    spec, _, rollout = seen("mamujoco/HalfCheetah-2x3")
    team = TeamPolicy(spec, NetworkConfig(), seed=0)
    alive = torch.ones(rollout.shape[:3], dtype=torch.bool)
    alive[2:, :, 1] = False
    spoilt = rollout.clone()
    spoilt[2:, :, 1] = 1e6
    team.update_statistics(spoilt, torch.zeros(*rollout.shape[:2], spec.state_size), alive)
    torch.testing.assert_close(team.obs_norm.mean[1], rollout[:2, :, 1].flatten(0, 1).mean(0), rtol=1e-4, atol=1e-5)
    frozen = TeamPolicy(spec, NetworkConfig(normalise_observations=False), seed=0)
    with unchanged(frozen.obs_norm.mean, frozen.state_norm.mean):
        frozen.update_statistics(rollout, torch.ones(*rollout.shape[:2], spec.state_size), alive)
    assert frozen.actor(0, 2).scale is None
