"""MODEL_CARD.md: one page for people, with the head that model hubs read. It says nothing that the manifest does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from a2po.runtime.bundle import CARD

PAGE = """---
{head}---

# {title}

A team of {count} for `{task}`, trained with {algorithm} for {step} environment steps (run `{run}`, seed {seed}).
{what}

{usage}
{table}

Observation features and actions are named in `manifest.json`, which also holds the SHA-256 of every file and the whole
training configuration.

{sections}
"""
USAGE = """```python
from a2po.runtime import Team  # pip install "a2po[cpu]"; no torch needed

team = Team.load(".")
actions = team.act({arguments})  # [N, O], [B, N, O], or a dict by agent name{reset}
```
"""
ACTORS = "Decentralised ONNX actors: each agent's raw observation in, its action in the environment's units out."
WEIGHTS = "These are weights only, as safetensors, to train on with `a2po train --init-from`; a team that plays has ONNX actors."


def with_card(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The manifest with the hash of its card, and the card."""
    card = model_card(manifest).encode()
    entry = {"sha256": hashlib.sha256(card).hexdigest(), "bytes": len(card)}
    return {**manifest, "files": dict(sorted({**manifest["files"], CARD: entry}.items()))}, card


def model_card(manifest: Mapping[str, Any]) -> str:
    """The card of a bundle, whatever its manifest leaves out."""
    task, training = _part(manifest, "task"), _part(manifest, "training")
    agents = {name: entry for name, entry in _part(manifest, "agents").items() if isinstance(entry, dict)}
    plays = any(entry.get("file") for entry in agents.values())
    name, algorithm = _text(task.get("name")), _text(training.get("algorithm")).upper()
    sections = [_checked(manifest), _quantised(manifest), _latency(manifest), _evaluated(manifest)]
    return PAGE.format(
        head=_head(manifest, f"{algorithm} on {name}", plays=plays),
        title=f"{algorithm} on {name}",
        count=f"{len(agents)} agents" if len(agents) != 1 else "one agent",
        task=name,
        algorithm=algorithm,
        step=_number(training.get("step")),
        run=_text(training.get("run")),
        seed=_text(training.get("seed")),
        what=ACTORS if plays else WEIGHTS,
        usage=_usage(agents) if plays else "",
        table=_table(agents),
        sections="\n\n".join(section for section in sections if section),
    )


def _head(manifest: Mapping[str, Any], title: str, *, plays: bool) -> str:
    """YAML as the hubs' own tools write it."""
    task, training = _part(manifest, "task"), _part(manifest, "training")
    tags = ["reinforcement-learning", "multi-agent-reinforcement-learning", "onnx" if plays else "safetensors"]
    tags += [text for text in (training.get("algorithm"), task.get("name")) if isinstance(text, str) and text]
    lines = ["library_name: a2po", "pipeline_tag: reinforcement-learning", "tags:", *(f"- {_quoted(tag)}" for tag in dict.fromkeys(tags))]
    metrics = _metrics(_part(manifest, "evaluation"))
    if metrics:
        lines += ["model-index:", f"- name: {_quoted(title)}", "  results:", "  - task:"]
        lines += ["      type: reinforcement-learning", "      name: reinforcement-learning", "    dataset:"]
        lines += [f"      {key}: {_quoted(_text(task.get('name')))}" for key in ("name", "type")]
        lines += ["    metrics:"]
        for kind, words, value in metrics:
            lines += [f"    - type: {kind}", f"      value: {json.dumps(value)}", f"      name: {_quoted(words)}", "      verified: false"]
    return "\n".join(lines) + "\n"


def _metrics(evaluation: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """(type, name with the interval, value) of the mean return, and of the win rate where there is one."""
    won = _part(_part(evaluation, "metrics"), "won")
    played = f"{_number(evaluation.get('episodes'))} episodes, {_text(evaluation.get('actions'))} actions"
    rows = [("mean_reward", "mean return", evaluation), ("win_rate", "win rate", won)]
    return [(kind, f"{words} ({_interval(part)}{played})", part["mean"]) for kind, words, part in rows if _is_number(part.get("mean"))]


def _usage(agents: Mapping[str, Any]) -> str:
    entries = list(agents.values())
    masks = any(_part(entry, "action").get("kind") == "discrete" for entry in entries)
    remembers = any(_part(entry, "state").get("num_layers") for entry in entries)
    reset = "\nteam.reset()  # before every new episode: these actors remember" if remembers else ""
    return USAGE.format(arguments="observations, action_mask" if masks else "observations", reset=reset)


def _table(agents: Mapping[str, Any]) -> str:
    """A row for every file; agents that share one stand together."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, entry in agents.items():
        action, observation, state = (_part(entry, part) for part in ("action", "observation", "state"))
        choices = "choices" if action.get("kind") == "discrete" else "controls"
        memory = f"{_text(state.get('num_layers'))} x {_text(state.get('hidden_size'))}" if state.get("num_layers") else "none"
        file = entry.get("file") or entry.get("weights")
        row = (f"`{_text(file)}`", f"{_text(observation.get('size'))} features", f"{_text(action.get('size'))} {choices}", memory)
        rows.setdefault(row, []).append(name)
    lines = ["| agents | file | observation | action | memory |", "|---|---|---|---|---|"]
    for facts, names in rows.items():
        cells = [cell.replace("|", "\\|") for cell in (_together(names), *facts)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _together(names: Sequence[str]) -> str:
    shown = [f"`{_text(name)}`" for name in names]
    return ", ".join(shown) if len(shown) <= 4 else f"{shown[0]} to {shown[-1]} ({len(shown)} agents)"


def _checked(manifest: Mapping[str, Any]) -> str:
    parity = _part(manifest, "parity")
    if not _is_number(parity.get("max_error")):
        return ""
    files = "the actors before quantisation" if _part(manifest, "quantization") else "these files"
    return (
        f"**Checked at export**: {_text(parity.get('steps'))} steps of observations recorded from the task, in batches of "
        f"{', '.join(map(_text, parity.get('batches') or []))}. The largest difference between {files} and the trained policy was "
        f"{parity['max_error']:.1e} (allowed: {_number(parity.get('tolerance'))})."
    )


def _quantised(manifest: Mapping[str, Any]) -> str:
    measured = _part(manifest, "quantization")
    if not measured:
        return ""
    change, agreement = _part(measured, "return"), measured.get("action_agreement")
    same = f"{agreement:.2%} of the greedy actions are the same; " if _is_number(agreement) else ""
    bounds = f" (95 % interval {_bounds(change.get('interval'))})" if _bounds(change.get("interval")) else ""
    error = _number(measured.get("max_error"))
    told = f"**Quantised to int8**: on the same recording {same}the largest difference of an output is {error}."
    if not change:
        return f"{told} What it changes about the return is not measured: a part of a team cannot play alone."
    episodes = _number(change.get("episodes"))
    before, after, difference = (_number(change.get(key)) for key in ("float", "int8", "difference"))
    return (
        f"{told} Mean return over {episodes} episodes played twice from the same seeds: {before} before, {after} after, "
        f"a difference of {difference}{bounds}."
    )


def _latency(manifest: Mapping[str, Any]) -> str:
    words = latency_words(_part(manifest, "latency"))
    return f"**Latency**: {words}." if words else ""


def latency_words(latency: Mapping[str, Any]) -> str:
    """One line about a measured latency; nothing where none was measured."""
    if not all(_is_number(latency.get(key)) for key in ("p50_us", "p99_us")):
        return ""
    threads = latency.get("threads", 1)
    return (
        f"team step {latency['p50_us']:.0f} us p50, {latency['p99_us']:.0f} us p99 on {_text(latency.get('processor'))}, "
        f"{_text(threads)} thread{'' if threads == 1 else 's'}"
    )


def _evaluated(manifest: Mapping[str, Any]) -> str:
    evaluation = _part(manifest, "evaluation")
    metrics = _metrics(evaluation)
    if not metrics:
        return "**Evaluation**: none yet; `a2po evaluate` notes one here."
    found = "\n".join(f"- {_number(value)}: {name}" for _, name, value in metrics)
    seed = _text(evaluation.get("seed"))
    return f"**Evaluation** of these actors, seed {seed}; intervals are over episodes of this one trained team:\n\n{found}"


def _interval(part: Mapping[str, Any]) -> str:
    bounds = _bounds(part.get("interval"))
    return f"95 % interval {bounds}, " if bounds else ""


def _bounds(interval: Any) -> str:
    if not isinstance(interval, list | tuple) or len(interval) != 2 or not all(map(_is_number, interval)):
        return ""
    return f"{_number(interval[0])} to {_number(interval[1])}"


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _number(value: Any) -> str:
    if not _is_number(value):
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _text(value: Any) -> str:
    """One line that does not end a piece of code."""
    return "unknown" if value is None else " ".join(str(value).split()).replace("`", "'")


def _quoted(text: str) -> str:
    plain = (letter if letter.isprintable() and letter not in '"\\' else f"\\U{ord(letter):08x}" for letter in text)
    return f'"{"".join(plain)}"'
