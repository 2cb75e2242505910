"""One network for all agents: the same numbers as N equal networks, told apart by an id, at every agent's real sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from a2po.config import NetworkConfig
from a2po.envs.protocol import TaskSpec
from a2po.envs.registry import make
from a2po.errors import ConfigError
from a2po.networks.team_policy import TeamPolicy

CHEETAH, HUMANOID, UNEVEN = "mamujoco/HalfCheetah-2x3", "mamujoco/Humanoid-9|8", "matrix/uneven"
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden_sizes": (12, 8)},
    "mlp, layer norm": {"hidden_sizes": (12, 8), "layer_norm": True, "activation": "relu"},
    "gru": {"hidden_sizes": (12,), "recurrent_layers": 2, "recurrent_size": 6, "head_sizes": (5,), "layer_norm": True},
}
LENGTH, ROWS = 3, 4


@pytest.fixture(scope="module")
def specs() -> dict[str, TaskSpec]:
    found = {}
    for task in (CHEETAH, HUMANOID, UNEVEN):
        env = make(task, 1, seed=1, **({"num_threads": 1} if task != UNEVEN else {}))
        found[task] = env.spec
        env.close()
    return found


def shared_team(spec: TaskSpec, **network: Any) -> TeamPolicy:
    """With weights, statistics and biases that are not those of the start."""
    team = TeamPolicy(spec, NetworkConfig(share_parameters=True, **network), seed=0)
    stream = torch.Generator().manual_seed(4)
    for stack in (team.actors, team.critics):
        stack.values.copy_(torch.randn(stack.values.shape, generator=stream) * 0.4)
    obs = data(team, 0)[0].transpose(0, 1)  # [M, N, O]
    alive = torch.ones(1, LENGTH * ROWS, spec.num_agents, dtype=torch.bool)
    team.update_statistics(obs[None] * 3.0, torch.randn(1, LENGTH * ROWS, spec.state_size, generator=stream) * 2.0, alive)
    return team


def data(team: TeamPolicy, seed: int) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
    """Observations [N, M, O] with zeros in the padding, action masks, memories [N, m, L, H], keep [T, m], samples."""
    spec, stream = team.spec, torch.Generator().manual_seed(seed)
    obs = torch.randn(spec.num_agents, LENGTH * ROWS, spec.max_obs_size, generator=stream)
    for agent, size in enumerate(spec.obs_sizes):
        obs[agent, :, size:] = 0.0
    legal = torch.arange(spec.max_action_size) < torch.tensor(spec.action_sizes)[:, None]
    masks = legal[:, None].expand(-1, LENGTH * ROWS, -1) if spec.discrete else None
    memory = torch.randn(spec.num_agents, ROWS, *team.actor_shape.state_shape, generator=stream)
    keep = (torch.rand(LENGTH, ROWS, generator=stream) > 0.3).double()
    samples = torch.randn((*obs.shape[:2], spec.max_action_size), generator=stream)
    return obs, masks, memory, keep, torch.zeros(obs.shape[:2], dtype=torch.int64) if spec.discrete else samples


def double_leaves(stack: Any, copies: int) -> dict[str, nn.Parameter]:
    """[copies, ...] of the shared parameters, in float64."""
    return {name: nn.Parameter(view.double().repeat(copies, *[1] * (view.dim() - 1))) for name, view in stack.views(stack.values).items()}


def without_padding(team: TeamPolicy, leaves: dict[str, nn.Parameter], agents: Sequence[int]) -> None:
    """Networks of their own have zeros where their agent has no feature."""
    if leaves["linear0_weight"].shape[0] == len(agents):
        for row, agent in enumerate(agents):
            for name in {"linear0_weight", "norm0_scale", "norm0_shift"} & leaves.keys():
                leaves[name].data[row, team.actor_shape.id_size + team.spec.obs_sizes[agent] :] = 0.0


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", [CHEETAH, HUMANOID, UNEVEN])
def test_actors_equal_separate_networks_with_equal_weights(task: str, network: dict[str, Any], specs: dict[str, TaskSpec]) -> None:
    """Log-probabilities, entropies and the sum of the gradients, of all agents and of some in another order."""
    team = shared_team(specs[task], **network)
    obs, masks, memory, keep, samples = data(team, 1)
    for agents in ([0, 1], [1, 0], [1]):
        found = []
        for copies in (1, len(agents)):
            leaves = double_leaves(team.actors, copies)
            if copies == len(agents) > 1:
                without_padding(team, leaves, agents)
            actor = team.make_actor(leaves, agents)
            parameters = actor.unroll(obs[agents].double(), None if masks is None else masks[agents], memory[agents].double(), keep)
            distribution = actor.distribution(parameters)
            chosen = samples[agents] if team.spec.discrete else samples[agents].double()
            log_probs, entropy = distribution.log_prob(chosen), distribution.entropy()
            assert tuple(log_probs.shape) == tuple(entropy.shape) == (len(agents), LENGTH * ROWS)
            gradients = torch.autograd.grad((log_probs.square() + entropy).sum(), list(leaves.values()))
            found.append((log_probs, entropy, {name: value.sum(0) for name, value in zip(leaves, gradients, strict=True)}))
        for mine, theirs in zip(found[0][:2], found[1][:2], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
        for name, gradient in found[0][2].items():
            if task == HUMANOID and name.startswith("norm0"):
                width = team.actor_shape.id_size + min(specs[task].obs_sizes)  # beyond, the separate ones have other scales
                gradient, found[1][2][name] = gradient[:width], found[1][2][name][:width]
            torch.testing.assert_close(gradient, found[1][2][name], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("critic_input", ["state", "observation"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", [CHEETAH, UNEVEN])
def test_critics_equal_separate_networks_with_equal_weights(
    task: str, network: dict[str, Any], critic_input: Any, specs: dict[str, TaskSpec]
) -> None:
    team = shared_team(specs[task], critic_input=critic_input, **network)
    obs, _, memory, keep, _ = data(team, 1)
    state = torch.randn(LENGTH * ROWS, team.spec.state_size, generator=torch.Generator().manual_seed(2)).double()
    for critics in ([0, 1], [1, 0], [1]):
        found = []
        for copies in (1, len(critics)):
            leaves = double_leaves(team.critics, copies)
            critic = team.make_critic(leaves, critics)
            seen = obs[critics].double() if team.critics_observe else state
            values = critic.unroll(seen, memory[critics].double(), keep)
            assert tuple(values.shape) == (len(critics), LENGTH * ROWS)
            gradients = torch.autograd.grad(values.square().sum(), list(leaves.values()))
            found.append([values, *(value.sum(0) for value in gradients)])
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("task", [CHEETAH, HUMANOID, UNEVEN])
def test_rows_of_any_subset_are_those_of_the_team(task: str, share: bool, specs: dict[str, TaskSpec]) -> None:
    """Also after the statistics moved: nothing in a network is a copy of them."""
    team = TeamPolicy(specs[task], NetworkConfig(share_parameters=share, hidden_sizes=(8,), layer_norm=True, head_gain=1.0), seed=0)
    obs, masks, memory, _, _ = data(team, 1)
    whole = team.actors.views(team.actors.values)
    agents = [1, 0]
    leaves = {name: nn.Parameter(view if share else view[agents]) for name, view in whole.items()}
    everyone, some = team.actor(0, 2), team.make_actor(leaves, agents)
    for _ in range(2):
        expected, _ = everyone(obs, masks, memory)
        parameters, _ = some(obs[agents], None if masks is None else masks[agents], memory[agents])
        for mine, theirs in zip(parameters, expected, strict=True):
            torch.testing.assert_close(mine, theirs[agents], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(expected[0][0, :, :2], expected[0][1, :, :2])
        seen = torch.randn(3, 4, 2, team.spec.max_obs_size) * 5.0
        team.update_statistics(seen, torch.zeros(3, 4, team.spec.state_size), torch.ones(3, 4, 2, dtype=torch.bool))


def test_an_id_tells_agents_apart_that_see_the_same(specs: dict[str, TaskSpec]) -> None:
    team = shared_team(specs[UNEVEN], hidden_sizes=(8,))
    obs = torch.randn(4, 1, 2).expand(-1, 2, -1)
    actor = team.actor(0, 2)
    (logits,), _ = actor(obs.transpose(0, 1), None, team.initial_state(4))
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    values, _ = team.values(torch.randn(4, 2), team.initial_memory(4))
    assert tuple(values.shape) == (2, 4) and (values[0] - values[1]).abs().max() > 1e-2
    # The id is what comes first: without its weights all are one.
    for stack in (team.actors, team.critics):
        stack.views(stack.values)["linear0_weight"][:, :2] = 0.0
    (logits,), _ = actor(obs.transpose(0, 1), None, team.initial_state(4))
    assert torch.equal(logits[0], logits[1])


def test_initial_weights_are_orthogonal_over_the_padded_width(specs: dict[str, TaskSpec]) -> None:
    spec = specs[HUMANOID]
    team, again = (TeamPolicy(spec, NetworkConfig(share_parameters=True, critics=kind), seed=0) for kind in ("per_agent", "one"))
    weight = team.actors.views(team.actors.values)["linear0_weight"]
    assert tuple(weight.shape) == (1, 2 + spec.max_obs_size, 64)
    torch.testing.assert_close(weight[0].T @ weight[0], 25.0 / 9.0 * torch.eye(64), rtol=0, atol=1e-4)
    assert torch.equal(team.actors.values, again.actors.values)
    assert (team.actors.num_networks, team.critics.num_networks, team.num_critics) == (1, 1, 2)
    assert (again.critics.num_networks, again.num_critics) == (1, 1)
    assert again.critic_shape.input_size == spec.state_size  # the team's value needs no id
    assert torch.equal(team.actors.views(team.actors.values)["log_std"], torch.full((1, spec.max_action_size), -0.5))


def test_statistics_are_pooled_where_features_have_the_same_names(specs: dict[str, TaskSpec]) -> None:
    spec = specs[CHEETAH]
    equal = replace(spec, feature_names=(spec.feature_names[0],) * 2)
    teams = [TeamPolicy(one, NetworkConfig(share_parameters=True), seed=0) for one in (spec, equal)]
    assert [team.obs_norm.shape for team in teams] == [(2, spec.max_obs_size), (spec.max_obs_size,)]
    assert TeamPolicy(equal, NetworkConfig(), seed=0).obs_norm.shape == (2, spec.max_obs_size)
    obs = torch.randn(5, 4, 2, spec.max_obs_size) + torch.tensor([0.0, 8.0])[:, None]
    alive = torch.ones(5, 4, 2, dtype=torch.bool)
    alive[3:, :, 1] = False
    for team in teams:
        team.update_statistics(obs, torch.zeros(5, 4, spec.state_size), alive)
    assert teams[1].obs_norm.count.tolist() == [20 + 12]
    torch.testing.assert_close(teams[1].obs_norm.mean, obs[alive].mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(teams[0].obs_norm.mean[1], obs[:3, :, 1].mean((0, 1)), rtol=1e-4, atol=1e-4)
    for team in teams:
        (mean, _), _ = team.actor(0, 2)(obs[0].transpose(0, 1), None, team.initial_state(4))
        for agent in range(2):
            (own, _), _ = team.single_actor(agent)(obs[0, :, agent], None, torch.zeros(4, 0, 0))
            torch.testing.assert_close(own, mean[agent], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [True, False])
def test_critics_may_see_their_agents_observation_alone(share: bool, specs: dict[str, TaskSpec]) -> None:
    spec = specs[HUMANOID]
    network = NetworkConfig(share_parameters=share, critic_input="observation", hidden_sizes=(8,), layer_norm=True)
    team = TeamPolicy(spec, network, seed=0)
    assert team.critic_input_shape == (2, spec.max_obs_size)
    obs = data(team, 1)[0].transpose(0, 1).contiguous()  # [M, N, O]
    team.update_statistics(obs[None] * 2.0 + 1.0, torch.zeros(1, len(obs), spec.state_size), torch.ones(1, len(obs), 2, dtype=torch.bool))
    assert not team.state_norm.count.any()
    values, _ = team.values(obs, team.initial_memory(len(obs)))
    changed = obs.clone()
    changed[:, 1, 0] += 1.0
    after, _ = team.values(changed, team.initial_memory(len(obs)))
    assert torch.equal(after[0], values[0]) and not torch.equal(after[1], values[1])
    spoilt = obs.clone()
    spoilt[:, 1, spec.obs_sizes[1] :] = 7.0
    assert share or torch.equal(team.values(spoilt, team.initial_memory(len(obs)))[0][0], values[0])
    with pytest.raises(ConfigError, match="critic_input = 'observation'"):
        TeamPolicy(spec, network.model_copy(update={"critics": "one"}), seed=0)
