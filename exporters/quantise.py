"""``--quantize int8``: weights of one byte, and what that changes.

Dynamic quantisation: a layer's inputs are scaled to 0..255 by the smallest and largest number of its whole batch, its weights by
those of their column, and the product is one of integers. Weights and inputs are both unsigned, because older processors add up
products of unsigned and signed bytes in 16 bits, which overflow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from a2po.envs.protocol import VectorEnv
from a2po.errors import WorkFailed
from a2po.exporters import parity
from a2po.exporters.groups import Group
from a2po.exporters.manifest import onnx_file
from a2po.exporters.recording import Recording
from a2po.exporters.return_change import EPISODES, change_of_return
from a2po.runtime.actors import open_session
from a2po.runtime.team import Team
from a2po.training.runs import TrainedPolicy

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
    result: bytes = smaller.SerializeToString(deterministic=True)
    return result


def measured_change(
    policy: TrainedPolicy,
    groups: Sequence[Group],
    files: Mapping[str, bytes],
    seen: Recording,
    teams: Sequence[Team],
    open_env: Callable[[int], VectorEnv],
) -> dict[str, Any]:
    """What the manifest says about quantised actors.

    Args:
        policy: what was trained.
        groups: the agents and their trained graphs.
        files: the quantised actors by name.
        seen: what the agents saw.
        teams: the bundle before and after.
        open_env: makes copies of the task.

    Returns: action_agreement (share of the recorded greedy actions that stay, None where they are continuous), max_error (of an output,
    as the parity gate measures it) and return (None where the exported agents are only a part of the team, which cannot play).
    """
    spec, reports = policy.team.spec, list[parity.ParityReport]()
    for group in groups:
        session = open_session(files[onnx_file(group.stem)], onnx_file(group.stem), "cpu")
        reports += parity.compare(group.agents, group.graph, session, seen.of_agents(spec, group.agents).greedy())
    actions = sum(report.actions for report in reports)
    change = None
    if len(reports) == len(spec.agents):
        with closing(open_env(EPISODES)) as env:
            change = change_of_return(env, *teams, seed=policy.config.seed)
    return {
        "action_agreement": 1 - sum(report.mismatches for report in reports) / actions if actions else None,
        "max_error": max(max(report.max_error.values()) for report in reports),
        "return": change,
    }


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
