"""A bundle holds the trained policy, only it, and nothing about the machine that wrote it."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file

from a2po.errors import BundleError, UserError
from a2po.exporters.build import build_bundle
from a2po.exporters.export import export
from a2po.exporters.onnx_model import fill, trace, trace_key
from a2po.exporters.wrapper import actor_graph
from a2po.runtime import Team, read_bundle
from a2po.training.fit import describe_bundle, describe_task
from a2po.training.runs import make_env

ROOT = Path(__file__).resolve().parents[2]


def models(path: Path) -> dict[str, onnx.ModelProto]:
    return {file.name: onnx.load(file) for file in sorted((path / "agents").glob("*.onnx"))}


def test_every_file_is_listed_with_its_hash(exported):
    _, path = exported
    manifest = json.loads((path / "manifest.json").read_text())
    on_disk = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert on_disk == {*manifest["files"], "manifest.json"}
    for name, entry in manifest["files"].items():
        content = (path / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert manifest["format"] == 2
    assert manifest["evaluation"] is None


def test_manifest_names_what_agents_see_and_do(exported):
    policy, path = exported
    spec, manifest = policy.team.spec, json.loads((path / "manifest.json").read_text())
    assert list(manifest["agents"]) == list(spec.agents)
    for index, (name, entry) in enumerate(manifest["agents"].items()):
        assert entry["observation"] == {"size": spec.obs_sizes[index], "clip": 10.0, "features": list(spec.feature_names[index])}, name
        assert entry["action"]["names"] == list(spec.action_names[index])
        assert entry["state"] == {"num_layers": 0, "hidden_size": 0}
        if not spec.discrete:
            assert entry["action"]["low"] == spec.action_spaces[index].low.tolist()
            assert entry["action"]["high"] == spec.action_spaces[index].high.tolist()
    assert manifest["task"]["options"] == policy.config.env.options
    assert manifest["training"]["step"] == 4096
    assert manifest["training"]["seed"] == 0


def test_own_environment_is_named_as_make_takes_it(make_policy, tmp_path):
    policy = make_policy()
    config = policy.config.model_copy(update={"task": "my_games:make"})
    own = replace(policy, config=config)
    path = build_bundle(own, lambda copies: make_env(policy.config, copies, seed=1), output=tmp_path / "own")
    team = Team.load(path)
    assert team.task == team.manifest["task"]["name"] == "my_games:make"
    assert describe_bundle(team.bundle) == describe_task(policy.team.spec)


def test_ports_are_named_and_their_batch_is_free(exported):
    policy, path = exported
    for index, agent in enumerate(read_bundle(path).agents):
        graph = onnx.load(path / agent.file).graph
        sizes, actions = policy.team.spec.obs_sizes[index], policy.team.spec.action_sizes[index]
        shapes = {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in [*graph.input, *graph.output]
        }
        types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
        if policy.team.spec.discrete:
            assert shapes == {"obs": ["batch", sizes], "action_mask": ["batch", actions], "action": ["batch"], "logits": ["batch", actions]}
            assert types["action"] == onnx.TensorProto.INT64
            assert types["action_mask"] == onnx.TensorProto.BOOL
        else:
            expected = {name: ["batch", actions] for name in ("action", "mean", "log_std")}
            assert shapes == {"obs": ["batch", sizes], **expected}
            assert types["action"] == onnx.TensorProto.FLOAT


def test_files_are_valid_and_self_contained(exported):
    _, path = exported
    for name, model in models(path).items():
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} == {""}, name
        assert not model.functions
        assert all(tensor.data_location != onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert not {node.op_type for node in model.graph.node} & {"RandomNormal", "RandomUniform", "Multinomial", "GRU"}


def test_nothing_tells_about_the_machine(exported):
    policy, path = exported
    for name, model in models(path).items():
        for part in [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info]:
            assert not part.doc_string, name
        for part in [model.graph, *model.graph.node]:
            assert not part.metadata_props, name
    paths = [str(ROOT), str(policy.run.parent), str(Path.home())]
    needles = [*paths, "site-packages", "Traceback", "stack_trace", ", line ", socket.gethostname()]
    for file in path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            # Shorter needles would be found by chance among the weights.
            found = [needle for needle in needles if len(needle) > 4 and needle.encode() in content]
            assert not found, (file.name, found)
            if file.suffix == ".onnx":
                assert not re.search(rb"(?<![\w|])/(?:usr|home|root|tmp|work|opt|var)/", content), file.name


def test_metadata_survives_to_onnxruntime(exported):
    import onnxruntime

    policy, path = exported
    agent = read_bundle(path).agents[1]
    session = onnxruntime.InferenceSession(path / agent.file, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["a2po.agents"]) == [agent.name]
    assert json.loads(metadata["a2po.observation"])["names"] == list(agent.features)
    assert json.loads(metadata["a2po.action"])["names"] == list(agent.action_names)
    assert metadata["a2po.task"] == policy.team.spec.task
    assert metadata["a2po.commit"] == "c0ffee"
    weights = (path / read_bundle(path).manifest["agents"][agent.name]["weights"]).read_bytes()
    assert metadata["a2po.weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_weights_have_the_agents_real_sizes(exported):
    policy, path = exported
    bundle = read_bundle(path)
    for index, agent in enumerate(bundle.agents):
        weights = load_file(path / bundle.manifest["agents"][agent.name]["weights"])
        own = policy.team.single_actor(index)
        assert weights["linear0_weight"].shape[0] == agent.obs_size
        assert weights["linear2_weight"].shape[1] == agent.action_size
        np.testing.assert_array_equal(weights["linear0_weight"], own.weights["linear0_weight"].detach().numpy())
        np.testing.assert_array_equal(weights["observation_mean"], own.scale.mean.numpy())


def test_same_checkpoint_gives_the_same_bytes(uneven, build, tmp_path):
    policy, path = uneven
    again = build(policy, output=tmp_path / "again")
    first, second = read_bundle(path), read_bundle(again)
    assert first.fingerprint == second.fingerprint
    # The card tells what was measured on the way.
    assert all(second.files[name] == content for name, content in first.files.items() if name != "MODEL_CARD.md")


def test_shared_trace_gives_the_same_file_as_an_own_one(make_policy):
    """Agents of one shape are filled into one template; each must get its own numbers."""
    policy = make_policy("matrix/climbing")
    graphs = [actor_graph(policy.team, agent) for agent in range(2)]
    assert trace_key(graphs[0]) == trace_key(graphs[1])
    assert fill(trace(graphs[0]), graphs[1], {}) == fill(trace(graphs[1]), graphs[1], {})
    assert fill(trace(graphs[0]), graphs[0], {}) != fill(trace(graphs[0]), graphs[1], {})


def test_equal_weights_are_folded_into_one_file(shared_policy, build):
    path = build(shared_policy)
    bundle = read_bundle(path)
    assert {agent.file for agent in bundle.agents} == {"agents/row.onnx"}
    assert sorted(bundle.files) == ["MODEL_CARD.md", "agents/row.onnx", "weights/row.safetensors"]
    team, obs = Team.load(path), np.random.default_rng(0).normal(size=(5, 2, 2)).astype(np.float32)
    actions = team.act(obs)
    np.testing.assert_array_equal(team.act(obs[:, ::-1]), actions[:, ::-1])
    state = shared_policy.team.initial_state(5)
    mask = torch.ones(5, 2, 3, dtype=torch.bool)
    np.testing.assert_array_equal(actions, shared_policy.team.act(torch.from_numpy(obs), mask, state, None).actions.numpy())


def test_zip_holds_the_same_bundle(uneven, build, tmp_path):
    policy, path = uneven
    zipped = build(policy, output=tmp_path / "team.zip")
    assert zipfile.is_zipfile(zipped)
    assert read_bundle(zipped).fingerprint == read_bundle(path).fingerprint
    assert [file.name for file in tmp_path.iterdir()] == ["team.zip"]


def test_some_agents_only(make_policy, build, tmp_path):
    path = build(make_policy(), agents=["column"], output=tmp_path / "column")
    team = Team.load(path)
    assert team.agents == ("column",)
    assert team.act({"column": np.zeros(2, np.float32)}).keys() == {"column"}


@pytest.mark.parametrize(
    "network", [{"layer_norm": True}, {"activation": "relu"}, {"normalise_observations": False}, {"hidden_sizes": (8,)}]
)
def test_network_options(make_policy, build, network):
    policy = make_policy(**network)
    team, obs = Team.load(build(policy)), torch.randn(4, 2, 2)
    mask = torch.tensor([[[True, True, False], [True, True, True]]]).expand(4, -1, -1)
    expected = policy.team.act(obs, mask, policy.team.initial_state(4), None).actions.numpy()
    np.testing.assert_array_equal(team.act(obs.numpy(), mask.numpy()), expected)


@pytest.mark.parametrize("opset", [17, 21])
def test_opsets(make_policy, build, opset):
    path = build(make_policy(), opset=opset)
    assert all(model.opset_import[0].version == opset for model in models(path).values())


def test_wrong_choices_are_the_users_to_mend(make_policy, build, tmp_path):
    policy = make_policy()
    with pytest.raises(UserError, match=r"no agent 'rwo'.*did you mean 'row'"):
        build(policy, agents=["rwo"])
    with pytest.raises(UserError, match="--opset 9"):
        build(policy, opset=9)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="holds something else"):
        build(policy, output=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").is_file()


def test_export_says_nothing(make_policy, build, capfd, recwarn):
    build(make_policy())
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize("name", ["onnxscript", "gymnasium"])
def test_missing_package_names_the_extra(monkeypatch, name):
    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None if package == name else object())
    with pytest.raises(UserError, match=rf"'{name}'.*pip install \"a2po\[train\]\""):
        export()


def test_card_has_the_head_that_hugging_face_reads(exported):
    _, path = exported
    head = (path / "MODEL_CARD.md").read_text().split("---")[1]
    assert "pipeline_tag: reinforcement-learning" in head
    assert "library_name: a2po" in head
