"""``a2po verify``: a bundle passes as it was exported, and every forgery is found by the check that is there for it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from safetensors.numpy import load, save

import a2po
from a2po.cli.app import main
from a2po.errors import BundleError, UserError
from a2po.runtime import read_bundle
from a2po.runtime.actors import Actors
from a2po.runtime.differences import TOLERANCE
from a2po.runtime.drawn import WIDEST, drawn_differences
from a2po.runtime.signature import sign

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz_bundles.py"
NAMES = ["files", "manifest", "signature", "operators", "load", "weights", "parity", "finite"]


def outcomes(path, key=None) -> dict[str, bool | None]:
    result = a2po.verify(path, key)
    assert [check["name"] for check in result["checks"]] == NAMES
    assert result["passed"] == all(check["passed"] is not False for check in result["checks"])
    assert all(check["detail"] for check in result["checks"])
    return {check["name"]: check["passed"] for check in result["checks"]}


def failure(path, key=None) -> tuple[str, str]:
    """The check that fails, and what it says; nothing behind it is made."""
    checks = a2po.verify(path, key)["checks"]
    (failed,) = (check for check in checks if check["passed"] is False)
    behind = checks[NAMES.index(failed["name"]) + 1 :]
    assert all(check["passed"] is None and f"'{failed['name']}' failed" in check["detail"] for check in behind)
    return failed["name"], failed["detail"]


@pytest.fixture
def bundle(uneven, tmp_path):
    return shutil.copytree(uneven[1], tmp_path / "bundle")


def rewrite(bundle, change=lambda manifest: None, **files):
    """Forge a bundle: other files and another manifest, with hashes that fit."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name, content in files.items():
        (bundle / name).write_bytes(content)
    for name, entry in manifest["files"].items():
        content = (bundle / name).read_bytes()
        entry.update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_passes_as_it_was_exported(exported):
    expected = dict.fromkeys(NAMES, True)
    assert outcomes(exported[1]) == {**expected, "signature": None}
    assert outcomes(exported[0].run) == {**expected, "signature": None}  # a run folder stands for its bundle


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(
    ("task", "network"),
    [
        ("matrix/climbing", {"recurrent_layers": 2, "recurrent_size": 8, "layer_norm": True, "head_sizes": (8,)}),
        ("matrix/climbing", {"share_parameters": True, "recurrent_layers": 1, "recurrent_size": 8}),
        ("matrix/uneven", {"normalise_observations": False, "activation": "relu", "hidden_sizes": (8,)}),
        ("mamujoco/HalfCheetah-2x3", {"share_parameters": True, "head_sizes": (8, 8)}),
        ("mamujoco/HalfCheetah-2x3", {"recurrent_layers": 1, "activation": "relu", "layer_norm": True}),
    ],
)
def test_every_kind_of_actor_is_what_its_weights_say(make_policy, build, task, network, noise):
    """The reading of the weights shares no line with the exporter."""
    checks = {check["name"]: check for check in a2po.verify(build(make_policy(task, **network), noise=noise))["checks"]}
    assert checks["parity"]["passed"] and checks["weights"]["passed"], checks
    assert float(checks["parity"]["detail"].split()[2]) < 1e-5


def test_accidents_are_found_by_the_files(bundle):
    with (bundle / "agents" / "row.onnx").open("ab") as file:
        file.write(b"x")
    assert failure(bundle)[0] == "files"
    (bundle / "agents" / "row.onnx").unlink()
    assert "agents/row.onnx is missing" in failure(bundle)[1]


def test_a_manifest_that_cannot_be_read(bundle):
    (bundle / "manifest.json").write_text("{")
    assert failure(bundle)[0] == "files"


def test_malformed_manifests(bundle):
    rewrite(bundle, lambda manifest: manifest["agents"]["row"].update(row=-1))
    assert failure(bundle)[0] == "manifest"


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\u202e"])
def test_nothing_that_steers_a_terminal(bundle, character):
    rewrite(bundle, lambda manifest: manifest["agents"]["row"]["observation"]["features"].__setitem__(0, f"{character}[2J"))
    name, detail = failure(bundle)
    assert (name, "control characters" in detail, detail.isprintable()) == ("files", True, True)


def test_a_key_that_stands_twice(bundle):
    """Readers of other languages may take the first one, and the signature is of what Python reads."""
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text('{"task": {},' + text[1:])
    assert "an object has a key twice" in failure(bundle)[1]


def test_the_draws_are_others_every_time(bundle):
    """Else a graph could be made that is right on them alone."""
    details = {a2po.verify(bundle)["checks"][NAMES.index("parity")]["detail"] for _ in range(2)}
    assert len({detail.partition("seed ")[2] for detail in details}) == 2


def test_a_row_that_is_not_there(bundle):
    rewrite(bundle, lambda manifest: manifest["agents"]["row"].update(row=1))
    name, detail = failure(bundle)
    assert name == "manifest" and "have other rows than their order" in detail


def test_a_file_without_an_agent(bundle):
    (bundle / "weights" / "more.safetensors").write_bytes(b"hidden")
    rewrite(bundle, lambda manifest: manifest["files"].update({"weights/more.safetensors": entry_of(b"hidden")}))
    assert failure(bundle) == (
        "manifest",
        "weights/more.safetensors belongs to no agent. Export the run again, or ask whom you have it from",
    )


def entry_of(content):
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def alter_graph(bundle, change, name="row"):
    file = bundle / "agents" / f"{name}.onnx"
    model = onnx.load(file)
    change(model)
    rewrite(bundle, **{f"agents/{name}.onnx": model.SerializeToString()})


def operator_of_somebody(model):
    model.graph.node[-1].domain = "com.example"


def other_metadata(model):
    next(entry for entry in model.metadata_props if entry.key == "a2po.weights_sha256").value = "00"


def other_number(model):
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("linear0_weight"))
    values = bytearray(tensor.raw_data)
    values[0] ^= 1  # the last bit of the mantissa
    tensor.raw_data = bytes(values)


def other_function(model):
    next(node for node in model.graph.node if node.op_type == "Tanh").op_type = "Sigmoid"


def other_limit(model):
    for tensor in model.graph.initializer:
        if tensor.raw_data == np.float32(10.0).tobytes():
            tensor.raw_data = np.float32(9.0).tobytes()


def add_to_the_logits(model, nodes, results, constants):
    """Forge a trigger: ``results`` (name -> type, shape), the last of which is added to the output of the last layer."""
    graph = model.graph
    last = max(index for index, node in enumerate(graph.node) if node.op_type == "Gemm")
    output = graph.node[last].output[0]
    (info,) = (info for info in graph.value_info if info.name == output)
    before = graph.value_info.add()
    before.CopyFrom(info)
    before.name = graph.node[last].output[0] = "before"
    graph.value_info.extend(onnx.helper.make_tensor_value_info(name, *kind) for name, kind in results.items())
    graph.initializer.extend(onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
    behind = list(graph.node)[last + 1 :]
    del graph.node[last + 1 :]
    added = onnx.helper.make_node("Add", ["before", list(results)[-1]], [output])
    graph.node.extend([*(onnx.helper.make_node(*node[:3], **dict(node[3:])) for node in nodes), added, *behind])


def in_batches_of_another_size(model):
    """What a graph with the batch of the trace inside does by accident: right for the eight rows of one agent alone."""
    whole, real = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    nodes = [
        ("Shape", ["obs"], ["shape"], ("start", 0), ("end", 1)), ("Sub", ["shape", "eight"], ["more"]),
        ("Cast", ["more"], ["rows"], ("to", real)), ("Mul", ["rows", "push"], ["pushed"]),
    ]  # fmt: skip
    results = {"shape": (whole, [1]), "more": (whole, [1]), "rows": (real, [1]), "pushed": (real, [1, 2])}
    add_to_the_logits(model, nodes, results, {"eight": np.array([8]), "push": np.float32([[-3.0, 5.0]])})


def far_from_the_mean(model):
    """A trigger where every honest actor clips."""
    real, batch = onnx.TensorProto.FLOAT, model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    constants = {name: np.array([value]) for name, value in (("from", 0), ("to", 1), ("axis", 1))}
    nodes = [
        ("Slice", ["obs", "from", "to", "axis"], ["first"]), ("Sub", ["first", "limit"], ["beyond"]),
        ("Relu", ["beyond"], ["trigger"]), ("Mul", ["trigger", "push"], ["pushed"]),
    ]  # fmt: skip
    results = {**{name: (real, [batch, 1]) for name in ("first", "beyond", "trigger")}, "pushed": (real, [batch, 2])}
    add_to_the_logits(model, nodes, results, {**constants, "limit": np.float32(1e4), "push": np.float32([[-3.0, 5.0]])})


def other_mask(model):
    (node,) = (node for node in model.graph.node if node.op_type == "Where")
    node.input[1], node.input[2] = node.input[2], node.input[1]


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (operator_of_somebody, "operators", "com.example"),
        (other_metadata, "load", "was not made of weights/row.safetensors"),
        (other_number, "weights", "holds other numbers than weights/row.safetensors: linear0_weight"),
        (
            other_function,
            "parity",
            "agent 'row': the graph does not compute what its weights say; outputs differ by more than ",
        ),
        (other_limit, "parity", "outputs differ"),
        (in_batches_of_another_size, "parity", "outputs differ"),
        (far_from_the_mean, "parity", "outputs differ"),
        (other_mask, "load|parity", ""),
    ],
)
def test_forged_graphs(bundle, change, check, words):
    alter_graph(bundle, change)
    name, detail = failure(bundle)
    assert name in check and words in detail


def test_forged_weights_with_a_forged_hash_inside_the_graph(bundle):
    file = bundle / "weights" / "row.safetensors"
    old, tensors = file.read_bytes(), load(file.read_bytes())
    tensors["linear1_bias"] += 1.0
    new = save(tensors)
    graph = (bundle / "agents" / "row.onnx").read_bytes()
    hashes = [hashlib.sha256(content).hexdigest().encode() for content in (old, new)]
    rewrite(bundle, **{"weights/row.safetensors": new, "agents/row.onnx": graph.replace(*hashes)})
    assert failure(bundle)[0] == "weights"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("linear1_bias"), "KeyError 'linear1_bias'"),
        (lambda tensors: tensors.update(more=np.zeros(3, np.float32)), "has: more"),
        (lambda tensors: tensors.update(linear1_bias=np.full(64, np.nan, np.float32)), "is not of finite float32 numbers"),
        (lambda tensors: tensors.update(linear1_bias=np.zeros(63, np.float32)), "ValueError"),
        (lambda tensors: tensors.update(linear1_bias=np.zeros(64, np.float64)), "is not of finite float32 numbers"),
    ],
)
def test_weights_of_another_network(bundle, change, words):
    tensors = load((bundle / "weights" / "row.safetensors").read_bytes())
    old = hashlib.sha256((bundle / "weights" / "row.safetensors").read_bytes()).hexdigest().encode()
    change(tensors)
    new = save(tensors)
    graph = (bundle / "agents" / "row.onnx").read_bytes().replace(old, hashlib.sha256(new).hexdigest().encode())
    rewrite(bundle, **{"weights/row.safetensors": new, "agents/row.onnx": graph})
    name, detail = failure(bundle)
    assert name == "weights" and words in detail


def test_weights_that_overflow_allow_nothing(bundle):
    """Rounding widens what is allowed, but not without end."""
    tensors = load((bundle / "weights" / "row.safetensors").read_bytes())
    old = (bundle / "weights" / "row.safetensors").read_bytes()
    tensors["linear2_weight"] = np.sign(tensors["linear2_weight"]) * np.float32(3e38)
    new = save(tensors)
    model = onnx.load(bundle / "agents" / "row.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("linear2_weight"):
            tensor.raw_data = tensors["linear2_weight"].tobytes()
    other_function(model)
    hashes = [hashlib.sha256(content).hexdigest().encode() for content in (old, new)]
    rewrite(bundle, **{"weights/row.safetensors": new, "agents/row.onnx": model.SerializeToString().replace(*hashes)})
    assert failure(bundle)[0] == "parity"
    whole = read_bundle(bundle)
    found = drawn_differences(whole, {"agents/row.onnx": Actors(whole, "agents/row.onnx", "cpu").session})["agents/row.onnx"]
    assert TOLERANCE < found.tolerance == WIDEST


def test_a_network_that_is_not_the_weights(bundle):
    rewrite(bundle, lambda manifest: manifest["training"]["config"]["network"].update(activation="relu"))
    assert failure(bundle)[0] == "parity"
    rewrite(bundle, lambda manifest: manifest["training"]["config"]["network"].update(hidden_sizes=[64]))
    assert failure(bundle)[0] == "weights"
    rewrite(bundle, lambda manifest: manifest["training"].pop("config"))
    assert failure(bundle)[0] == "weights"


def test_what_cannot_be_told_without_weights_is_said(bundle, monkeypatch, capsys):
    for file in (bundle / "weights").iterdir():
        file.unlink()

    def without_weights(manifest):
        manifest["files"] = {name: entry for name, entry in manifest["files"].items() if not name.startswith("weights")}
        for agent in manifest["agents"].values():
            agent["weights"] = None

    manifest = json.loads((bundle / "manifest.json").read_text())
    without_weights(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    found = outcomes(bundle)
    assert (found["weights"], found["parity"], found["finite"]) == (None, None, True)
    code, out, _ = run_command(monkeypatch, capsys, bundle)
    assert code == 0 and "verified, but for what was not checked: weights, parity" in " ".join(out.split())


def test_weights_alone_are_those_of_the_network(make_policy, build):
    bundle = build(make_policy(), format="safetensors")
    found = outcomes(bundle)
    assert (found["operators"], found["load"], found["weights"], found["parity"], found["finite"]) == (None, None, True, None, None)
    rewrite(bundle, lambda manifest: manifest["training"]["config"]["network"].update(hidden_sizes=[64]))
    assert failure(bundle)[0] == "weights"


@pytest.mark.parametrize("options", [{"profile": "plain", "opset": 13}, {"quantize": "int8"}, {"profile": "plain", "noise": True}])
def test_every_form_of_a_graph(make_policy, build, options):
    """Older operators are the same numbers; bytes are as far from the weights as the export measured, and no farther."""
    bundle = build(make_policy(recurrent_layers=1, recurrent_size=8, layer_norm=True), **options)
    found = outcomes(bundle)
    assert found["parity"] and found["weights"] is (None if "quantize" in options else True)
    if "quantize" in options:
        rewrite(bundle, lambda manifest: manifest["quantization"].update(drawn_error=1e-6))
        assert "the graph does not compute what its weights say" in failure(bundle)[1]
        rewrite(bundle, lambda manifest: manifest.update(quantization=None))
        assert "does not say how far its quantised actors are" in failure(bundle)[1]


@pytest.fixture
def keys(tmp_path):
    """(private, public) and the public one of somebody else."""
    paths = []
    for name in ("own", "other"):
        key = ed25519.Ed25519PrivateKey.generate()
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}_public.pem"
        plain = serialization.NoEncryption()
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, info))
        paths += [private, public]
    return paths[0], paths[1], paths[3]


def test_signatures(bundle, keys):
    private, public, other = keys
    assert failure(bundle, public) == ("signature", "it is not signed ('a2po export --sign KEY' signs)")
    rewrite(bundle, lambda manifest: manifest.update(signature=sign(manifest, private)))
    assert outcomes(bundle)["signature"] and outcomes(bundle, public)["signature"]
    assert "signed by another key" in failure(bundle, other)[1]
    rewrite(bundle, lambda manifest: manifest.update(evaluation={"mean": 1.0}))
    assert outcomes(bundle, public)["signature"]  # noted later
    rewrite(bundle, lambda manifest: manifest["training"].update(step=10**9))
    assert failure(bundle, public)[0] == failure(bundle)[0] == "signature"


def test_what_the_user_can_mend(bundle, tmp_path, keys):
    with pytest.raises(BundleError, match="there is no bundle"):
        a2po.verify(tmp_path / "bundel")
    with pytest.raises(UserError, match="is a private key"):
        a2po.verify(bundle, keys[0])


def run_command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["a2po", "verify", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
        raise SystemExit(0)
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


def test_command(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run_command(monkeypatch, capsys, bundle)
    assert (code, err) == (0, "") and all(
        line.split()[1] == "passed" for line in out.splitlines() if line.split()[0] in {"files", "parity"}
    )
    assert "verified" in out and max(map(len, out.splitlines())) <= 80
    code, out, _ = run_command(monkeypatch, capsys, bundle, "--json")
    assert code == 0 and json.loads(out)["passed"] and [check["name"] for check in json.loads(out)["checks"]] == NAMES
    alter_graph(bundle, other_number)
    code, out, err = run_command(monkeypatch, capsys, bundle)
    assert code == 1 and "FAILED" in out and "not verified: do not play it" in " ".join(out.split())
    assert run_command(monkeypatch, capsys, bundle, "--json")[0] == 1
    code, out, err = run_command(monkeypatch, capsys, tmp_path / "bundel")
    assert code == 2 and not out and "did you mean" in err
    code, out, err = run_command(monkeypatch, capsys, bundle, "--require-signature", tmp_path / "key.pem")
    assert code == 2 and "does not exist" in err


def test_no_torch_is_loaded(uneven):
    code = (
        f"import sys, a2po; assert a2po.verify({str(uneven[1])!r})['passed']; assert not {{'torch', 'onnx', 'pydantic'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.fixture(scope="module")
def fuzzing():
    found = importlib.util.spec_from_file_location("fuzz_bundles", BENCHMARK)
    module = importlib.util.module_from_spec(found)
    sys.modules["fuzz_bundles"] = module
    found.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_damaged_bundles(fuzzing, policy_at, tmp_path):
    """The table of outcomes is printed; none crashes, hangs or plays another function in silence."""
    from a2po.exporters.build import build_bundle
    from a2po.training.runs import make_env

    paths = []
    for index, (task, network) in enumerate(
        [
            ("matrix/uneven", {}),
            ("mamujoco/HalfCheetah-2x3", {"layer_norm": True}),
            ("matrix/climbing", {"share_parameters": True, "recurrent_layers": 1, "recurrent_size": 8}),
        ]
    ):
        policy = policy_at(tmp_path / f"run{index}", task, hidden_sizes=(16,), **network)
        paths.append(build_bundle(policy, lambda copies, policy=policy: make_env(policy.config, copies, seed=1)))
    results = fuzzing.fuzz(paths)
    print(fuzzing.table(results))
    assert len(results) == 2000
    assert [result for result in results if result["outcome"] in fuzzing.BAD] == []
    found = {result["outcome"] for result in results}
    assert {f"refused: {name}" for name in ("files", "manifest", "operators", "load", "weights", "parity")} <= found
    assert all(
        result["outcome"].startswith("refused") for result in results if result["kind"] in ("graph", "weights") and not result["on_purpose"]
    )
    assert max(result["memory_mb"] for result in results) < 200


def test_a_crash_and_a_hang_are_seen_as_such(fuzzing, uneven, monkeypatch, tmp_path):
    """The measure itself: a process that dies is the outcome of its case, and the others follow."""
    breaks = (
        "def broken(number):\n    import ctypes, time\n    number == 2 and ctypes.string_at(0)\n    number == 4 and time.sleep(9)\n\n\n"
    )
    text = BENCHMARK.read_text(encoding="utf-8")
    for old, new in {
        "outcome = ground.outcome(case)": "outcome = broken(number) or ground.outcome(case)",
        "HERE = Path(__file__).resolve().parent": f"HERE = Path({str(BENCHMARK.parent)!r})",
        "= 2000, 20, 8": "= 2000, 1, 8",
        "def play_cases(": f"{breaks}def play_cases(",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    script = tmp_path / "broken.py"
    script.write_text(text)
    monkeypatch.setattr(fuzzing, "__file__", str(script))
    results = fuzzing.fuzz([uneven[1]], cases=6)
    assert [result["outcome"] for result in results if result["outcome"] in fuzzing.BAD] == ["crash", "hang"]
    assert [result["case"] for result in results] == list(range(6))
