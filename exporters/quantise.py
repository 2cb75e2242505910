"""``--quantize int8``: weights of one byte, and what that changes.

Dynamic quantisation: a layer's inputs are scaled to 0..255 by the smallest and largest number of its whole batch, its weights by
those of their column, and the product is one of integers. Weights and inputs are both unsigned, because older processors add up
products of unsigned and signed bytes in 16 bits, which overflow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
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
from a2po.exporters.onnx_model import checked
from a2po.exporters.recording import Recording
from a2po.exporters.return_change import EPISODES, change_of_return
from a2po.exporters.wrapper import ActorGraph
from a2po.runtime.actors import open_session
from a2po.runtime.differences import ParityReport
from a2po.runtime.drawn import drawn_differences
from a2po.runtime.team import Team
from a2po.training.runs import TrainedPolicy

OPERATORS = ["MatMul"]
"""What is quantised; Gemm becomes MatMul before. Tables of ids and statistics stay as they are."""

LIMIT = 1.0
"""Of the change of an output; ``a2po verify`` takes no more for granted."""


def quantised(content: bytes, graph: ActorGraph) -> bytes:
    """An actor's file with its weights as uint8. Ports and metadata stay. Equal input gives equal bytes.

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
    model.graph.CopyFrom(smaller.graph)  # and not what the quantiser says of itself
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")  # the quantiser had put large ones into a file and taken them back
    model.graph.name = "actor"
    result: bytes = checked(model, graph).SerializeToString(deterministic=True)
    return result


def measured_change(
    policy: TrainedPolicy, groups: Sequence[Group], seen: Recording, teams: tuple[Team, Team], open_env: Callable[[int], VectorEnv]
) -> dict[str, Any]:
    """What the manifest says about quantised actors.

    Args:
        policy: what was trained.
        groups: the agents and their trained graphs.
        seen: what the agents saw.
        teams: before and after.
        open_env: makes copies of the task.

    Returns: action_agreement (share of the recorded greedy actions that stay, None where they are continuous), max_error (of an output,
    as the parity gate measures it), drawn_error (the same on the inputs that ``a2po verify`` draws, None in a bundle without weights)
    and return (None where the exported agents are only a part of the team, which cannot play).

    Raises:
        WorkFailed: an output changes by more than is left for a verification.
    """
    spec, reports, bundle = policy.team.spec, list[ParityReport](), teams[1].bundle
    sessions = {file: open_session(bundle.files[file], file, "cpu") for file in (onnx_file(group.stem) for group in groups)}
    for group in groups:
        reports += parity.compare(group.agents, group.graph, sessions[onnx_file(group.stem)], seen.of_agents(spec, group.agents).greedy())
    actions = sum(report.actions for report in reports)
    drawn = (
        max((found.largest for found in drawn_differences(bundle, sessions).values()), default=None) if bundle.agents[0].weights else None
    )
    if drawn is not None and not drawn < LIMIT:
        raise WorkFailed(
            f"--quantize int8 changes these actors too much: outputs by up to {drawn:.2g} far from what they saw. Leave it out"
        )
    change = None
    if len(reports) == len(spec.agents):
        with closing(open_env(EPISODES)) as env:
            change = change_of_return(env, *teams, seed=policy.config.seed)
    return {
        "action_agreement": 1 - sum(report.mismatches for report in reports) / actions if actions else None,
        "max_error": max(max(report.max_error.values()) for report in reports),
        "drawn_error": drawn,
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
