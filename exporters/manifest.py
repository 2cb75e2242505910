"""What a bundle says about itself: the manifest, and the strings inside the ONNX files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from a2po.envs.protocol import TaskSpec
from a2po.exporters.options import ExportOptions
from a2po.exporters.wrapper import ActorGraph, box_of
from a2po.provenance import provenance
from a2po.runtime.actors import shared
from a2po.runtime.bundle import FORMAT
from a2po.training.runs import TrainedPolicy


def file_stem(agent: str, taken: Iterable[str]) -> str:
    """A file name for an agent: letters, digits, dots, dashes and underscores, not taken yet."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", agent).strip(".") or "agent"
    names = {name.lower() for name in taken}  # file systems may not tell case apart
    unique, number = stem, 2
    while unique.lower() in names:
        unique, number = f"{stem}-{number}", number + 1
    return unique


def onnx_file(stem: str) -> str:
    """Where an actor lies in the bundle."""
    return f"agents/{stem}.onnx"


def weights_file(stem: str) -> str:
    """Where an actor's numbers lie in the bundle."""
    return f"weights/{stem}.safetensors"


def agent_entry(spec: TaskSpec, agent: int, graph: ActorGraph, stem: str, row: int, options: ExportOptions) -> dict[str, Any]:
    """One agent's entry: its files and its row in them, what it sees by name, what it does by name, what it remembers."""
    box, shape = box_of(spec, agent), graph.actor.shape
    action: dict[str, Any] = {
        "kind": "discrete" if box is None else "continuous",
        "size": spec.action_sizes[agent],
        "names": list(spec.action_names[agent]),
    }
    if box is not None:
        action.update(low=box.low.reshape(-1).tolist(), high=box.high.reshape(-1).tolist())
    return {
        "index": agent,
        "file": onnx_file(stem) if options.writes_onnx else None,
        "weights": weights_file(stem) if options.writes_weights else None,
        "row": row,
        "observation": {"size": spec.obs_sizes[agent], "clip": graph.clip, "features": list(spec.feature_names[agent])},
        "action": action,
        "state": dict(zip(("num_layers", "hidden_size"), shape.state_shape, strict=True)),
        "inputs": list(graph.ports.inputs),
        "outputs": list(graph.ports.outputs),
    }


def task_name(policy: TrainedPolicy) -> str:
    """What ``make`` takes. Of a task in a file, whose text is among the options, only the file's name: see ``training_entry``."""
    family, _, rest = policy.config.task.partition("/")
    return f"{family}/{Path(rest).name}" if rest.endswith(".toml") else policy.config.task


def battle_file(policy: TrainedPolicy) -> dict[str, bytes]:
    """The file of an own battle for people who open the bundle; the task's options hold it, too."""
    text = policy.config.env.options.get("battle_file")
    return {} if text is None else {"battle.toml": text.encode()}


def task_entry(policy: TrainedPolicy) -> dict[str, Any]:
    """The task that the team plays."""
    spec = policy.team.spec
    return {
        "name": task_name(policy),  # a user's own environment may call itself otherwise
        "options": dict(policy.config.env.options),
        "agents": list(spec.agents),
        "obs_width": spec.max_obs_size,
        "action_width": spec.max_action_size,
        "max_episode_steps": spec.max_episode_steps,
    }


def training_entry(policy: TrainedPolicy) -> dict[str, Any]:
    """The run that the weights come from."""
    config = {**policy.config.model_dump(mode="json"), "task": task_name(policy)}
    # These may be paths; whoever gets the bundle need not know how the trainer's folders are named.
    for key in ("preset", "init_from"):
        config[key] = config[key] and Path(config[key]).name
    return {
        "run": policy.run.resolve().name,
        "checkpoint": policy.checkpoint,
        "step": policy.step,
        "algorithm": policy.config.algorithm,
        "seed": policy.config.seed,
        "config": config,
        "provenance": policy.provenance,
    }


def build_manifest(policy: TrainedPolicy, agents: dict[str, Any], parity: dict[str, Any] | None, options: ExportOptions) -> dict[str, Any]:
    """The manifest but for what is known when the files are: their sizes and hashes, and what is measured on them."""
    return {
        "format": FORMAT,
        "task": task_entry(policy),
        "agents": agents,
        "files": {},
        "onnx": options.entry(),
        "training": training_entry(policy),
        "evaluation": None,
        "parity": parity,
        "quantization": None,
        "latency": None,
        "export": provenance(),
    }


def onnx_metadata(policy: TrainedPolicy, agents: list[str], weights_sha256: str) -> dict[str, str]:
    """The strings that an ONNX file carries, for whoever finds it without its bundle. Nothing here changes with the time."""
    spec = policy.team.spec
    rows = [spec.agents.index(name) for name in agents]
    box = box_of(spec, rows[0])
    features = shared({name: spec.feature_names[row] for name, row in zip(agents, rows, strict=True)})
    names = shared({name: spec.action_names[row] for name, row in zip(agents, rows, strict=True)})
    action: dict[str, Any] = {"kind": "discrete" if box is None else "continuous", "names": names}
    if box is not None:
        action.update(low=box.low.reshape(-1).tolist(), high=box.high.reshape(-1).tolist())
    shape = policy.team.actor_shape
    values: dict[str, Any] = {
        "format_version": FORMAT,
        "agents": agents,
        "task": task_name(policy),
        "observation": {"dtype": "float32", "names": features},
        "action": action,
        "state": dict(zip(("num_layers", "hidden_size"), shape.state_shape, strict=True)),
        "algorithm": policy.config.algorithm,
        "run": policy.run.resolve().name,
        "step": policy.step,
        "seed": policy.config.seed,
        "commit": policy.provenance.get("commit"),
        "a2po": policy.provenance.get("a2po"),
        "weights_sha256": weights_sha256,
    }
    return {f"a2po.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items() if value is not None}
