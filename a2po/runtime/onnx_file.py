"""What an ONNX file may hold: looked at before onnxruntime sees it, with the standard library alone.

Everything that ``a2po export`` does not write is refused: other fields of the format (external data, functions, training, metadata of
nodes, graphs inside operators), other operators and domains, and tensors that claim another size than they have. Tensors are not read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

from a2po.errors import BundleError
from a2po.runtime.onnx_form import (
    ALLOWED,
    DOMAINS,
    ELEMENTS,
    MAX_CONSTANTS,
    MAX_ELEMENTS,
    MAX_FILE,
    MAX_FORM,
    MAX_METADATA,
    MAX_NODES,
    MAX_RANK,
    NOTHING,
    OPSETS,
    read,
    text,
)
from a2po.runtime.wire import Value, signed, varints


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


class _Model:
    """One walk through a model. Raises: ValueError."""

    def __init__(self, content: memoryview) -> None:
        self.facts, self.constants = OnnxFacts(), set[str]()
        self.walked = self.told = 0
        self.declared: dict[str, tuple[int | str, ...]] = {}
        self.made: set[str] = set()
        for name, value in read(content, "model"):
            if name == "graph":
                self._graph(value)
            elif name == "opset_import":
                self._opset(value)
            elif name == "metadata_props":
                self.told += len(value) if isinstance(value, memoryview) else 0
                if self.told > MAX_METADATA:
                    raise ValueError("its metadata is too long")
                entry = {key: text(part) for key, part in read(value, "entry")}
                if entry.get("key", "") in self.facts.metadata:
                    raise ValueError("its metadata names a key twice")
                self.facts.metadata[entry.get("key", "")] = entry.get("value", "")
        if not self.made or not self.facts.opset:
            raise ValueError("it has no graph or names no version of the operators")

    def _opset(self, message: Value) -> None:
        entry = dict(read(message, "opset"))
        domain, version = text(entry.get("domain", NOTHING)), entry.get("version", 0)
        if domain not in DOMAINS:
            raise ValueError(f"it imports operators of the domain {domain!r:.60}; a2po writes standard ones only")
        if self.facts.opset or version not in OPSETS:
            raise ValueError(f"it names the opset {version}; a2po writes {OPSETS[0]} to {OPSETS[-1]}")
        self.facts.opset = int(version)

    def _graph(self, message: Value) -> None:
        for name, value in read(message, "graph"):
            if name != "initializer":
                self._walk(value)
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

    def _walk(self, value: Value) -> None:
        """What is looked at field by field must not be long. Raises: ValueError."""
        self.walked += len(value) if isinstance(value, memoryview) else 1
        if self.walked > MAX_FORM:
            raise ValueError(f"it has more than {MAX_FORM / 1e6:,.0f} MB beside the bytes of its tensors")

    def _node(self, message: Value) -> None:
        operator = domain = ""
        for name, value in read(message, "node"):
            if name == "op_type":
                operator = text(value)
            elif name == "domain":
                domain = text(value)
            elif name == "output":
                self.made.add(text(value))
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
        for name, value in read(message, "attribute"):
            if name == "t":
                self._constant(value)

    def _constant(self, message: Value) -> None:
        """A tensor has as many bytes as its shape needs."""
        dims: list[int] = []
        counts: Counter[str] = Counter()
        kind, called, raw = 0, "", NOTHING
        for name, value in read(message, "tensor"):
            if name != "raw_data":
                self._walk(value)
            if name == "dims":
                dims += [signed(value)] if isinstance(value, int) else map(signed, varints(value))
                if len(dims) > MAX_RANK:
                    raise ValueError(f"a constant has more than {MAX_RANK} axes")
            elif name == "data_type":
                kind = int(value)
            elif name == "name":
                called = text(value)
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
    entry = dict(read(message, "value"))
    kind = dict(read(entry.get("type", NOTHING), "type"))
    tensor = dict(read(kind.get("tensor_type", NOTHING), "tensor_type"))
    name = text(entry.get("name", NOTHING))
    if tensor.get("elem_type") not in ELEMENTS or "shape" not in tensor:
        raise ValueError(f"{name!r:.60} has no type or shape that a2po writes")
    dims: list[int | str] = []
    for _, dim in read(tensor["shape"], "shape"):
        parts = dict(read(dim, "dim"))
        size = parts.get("dim_value")
        dims.append(int(signed(size)) if isinstance(size, int) else text(parts.get("dim_param", NOTHING)))
    numbers = [size for size in dims if isinstance(size, int)]
    free = len(dims) - len(numbers)
    if len(dims) > MAX_RANK or min(numbers, default=0) < 0 or prod(numbers) > MAX_ELEMENTS or free > 1 or (free and dims[0] in numbers):
        raise ValueError(f"{name!r:.60} has the shape {dims}; a2po writes numbers behind the batch, at most {MAX_ELEMENTS:,} elements")
    return name, tuple(dims)
