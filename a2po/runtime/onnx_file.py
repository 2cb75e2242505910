"""What an ONNX file may hold: looked at before onnxruntime sees it, with the standard library alone.

Everything that ``a2po export`` does not write is refused: other fields of the format (external data, functions, training, metadata of
nodes, graphs inside operators), other operators and domains, and tensors that claim another size than they have. Tensors are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from a2po.errors import BundleError
from a2po.runtime.wire import BYTES, FIXED32, VARINT, Value, fields, signed, varints

OPSETS = range(13, 22)
"""Those of the profile plain; LayerNormalization begins with 17."""
MAX_FILE, MAX_NODES, MAX_CONSTANTS, MAX_ELEMENTS = 1 << 28, 4096, 4096, 1 << 26
"""Bytes of a file, nodes and constants of its graph, elements of one tensor (per row of the batch)."""
MAX_TEXT, MAX_METADATA, MAX_RANK = 512, 1 << 24, 8
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
_NOTHING = memoryview(b"")
_WIRES = {"int": (VARINT,), "float": (FIXED32,), "ints": (VARINT, BYTES), "floats": (FIXED32, BYTES)}


@dataclass
class OnnxFacts:
    """What a file holds, as far as its form tells."""

    opset: int = 0
    operators: Counter[str] = field(default_factory=Counter)
    elements: int = 0
    """Of all constants together."""
    constants: dict[str, tuple[tuple[int, ...], memoryview]] = field(default_factory=dict)
    """Name -> shape and bytes, of those that are stored as bytes of float32."""
    inputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def check_file(content: bytes, name: str) -> OnnxFacts:
    """Look at an ONNX file without loading it.

    Args:
        content: its bytes.
        name: what to call it in a message.

    Returns: what it holds.

    Raises:
        BundleError: it is damaged, or holds something that ``a2po export`` does not write.
    """
    try:
        if len(content) > MAX_FILE:
            raise ValueError(f"it has {len(content) / 1e6:,.0f} MB, an actor at most {MAX_FILE / 1e6:,.0f} MB")
        return _Model(memoryview(content)).facts
    except ValueError as error:
        raise BundleError(
            f"{name} is refused: {error}. Only what 'a2po export' writes is loaded: export the run again, or ask whom you have it from"
        ) from None


def _read(message: Value, form: str) -> Iterator[tuple[str, Value]]:
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
        if kind.startswith("text") and len(_text(value)) > MAX_TEXT:
            raise ValueError(f"the field '{name}' of a {form} is longer than {MAX_TEXT} letters")
        yield name, value


def _text(value: Value = _NOTHING) -> str:
    """A text. Raises: ValueError: it is none."""
    return "" if isinstance(value, int) else bytes(value).decode("utf-8")


class _Model:
    """One walk through a model. Raises: ValueError."""

    def __init__(self, content: memoryview) -> None:
        self.facts, self.graphs, self.constants = OnnxFacts(), 0, set[str]()
        self.declared: dict[str, tuple[int | str, ...]] = {}
        self.made: set[str] = set()
        for name, value in _read(content, "model"):
            if name == "graph":
                self._graph(value)
            elif name == "opset_import":
                self._opset(value)
            elif name == "metadata_props":
                entry = {key: _text(part) for key, part in _read(value, "entry")}
                self.facts.metadata[entry.get("key", "")] = entry.get("value", "")
        if not self.made or not self.facts.opset:
            raise ValueError("it has no graph or names no version of the operators")
        if sum(map(len, self.facts.metadata.values())) > MAX_METADATA:
            raise ValueError("its metadata is too long")

    def _opset(self, message: Value) -> None:
        entry = dict(_read(message, "opset"))
        domain, version = _text(entry.get("domain", _NOTHING)), entry.get("version", 0)
        if domain not in DOMAINS:
            raise ValueError(f"it imports operators of the domain {domain!r:.60}; a2po writes standard ones only")
        if self.facts.opset or version not in OPSETS:
            raise ValueError(f"it names the opset {version}; a2po writes {OPSETS[0]} to {OPSETS[-1]}")
        self.facts.opset = int(version)

    def _graph(self, message: Value) -> None:
        for name, value in _read(message, "graph"):
            if name == "node":
                self._node(value)
            elif name == "initializer":
                self._constant(value)
            elif name in ("input", "output", "value_info"):
                port, shape = _value_info(value)
                {"input": self.facts.inputs, "output": self.facts.outputs, "value_info": self.declared}[name][port] = shape
        self.declared.update(self.facts.outputs)
        undeclared = self.made - set(self.declared)
        if undeclared:
            raise ValueError(f"it does not say how large {min(undeclared)!r:.60} is")
        if self.constants & set(self.facts.inputs):
            raise ValueError("an input is a constant at the same time")

    def _node(self, message: Value) -> None:
        operator = domain = ""
        for name, value in _read(message, "node"):
            if name == "op_type":
                operator = _text(value)
            elif name == "domain":
                domain = _text(value)
            elif name == "output":
                self.made.add(_text(value))
            elif name == "attribute":
                self._attribute(value)
        if domain not in DOMAINS:
            raise ValueError(f"it uses the operator {operator!r:.60} of the domain {domain!r:.60}; a2po writes standard ones only")
        if operator not in ALLOWED:
            raise ValueError(f"it uses the operator {operator!r:.60}, which a2po does not write")
        self.facts.operators[operator] += 1
        if self.facts.operators.total() > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} nodes")

    def _attribute(self, message: Value) -> None:
        for name, value in _read(message, "attribute"):
            if name == "t":
                self._constant(value)

    def _constant(self, message: Value) -> None:
        """A tensor has as many bytes as its shape needs."""
        dims: list[int] = []
        counts: Counter[str] = Counter()
        kind, called, raw = 0, "", _NOTHING
        for name, value in _read(message, "tensor"):
            if name == "dims":
                dims += [signed(value)] if isinstance(value, int) else map(signed, varints(value))
                if len(dims) > MAX_RANK:
                    raise ValueError(f"a constant has more than {MAX_RANK} axes")
            elif name == "data_type":
                kind = int(value)
            elif name == "name":
                called = _text(value)
            elif isinstance(value, memoryview) and name == "raw_data":
                counts[name], raw = len(value), value
            else:
                counts[name] += _count(name, value)
        self._check_size(called, dims, kind, counts)
        if called and called in self.constants:
            raise ValueError(f"it has two constants {called!r:.60}")
        self.constants.add(called)
        if ELEMENTS[kind].name == "float32" and "raw_data" in counts:
            self.facts.constants[called] = tuple(dims), raw
        if len(self.constants) > MAX_CONSTANTS:
            raise ValueError(f"it has more than {MAX_CONSTANTS:,} constants")

    def _check_size(self, called: str, dims: list[int], kind: int, counts: Counter[str]) -> None:
        if kind not in ELEMENTS:
            raise ValueError(f"the constant {called!r:.60} has the type {kind}, which a2po does not write")
        element = ELEMENTS[kind]
        if min(dims, default=0) < 0:
            raise ValueError(f"the constant {called!r:.60} has the shape {dims}")
        count, (place, found) = prod(dims), next(iter(counts.items()), ("raw_data", 0))
        claimed = count * element.size if place == "raw_data" else count
        if len(counts) > 1 or place not in element.fields or claimed != found:
            unit = "bytes" if place == "raw_data" else "elements"
            raise ValueError(f"the constant {called!r:.60} {element.name} {dims} claims {claimed:,} {unit} and has {found:,}")
        if count > MAX_ELEMENTS:
            raise ValueError(f"the constant {called!r:.60} has {count:,} elements, more than {MAX_ELEMENTS:,}")
        self.facts.elements += count


def _count(name: str, value: Value) -> int:
    """How many elements a field of numbers holds."""
    if isinstance(value, int):
        return 1
    if name == "float_data":
        if len(value) % 4:
            raise ValueError("a constant ends in the middle of a number")
        return len(value) // 4
    return sum(1 for _ in varints(value))


def _value_info(message: Value) -> tuple[str, tuple[int | str, ...]]:
    """Name and shape of an input, an output or an intermediate result, each of which is a tensor."""
    entry = dict(_read(message, "value"))
    kind = dict(_read(entry.get("type", _NOTHING), "type"))
    tensor = dict(_read(kind.get("tensor_type", _NOTHING), "tensor_type"))
    name = _text(entry.get("name", _NOTHING))
    if tensor.get("elem_type") not in ELEMENTS or "shape" not in tensor:
        raise ValueError(f"{name!r:.60} has no type or shape that a2po writes")
    dims: list[int | str] = []
    for _, dim in _read(tensor["shape"], "shape"):
        parts = dict(_read(dim, "dim"))
        size = parts.get("dim_value")
        dims.append(int(signed(size)) if isinstance(size, int) else _text(parts.get("dim_param", _NOTHING)))
    numbers = [size for size in dims if isinstance(size, int)]
    free = len(dims) - len(numbers)
    if len(dims) > MAX_RANK or min(numbers, default=0) < 0 or prod(numbers) > MAX_ELEMENTS or free > 1 or (free and dims[0] in numbers):
        raise ValueError(f"{name!r:.60} has the shape {dims}; a2po writes numbers behind the batch, at most {MAX_ELEMENTS:,} elements")
    return name, tuple(dims)
