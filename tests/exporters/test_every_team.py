"""Every kind of team of every family goes the whole way: written, verified, read again, and it plays as it was trained to."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.config import EnvConfig, NetworkConfig, TrainConfig
from a2po.envs.protocol import Observations
from a2po.envs.registry import families
from a2po.exporters.build import build_bundle
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime import Team, read_bundle
from a2po.runtime.latency import measure
from a2po.runtime.verify import verify
from a2po.testing import RandomPlayer
from a2po.training.runs import TrainedPolicy, make_env

COPIES = 3


@dataclass(frozen=True)
class Kind:
    """A task that stands for all of its kind."""

    task: str
    continuous: bool
    equal: bool  # all agents see and do as much
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def marks(self) -> list[pytest.MarkDecorator]:
        """What it needs to be played."""
        return [pytest.mark.football] if self.task.startswith("football/") else []

    @property
    def name(self) -> str:
        return f"{self.task}-{'continuous' if self.continuous else 'discrete'}"


# One for every family and shape that it has. Short, so that an episode is played to its end, and some of the next.
KINDS = [
    Kind("mamujoco/HalfCheetah-2x3", True, True, {"max_episode_steps": 15}),
    Kind("mamujoco/Humanoid-9|8", True, False, {"max_episode_steps": 15}),
    Kind("matrix/climbing", False, True, {"length": 7}),
    Kind("matrix/uneven", False, False, {"length": 7}),
    Kind("tabular/memory", False, True, {"length": 7}),
    Kind("pettingzoo/mpe2.simple_spread", False, True, {"max_cycles": 12}),
    Kind("pettingzoo/mpe2.simple_spread", True, True, {"max_cycles": 12, "continuous_actions": True}),
    Kind("pettingzoo/mpe2.simple_speaker_listener", False, False, {"max_cycles": 12}),
    Kind("smac/3m", False, True, {"max_episode_steps": 25}),
    Kind("smacv2/terran_5_vs_5", False, True, {"max_episode_steps": 25}),
    Kind("football/academy_3_vs_1_with_keeper", False, True, {"duration": 24}),
]
NETWORKS = {"mlp": {}, "gru": {"recurrent_layers": 1, "recurrent_size": 8}}
CASES = [
    pytest.param(kind, algorithm, network, share, id=f"{kind.name}-{algorithm}-{name}-{sharing}", marks=kind.marks)
    for kind in KINDS
    for algorithm in ALGORITHMS
    if not (kind.continuous and algorithm in ("qmix", "vdn"))
    for name, network in NETWORKS.items()
    for sharing, share in (("separate", False), ("shared", True))
]  # fmt: skip


def config_of(kind: Kind, algorithm: str, **network) -> TrainConfig:
    sizes = NetworkConfig(hidden_sizes=(8,), **network)
    return TrainConfig(task=kind.task, algorithm=algorithm, network=sizes, env=EnvConfig(num_threads=1, options=kind.options))


@cache
def spec_of(task: str, options: tuple):
    with closing(make_env(TrainConfig(task=task, env=EnvConfig(num_threads=1, options=dict(options))), 1, seed=0)) as env:
        return env.spec


@pytest.mark.football
def test_every_family_and_kind_is_here():
    """A new family needs a representative in KINDS, one for each shape that its teams have."""
    assert {kind.task.partition("/")[0] for kind in KINDS} == set(families())
    for kind in KINDS:
        spec = spec_of(kind.task, tuple(kind.options.items()))
        assert kind.continuous == all(isinstance(space, Box) for space in spec.action_spaces) == (not spec.discrete)
        assert kind.equal == (len(set(spec.obs_sizes)) == len(set(spec.action_sizes)) == 1)
        assert all(can_train(name, spec) == (not kind.continuous or name not in ("qmix", "vdn")) for name in ALGORITHMS)


@cache
def episode(task: str, options: tuple) -> list[tuple[Observations, np.ndarray]]:
    """What random legal play sees, and whose episode began before it: until every copy has ended one, and some steps more."""
    with closing(make_env(TrainConfig(task=task, env=EnvConfig(num_threads=1, options=dict(options))), COPIES, seed=5)) as env:
        player, seen = RandomPlayer(env), []
        observations, begun, ends = env.reset(), torch.ones(COPIES, dtype=torch.bool), torch.zeros(COPIES, dtype=torch.long)
        while not ends.all() or len(seen) < 20:
            seen.append((copied(observations), begun.numpy().copy()))
            step = env.step(player(observations))
            observations, begun = step.observations, step.terminated | step.truncated
            ends += begun
        seen += [(copied(observations), begun.numpy().copy())]
    return seen


def copied(observations: Observations) -> Observations:
    return Observations(*(part if part is None else part.clone() for part in observations))


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Short recordings and measurements, one torch thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2po.exporters.build.STEPS", 12)
        patch.setattr("a2po.exporters.build.RECURRENT_STEPS", 24)
        patch.setattr("a2po.exporters.build.measure", partial(measure, steps=10))
        yield
    torch.set_num_threads(threads)


def trained(config: TrainConfig, run) -> TrainedPolicy:
    """Weights that nothing in the graph leaves without effect: no bias is zero, no layer norm one, no statistics trivial."""
    spec = spec_of(config.task, tuple(config.env.options.items()))
    team, stream = TeamPolicy(spec, config.network, seed=0), torch.Generator().manual_seed(11)
    noise = torch.randn(team.actors.values.shape, generator=stream) * 0.3
    team.actors.values.add_(noise)
    seen = torch.cat([observations.obs for observations, _ in episode(config.task, tuple(config.env.options.items()))])
    statistics = seen if team.obs_norm.shape[0] == spec.num_agents and len(team.obs_norm.shape) == 2 else seen.flatten(0, 1)
    team.obs_norm.update(statistics)
    return TrainedPolicy(run, config, team, 4096, "step_000000004096", {"a2po": "0.1.0", "commit": "c0ffee"})


@pytest.mark.parametrize(("kind", "algorithm", "network", "share"), CASES)
def test_a_team_is_exported_verified_and_plays_as_it_was_trained(kind, algorithm, network, share, tmp_path):
    config = config_of(kind, algorithm, share_parameters=share, layer_norm=algorithm == "happo", **network)
    policy = trained(config, tmp_path / "run")
    path = build_bundle(policy, lambda copies: make_env(config, COPIES, seed=1))
    verified = verify(path)
    assert verified["passed"] and not [check for check in verified["checks"] if not check["passed"] and check["name"] != "signature"]
    assert read_bundle(path).manifest["training"]["algorithm"] == algorithm
    assert_plays_the_same(kind, policy, Team.load(path))


def assert_plays_the_same(kind: Kind, policy: TrainedPolicy, exported: Team) -> None:
    """Greedy actions on the recorded episode: the same choices, controls within 1e-5."""
    team, state, resets = policy.team, policy.team.initial_state(COPIES), 0
    for observations, begun in episode(kind.task, tuple(kind.options.items())):
        mask = observations.action_mask
        if mask is not None:  # an agent that does not exist has no legal action, and no bot asks for one
            mask = mask | ~mask.any(dim=-1, keepdim=True)
        state = torch.where(torch.from_numpy(begun)[None, :, None, None], 0.0, state)
        expected = team.act(observations.obs, mask, state, None)
        state = expected.state_out
        exported.reset(begun)
        actions = exported.act(observations.obs.numpy(), None if mask is None else mask.numpy())
        if team.spec.discrete:
            np.testing.assert_array_equal(actions, expected.actions.numpy())
        else:
            np.testing.assert_allclose(actions, expected.actions.numpy(), rtol=0, atol=1e-5)
        resets += int(begun.sum())
    assert resets >= 2 * COPIES  # at the beginning, and at the end of an episode


@pytest.mark.parametrize("observation", ["smac", "on_policy"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_27_agents_are_one_file_and_each_is_proven(network, observation, tmp_path):
    kind = Kind("smac/27m_vs_30m", False, True, {"max_episode_steps": 8, "observation": observation})
    config = config_of(kind, "mappo", share_parameters=True, **network)
    policy = trained(config, tmp_path / "run")
    path = build_bundle(policy, lambda copies: make_env(config, COPIES, seed=1))
    bundle = read_bundle(path)
    assert len(bundle.agents) == 27 and {agent.file for agent in bundle.agents} == {"agents/marine_0.onnx"}
    folded = "agent" in bundle.agents[0].inputs  # agents whose observations name them may be the same in all numbers
    assert folded or observation == "on_policy"
    assert not folded or [agent.row for agent in bundle.agents] == list(range(27))
    proofs = bundle.manifest["parity"]["agents"]
    assert len(proofs) == 27 and all(proof["passed"] and proof["actions"] for proof in proofs.values())
    assert verify(path)["passed"]
    assert_plays_the_same(kind, policy, Team.load(path))
