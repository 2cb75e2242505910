"""Recurrent actors outside torch: the exported cell, its state, its resets, and the wrong export that everybody makes once."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from a2po.errors import BundleError
from a2po.evaluation.players import BundlePlayer
from a2po.exporters import build as building
from a2po.exporters import parity
from a2po.exporters.onnx_model import fill, trace
from a2po.exporters.wrapper import actor_graph
from a2po.networks.distributions import ILLEGAL_LOGIT
from a2po.runtime import Team
from a2po.training.greedy import TeamActor
from a2po.training.runs import make_env

MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 1, "recurrent_size": 12}
NETWORKS = {
    "one layer": MEMORY,
    "two layers, layer norm, head": {**MEMORY, "recurrent_layers": 2, "layer_norm": True, "activation": "relu", "head_sizes": (8,)},
}
TASKS = ["matrix/uneven", "mamujoco/HalfCheetah-2x3", "mamujoco/Humanoid-9|8"]


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_a_recurrent_team_is_proven_over_a_thousand_steps_with_resets(make_policy, build, monkeypatch, task, network):
    recordings = []
    genuine = building.record
    monkeypatch.setattr(building, "record", lambda *args, **options: recordings.append(genuine(*args, **options)) or recordings[-1])
    policy = make_policy(task, **network)
    path = build(policy)
    manifest = json.loads((path / "manifest.json").read_text())
    proof, layers = manifest["parity"], network["recurrent_layers"]
    assert proof["passed"] and proof["steps"] == 1000 and proof["max_error"] <= 1e-5
    resets = recordings[0].begun[1:]
    assert (resets.sum(0) >= 9).all()  # in every row, ...
    assert not (resets == resets[:, :1]).all()  # ... and not in all rows at once
    for name, entry in manifest["agents"].items():
        assert entry["state"] == {"num_layers": layers, "hidden_size": 12}
        assert "state_out" in proof["agents"][name]["max_error"]
        model = onnx.load(path / entry["file"])
        assert not {"GRU", "Loop", "Scan", "If"} & {node.op_type for node in model.graph.node}
        shapes = {value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
        assert shapes["state_in"] == ["batch", layers, 12]


def with_gru_operator(graph, linear_before_reset: int) -> bytes:
    """One discrete actor written by hand around ONNX's GRU operator. PyTorch's GRU is ``linear_before_reset=1``."""
    numbers = {name.removeprefix("actor.weights."): value.detach().numpy() for name, value in graph.state_dict().items()}
    size = numbers["gru0_state_weight"].shape[0]

    def gates(value):
        """Ours stand in the order r, z, n; ONNX wants z, r, n, one below the other."""
        reset, update, new = np.split(value, 3, axis=-1)
        return np.concatenate([update, reset, new], axis=-1).T

    biases = np.concatenate([gates(numbers["gru0_input_bias"]), gates(numbers["gru0_state_bias"])])
    constants = {
        "mean": numbers["observation_mean"], "inverse_std": numbers["observation_inverse_std"],
        "low": np.float32(-graph.clip), "high": np.float32(graph.clip), "illegal": np.float32(ILLEGAL_LOGIT),
        "stem_weight": numbers["linear0_weight"], "stem_bias": numbers["linear0_bias"],
        "W": gates(numbers["gru0_input_weight"])[None], "R": gates(numbers["gru0_state_weight"])[None], "B": biases[None],
        "head_weight": numbers["head_linear0_weight"], "head_bias": numbers["head_linear0_bias"], "first": np.int64([0]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Sub", ["obs", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse_std"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["features"]),
        helper.make_node("Gemm", ["features", "stem_weight", "stem_bias"], ["stem"]),
        helper.make_node("Tanh", ["stem"], ["hidden"]),
        helper.make_node("Unsqueeze", ["hidden", "first"], ["sequence"]),
        helper.make_node("Transpose", ["state_in"], ["before"], perm=[1, 0, 2]),
        helper.make_node(
            "GRU", ["sequence", "W", "R", "B", "", "before"], ["", "after"], hidden_size=size, linear_before_reset=linear_before_reset
        ),
        helper.make_node("Transpose", ["after"], ["state_out"], perm=[1, 0, 2]),
        helper.make_node("Squeeze", ["after", "first"], ["memory"]),
        helper.make_node("Gemm", ["memory", "head_weight", "head_bias"], ["open_logits"]),
        helper.make_node("Where", ["action_mask", "open_logits", "illegal"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["action"], axis=1, keepdims=0),
    ]

    def ports(names):
        kinds = {"action_mask": TensorProto.BOOL, "action": TensorProto.INT64}
        return [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), ["batch", *shape]) for name, shape in names.items()]

    initialisers = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "actor", ports(graph.ports.inputs), ports(graph.ports.outputs), initialisers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def test_the_known_wrong_export_is_refused(make_policy, build, monkeypatch):
    """``linear_before_reset=0``, which onnxscript 0.7.0 and older wrote, moves the state by up to 2 and looks healthy."""
    policy = make_policy("matrix/uneven", **MEMORY)
    build(policy)
    monkeypatch.setattr(building, "fill", lambda template, graph, metadata: with_gru_operator(graph, 1))
    with pytest.raises(BundleError, match="is refused: it uses the operator"):
        build(policy)  # the operator used rightly passes the same gate; only then it is refused for what it is
    before = (policy.run / "bundle" / "manifest.json").read_bytes()
    monkeypatch.setattr(building, "fill", lambda template, graph, metadata: with_gru_operator(graph, 0))
    with pytest.raises(parity.ParityError, match="state_out"):
        build(policy)
    assert (policy.run / "bundle" / "manifest.json").read_bytes() == before


def test_a_state_that_is_not_fed_back_is_refused(make_policy, build, monkeypatch):
    def forgetful(template, graph, metadata):
        model = onnx.load_from_string(fill(template, graph, metadata))
        for node in model.graph.node:
            for index, name in enumerate(node.output):
                if name == "state_out":
                    node.output[index] = "unused_state"
        model.graph.node.append(helper.make_node("Identity", ["state_in"], ["state_out"]))
        return model.SerializeToString()

    monkeypatch.setattr(building, "fill", forgetful)
    with pytest.raises(parity.ParityError, match="state_out"):
        build(make_policy("matrix/uneven", **MEMORY))


def test_a_missing_feature_stays_visible(make_policy):
    """ONNX Runtime's GRU operator turns NaN into a confident action; the unrolled cell hands it on."""
    import onnxruntime

    graph = actor_graph(make_policy("matrix/uneven", **MEMORY).team, 0)
    session = onnxruntime.InferenceSession(fill(trace(graph), graph, {}), providers=["CPUExecutionProvider"])
    feed = {"obs": np.float32([[0.0, np.nan]]), "action_mask": np.ones((1, 2), bool), "state_in": np.zeros((1, 1, 12), np.float32)}
    _, logits, state_out = session.run(None, feed)
    assert np.isnan(logits).all() and np.isnan(state_out).all()


@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/HalfCheetah-2x3"])
def test_the_exported_team_remembers_and_forgets_like_the_trained_one(make_policy, build, task):
    """Both see the same observations for 40 steps, whose episodes end at different times in different rows."""
    policy = make_policy(task, **MEMORY)
    team = Team.load(build(policy))
    with closing(make_env(policy.config, 4, seed=3)) as env:
        exported = BundlePlayer(team, env.device)
        trained = TeamActor(policy.team, 4, env.device)
        stream = torch.Generator().manual_seed(0)
        observations, begun = env.reset(), None
        for _ in range(40):
            mine, expected = exported(observations, begun), trained(observations, begun)
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
            observations = env.step(expected).observations
            begun = torch.rand(4, generator=stream) < 0.2
