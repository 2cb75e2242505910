"""An ONNX file is looked at before onnxruntime sees it; what the exporter does not write is refused, without allocating what it claims."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from a2po.errors import BundleError
from a2po.exporters.options import PROFILES
from a2po.runtime import Team, actors
from a2po.runtime.actors import open_session
from a2po.runtime.onnx_file import check_file
from a2po.runtime.onnx_form import ALLOWED, MAX_FILE, OPSETS


@pytest.fixture(scope="module")
def written(uneven) -> bytes:
    """A file as the exporter writes it."""
    return (uneven[1] / "agents" / "row.onnx").read_bytes()


@pytest.fixture
def model(written) -> onnx.ModelProto:
    return onnx.load_from_string(written)


def refused(content: bytes | onnx.ModelProto) -> str:
    content = content if isinstance(content, bytes) else content.SerializeToString()
    with pytest.raises(BundleError) as caught:
        check_file(content, "agents/row.onnx")
    message = str(caught.value)
    assert message.startswith("agents/row.onnx is refused: ") and "export the run again" in message
    return message


def test_what_the_exporter_writes_passes(written, model):
    facts = check_file(written, "agents/row.onnx")
    assert facts.operators.total() == len(model.graph.node) and set(facts.operators) == {node.op_type for node in model.graph.node}
    assert facts.elements == sum(np.prod(tensor.dims, dtype=int) for tensor in model.graph.initializer)
    assert facts.inputs == {"obs": ("batch", 2), "action_mask": ("batch", 2)}
    assert facts.outputs == {"action": ("batch",), "logits": ("batch", 2)}
    assert facts.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert set(OPSETS) == {opset for opsets in PROFILES.values() for opset in opsets}


def add_function(model):
    model.functions.add(name="own", domain="", output=["x"])


def add_training(model):
    model.training_info.add()


def add_external_data(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def add_external_entry(model):
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def add_location_alone(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def add_sparse_constant(model):
    model.graph.sparse_initializer.add()


def add_custom_operator(model):
    model.graph.node[0].domain = "com.example"
    model.graph.node[0].op_type = "RunThis"


def add_standard_operator_of_microsoft(model):
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.add(domain="com.microsoft", version=1)


def add_random_operator(model):
    model.graph.node[0].op_type = "RandomNormalLike"


def add_subgraph(model):
    model.graph.node[0].attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.name = "inner"


def add_subgraphs(model):
    model.graph.node[0].attribute.add(name="branches", type=onnx.AttributeProto.GRAPHS).graphs.add()


def add_sequence_input(model):
    value = model.graph.input.add(name="more")
    value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def add_texts(model):
    model.graph.initializer.append(helper.make_tensor("texts", TensorProto.STRING, [1], [b"x"]))


def add_stack_trace(model):
    model.graph.node[0].metadata_props.add(key="stack_trace", value="/home/somebody/train.py")


def claim_three_gigabytes(model):
    model.graph.initializer[0].dims[:] = [750_000_000]


def claim_more_than_there_is(model):
    model.graph.initializer[0].dims[:] = [1 << 62, 1 << 62, 1 << 62]


def claim_less_than_nothing(model):
    model.graph.initializer[0].dims[:] = [-1]


def claim_another_type(model):
    model.graph.initializer[0].data_type = TensorProto.INT64


def be_walked_for_minutes(model):
    model.graph.node[0].attribute.add(name="more", type=onnx.AttributeProto.INTS).ints.extend([1] * (2 << 20))


def put_names_that_steer_a_terminal(model):
    model.graph.node[0].name = "\x1b[2J"


def put_numbers_into_two_places(model):
    model.graph.initializer[0].float_data.append(1.0)


def claim_a_large_result(model):
    model.graph.value_info[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40


def hide_a_result(model):
    del model.graph.value_info[0]


def leave_two_axes_free(model):
    model.graph.value_info[0].type.tensor_type.shape.dim[1].dim_param = "batch"


def make_an_input_a_constant(model):
    model.graph.initializer.append(helper.make_tensor("obs", TensorProto.FLOAT, [1, 2], [0.0, 0.0]))


def put_ten_thousand_nodes(model):
    model.graph.node.extend([model.graph.node[0]] * 10_000)


def set_old_opset(model):
    model.opset_import[0].version = 9


def name_two_opsets(model):
    model.opset_import.add(domain="ai.onnx", version=18)


def say_something_twice(model):
    model.metadata_props.add(key="a2po.task", value="matrix/other")


def take_the_graph(model):
    model.ClearField("graph")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add_function, "functions of its own"),
        (add_training, "training information"),
        (add_external_data, "external data"),
        (add_external_entry, "external data"),
        (add_location_alone, "external data"),
        (add_sparse_constant, "sparse constants"),
        (add_custom_operator, "the operator 'RunThis' of the domain 'com.example'"),
        (add_standard_operator_of_microsoft, "com.microsoft"),
        (add_random_operator, "the operator 'RandomNormalLike', which a2po does not write"),
        (add_subgraph, "a graph inside an operator"),
        (add_subgraphs, "graphs inside an operator"),
        (add_sequence_input, "the field 4 of a type"),
        (add_texts, "texts"),
        (add_stack_trace, "metadata of a node"),
        (claim_three_gigabytes, "claims 3,000,000,000 bytes and has"),
        (claim_more_than_there_is, r"claims \d{2,3}(,\d{3}){18} bytes and has 4\."),
        (claim_less_than_nothing, r"the shape \[-1\]"),
        (claim_another_type, "claims"),
        (put_numbers_into_two_places, "claims"),
        (be_walked_for_minutes, "beside the bytes of its tensors"),
        (put_names_that_steer_a_terminal, "cannot be printed"),
        (claim_a_large_result, "has the shape"),
        (hide_a_result, "does not say how large"),
        (leave_two_axes_free, "has the shape"),
        (make_an_input_a_constant, "an input is a constant"),
        (put_ten_thousand_nodes, "more than 4,096 nodes"),
        (set_old_opset, "the opset 9; a2po writes 13 to 21"),
        (name_two_opsets, "the opset 18"),
        (say_something_twice, "names a key twice"),
        (take_the_graph, "it has no graph"),
    ],
)
def test_what_it_does_not_write_is_refused(model, change, words):
    change(model)
    assert re.search(words, refused(model))


def varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no graph"),
        (b"\x80" * 11, "does not end"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x3a" + varint(1 << 40), "claims 1,099,511,627,776 bytes where 0 are left"),
        (b"\x3a\x05ab", "claims 5 bytes where 2 are left"),
        (b"\x38\x01", "the wire type 0"),
        (b"\x3b\x3c", "the wire type 3"),
        (b"\x02\x00", "the number 0"),
        (b"PK\x03\x04", "field"),
        (b"\x3a\x00\x3a\x00", "two fields 'graph'"),
        (b"\x12" + varint(600) + b"a" * 600, "longer than 512"),
        (b"\x12\x02\xff\xff\x72\x04\x0a\x02\xff\xff", "can't decode"),
    ],
)
def test_damaged_files_are_refused(content, words):
    assert words in refused(content)


def test_huge_files_are_refused():
    with pytest.raises(BundleError, match="an actor at most 268 MB"):
        check_file(bytes(MAX_FILE + 1), "agents/row.onnx")


@pytest.mark.parametrize("change", [add_external_data, add_custom_operator, claim_three_gigabytes, claim_a_large_result])
def test_nothing_is_allocated_for_a_claim(model, change):
    change(model)
    content = model.SerializeToString()
    tracemalloc.start()
    refused(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_team_is_refused_before_onnxruntime_sees_its_files(uneven, model, tmp_path, monkeypatch):
    bundle = shutil.copytree(uneven[1], tmp_path / "bundle")
    add_custom_operator(model)
    (bundle / "agents" / "row.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["agents/row.onnx"]["sha256"] = hashlib.sha256(model.SerializeToString()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(actors, "open_session", lambda *_: pytest.fail("opened"))
    with pytest.raises(BundleError, match=r"bundle': agents/row\.onnx is refused: it uses the operator 'RunThis'"):
        Team.load(bundle)


def test_every_cut_and_every_flipped_bit_is_a_refusal_or_a_reading(written):
    """Whatever is damaged, the check ends with what it says it ends with. What comes last is the metadata."""
    for size in range(0, len(written) - 1500, 61):
        with pytest.raises(BundleError):
            check_file(written[:size], "cut")
    rng = np.random.default_rng(0)
    read = 0
    for place in rng.integers(0, len(written), 500):
        damaged = bytearray(written)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            check_file(bytes(damaged), "flipped")
            read += 1
        except BundleError:
            pass
    assert 0 < read < 500


def test_results_that_are_larger_than_the_file_says_are_refused(model):
    """A graph whose results would grow: the shapes that it declares are held against it before it runs."""
    model.graph.initializer.append(helper.make_tensor("large", TensorProto.INT64, [2], [1 << 14, 1 << 14]))
    (constant,) = [tensor.name for tensor in model.graph.initializer if "linear2_bias" in tensor.name]
    del model.graph.initializer[[tensor.name for tensor in model.graph.initializer].index(constant)].dims[:]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == constant)
    tensor.raw_data = np.float32(1).tobytes()
    model.graph.node.insert(0, helper.make_node("Expand", [constant, "large"], ["grown"]))
    model.graph.value_info.append(helper.make_tensor_value_info("grown", TensorProto.FLOAT, [3]))
    for node in model.graph.node:
        node.input[:] = ["grown" if name == constant and node.op_type != "Expand" else name for name in node.input]
    check_file(model.SerializeToString(), "agents/row.onnx")
    with pytest.raises(BundleError, match="cannot be loaded by onnxruntime"):
        open_session(model.SerializeToString(), "agents/row.onnx", "cpu")


def test_the_check_needs_the_standard_library_alone(uneven):
    code = (
        "import sys; from a2po.runtime.onnx_file import check_file; "
        f"check_file(open({str(uneven[1] / 'agents' / 'row.onnx')!r}, 'rb').read(), 'row'); "
        "assert not {'onnx', 'google', 'numpy', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_allowed_operator_reads_writes_or_draws():
    assert not ALLOWED & {
        "If",
        "Loop",
        "Scan",
        "RandomNormal",
        "RandomUniform",
        "Multinomial",
        "Bernoulli",
        "Constant",
        "ConstantOfShape",
        "Range",
    }
