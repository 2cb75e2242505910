"""Runs and results as tables for people; bundles are in show_bundle.py."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from a2po.evaluation.figures import options_text, teammates_text

if TYPE_CHECKING:
    from a2po.evaluation.sweep_table import TextTable

NARROW = 70
"""A terminal with fewer columns gets a result's mean and interval alone."""
WIDE = 10_000
"""Columns in which every table fits."""


def show_run(facts: dict[str, Any]) -> None:
    """A run folder."""
    config, update, evaluation = facts["config"], as_dict(facts["last_update"]), as_dict(facts["last_evaluation"])
    console = Console(emoji=False)
    console.print(f"[bold]{escape(facts['path'])}[/bold]: {escape(str(config.get('algorithm')))} on {escape(str(config.get('task')))}")
    bundle = "yes" if facts["bundle"] else f"none yet: a2po export {shlex.quote(facts['path'])}"
    rows = [
        ("steps", f"{count(update.get('step', 0))} of {count(as_dict(config.get('run')).get('total_steps', 0))}"),
        ("last return", f"{number(update.get('return_mean'))} while training, {_greedy(evaluation)}"),
        ("checkpoints", f"{', '.join(facts['checkpoints']) or 'none'} (best: {facts['best'] or 'none'})"),
        ("bundle", bundle),
        ("results", ", ".join(facts["results"]) or "none"),
        *origin_row(facts["provenance"]),
    ]
    show_pairs(console, [*rows, *provenance_rows({"run": facts["provenance"]})])


def _greedy(evaluation: dict[str, Any]) -> str:
    """The last greedy evaluation in words."""
    won = evaluation.get("won_mean")
    return f"{number(evaluation.get('return_mean'))} greedy" + (f", {won:.0%} won" if is_number(won) else "")


def show_evaluation(result: dict[str, Any]) -> None:
    """The result of an evaluation."""
    console = Console(emoji=False)
    if _by_a_script(result):
        console.print(_script(result))
    else:
        who = "the exported ONNX actors" if result["policy"] == "onnx" else "the torch checkpoint"
        subject = result["bundle"]["path"] if result["bundle"] else result["run"]
        console.print(f"[bold]{escape(str(subject))}[/bold] on {escape(result['task'])}: {who}, {result['actions']} actions")
    table = Table(box=None, pad_edge=False)
    shown = {"std": "std", "median": "median", "smallest": "min", "largest": "max"} if console.width >= NARROW else {}
    for heading in ("", "mean", "95 % interval", *shown):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading), overflow="fold")
    for name, values in {"return": result, "length": result["length"], **result["metrics"]}.items():
        cells = [name, number(values["mean"]), interval(values["interval"]), *(number(values[key]) for key in shown.values())]
        table.add_row(*map(escape, cells))
    console.print(table)
    if "football" in result:
        from a2po.cli.show_football import show_football

        show_football(console, result["football"])
    played = f"{result['episodes']} by quota over {result['copies']} copies, seed {result['seed']}"
    show_pairs(
        console,
        [
            *_options_row(result),
            *teammates_row(result),
            ("episodes", f"{played}, {result['invalid_episodes']} invalid"),
            ("interval", f"{_methods(result)}, over episodes" + _of_whom(result)),
            ("speed", f"{result['steps_per_s']:,.0f} steps per second, {result['wall_time_s']:.1f} s"),
            ("written", ", ".join(path for path in (result["file"], result["report"]) if path) or _unwritten(result)),
        ],
    )


def show_play(result: dict[str, Any]) -> None:
    """The episodes that were played, and the video."""
    console = Console(emoji=False)
    if _by_a_script(result):
        console.print(_script(result))
    else:
        who = str(as_dict(result["bundle"]).get("path")) if result["policy"] == "onnx" else f"{result['run']}, {result['checkpoint']}"
        console.print(f"[bold]{escape(who)}[/bold] on {escape(result['task'])}: {result['actions']} actions")
    table = Table(box=None, pad_edge=False)
    known = ("episode", "seed", "length", "return", "complete", "invalid")
    metrics = [name for name in result["episodes"][0] if name not in known]
    for heading in ("episode", "length", "return", *metrics, ""):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for episode in result["episodes"]:
        remark = "ended in a fault" if episode["invalid"] else "" if episode["complete"] else "stopped by --steps"
        cells = [str(episode["episode"]), count(episode["length"]), number(episode["return"])]
        table.add_row(*map(escape, [*cells, *(number(episode.get(name)) for name in metrics), remark]))
    console.print(table)
    if "football" in result:
        from a2po.cli.show_football import figures

        console.print()
        console.print(figures(result["football"]))
    show_pairs(console, [*_options_row(result), *teammates_row(result)])
    if result["video"]:
        video = result["video"]
        speed = f", {video['speed']:g} x real time" if video["speed"] else ""
        facts_of_it = f"{video['frames']:,} pictures of {video['width']} x {video['height']}, {video['fps']:g} per second{speed}"
        show_pairs(console, [("video", f"{video['path']} ({video['bytes'] / 1000:,.0f} kB)"), ("", facts_of_it)])


def _options_row(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The options that took the place of the team's own; a script's line names all that it plays with."""
    given = {} if _by_a_script(result) else result["options_given"]
    return [("options", f"{options_text(given)}, given in place of the team's own")] if given else []


def _unwritten(result: dict[str, Any]) -> str:
    return "nothing: --json prints the result" if _by_a_script(result) else "nothing"


def _by_a_script(result: dict[str, Any]) -> bool:
    """A script plays where no team does; teams may play beside it."""
    return result["bundle"] is None and result["run"] is None


def teammates_row(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Who played for some of the agents; a script's line does not tell how their actions came about."""
    if not result["teammates"]:
        return []
    how = f" ({result['actions']} actions)" if _by_a_script(result) and result["actions"] != "scripted" else ""
    return [("teammates", teammates_text(result["teammates"]) + how)]


def _of_whom(result: dict[str, Any]) -> str:
    if result["actions"] == "scripted":
        return ""
    return " of this one mixed team" if result["teammates"] else " of this one trained team"


def _script(result: dict[str, Any]) -> str:
    """Which script played what, and with which options of the task."""
    options = options_text(result["task_options"])
    return f"{escape(result['task'])}: the player [bold]{escape(result['policy'])}[/bold]{escape(f' ({options})' if options else '')}"


def show_groups(groups: list[dict[str, Any]], path: str) -> None:
    """The ends of the curves that were drawn."""
    console = Console(emoji=False)
    table = Table(box=None, pad_edge=False)
    tasks = list(dict.fromkeys(group["task"] for group in groups))
    for heading in (*(["task"] if len(tasks) > 1 else []), "curve", "runs", "steps", "last mean", "band"):
        table.add_column(heading, justify="left" if heading in ("task", "curve") else "right", no_wrap=heading != "curve", overflow="fold")
    if len(tasks) == 1:
        console.print(tasks[0], style="bold", markup=False, highlight=False)
    for group in groups:
        last = as_dict(group["last"])
        band = interval([last["low"], last["high"]]) if last and group["band"] else "-"
        steps = f"{last['x']:,.0f}" if last else "-"
        cells = [group["label"], str(len(group["runs"])), steps, number(last.get("mean")), band]
        table.add_row(*map(escape, [group["task"], *cells] if len(tasks) > 1 else cells))
    console.print(table)
    show_pairs(
        console, [("band", ", ".join(dict.fromkeys(group["band"] for group in groups if group["band"])) or "none"), ("written", path)]
    )


def show_sweep(results: dict[str, Any], written: list[str]) -> None:
    """The tables of a sweep and what their numbers mean."""
    from a2po.evaluation.sweep_table import notes, tables

    console = Console(emoji=False)
    for content in tables(results):
        console.print(content.title, style="bold", highlight=False, markup=False)
        table, left_out = _fitting(console, content)
        console.print(table)
        if left_out:
            console.print(f"Too wide for here, but in table.md: {', '.join(left_out)}", style="dim", highlight=False, markup=False)
        console.print()
    for line in notes(results):
        console.print(line, highlight=False, markup=False)
    console.print(f"Written: {', '.join(written)}", highlight=False, markup=False, soft_wrap=True)


def _fitting(console: Console, content: TextTable) -> tuple[Table, list[str]]:
    """A table of as many columns as fit beside each other, and the headings of the others: half a number would be a wrong one."""
    for count in range(len(content.headings), content.numbers_from, -1):
        table = Table(box=None, pad_edge=False)
        for column, heading in enumerate(content.headings[:count]):
            right, texts = column >= content.numbers_from, [heading, *(row[column] for row in content.rows)]
            # Numbers are kept in one piece, names are folded between their words.
            width = max(cell_len(piece) for text in texts for piece in ([text] if right else text.split()))
            table.add_column(escape(heading), justify="right" if right else "left", overflow="fold", no_wrap=right, min_width=width)
        for row in content.rows:
            table.add_row(*map(escape, row[:count]))
        if console.measure(table, options=console.options.update(width=WIDE)).minimum <= console.width:
            break
    return table, content.headings[count:]


def number(value: Any) -> str:
    """A number with as many digits as a reader needs, or a dash."""
    if not is_number(value):
        return "-"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval(bounds: Any) -> str:
    """``[low, high]`` or a dash."""
    return f"[{number(bounds[0])}, {number(bounds[1])}]" if isinstance(bounds, list) and len(bounds) == 2 else "-"


def is_number(value: Any) -> bool:
    """A manifest comes from anywhere: an integer may be longer than any float."""
    return isinstance(value, (int, float)) and abs(value) < 1e300


def as_dict(value: Any) -> dict[str, Any]:
    """``value`` if it is a JSON object, else an empty one: a manifest comes from anywhere."""
    return value if isinstance(value, dict) else {}


def count(value: Any) -> str:
    """A whole number with its thousands apart, or a dash."""
    return f"{value:,}" if isinstance(value, int) and is_number(value) else "-"


def _methods(result: dict[str, Any]) -> str:
    rates = [name for name, values in result["metrics"].items() if values["method"] != result["method"]]
    return f"{result['method']} ({result['metrics'][rates[0]]['method']} for {', '.join(rates)})" if rates else str(result["method"])


def origin_row(provenance: Any) -> list[tuple[str, str]]:
    """Where the first weights came from, if not from chance."""
    origin = as_dict(as_dict(provenance).get("init_from"))
    if not origin:
        return []
    source = f"the run {origin.get('name')}" if origin.get("kind") == "run" else f"a bundle of the run {origin.get('run')}"
    return [("began with", f"{source}: {origin.get('task')}, {count(origin.get('step'))} steps")]


def provenance_rows(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """What each part was made with."""
    rows = []
    for name, part in ((name, as_dict(part)) for name, part in parts.items()):
        if part:
            packages = ", ".join(f"{package} {version}" for package, version in as_dict(part.get("packages")).items())
            version = f"a2po {part.get('a2po')} ({part.get('commit') or 'no commit known'})"
            rows.append((f"{name} made with", f"{version}, Python {part.get('python')}, {packages}; {part.get('created')}"))
    return rows


def show_pairs(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """A name and a value on each line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, escape(value))
    console.print(table)
