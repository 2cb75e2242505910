"""A bundle for people: its agents by file, what they see and do by name, and what is known about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape

from a2po.cli.show import as_dict, count, interval, is_number, number, origin_row, provenance_rows, show_pairs
from a2po.runtime.bundle import AgentSpec, Bundle
from a2po.runtime.card import latency_words
from a2po.runtime.signature import SignatureError, signer

NAMES_SHOWN = 6
Row = tuple[str, str]


def show_bundle(bundle: Bundle, *, brief: bool = False) -> None:
    """A bundle's agents, one entry for those that share a file, and its proofs; ``brief`` leaves out names and provenance."""
    console, manifest = Console(emoji=False), bundle.manifest
    training, sizes = as_dict(manifest.get("training")), [len(content) for content in bundle.files.values()]
    console.print(f"[bold]{escape(str(bundle.path))}[/bold]: {_agents(len(bundle.agents))} for {escape(bundle.task)}")
    show_pairs(console, [row for agents in files_of(bundle) for row in _group_rows(bundle, agents, brief)])
    rows = [
        ("parity", _parity_words(as_dict(manifest.get("parity")))),
        *_quantisation_row(manifest),
        *_latency_row(as_dict(manifest.get("latency"))),
        ("evaluation", _evaluation_words(as_dict(manifest.get("evaluation")))),
        ("signature", _signature_words(manifest)),
        ("trained", _training_words(training)),
        *origin_row(training.get("provenance")),
        ("size", f"{sum(sizes) / 1000:,.0f} kB in {len(sizes)} files, every hash checked"),
    ]
    if not brief:
        rows += provenance_rows({"training": training.get("provenance"), "export": manifest.get("export")})
    console.print()
    show_pairs(console, rows)


def show_agents(bundle: Bundle, agents: Sequence[AgentSpec]) -> None:
    """Everything that some agents see and do, by number and name."""
    console = Console(emoji=False)
    for agent in agents:
        console.print(f"[bold]{escape(agent.name)}[/bold]: {escape(', '.join(_facts(bundle, [agent])))}")
        show_pairs(console, [("inputs", ", ".join(agent.inputs)), ("memory", _memory(agent))])
        _show_names(console, f"obs: {agent.obs_size} features", agent.features)
        _show_names(console, f"action: {_action_words(agent)}", agent.action_names)


def files_of(bundle: Bundle) -> list[list[AgentSpec]]:
    """The agents of every file."""
    groups: dict[str, list[AgentSpec]] = {}
    for agent in bundle.agents:
        groups.setdefault(agent.file or agent.weights, []).append(agent)
    return list(groups.values())


def _group_rows(bundle: Bundle, agents: list[AgentSpec], brief: bool) -> list[Row]:
    """What the agents of one file have in common."""
    first = agents[0]
    name = first.name if len(agents) == 1 else f"{first.name} … {agents[-1].name}"
    facts = [*([f"{len(agents)} agents"] if len(agents) > 1 else []), *_facts(bundle, agents)]
    if brief:
        return [(name, ", ".join([*facts, f"{first.obs_size} features", _action_words(first)]))]
    each = " (names of the first)" if any(agent.features != first.features for agent in agents) else ""
    return [
        (name, ", ".join(facts)),
        ("  sees", f"{first.obs_size} features{each}: {_names(first.features)}"),
        ("  does", f"{_action_words(first)}: {_names(first.action_names)}"),
        *([("  remembers", _memory(first))] if first.num_layers else []),
    ]


def _facts(bundle: Bundle, agents: Sequence[AgentSpec]) -> list[str]:
    """The file, its size and how far it is from what was trained."""
    file, errors = agents[0].file or agents[0].weights, as_dict(as_dict(bundle.manifest.get("parity")).get("agents"))
    worst = [error for agent in agents for error in as_dict(as_dict(errors.get(agent.name)).get("max_error")).values() if is_number(error)]
    return [file, f"{len(bundle.files[file]) / 1000:,.0f} kB", *([f"parity {_small(max(worst))}"] if worst else [])]


def _action_words(agent: AgentSpec) -> str:
    if agent.discrete:
        return f"{agent.action_size} choices"
    return f"{agent.action_size} controls in [{number(min(agent.low, default=None))}, {number(max(agent.high, default=None))}]"


def _memory(agent: AgentSpec) -> str:
    return f"{agent.num_layers} x {agent.hidden_size} (state_in, state_out)" if agent.num_layers else "none"


def _show_names(console: Console, title: str, names: Sequence[str]) -> None:
    console.print(title, style="dim", markup=False)
    console.print(Columns([f"{index:>4} {escape(name)}" for index, name in enumerate(names)], padding=(0, 2), column_first=True))


def _names(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(map(str, names))
    more = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f", … {more} more" if more > 0 else "")


def _agents(total: int) -> str:
    return f"{total} agent{'' if total == 1 else 's'}"


def _small(value: Any) -> str:
    return f"{value:.1e}" if is_number(value) else "-"


def _parity_words(parity: dict[str, Any]) -> str:
    if not parity:
        return "not proven"
    verdict = "passed" if parity.get("passed") is True else "FAILED"
    batches = parity.get("batches")
    replayed = f"{parity.get('steps')} recorded steps, batches {_names(batches if isinstance(batches, list) else ())}"
    return f"{verdict}: {replayed}, largest difference {_small(parity.get('max_error'))} of {number(parity.get('tolerance'))}"


def _quantisation_row(manifest: dict[str, Any]) -> list[Row]:
    """What int8 changes, where the actors are quantised."""
    measured = as_dict(manifest.get("quantization"))
    if not measured:
        return []
    change, agreement = as_dict(measured.get("return")), measured.get("action_agreement")
    words = [f"{agreement:.2%} of the greedy actions stay"] if is_number(agreement) else []
    words.append(f"outputs change by up to {_small(measured.get('max_error'))}")
    if change:
        moved = f"{number(change.get('difference'))} {interval(change.get('interval'))}"
        words.append(f"the return moves from {number(change.get('float'))} by {moved} over {change.get('episodes')} episodes")
    return [("int8", ", ".join(words))]


def _latency_row(latency: dict[str, Any]) -> list[Row]:
    """How long a step of the team takes."""
    words = latency_words(latency)
    return [("latency", words)] if words else []


def _evaluation_words(evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return "none yet"
    shown = f"mean return {number(evaluation.get('mean'))} {interval(evaluation.get('interval'))}"
    return f"{shown}, {evaluation.get('episodes')} episodes, {evaluation.get('actions')}, {evaluation.get('created')}"


def _signature_words(manifest: dict[str, Any]) -> str:
    """Whether there is one; whether it holds is what ``a2po verify`` tells."""
    if manifest.get("signature") is None:
        return "none"
    try:
        return f"by the key {signer(manifest)}; a2po verify checks it"
    except SignatureError as error:
        return str(error)


def _training_words(training: dict[str, Any]) -> str:
    if not training:
        return "unknown"
    what = f"{training.get('algorithm')}, {count(training.get('step'))} steps, seed {training.get('seed')}"
    return f"{what}, run {training.get('run')}, {training.get('checkpoint')}"
