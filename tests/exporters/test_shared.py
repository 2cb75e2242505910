"""Teams that share their parameters: every agent's file has the agent's own id inside, and plays as the team does."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from a2po.evaluation.players import BundlePlayer
from a2po.exporters import build as building
from a2po.exporters import parity
from a2po.exporters.onnx_model import fill
from a2po.runtime import Team
from a2po.training.greedy import TeamActor
from a2po.training.runs import make_env

MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 1, "recurrent_size": 12, "layer_norm": True, "head_sizes": (8,)}
CASES = [
    ("matrix/uneven", {"layer_norm": True, "activation": "relu"}),
    ("matrix/uneven", MEMORY),
    ("mamujoco/HalfCheetah-2x3", {}),
    ("mamujoco/Humanoid-9|8", {"layer_norm": True}),
    ("mamujoco/Humanoid-9|8", MEMORY),
]


@pytest.mark.parametrize(("task", "network"), CASES)
def test_the_exported_team_plays_like_the_trained_one(make_policy, build, task, network):
    policy = make_policy(task, share_parameters=True, **network)
    path = build(policy)
    manifest, spec = json.loads((path / "manifest.json").read_text()), policy.team.spec
    assert manifest["parity"]["passed"] and manifest["training"]["config"]["network"]["share_parameters"]
    sizes = list(zip(spec.obs_sizes, spec.action_sizes, strict=True))
    folded = len(set(sizes)) == 1  # agents of one shape share one file
    assert len({entry["file"] for entry in manifest["agents"].values()}) == (1 if folded else spec.num_agents)
    for index, entry in enumerate(manifest["agents"].values()):
        tensors, size = load_file(path / entry["weights"]), spec.obs_sizes[index]
        own_id = tensors["agent_id"][entry["row"]] if folded else tensors["agent_id"]
        assert own_id.tolist() == [float(agent == index) for agent in range(spec.num_agents)]
        assert tensors["linear0_weight"].shape[0] == spec.num_agents + size and tensors["observation_mean"].shape[-1] == size
        shapes = {
            port.name: [dim.dim_param or dim.dim_value for dim in port.type.tensor_type.shape.dim]
            for port in onnx.load(path / entry["file"]).graph.input
        }
        assert shapes["obs"] == ["batch", size]  # nobody outside needs to know what an id looks like
        assert shapes.keys() == set(["obs", *["action_mask"] * spec.discrete, *["state_in"] * policy.team.recurrent, *["agent"] * folded])
    with closing(make_env(policy.config, 4, seed=3)) as env:
        exported, trained = BundlePlayer(Team.load(path), env.device), TeamActor(policy.team, 4, env.device)
        stream = torch.Generator().manual_seed(0)
        observations, begun = env.reset(), None
        for _ in range(20):
            expected = trained(observations, begun)
            torch.testing.assert_close(exported(observations, begun), expected, rtol=1e-4, atol=1e-5)
            observations = env.step(expected).observations
            begun = torch.rand(4, generator=stream) < 0.2


FOLDED = [
    ("matrix/climbing", MEMORY),
    ("mamujoco/HalfCheetah-2x3", {"layer_norm": True}),
    ("mamujoco/HalfCheetah-2x3", {"recurrent_layers": 1}),
]


@pytest.mark.parametrize(("task", "network"), FOLDED)
@pytest.mark.parametrize("noise", [False, True])
def test_one_file_plays_for_all_agents_greedily_and_sampled(make_policy, build, task, network, noise):
    policy = make_policy(task, share_parameters=True, **network)
    path = build(policy, noise=noise)
    team, alone, spec = Team.load(path), Team.load(path), policy.team.spec
    assert len(list((path / "agents").iterdir())) == 1
    rng = np.random.default_rng(1)
    state, shape = policy.team.initial_state(5), (5, spec.num_agents, spec.max_action_size)
    for step in range(6):
        obs = rng.normal(size=(5, spec.num_agents, spec.max_obs_size)).astype(np.float32)
        drawn = (rng.random(shape) if spec.discrete else rng.normal(size=shape)).astype(np.float32)
        played = team.act(obs, noise=drawn if step % 2 else None)
        by_name = {
            name: alone.act({name: obs[:, row]}, noise={name: drawn[:, row]} if step % 2 else None)[name]
            for row, name in enumerate(spec.agents)
        }
        np.testing.assert_allclose(played, np.stack(list(by_name.values()), axis=1), atol=1e-6)
        expected = []
        for row in range(spec.num_agents):
            actor = policy.team.single_actor(row)
            with torch.no_grad():
                parameters, state[row] = actor(torch.from_numpy(obs[:, row]), None, state[row])
                distribution = actor.distribution(parameters)
            expected.append(distribution.sample(torch.from_numpy(drawn[:, row].copy())) if step % 2 else distribution.mode())
        samples = torch.stack(expected, dim=1)
        np.testing.assert_allclose(played, samples if spec.discrete else policy.team.to_env_units(samples), atol=1e-5)


def test_the_id_of_another_agent_is_refused(make_policy, build, monkeypatch):
    def mistaken(template, graph, metadata):
        model = onnx.load_from_string(fill(template, graph, metadata))
        for number in model.graph.initializer:
            if number.name == "agent_id":
                number.CopyFrom(onnx.numpy_helper.from_array(np.float32([0.0, 1.0]), "agent_id"))
        return model.SerializeToString()

    monkeypatch.setattr(building, "fill", mistaken)
    with pytest.raises(parity.ParityError, match=r"agent 'row': .* is not the trained one"):
        build(make_policy(share_parameters=True))


def test_swapped_rows_are_refused(make_policy, build, monkeypatch):
    def mistaken(template, graph, metadata):
        graph.agent_id.copy_(graph.agent_id.flip(0))
        content = fill(template, graph, metadata)
        graph.agent_id.copy_(graph.agent_id.flip(0))
        return content

    monkeypatch.setattr(building, "fill", mistaken)
    with pytest.raises(parity.ParityError, match=r"agent 'row': .* is not the trained one"):
        build(make_policy("matrix/climbing", share_parameters=True))
