"""Building a bundle: record, group, write the graphs, prove each of them, measure, then put everything into place at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from a2po.envs.play import one_torch_thread
from a2po.envs.protocol import VectorEnv
from a2po.errors import UserError
from a2po.exporters import parity
from a2po.exporters.groups import Group, choose_agents, group_agents
from a2po.exporters.manifest import agent_entry, battle_file, build_manifest, onnx_file, onnx_metadata, weights_file
from a2po.exporters.onnx_model import fill, template
from a2po.exporters.options import ExportOptions
from a2po.exporters.quantise import measured_change, quantised
from a2po.exporters.recording import RECURRENT_STEPS, STEPS, Recording, record
from a2po.exporters.write import check_target, complete, write_bundle
from a2po.runtime.actors import open_session
from a2po.runtime.bundle import bundle_of
from a2po.runtime.differences import ParityReport
from a2po.runtime.latency import measure
from a2po.runtime.team import Team
from a2po.training.runs import TrainedPolicy

OpenEnv = Callable[[int], VectorEnv]
"""Makes a number of copies of a policy's task."""


def build_bundle(
    policy: TrainedPolicy,
    open_env: OpenEnv,
    *,
    agents: Sequence[str] | None = None,
    output: Path | str | None = None,
    options: ExportOptions | None = None,
) -> Path:
    """``export`` for a policy in memory. ``open_env`` makes copies of its task, to record observations from.

    Raises: as ``export``.
    """
    options = options or ExportOptions()
    options.check()
    spec = policy.team.spec
    chosen = choose_agents(spec, agents)
    if output is None and len(chosen) < len(spec.agents):
        raise UserError(f"{', '.join(chosen)} alone would replace the whole team's bundle: name another place with --output")
    path = check_target(policy.run / "bundle" if output is None else Path(output), own=output is None)
    groups = group_agents(policy.team, chosen, noise=options.noise)
    files = battle_file(policy)
    if options.writes_weights:
        files.update({weights_file(group.stem): group.weights for group in groups})
    report = None
    with one_torch_thread():
        if options.writes_onnx:
            seen = _record(policy, open_env)
            actors = {onnx_file(group.stem): _onnx_bytes(policy, group, options) for group in groups}
            report = _prove(policy, groups, actors, seen)
        manifest = build_manifest(policy, _entries(policy, groups, options), report, options)
        if options.quantize:
            whole = _team(path, manifest, {**files, **actors})
            actors = {onnx_file(group.stem): quantised(actors[onnx_file(group.stem)], group.graph) for group in groups}
            teams = whole, _team(path, manifest, {**files, **actors})
            manifest["quantization"] = measured_change(policy, groups, seen, teams, open_env)
        if options.writes_onnx:
            files.update(actors)
            manifest["latency"] = measure(_team(path, manifest, files))
    write_bundle(path, complete(manifest, files, options.sign))
    return path


def _record(policy: TrainedPolicy, open_env: OpenEnv) -> Recording:
    with closing(open_env(max(parity.BATCHES))) as env:
        return record(env, policy.team, RECURRENT_STEPS if policy.team.recurrent else STEPS, seed=policy.config.seed)


def _onnx_bytes(policy: TrainedPolicy, group: Group, options: ExportOptions) -> bytes:
    """The group's file, before it is quantised. Groups of one shape share one trace."""
    metadata = onnx_metadata(policy, group.agents, hashlib.sha256(group.weights).hexdigest())
    return fill(template(group.graph, options.opset, options.profile), group.graph, metadata)


def _prove(policy: TrainedPolicy, groups: Sequence[Group], actors: Mapping[str, bytes], seen: Recording) -> dict[str, Any]:
    """The report of the proof for every agent.

    Raises:
        ParityError: an actor is not the trained one.
    """
    reports: dict[str, ParityReport] = {}
    for group in groups:
        session = open_session(actors[onnx_file(group.stem)], onnx_file(group.stem), "cpu")
        proofs = parity.prove(group.agents, group.graph, session, seen.of_agents(policy.team.spec, group.agents))
        reports.update(zip(group.agents, proofs, strict=True))
    return parity.summary([reports[name] for name in policy.team.spec.agents if name in reports])


def _entries(policy: TrainedPolicy, groups: Sequence[Group], options: ExportOptions) -> dict[str, Any]:
    """What the manifest says about the agents, in the task's order."""
    spec = policy.team.spec
    entries = {
        name: agent_entry(spec, spec.agents.index(name), group.graph, group.stem, row, options)
        for group in groups
        for row, name in enumerate(group.agents)
    }
    return {name: entries[name] for name in spec.agents if name in entries}


def _team(path: Path, manifest: dict[str, Any], files: Mapping[str, bytes]) -> Team:
    """The team of files that are not written yet, read as they will be read."""
    return Team(bundle_of(path, complete(manifest, files)))
