"""``--quantize int8``: weights of one byte, and what that changes.

Dynamic quantisation: a layer's inputs are scaled to 0..255 by the smallest and largest number of its whole batch, its weights by
those of their column, and the product is one of integers. Weights and inputs are both unsigned, because older processors add up
products of unsigned and signed bytes in 16 bits, which overflow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import numpy_helper

from a2po.errors import WorkFailed

OPERATORS = ["MatMul"]
"""What is quantised; Gemm becomes MatMul before. Tables of ids and statistics stay as they are."""


def quantised(content: bytes) -> bytes:
    """The model with its weights as uint8. Ports and metadata stay. Equal input gives equal bytes.

    Raises:
        WorkFailed: it has no layer that could be quantised.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = fold_constants(onnx.load_from_string(content))
    with TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model, target, op_types_to_quantize=OPERATORS, per_channel=True, weight_type=QuantType.QUInt8, use_external_data_format=False
        )
        smaller = onnx.load(target)
    if not any(node.op_type == "MatMulInteger" for node in smaller.graph.node):
        raise WorkFailed("--quantize int8: this actor has no layer that could be quantised")
    for attribute in ("producer_name", "ir_version"):
        setattr(smaller, attribute, getattr(model, attribute))
    smaller.ClearField("producer_version")
    smaller.graph.name = model.graph.name
    del smaller.graph.value_info[:]
    for field in ("metadata_props", "opset_import"):
        smaller.ClearField(field)
        getattr(smaller, field).extend(getattr(model, field))
    return smaller.SerializeToString(deterministic=True)


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the results of nodes that depend on constants only, such as weights times a layer norm's scale.

    A quantiser passes over products whose weights are not constants.
    """
    from onnx.reference import ReferenceEvaluator

    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph, outputs = folded.graph, {output.name for output in folded.graph.output}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if outputs.intersection(node.output) or not all(name in values for name in node.input if name):
            kept.append(node)
            continue
        single = onnx.helper.make_graph([node], "node", [], [onnx.ValueInfoProto(name=name) for name in node.output])
        graph_inputs = [name for name in node.input if name]
        single.input.extend(onnx.ValueInfoProto(name=name) for name in graph_inputs)
        evaluator = ReferenceEvaluator(onnx.helper.make_model(single, opset_imports=folded.opset_import, ir_version=folded.ir_version))
        results = evaluator.run(None, {name: values[name] for name in graph_inputs})
        values.update(zip(node.output, map(np.asarray, results), strict=True))
    used = {name for node in kept for name in node.input}
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items() if name in used)
    return folded


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to pre-process the model, which ``fold_constants`` has done."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
