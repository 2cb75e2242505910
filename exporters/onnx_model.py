"""ONNX files of actors: traced once per shape, filled with each agent's numbers, stripped and checked.

A trace takes half a second and more, so agents of the same shape share one. It is made with the weights as inputs of the graph,
which keeps the exporter from folding or merging them; filling turns these inputs into constants.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.func import functional_call

from a2po.errors import WorkFailed
from a2po.exporters.options import DEFAULT_OPSET
from a2po.exporters.plain import lower
from a2po.exporters.wrapper import ActorGraph

ALLOWED_DOMAINS = ("", "ai.onnx")
DTYPES = {"action_mask": torch.bool, "agent": torch.int32}
"""Of the inputs that are no floats."""
TRACE_BATCH = 3
"""Any number but 0 and 1, which the tracer would treat as special."""

_TEMPLATES: dict[tuple[Any, ...], onnx.ModelProto] = {}


class _OpenGraph(nn.Module):
    """The graph as a function of its inputs and its numbers."""

    def __init__(self, graph: ActorGraph) -> None:
        super().__init__()
        # In a tuple, so that the numbers are not parameters of this module as well.
        self._graph = (graph,)

    def forward(self, inputs: dict[str, Tensor], numbers: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """All outputs in the order of the graph's ports."""
        outputs: tuple[Tensor, ...] = functional_call(self._graph[0], numbers, kwargs=inputs)
        return outputs


def trace_key(graph: ActorGraph) -> tuple[Any, ...]:
    """Graphs with equal keys differ in their numbers only."""
    numbers = tuple((name, tuple(value.shape)) for name, value in graph.state_dict().items())
    return graph.actor.shape, graph.clip, numbers, tuple(graph.ports.inputs)


def template(graph: ActorGraph, opset: int = DEFAULT_OPSET, profile: str = "standard") -> onnx.ModelProto:
    """The trace of graphs of this shape, which is made once in a process.

    Raises: as ``trace`` and ``lower``.
    """
    key = (trace_key(graph), opset, profile)
    if key not in _TEMPLATES:
        written = profile == "standard" and opset >= DEFAULT_OPSET  # torch's own way back leaves attributes that opset 17 does not know
        kept = ("LayerNormalization",) if profile == "standard" else ()
        _TEMPLATES[key] = trace(graph, opset) if written else lower(template(graph), opset, kept)
    return _TEMPLATES[key]


def trace(graph: ActorGraph, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """The graph in ONNX, with its numbers as inputs after the real ones.

    Raises:
        WorkFailed: the exporter cannot write this graph at this opset.
    """
    ports = graph.ports
    numbers = {name: value.detach() for name, value in graph.state_dict().items()}
    inputs = {name: torch.zeros(TRACE_BATCH, *shape, dtype=DTYPES.get(name, torch.float32)) for name, shape in ports.inputs.items()}
    batch = torch.export.Dim("batch")
    shapes = {"inputs": {name: {0: batch} for name in inputs}, "numbers": {name: {} for name in numbers}}
    with _quiet():
        program = torch.onnx.export(
            _OpenGraph(graph),
            kwargs={"inputs": inputs, "numbers": numbers},
            dynamo=True,
            external_data=False,
            opset_version=opset,
            input_names=[*ports.inputs, *numbers],
            output_names=list(ports.outputs),
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise WorkFailed("torch.onnx.export gave no model")
    model: onnx.ModelProto = program.model_proto
    written = next(entry.version for entry in model.opset_import if entry.domain in ALLOWED_DOMAINS)
    if written != opset:
        raise WorkFailed(f"the actor cannot be written at ONNX opset {opset} (the exporter gave {written}): use --opset {written}")
    return model


def fill(template: onnx.ModelProto, graph: ActorGraph, metadata: Mapping[str, str]) -> bytes:
    """The bytes of one agent's file: the template with the graph's numbers as constants. Equal input gives equal bytes.

    Raises:
        WorkFailed: the result is not a valid, self-contained model.
    """
    model = onnx.ModelProto()
    model.CopyFrom(template)
    real_inputs = [value for value in model.graph.input if value.name in graph.ports.inputs]
    used = {name for node in model.graph.node for name in node.input}
    del model.graph.input[:]
    model.graph.input.extend(real_inputs)
    for name, value in graph.state_dict().items():
        if name in used:
            model.graph.initializer.append(onnx.numpy_helper.from_array(value.detach().contiguous().numpy(), name))
    model = _strip(model)
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    content: bytes = checked(model, graph).SerializeToString(deterministic=True)
    return content


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what the exporter tells about the machine: stack traces with paths and source lines, and its doc strings."""
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    del graph.value_info[:]
    graph.name, model.producer_name = "actor", "a2po"
    model.ClearField("producer_version")
    return model


def checked(model: onnx.ModelProto, graph: ActorGraph) -> onnx.ModelProto:
    """The model with its shapes: the checker is satisfied, operators are standard, nothing is outside the file, the batch axis is free.

    Raises:
        WorkFailed: it is not so.
    """
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise WorkFailed(f"the exported actor is not valid ONNX: {error}") from error
    foreign = {node.domain for node in model.graph.node} - set(ALLOWED_DOMAINS)
    external = [tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if foreign or external or model.functions:
        raise WorkFailed(f"the exported actor is not self-contained: operator domains {sorted(foreign)}, external data {external}")
    for ports, values in ((graph.ports.inputs, model.graph.input), (graph.ports.outputs, model.graph.output)):
        found = {value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
        if found != {name: ["batch", *shape] for name, shape in ports.items()}:
            raise WorkFailed(f"the exported actor has the ports {found}, expected {ports} after a free batch axis")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines, warnings and log messages off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
