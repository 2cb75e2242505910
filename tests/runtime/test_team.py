"""A Team plays exactly what was trained, in every form of input, without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from a2po.errors import BundleError, DependencyError, ObservationError
from a2po.networks.distributions import MaskedCategorical
from a2po.runtime import Team
from a2po.runtime.actors import open_session
from a2po.runtime.latency import drawn_inputs


def inputs(policy, batch, seed=0):
    """Observations [B, N, O] with zeros in the padding, and masks with at least one legal action, or None."""
    spec, rng = policy.team.spec, np.random.default_rng(seed)
    obs = (rng.normal(size=(batch, spec.num_agents, spec.max_obs_size)) * 3 + 1).astype(np.float32)
    for agent, size in enumerate(spec.obs_sizes):
        obs[:, agent, size:] = 0.0
    if not spec.discrete:
        return obs, None
    mask = rng.random((batch, spec.num_agents, spec.max_action_size)) < 0.5
    for agent, size in enumerate(spec.action_sizes):
        mask[:, agent, 0], mask[:, agent, size:] = True, False
    return obs, mask


def by_agent(policy, values, sizes):
    return {name: values[..., agent, : sizes[agent]] for agent, name in enumerate(policy.team.spec.agents)}


def greedy(policy, obs, mask):
    state = policy.team.initial_state(len(obs))
    mask = None if mask is None else torch.from_numpy(mask)
    return policy.team.act(torch.from_numpy(obs), mask, state, None).actions.numpy()


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_equals_the_trained_team(exported, batch):
    policy, path = exported
    team, (obs, mask) = Team.load(path), inputs(policy, batch)
    actions, expected = team.act(obs, mask), greedy(policy, obs, mask)
    assert actions.shape == expected.shape
    assert actions.dtype == expected.dtype
    np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=0)


def test_no_games_at_all(exported):
    policy, path = exported
    obs, mask = inputs(policy, 3)
    for team in (Team.load(path), Team.load(path, on_fault="fallback")):
        expected = team.act(obs, mask)
        team.reset()
        actions = team.act(obs[:0], None if mask is None else mask[:0])
        assert actions.shape == (0, *expected.shape[1:]) and actions.dtype == expected.dtype
        np.testing.assert_array_equal(team.act(obs, mask), expected)


def test_all_forms_of_input_agree(exported):
    policy, path = exported
    spec, team, (obs, mask) = policy.team.spec, Team.load(path), inputs(policy, 3)
    actions = team.act(obs, mask)
    obs_dict = by_agent(policy, obs, spec.obs_sizes)
    mask_dict = None if mask is None else by_agent(policy, mask, spec.action_sizes)
    as_dict = team.act(obs_dict, mask_dict)
    assert list(as_dict) == list(spec.agents)
    for agent, name in enumerate(spec.agents):
        own = actions[:, agent] if spec.discrete else actions[:, agent, : spec.action_sizes[agent]]
        np.testing.assert_array_equal(as_dict[name], own)
        assert as_dict[name].dtype == actions.dtype
    single = team.act(obs[0], None if mask is None else mask[0])
    np.testing.assert_allclose(single, actions[0], atol=1e-6)
    first = team.act({name: rows[0] for name, rows in obs_dict.items()}, mask_dict and {name: rows[0] for name, rows in mask_dict.items()})
    for agent, name in enumerate(spec.agents):
        assert first[name].shape == (() if spec.discrete else (spec.action_sizes[agent],))
    one = spec.agents[1]
    np.testing.assert_array_equal(team.act({one: obs_dict[one]}, mask_dict and {one: mask_dict[one]})[one], as_dict[one])


def test_some_agents_of_a_file_play_by_their_own_rows(make_policy, build):
    """Two of three, in several games: every one with its own id and its own observation statistics."""
    team = Team.load(build(make_policy("smac/3m", share_parameters=True, hidden_sizes=(16,))))
    assert len({agent.file for agent in team.bundle.agents}) == 1 and "agent" in team.bundle.agents[0].inputs
    obs, _ = drawn_inputs(team, 40, seed=0)
    whole, some = team.act(obs), ("marine_2", "marine_0")
    actions = team.act({name: obs[:, team.agents.index(name)] for name in some})
    for name in some:
        np.testing.assert_array_equal(actions[name], whole[:, team.agents.index(name)])
    mixed = team.act({name: obs[:, 0] for name in team.agents})
    assert len({tuple(own) for own in mixed.values()}) == 3  # the same sight is not the same action


def test_continuous_actions_stay_inside_the_box_and_padding_is_zero(exported):
    policy, path = exported
    if policy.team.spec.discrete:
        pytest.skip("discrete")
    spec, team, (obs, _) = policy.team.spec, Team.load(path), inputs(policy, 200)
    for actions in (team.act(obs * 100), team.act(obs, noise=np.random.default_rng(0))):
        for agent, size in enumerate(spec.action_sizes):
            assert (actions[:, agent, :size] >= spec.action_spaces[agent].low).all()
            assert (actions[:, agent, :size] <= spec.action_spaces[agent].high).all()
            assert (actions[:, agent, size:] == 0).all()


def test_sampling_follows_the_noise(exported):
    policy, path = exported
    spec, team, (obs, mask) = policy.team.spec, Team.load(path), inputs(policy, 5)
    rng = np.random.default_rng(3)
    shape = (5, spec.num_agents, spec.max_action_size)
    noise = (rng.random(shape) if spec.discrete else rng.normal(size=shape)).astype(np.float32)
    actions = team.act(obs, mask, noise=noise)
    np.testing.assert_array_equal(actions, team.act(obs, mask, noise=noise))
    own_noise = by_agent(policy, noise, spec.action_sizes)
    for agent, name in enumerate(spec.agents):
        actor = policy.team.single_actor(agent)
        own_obs = torch.from_numpy(np.ascontiguousarray(obs[:, agent, : spec.obs_sizes[agent]]))
        own_mask = None if mask is None else torch.from_numpy(mask[:, agent, : spec.action_sizes[agent]].copy())
        with torch.no_grad():
            distribution = actor.distribution(actor(own_obs, own_mask, torch.zeros(5, 0, 0))[0])
            sample = distribution.sample(torch.from_numpy(own_noise[name].copy()))
        if isinstance(distribution, MaskedCategorical):
            np.testing.assert_array_equal(actions[:, agent], sample)
        else:
            padded = torch.zeros(5, spec.num_agents, spec.max_action_size)
            padded[:, agent, : spec.action_sizes[agent]] = sample
            np.testing.assert_allclose(actions[:, agent], policy.team.to_env_units(padded)[:, agent], atol=2e-5)


def test_noise_that_is_not_random_is_the_greedy_action(exported):
    policy, path = exported
    spec, team, (obs, mask) = policy.team.spec, Team.load(path), inputs(policy, 4)
    constant = 0.5 if spec.discrete else 0.0
    noise = np.full((4, spec.num_agents, spec.max_action_size), constant, np.float32)
    np.testing.assert_allclose(team.act(obs, mask, noise=noise), team.act(obs, mask), atol=1e-6)


def test_generator_gives_the_policys_frequencies(uneven):
    policy, path = uneven
    team, rows = Team.load(path), 20000
    obs = np.broadcast_to(np.float32([[0.5, 1.0], [0.5, 1.0]]), (rows, 2, 2))
    first = team.act(obs, noise=np.random.default_rng(0))
    np.testing.assert_array_equal(first, team.act(obs, noise=np.random.default_rng(0)))
    actor = policy.team.single_actor(1)
    with torch.no_grad():
        expected = torch.softmax(actor(torch.tensor([[0.5, 1.0]]), None, torch.zeros(1, 0, 0))[0][0], -1)[0].numpy()
    np.testing.assert_allclose(np.bincount(first[:, 1], minlength=3) / rows, expected, atol=0.02)


def test_facts_about_the_team(exported):
    policy, path = exported
    team = Team.load(path)
    assert team.agents == policy.team.spec.agents
    assert team.task == policy.team.spec.task
    assert team.manifest["training"]["step"] == 4096
    team.reset()
    team.reset(np.array([True, False]))


def test_sessions_use_one_thread_and_the_provider_that_was_asked_for(uneven):
    _, path = uneven
    for actors in (group.actors for group in Team.load(path)._groups):
        assert actors.session.get_providers()[0] == "CPUExecutionProvider"
        options = actors.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_more_threads_play_the_same_and_sleep_between_steps(exported):
    policy, path = exported
    several, one, (obs, mask) = Team.load(path, threads=2), Team.load(path), inputs(policy, 500)
    np.testing.assert_allclose(several.act(obs, mask), one.act(obs, mask), atol=1e-6)
    for group in several._groups:
        options = group.actors.session.get_session_options()
        assert options.intra_op_num_threads == 2
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_no_silent_fallback_to_the_cpu(uneven, monkeypatch):
    import onnxruntime

    _, path = uneven
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DependencyError, match=r"provider 'cuda'.*pip install \"a2po\[gpu\]\""):
            Team.load(path, provider="cuda")
    with pytest.raises(DependencyError, match="did you mean 'cuda'"):
        Team.load(path, provider="cudaa")
    with pytest.raises(DependencyError, match="unknown provider 'None'"):
        Team.load(path, None)
    # What onnxruntime does when CUDA is listed but its libraries do not load: a session on the CPU, and no error.
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)

    def on_the_cpu(model, options, providers, **others):
        return session(model, options, ["CPUExecutionProvider"], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(DependencyError, match="fell back to CPUExecutionProvider"):
        Team.load(path, provider="cuda")

    # ... or when its driver is too old.
    def refusing(model, options, providers, **others):
        if providers[0][0] == "CUDAExecutionProvider":
            raise RuntimeError("CUDA failure 35")
        return session(model, options, providers, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    with pytest.raises(DependencyError, match="provider 'cuda' was asked for, but onnxruntime cannot use it here: CUDA failure 35"):
        Team.load(path, provider="cuda")
    with pytest.raises(BundleError, match=r"agents/row\.onnx cannot be loaded by onnxruntime"):
        open_session(b"no model", "agents/row.onnx", "cuda")


def test_missing_onnxruntime_names_the_extra(uneven, monkeypatch):
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"pip install \"a2po\[cpu\]\""):
        Team.load(uneven[1])


def test_plays_without_torch_in_little_memory(exported):
    policy, path = exported
    spec = policy.team.spec
    code = f"""
import sys
sys.modules["torch"] = sys.modules["onnx"] = sys.modules["pydantic"] = sys.modules["gymnasium"] = None
import numpy as np
from a2po.runtime import Team
team = Team.load({str(path)!r})
for _ in range(100):
    actions = team.act(np.zeros((2, {spec.num_agents}, {spec.max_obs_size}), np.float32))
status = open("/proc/self/status") if sys.platform == "linux" else ["VmHWM: 0 kB"]
print(len(actions), next(line for line in status if line.startswith("VmHWM")).split()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    batch, peak_kib = map(int, done.stdout.split())
    assert batch == 2 and peak_kib * 1024 < 120e6


def test_state_is_kept_by_row_and_reset_by_row(tmp_path):
    """A hand-made recurrent bundle: the action is the sum of what was seen since the last reset."""
    team = Team.load(summing_bundle(tmp_path / "bundle"))
    ones = np.ones((3, 1, 2), np.float32)
    assert team.act(ones).ravel().tolist() == [2, 2, 2]
    assert team.act(ones * 2).ravel().tolist() == [6, 6, 6]
    team.reset(np.array([False, True, False]))
    assert team.act(ones).ravel().tolist() == [8, 2, 8]
    team.reset([0])
    assert team.act(ones).ravel().tolist() == [2, 4, 10]
    for nothing in ([], np.zeros(0), [False] * 3):  # no episode ended in this step
        team.reset(nothing)
    for wrong in (3, [-4], [True, False], [[0]], [1.0, 0.0, 0.0], True, "all"):
        with pytest.raises(ObservationError, match=r"rows to reset: expected \[3\] bools or indices of 3 rows"):
            team.reset(wrong)
    for dones in ([0, 0, 1], np.array([1, 0, 1], np.uint8)):  # bools as numbers would be taken for indices
        with pytest.raises(ObservationError, match=r"expected \[3\] bools or indices of 3 rows, got the index [01] twice"):
            team.reset(dones)
    assert team.act(ones * 0).ravel().tolist() == [2, 4, 10]
    with pytest.raises(ObservationError, match=r"2 rows, but its memory holds 3: call team.reset\(\) first"):
        team.act(ones[:2])
    before = team.memory
    assert team.act(ones).ravel().tolist() == [4, 6, 12]
    team.memory = {name: memory[[2, 0]] for name, memory in before.items()}  # other rows of the same games
    assert team.act(ones[:2]).ravel().tolist() == [12, 4]
    assert [memory[:, 0].sum(-1).tolist() for memory in before.values()] == [[2, 4, 10]]
    team.reset()
    assert not team.memory and team.act(ones[:2]).ravel().tolist() == [2, 2]
    team.reset()
    assert team.act(ones[0]).ravel().tolist() == [2]


def test_what_overflows_is_neither_played_nor_remembered(tmp_path):
    path = summing_bundle(tmp_path / "bundle")
    strict, lenient = Team.load(path), Team.load(path, on_fault="fallback")
    large = np.float32([[[2e38, 0]], [[1, 1]]])
    for team in (strict, lenient):
        assert team.act(large).ravel().tolist() == [np.float32(2e38), 2]
    with pytest.raises(ObservationError, match=r"agent 'a': its outputs for row 0 are not finite, .* feature 'x' \(index 0\), 2e\+38$"):
        strict.act(large)
    assert lenient.act(large).ravel().tolist() == [np.float32(2e38), 4]
    assert lenient.faults == {("output", "a"): 1}
    assert strict.memory["a"].tolist() == [[[np.float32(2e38), 0]], [[1, 1]]]
    assert lenient.memory["a"].tolist() == [[[np.float32(2e38), 0]], [[2, 2]]]


def summing_bundle(path):
    import hashlib
    import json

    from onnx import TensorProto, checker, helper, shape_inference

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    nodes = [
        helper.make_node("Unsqueeze", ["obs", "one"], ["row"]),
        helper.make_node("Add", ["state_in", "row"], ["state_out"]),
        helper.make_node("ReduceMean", ["state_out", "axes"], ["half"], keepdims=0),
        helper.make_node("Add", ["half", "half"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "one"], ["action"]),
        helper.make_node("Identity", ["action"], ["mean"]),
        helper.make_node("Mul", ["action", "zero"], ["log_std"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    ]
    outputs = [value("action", 1), value("mean", 1), value("log_std", 1), value("state_out", 1, 2)]
    graph = helper.make_graph(nodes, "summing", [value("obs", 2), value("state_in", 1, 2)], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model, full_check=True)
    model = shape_inference.infer_shapes(model)
    action = {"kind": "continuous", "names": ["u"], "low": [-100.0], "high": [100.0]}
    facts = {"agents": ["a"], "observation": {"dtype": "float32", "names": ["x", "y"]}, "action": action}
    helper.set_model_props(model, {"a2po.task": "summing", **{f"a2po.{key}": json.dumps(value) for key, value in facts.items()}})
    content = model.SerializeToString()
    agent = {
        "index": 0,
        "file": "agents/a.onnx",
        "weights": None,
        "row": 0,
        "inputs": ["obs", "state_in"],
        "observation": {"size": 2, "features": ["x", "y"]},
        "action": {**action, "size": 1},
        "state": {"num_layers": 1, "hidden_size": 2},
    }
    manifest = {
        "format": 2,
        "task": {"name": "summing", "agents": ["a"], "obs_width": 2, "action_width": 1},
        "agents": {"a": agent},
        "files": {"agents/a.onnx": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}},
    }
    (path / "agents").mkdir(parents=True)
    (path / "agents" / "a.onnx").write_bytes(content)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path
