"""The profile ``plain``: a graph for engines that lag behind ONNX.

Some operators have come late, or changed late: LayerNormalization (opset 17), Split with ``num_outputs`` (18), Shape with ``start``
and ``end`` (15), Reshape with ``allowzero`` (14). They are written with older ones here. What is left has the same form in every
opset from 13 on, but for the axes of ReduceMean (18), which onnx's own version converter turns round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from a2po.errors import WorkFailed

CONVERTED = 15
"""As far as the version converter knows its way back. Our operators lost nothing but number types before that; the checker looks."""
MAX_INT64 = np.iinfo(np.int64).max


def lower(model: onnx.ModelProto, opset: int, kept: Sequence[str] = ()) -> onnx.ModelProto:
    """The model in the operators of the profile ``plain``, but for those in ``kept``, at an opset that the profile offers.

    Raises:
        WorkFailed: an operator has no form in that opset.
    """
    sizes = _last_dimensions(model)
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.node[:]
    constants = _Constants(plain.graph)
    for node in model.graph.node:
        rewrite = None if node.op_type in kept else _REWRITES.get(node.op_type)
        plain.graph.node.extend([node] if rewrite is None else rewrite(node, constants, sizes))
    written = next(entry.version for entry in plain.opset_import if entry.domain in ("", "ai.onnx"))
    if opset != written:
        try:
            plain = onnx.version_converter.convert_version(plain, max(opset, CONVERTED))
        except (RuntimeError, onnx.version_converter.ConvertError) as error:
            raise WorkFailed(f"the actor cannot be written at ONNX opset {opset}: {error}") from error
    for entry in plain.opset_import:
        entry.version = opset
    plain.ir_version = helper.find_min_ir_version_for(list(plain.opset_import))
    return plain


class _Constants:
    """Names of initialisers, one for each value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._names: dict[tuple[str, bytes], str] = {}

    def name(self, value: Sequence[int] | np.float32) -> str:
        """The initialiser that holds integers [n], or one float."""
        array = np.asarray(value, np.float32 if isinstance(value, np.float32) else np.int64)
        key = (array.dtype.name, array.tobytes())
        if key not in self._names:
            self._names[key] = f"plain_{len(self._names)}"
            self.graph.initializer.append(numpy_helper.from_array(array, self._names[key]))
        return self._names[key]


def _layer_normalization(node: onnx.NodeProto, constants: _Constants, sizes: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """(x − μ) / √(mean((x − μ)²) + ε) · scale + shift, over the last axis."""
    attributes, out = _attributes(node), node.output[0]
    if attributes.get("axis", -1) != -1 or len([name for name in node.output if name]) > 1:
        raise WorkFailed("the actor normalises over more than its features, which the profile plain cannot write")
    inputs, axes, epsilon = node.input, constants.name([-1]), constants.name(np.float32(attributes.get("epsilon", 1e-5)))
    yield helper.make_node("ReduceMean", [inputs[0], axes], [f"{out}_mean"], keepdims=1)
    yield helper.make_node("Sub", [inputs[0], f"{out}_mean"], [f"{out}_centred"])
    yield helper.make_node("Mul", [f"{out}_centred", f"{out}_centred"], [f"{out}_square"])
    yield helper.make_node("ReduceMean", [f"{out}_square", axes], [f"{out}_variance"], keepdims=1)
    yield helper.make_node("Add", [f"{out}_variance", epsilon], [f"{out}_above_zero"])
    yield helper.make_node("Sqrt", [f"{out}_above_zero"], [f"{out}_deviation"])
    yield helper.make_node("Div", [f"{out}_centred", f"{out}_deviation"], [f"{out}_normal"])
    shifted = len(inputs) > 2 and bool(inputs[2])
    yield helper.make_node("Mul", [f"{out}_normal", inputs[1]], [f"{out}_scaled" if shifted else out])
    if shifted:
        yield helper.make_node("Add", [f"{out}_scaled", inputs[2]], [out])


def _split(node: onnx.NodeProto, constants: _Constants, sizes: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """Equal parts of the last axis as one slice each."""
    attributes, count = _attributes(node), len(node.output)
    size = sizes.get(node.input[0], 0)
    if len(node.input) > 1 or attributes.get("axis") not in (-1, 1) or not size or size % count:
        raise WorkFailed("the actor splits in a way that the profile plain cannot write")
    for part, name in enumerate(node.output):
        bounds = [constants.name([size // count * edge]) for edge in (part, part + 1)]
        yield helper.make_node("Slice", [node.input[0], *bounds, constants.name([attributes["axis"]])], [name])


def _shape(node: onnx.NodeProto, constants: _Constants, sizes: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """The whole shape, and a slice of it."""
    attributes, out = _attributes(node), node.output[0]
    yield helper.make_node("Shape", [node.input[0]], [f"{out}_all"])
    bounds = [constants.name([attributes.get("start", 0)]), constants.name([attributes.get("end", MAX_INT64)])]
    yield helper.make_node("Slice", [f"{out}_all", *bounds, constants.name([0])], [out])


def _reshape(node: onnx.NodeProto, constants: _Constants, sizes: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """Without the attribute that says what a zero means, where there is none."""
    shape = next((numpy_helper.to_array(tensor) for tensor in constants.graph.initializer if tensor.name == node.input[1]), None)
    if shape is None or not shape.all():
        raise WorkFailed("the actor reshapes in a way that the profile plain cannot write")
    yield helper.make_node("Reshape", list(node.input), list(node.output))


_REWRITES: dict[str, Callable[[onnx.NodeProto, _Constants, dict[str, int]], Iterator[onnx.NodeProto]]] = {
    "LayerNormalization": _layer_normalization,
    "Split": _split,
    "Shape": _shape,
    "Reshape": _reshape,
}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _last_dimensions(model: onnx.ModelProto) -> dict[str, int]:
    """Name -> size of the last of two axes, where it is known."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in [*graph.value_info, *graph.input, *graph.output]}
    return {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) == 2}
