"""What an export can be asked for: older operators, fewer bytes, other files; and what excludes what."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from a2po.errors import BundleError, UserError, WorkFailed
from a2po.evaluation.results import note_in_manifest
from a2po.exporters.export import export
from a2po.exporters.options import PROFILES, ExportOptions
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime import Team, read_bundle
from a2po.runtime.latency import measure
from a2po.runtime.verify import verify
from a2po.training.bundle_weights import load_bundle
from a2po.training.runs import create_run

ROOT = Path(__file__).resolve().parents[2]
MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 2, "recurrent_size": 12, "layer_norm": True, "head_sizes": (8,)}
NETWORKS = {
    "mlp": {"layer_norm": True},
    "gru": MEMORY,
    "shared": {"layer_norm": True, "share_parameters": True},
    "shared gru": {**MEMORY, "share_parameters": True},
}
TASKS = ["matrix/climbing", "mamujoco/HalfCheetah-2x3"]
LATE = {"LayerNormalization", "Split", "CastLike", "Gelu", "Mish"}
"""Operators that are younger than opset 13, or changed their form since."""


def models(path: Path) -> list[onnx.ModelProto]:
    return [onnx.load(file) for file in sorted((path / "agents").glob("*.onnx"))]


def manifest_of(path: Path) -> dict:
    return json.loads((path / "manifest.json").read_text())


def assert_verified(path: Path) -> None:
    assert [(check["name"], check["detail"]) for check in verify(path)["checks"] if check["passed"] is False] == []


@pytest.fixture(autouse=True)
def short_proofs(monkeypatch):
    monkeypatch.setattr("a2po.exporters.build.STEPS", 40)
    monkeypatch.setattr("a2po.exporters.build.RECURRENT_STEPS", 120)
    monkeypatch.setattr("a2po.exporters.build.measure", partial(measure, steps=10))


@pytest.mark.parametrize("noise", [False, True], ids=["greedy", "noise"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_plain_is_proven_from_opset_13_on(make_policy, build, task, network, noise):
    policy = make_policy(task, **network)
    for opset in (13, 15, 17, 21):
        path = build(policy, opset=opset, profile="plain", noise=noise)  # which passes the gate
        assert manifest_of(path)["onnx"] == {"opset": opset, "batch": "dynamic", "profile": "plain", "noise": noise, "quantize": None}
        assert_verified(path)
        for model in models(path):
            assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
            assert model.ir_version == onnx.helper.find_min_ir_version_for(list(model.opset_import))
            assert not LATE & {node.op_type for node in model.graph.node}
            assert not [node for node in model.graph.node if node.op_type == "Shape" and node.attribute]


@pytest.mark.parametrize("network", ["mlp", "shared gru"])
def test_standard_is_proven_at_the_first_and_the_last_opset_that_it_offers(make_policy, build, network):
    policy = make_policy(**NETWORKS[network])
    for opset in (PROFILES["standard"][0], PROFILES["standard"][-1]):
        path = build(policy, opset=opset)
        assert_verified(path)
        operators = {node.op_type for model in models(path) for node in model.graph.node}
        assert {entry.version for model in models(path) for entry in model.opset_import} == {opset}
        assert ("LayerNormalization" in operators) == policy.config.network.layer_norm


def test_plain_normalises_as_the_operator_does(make_policy, build, tmp_path):
    policy = make_policy(layer_norm=True)
    standard, plain = (build(policy, output=tmp_path / profile, profile=profile) for profile in ("standard", "plain"))
    assert any(node.op_type == "LayerNormalization" for model in models(standard) for node in model.graph.node)
    rng = np.random.default_rng(0)
    for scale in (1e-4, 1.0, 1e4):  # small ones show the epsilon
        obs = (rng.normal(size=(50, 2, 2)) * scale).astype(np.float32)
        teams = [Team.load(path) for path in (standard, plain)]
        outputs = [team.act(obs, noise=rng.random((50, 2, 3), dtype=np.float32) * 0 + 0.5) for team in teams]
        np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_int8_has_small_weights_and_a_measured_change(make_policy, build, tmp_path, task, network):
    policy = make_policy(task, **{**network, "hidden_sizes": (64, 64)})
    whole, small = build(policy, output=tmp_path / "float"), build(policy, output=tmp_path / "int8", quantize="int8")
    for before, after in zip(models(whole), models(small), strict=True):
        kinds = [node.op_type for node in after.graph.node]
        layers = [node for node in before.graph.node if node.op_type == "Gemm" and "unsqueeze" not in node.input[0]]
        assert kinds.count("MatMulInteger") == kinds.count("DynamicQuantizeLinear") == len(layers)
        assert {node.domain for node in after.graph.node} == {""}
        weights = [tensor for tensor in after.graph.initializer if len(tensor.dims) == 2 and min(tensor.dims) > 3]
        assert {tensor.data_type for tensor in weights if "weight" in tensor.name} <= {onnx.TensorProto.UINT8}
        onnx.checker.check_model(after, full_check=True)
        assert list(after.metadata_props) == list(before.metadata_props)
    sizes = [sum(file.stat().st_size for file in (path / "agents").iterdir()) for path in (whole, small)]
    assert sizes[1] < 0.75 * sizes[0]
    assert_verified(small)
    manifest = manifest_of(small)
    measured, change = manifest["quantization"], manifest["quantization"]["return"]
    assert manifest["onnx"]["quantize"] == "int8" and manifest["parity"]["max_error"] <= 1e-5  # of the actors before
    assert 1e-5 < measured["max_error"] < 0.5
    assert (measured["action_agreement"] is None) == (not policy.team.spec.discrete)
    assert change["difference"] == pytest.approx(change["int8"] - change["float"], abs=1e-5)
    assert change["interval"][0] <= change["difference"] <= change["interval"][1]
    assert change["episodes"] == 32
    assert "Quantised to int8" in (small / "MODEL_CARD.md").read_text()
    assert manifest_of(whole)["quantization"] is None


def test_a_mistaken_quantisation_shows_in_what_is_measured(make_policy, build, monkeypatch):
    """The measure is taken from the files that are written; one that is far off is refused."""
    from a2po.exporters import build as building

    genuine, factor = building.quantised, 1.0

    def mistaken(content, graph):
        model = onnx.load_from_string(genuine(content, graph))
        for tensor in model.graph.initializer:
            if tensor.name.endswith("_scale"):
                value = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
        return model.SerializeToString()

    monkeypatch.setattr(building, "quantised", mistaken)
    policy = make_policy("matrix/climbing")
    good = manifest_of(build(policy, quantize="int8"))["quantization"]
    factor = 1.1
    bad = manifest_of(build(policy, quantize="int8"))["quantization"]
    assert all(bad[error] > 3 * good[error] for error in ("max_error", "drawn_error"))
    factor = -1.0
    with pytest.raises(WorkFailed, match="--quantize int8 changes these actors too much"):
        build(policy, quantize="int8")


def test_a_part_of_a_team_is_quantised_without_a_return(make_policy, build, tmp_path):
    path = build(make_policy(), agents=["row"], output=tmp_path / "row", quantize="int8")
    assert manifest_of(path)["quantization"]["return"] is None
    assert "cannot play alone" in (path / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(("format", "kinds"), [("onnx", {".onnx"}), ("safetensors", {".safetensors"}), ("all", {".onnx", ".safetensors"})])
def test_formats(make_policy, build, format, kinds):
    policy = make_policy(share_parameters=True)
    path = build(policy, format=format)
    bundle = read_bundle(path)
    assert {Path(name).suffix for name in bundle.files} == {*kinds, ".md"}
    assert_verified(path)
    for agent in bundle.agents:
        assert (bool(agent.file), bool(agent.weights)) == (".onnx" in kinds, ".safetensors" in kinds)
    assert (bundle.manifest["onnx"] is None) == (bundle.manifest["parity"] is None) == (format == "safetensors")
    if format == "safetensors":
        with pytest.raises(BundleError, match=r"weights only|no ONNX"):
            Team.load(path)
        team = TeamPolicy(policy.team.spec, policy.team.network, seed=9)
        load_bundle(bundle, team)
        assert torch.equal(team.actors.values, policy.team.actors.values)
    else:
        assert Team.load(path).act(np.zeros((2, 2), np.float32)).shape == (2,)


WRONG = [
    ({"format": "safetensors", "quantize": "int8"}, "--quantize int8 is about ONNX files, and --format safetensors writes none"),
    ({"format": "safetensors", "noise": True}, "--noise is about ONNX files"),
    ({"format": "safetensors", "profile": "plain"}, "--profile plain is about ONNX files"),
    ({"format": "safetensors", "opset": 17}, "--opset 17 is about ONNX files"),
    ({"format": "onxx"}, "--format onxx: unknown; did you mean 'onnx'?"),
    ({"profile": "plian"}, "--profile plian: unknown; did you mean 'plain'?"),
    ({"quantize": "int4"}, "--quantize int4: unknown; did you mean 'int8'?"),
    ({"opset": 13}, "--opset 13: with --profile standard a2po writes ONNX opsets 17 to 21; --profile plain writes 13 to 21"),
    ({"opset": 12, "profile": "plain"}, "--opset 12: with --profile plain a2po writes ONNX opsets 13 to 21;"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[message.partition(":")[0] for _, message in WRONG])
def test_what_does_not_go_together_is_said_before_any_work(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        export("a run that nobody looks for", **options)


def test_noise_for_q_values_is_remarked(make_policy, tmp_path, monkeypatch):
    policy = make_policy("matrix/climbing")
    monkeypatch.setattr("a2po.training.runs.open_policy", lambda *args, **options: policy)
    said = []
    export(output=tmp_path / "a2po", noise=True, say=said.append)
    assert not said
    monkeypatch.setattr(policy.config, "__dict__", {**policy.config.__dict__, "algorithm": "qmix"})
    export(output=tmp_path / "qmix", noise=True, say=said.append)
    assert "qmix learns values, not probabilities" in said[0]


@pytest.fixture
def keys(tmp_path):
    """A private and a public key, as openssl writes them."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization

    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    key = ed25519.Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signed_bundle_stays_so_when_its_evaluation_is_noted(make_policy, build, keys, tmp_path):
    private, public = keys
    for name in ("team", "team.zip"):
        path = build(make_policy(), output=tmp_path / name, sign=private)
        note_in_manifest(read_bundle(path), {"mean": 1.0, "episodes": 3}, pytest.fail)
        assert read_bundle(path).manifest["evaluation"]["mean"] == 1.0
        assert verify(path, public)["passed"]
    assert str(private).encode() not in (tmp_path / "team" / "manifest.json").read_bytes()


def test_a_key_that_cannot_sign_is_refused_before_any_work(keys, tmp_path):
    with pytest.raises(UserError, match="is a public key"):
        export("a run that nobody looks for", sign=keys[1])
    with pytest.raises(UserError, match=r"does not exist; did you mean '.*key\.pem'"):
        export("a run that nobody looks for", sign=tmp_path / "kye.pem")


EVERY_OPTION = [
    {},
    {"profile": "plain", "opset": 13},
    {"noise": True},
    {"quantize": "int8"},
    {"quantize": "int8", "profile": "plain", "opset": 15, "noise": True},
    {"format": "safetensors"},
]
TWICE = """
import sys
from a2po import export
from a2po.exporters import build
build.STEPS = build.RECURRENT_STEPS = 40
for number, options in enumerate({options!r}):
    export({run!r}, output=f"{{sys.argv[1]}}/bundle-{{number}}", **options)
"""


@pytest.fixture(scope="module")
def exported_twice(policy_at, tmp_path_factory):
    """Bundles with every option, made in two folders by two processes; and the run."""
    run = tmp_path_factory.mktemp("a-telling-folder") / "runs" / "demo"
    policy = policy_at(run, "matrix/climbing", **NETWORKS["shared gru"])
    create_run(run, policy.config)
    from a2po.training.checkpoints import Checkpoints

    Checkpoints(run / "checkpoints").save(4096, {"step": 4096, "team": policy.team.state_dict()})
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    script = TWICE.format(options=EVERY_OPTION, run=str(run))
    for folder in folders:
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True, cwd=folder, timeout=110)
    return folders, run


@pytest.mark.parametrize("number", range(len(EVERY_OPTION)), ids=map(str, EVERY_OPTION))
def test_the_same_checkpoint_gives_the_same_bytes(exported_twice, number):
    first, second = (read_bundle(folder / f"bundle-{number}") for folder in exported_twice[0])
    assert first.files.keys() == second.files.keys()
    assert [name for name in first.files if first.files[name] != second.files[name] and name != "MODEL_CARD.md"] == []
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("number", range(len(EVERY_OPTION)), ids=map(str, EVERY_OPTION))
def test_no_file_tells_about_the_machine(exported_twice, number):
    folders, run = exported_twice
    needles = [str(ROOT), str(folders[0]), str(run), run.parents[1].name, str(Path.home()), socket.gethostname()]
    needles += ["site-packages", "Traceback", "stack_trace", ", line ", "/tmp/", ".py"]
    bundle = folders[0] / f"bundle-{number}"
    for file in bundle.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            # Shorter needles would be found by chance among the weights.
            found = [needle for needle in needles if (len(needle) > 4 or file.suffix in (".json", ".md")) and needle.encode() in content]
            assert not found, (file.name, found)
    for model in models(bundle) if (bundle / "agents").exists() else []:
        for part in [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info]:
            assert not part.doc_string
        assert (model.producer_name, model.producer_version) == ("a2po", "")
        assert all(entry.key.startswith("a2po.") for entry in model.metadata_props)


def test_defaults_are_the_ones_of_the_command(make_policy, build):
    assert manifest_of(build(make_policy()))["onnx"] == ExportOptions().entry()
