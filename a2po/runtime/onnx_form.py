"""The form of the ONNX files that ``a2po export`` writes: operators, types, limits, and the fields of every message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from a2po.runtime.wire import BYTES, FIXED32, VARINT, Value, fields

OPSETS = range(13, 22)
"""Those of the profile plain; LayerNormalization begins with 17."""
MAX_FILE, MAX_NODES, MAX_CONSTANTS, MAX_ELEMENTS = 1 << 28, 4096, 4096, 1 << 26
"""Bytes of a file, nodes and constants of its graph, elements of one tensor (per row of the batch)."""
MAX_TEXT, MAX_METADATA, MAX_RANK = 512, 1 << 24, 8
MAX_FORM = 1 << 21
"""Bytes of a graph beside those of its tensors and its metadata: what is walked field by field, in seconds at most."""
DOMAINS = ("", "ai.onnx")

OPERATORS = {
    "standard": (
        "Add", "ArgMax", "Cast", "Clip", "Concat", "Exp", "Expand", "Gather", "Gemm", "Identity", "LayerNormalization", "Log", "MatMul",
        "Max", "Min", "Mul", "Neg", "Relu", "Reshape", "Shape", "Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Tanh",
        "Unsqueeze", "Where",
    ),
    "plain": ("Div", "ReduceMean", "Sqrt"),  # a layer norm in single steps
    "int8": ("DynamicQuantizeLinear", "MatMulInteger"),
}  # fmt: skip
"""What our exporters write, by the profile that needs it. None of them reads a file, calls out or draws at random."""
ALLOWED = frozenset(name for names in OPERATORS.values() for name in names)


class Element(NamedTuple):
    """A type of tensor elements."""

    name: str
    size: int
    fields: tuple[str, ...]
    """The fields that may hold its elements."""


ELEMENTS = {
    1: Element("float32", 4, ("raw_data", "float_data")),
    2: Element("uint8", 1, ("raw_data", "int32_data")),
    3: Element("int8", 1, ("raw_data", "int32_data")),
    6: Element("int32", 4, ("raw_data", "int32_data")),
    7: Element("int64", 8, ("raw_data", "int64_data")),
    9: Element("bool", 1, ("raw_data", "int32_data")),
}

# Message -> field number -> name, kind, and * where it may stand more than once. What is not listed is refused.
_FORM: dict[str, dict[int, str]] = {
    "model": {
        1: "ir_version int", 2: "producer_name text", 3: "producer_version text", 4: "domain text", 5: "model_version int",
        6: "doc_string text", 7: "graph message", 8: "opset_import message*", 14: "metadata_props message*",
    },
    "opset": {1: "domain text", 2: "version int"},
    "entry": {1: "key text", 2: "value long"},
    "graph": {
        1: "node message*", 2: "name text", 5: "initializer message*", 10: "doc_string text", 11: "input message*",
        12: "output message*", 13: "value_info message*",
    },
    "node": {1: "input text*", 2: "output text*", 3: "name text", 4: "op_type text", 5: "attribute message*", 7: "domain text"},
    "attribute": {
        1: "name text", 2: "f float", 3: "i int", 4: "s text", 5: "t message", 7: "floats floats*", 8: "ints ints*", 20: "type int",
    },
    "tensor": {
        1: "dims ints*", 2: "data_type int", 4: "float_data floats*", 5: "int32_data ints*", 7: "int64_data ints*", 8: "name text",
        9: "raw_data bytes",
    },
    "value": {1: "name text", 2: "type message"},
    "type": {1: "tensor_type message"},
    "tensor_type": {1: "elem_type int", 2: "shape message"},
    "shape": {1: "dim message*"},
    "dim": {1: "dim_value int", 2: "dim_param text"},
}  # fmt: skip
_FORBIDDEN = {
    ("model", 20): "training information", ("model", 25): "functions of its own", ("graph", 15): "sparse constants",
    ("node", 8): "an overloaded operator", ("node", 9): "metadata of a node", ("attribute", 6): "a graph inside an operator",
    ("attribute", 11): "graphs inside an operator", ("attribute", 21): "a reference to an attribute", ("tensor", 3): "a tensor in segments",
    ("tensor", 6): "a tensor of texts", ("tensor", 13): "external data", ("tensor", 14): "external data",
}  # fmt: skip
NOTHING = memoryview(b"")
_WIRES = {"int": (VARINT,), "float": (FIXED32,), "ints": (VARINT, BYTES), "floats": (FIXED32, BYTES)}


def read(message: Value, form: str) -> Iterator[tuple[str, Value]]:
    """Name and value of every field, when all of them are such that a message of this form may have. Raises: ValueError."""
    if isinstance(message, int):
        raise ValueError(f"a {form} is a number")
    seen = set()
    for number, wire, value in fields(message):
        if number not in _FORM[form]:
            raise ValueError(f"it has {_FORBIDDEN.get((form, number), f'the field {number} of a {form}')}, which a2po does not write")
        name, kind = _FORM[form][number].split()
        if name in seen and not kind.endswith("*"):
            raise ValueError(f"a {form} has two fields '{name}'")
        seen.add(name)
        if wire not in _WIRES.get(kind.removesuffix("*"), (BYTES,)):
            raise ValueError(f"the field '{name}' of a {form} has the wire type {wire}")
        if kind.startswith("text") and len(text(value)) > MAX_TEXT:
            raise ValueError(f"the field '{name}' of a {form} is longer than {MAX_TEXT} letters")
        if kind.startswith("text") and not text(value).isprintable():  # onnxruntime's messages name nodes
            raise ValueError(f"the field '{name}' of a {form} holds {text(value)!a:.60}, which cannot be printed")
        yield name, value


def text(value: Value = NOTHING) -> str:
    """A text. Raises: ValueError: it is none."""
    return "" if isinstance(value, int) else bytes(value).decode("utf-8")
