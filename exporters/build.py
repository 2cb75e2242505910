"""Building a bundle: record, group, write the graphs, prove each of them, then put everything into place at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from a2po.envs.play import one_torch_thread
from a2po.envs.protocol import TaskSpec, VectorEnv
from a2po.errors import UserError, did_you_mean
from a2po.exporters import parity
from a2po.exporters.export import DEFAULT_OPSET
from a2po.exporters.manifest import agent_entry, battle_file, build_manifest, file_stem, onnx_metadata
from a2po.exporters.onnx_model import fill, trace, trace_key
from a2po.exporters.recording import RECURRENT_STEPS, STEPS, record
from a2po.exporters.weights import sharing_key, weights_bytes
from a2po.exporters.wrapper import ActorGraph, actor_graph, box_of
from a2po.exporters.write import check_target, write_bundle
from a2po.runtime.actors import open_session
from a2po.training.runs import TrainedPolicy

OPSETS = range(17, 22)
"""LayerNormalization begins with 17; the exporter converts its native 18 up to these."""


@dataclass(frozen=True)
class _Group:
    """Agents that share one file."""

    agents: list[str]
    """In the order of the rows of its tables."""
    graph: ActorGraph
    weights: bytes


def build_bundle(
    policy: TrainedPolicy,
    open_env: Callable[[int], VectorEnv],
    *,
    agents: Sequence[str] | None = None,
    output: Path | str | None = None,
    opset: int = DEFAULT_OPSET,
    noise: bool = False,
) -> Path:
    """``export`` for a policy in memory. ``open_env`` makes copies of its task, to record observations from.

    Raises: as ``export``.
    """
    if opset not in OPSETS:
        raise UserError(f"--opset {opset}: a2po writes ONNX opsets {OPSETS[0]} to {OPSETS[-1]}; {DEFAULT_OPSET} suits most engines")
    spec = policy.team.spec
    chosen = choose_agents(spec, agents)
    if output is None and len(chosen) < len(spec.agents):
        raise UserError(f"{', '.join(chosen)} alone would replace the whole team's bundle: name another place with --output")
    path = check_target(policy.run / "bundle" if output is None else Path(output), own=output is None)
    groups = group_agents(policy, chosen, noise=noise)
    with one_torch_thread(), closing(open_env(max(parity.BATCHES))) as env:
        recording = record(env, policy.team, RECURRENT_STEPS if policy.team.recurrent else STEPS, seed=policy.config.seed)
    files: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    reports: dict[str, parity.ParityReport] = {}
    templates: dict[Any, onnx.ModelProto] = {}
    for group in groups:
        stem = file_stem(group.agents[0], [Path(name).stem for name in files])
        content = _onnx_bytes(policy, group, templates, opset)
        files[f"agents/{stem}.onnx"], files[f"weights/{stem}.safetensors"] = content, group.weights
        rows = [spec.agents.index(name) for name in group.agents]
        for place, name in enumerate(group.agents):
            entries[name] = agent_entry(spec, rows[place], group.graph, stem, place)
        seen = recording.of_agents(rows, spec.obs_sizes[rows[0]], spec.action_sizes[rows[0]])
        with one_torch_thread():
            proofs = parity.prove(group.agents, group.graph, open_session(content, f"agents/{stem}.onnx", "cpu"), seen)
        reports.update(zip(group.agents, proofs, strict=True))
    in_order = [name for name in spec.agents if name in entries]
    summary = parity.summary([reports[name] for name in in_order])
    write_bundle(
        path,
        build_manifest(policy, {name: entries[name] for name in in_order}, summary, opset, noise=noise),
        {**files, **battle_file(policy)},
    )
    return path


def choose_agents(spec: TaskSpec, agents: Sequence[str] | None) -> list[str]:
    """The agents to export, in the task's order.

    Raises:
        UserError: a name is unknown, or none is given.
    """
    if agents is None:
        return list(spec.agents)
    unknown = [name for name in agents if name not in spec.agents]
    known = f"(there are: {', '.join(spec.agents)})"
    if unknown:
        raise UserError(f"no agent '{unknown[0]}' in {spec.task}{did_you_mean(unknown[0], spec.agents)} {known}")
    if not agents:
        raise UserError(f"no agent chosen {known}")
    return [name for name in spec.agents if name in agents]


def group_agents(policy: TrainedPolicy, agents: Sequence[str], *, noise: bool = False) -> list[_Group]:
    """Fold agents that one graph can serve into one group."""
    spec, groups = policy.team.spec, dict[str, list[str]]()
    for name in agents:
        row = spec.agents.index(name)
        groups.setdefault(sharing_key(policy.team.single_actor(row), box_of(spec, row)), []).append(name)
    folded = []
    for names in groups.values():
        graph = actor_graph(policy.team, *(spec.agents.index(name) for name in names), noise=noise)
        folded.append(_Group(names, graph, weights_bytes(graph)))
    return folded


def _onnx_bytes(policy: TrainedPolicy, group: _Group, templates: dict[Any, onnx.ModelProto], opset: int) -> bytes:
    """The group's file. Groups of one shape share one trace."""
    key = trace_key(group.graph)
    if key not in templates:
        templates[key] = trace(group.graph, opset)
    return fill(templates[key], group.graph, onnx_metadata(policy, group.agents, hashlib.sha256(group.weights).hexdigest()))
