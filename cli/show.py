"""Bundles, runs and results as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from a2po.runtime.bundle import AgentSpec, Bundle

NAMES_SHOWN = 6


def show_bundle(bundle: Bundle, *, brief: bool = False) -> None:
    """A bundle's agents, parity, evaluation and origin; ``brief`` leaves out names and provenance."""
    console, manifest = Console(), bundle.manifest
    training, parity = manifest.get("training") or {}, manifest.get("parity") or {}
    sizes = [entry["bytes"] for entry in manifest["files"].values()]
    console.print(f"[bold]{escape(str(bundle.path))}[/bold]: {len(bundle.agents)} agents for {escape(bundle.task)}")
    table = Table(box=None, pad_edge=False)
    for heading in ("agent", "file", "kB", "observation", "action", *(() if brief else ("state",)), "parity"):
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("observation", "action"))
    for agent in bundle.agents:
        table.add_row(*map(escape, _agent_cells(bundle, agent, parity, brief)))
    console.print(table)
    rows = [
        ("parity", _parity_words(parity)),
        ("evaluation", _evaluation_words(manifest.get("evaluation"))),
        ("trained", _training_words(training)),
        ("size", f"{sum(sizes) / 1000:,.0f} kB in {len(sizes)} files, every hash checked"),
    ]
    if not brief:
        rows += _provenance_rows({"training": training.get("provenance"), "export": manifest.get("export")})
    _pairs(console, rows)


def show_run(facts: dict[str, Any]) -> None:
    """A run folder."""
    config, update, evaluation = facts["config"], facts["last_update"] or {}, facts["last_evaluation"] or {}
    console = Console()
    console.print(f"[bold]{escape(facts['path'])}[/bold]: {escape(str(config.get('algorithm')))} on {escape(str(config.get('task')))}")
    bundle = "yes" if facts["bundle"] else f"none yet: a2po export {facts['path']}"
    rows = [
        ("steps", f"{update.get('step', 0):,} of {config.get('run', {}).get('total_steps', 0):,}"),
        ("last return", f"{number(update.get('return_mean'))} while training, {number(evaluation.get('return_mean'))} greedy"),
        ("checkpoints", f"{', '.join(facts['checkpoints']) or 'none'} (best: {facts['best'] or 'none'})"),
        ("bundle", bundle),
        ("results", ", ".join(facts["results"]) or "none"),
    ]
    _pairs(console, [*rows, *_provenance_rows({"run": facts["provenance"]})])


def show_evaluation(result: dict[str, Any]) -> None:
    """The result of an evaluation."""
    console = Console()
    who = "the exported ONNX actors" if result["policy"] == "onnx" else "the torch checkpoint"
    subject = result["bundle"]["path"] if result["bundle"] else result["run"]
    console.print(f"[bold]{escape(str(subject))}[/bold] on {escape(result['task'])}: {who}, {result['actions']} actions")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "mean", "95 % interval", "std", "median", "smallest", "largest"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in {"return": result, "length": result["length"], **result["metrics"]}.items():
        cells = [number(values[key]) for key in ("mean", "std", "median", "min", "max")]
        table.add_row(escape(name), cells[0], interval(values["interval"]), *cells[1:])
    console.print(table)
    played = f"{result['episodes']} by quota over {result['copies']} copies, seed {result['seed']}"
    _pairs(
        console,
        [
            ("episodes", f"{played}, {result['invalid_episodes']} invalid"),
            ("interval", f"{result['method']}, over episodes of this one trained team"),
            ("speed", f"{result['steps_per_s']:,.0f} steps per second, {result['wall_time_s']:.1f} s"),
            ("written", result["file"] + (f", {result['report']}" if result["report"] else "")),
        ],
    )


def number(value: Any) -> str:
    """A number with as many digits as a reader needs, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval(bounds: Sequence[float] | None) -> str:
    """``[low, high]`` or a dash."""
    return "-" if bounds is None else escape(f"[{number(bounds[0])}, {number(bounds[1])}]")


def _agent_cells(bundle: Bundle, agent: AgentSpec, parity: dict[str, Any], brief: bool) -> list[str]:
    kind = "choices" if agent.discrete else "controls"
    observation, action = f"{agent.obs_size} features", f"{agent.action_size} {kind}"
    if not brief:
        observation += f": {_names(agent.features)}"
        bounds = "" if agent.discrete else f" in [{number(min(agent.low))}, {number(max(agent.high))}]"
        action += f"{bounds}: {_names(agent.action_names)}"
    proof = parity.get("agents", {}).get(agent.name, {})
    worst = f"{max(proof['max_error'].values()):.1e}" if proof.get("max_error") else "-"
    size = bundle.manifest["files"][agent.file]["bytes"]
    state = () if brief else (f"{agent.num_layers} x {agent.hidden_size}" if agent.num_layers else "none",)
    return [agent.name, agent.file, f"{size / 1000:.0f}", observation, action, *state, worst]


def _names(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f", … {more} more" if more > 0 else "")


def _parity_words(parity: dict[str, Any]) -> str:
    if not parity:
        return "not proven"
    verdict = "passed" if parity["passed"] else "FAILED"
    replayed = f"{parity['steps']} recorded steps, batches {', '.join(map(str, parity['batches']))}"
    return f"{verdict}: {replayed}, largest difference {parity['max_error']:.1e} of {parity['tolerance']:g}"


def _evaluation_words(evaluation: dict[str, Any] | None) -> str:
    if not evaluation:
        return "none yet"
    shown = f"mean return {number(evaluation['mean'])} {interval(evaluation['interval'])}"
    return f"{shown}, {evaluation['episodes']} episodes, {evaluation['actions']}, {evaluation['created']}"


def _training_words(training: dict[str, Any]) -> str:
    if not training:
        return "unknown"
    return f"{training['algorithm']}, {training['step']:,} steps, seed {training['seed']}, run {training['run']}, {training['checkpoint']}"


def _provenance_rows(parts: dict[str, dict[str, Any] | None]) -> list[tuple[str, str]]:
    rows = []
    for name, part in parts.items():
        if part:
            packages = ", ".join(f"{package} {version}" for package, version in (part.get("packages") or {}).items())
            version = f"a2po {part.get('a2po')} ({part.get('commit') or 'no commit known'})"
            rows.append((f"{name} made with", f"{version}, Python {part.get('python')}, {packages}; {part.get('created')}"))
    return rows


def _pairs(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
