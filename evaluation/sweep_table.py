"""The table of a sweep as headings and rows of text, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from a2po.algorithms.catalogue import FORMS
from a2po.evaluation.figures import interval_of, number
from a2po.sweeps.plan import overrides_text


class TextTable(NamedTuple):
    """Cells as they are shown."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    numbers_from: int
    """The first column that is aligned to the right."""


def tables(results: dict[str, Any]) -> list[TextTable]:
    """The means, the seeds one by one, and the differences where there are any."""
    found = [_means(results), _seeds(results)]
    return [*found, _differences(results)] if results["differences"] else found


def notes(results: dict[str, Any]) -> list[str]:
    """What the numbers are, what the intervals cover, and what is missing."""
    protocol, rows = results["protocol"], results["cells"]
    percent = f"{100 * protocol['confidence']:.0f} %"
    lines = [
        f"Return: greedy actions of the exported ONNX actors of the last checkpoint, {protocol['episodes_per_seed']} episodes per seed; "
        "each seed counts as one number, its mean.",
        f"Interval: {percent}, Student's t over the seeds' means. It covers what another set of training seeds and episodes would change; "
        "it says nothing of other settings, tasks or versions.",
    ]
    forms = [f"{name}: {FORMS[name]}" for name in results["plan"]["algorithms"] if name in FORMS]
    lines.append(f"Forms of the algorithms, but for what presets and overrides change: {'; '.join(forms)}.")
    if any(len(row["seeds"]) == 1 for row in rows):
        lines.append("One seed has no interval: it does not show how much seeds differ.")
    if any((row["return"] or {}).get("interval") and row["return"]["interval"][0] == row["return"]["interval"][1] for row in rows):
        lines.append("An interval without width: these few seeds came to the same value, which does not show that all seeds would.")
    if results["differences"]:
        lines.append("Differences are paired by seed and not corrected for their number.")
    if any(row["return"] and not row["times_complete"] for row in rows):
        lines.append("≥: a run was killed in between, and the time since its checkpoint is not counted.")
    lines += [f"Missing: {row['cell']}-s{seed}: {reason}" for row in rows for seed, reason in row["missing"].items()]
    commits = sorted({f"{str(run['commit'])[:12]}{str(run['commit'])[40:]}" for row in rows for run in row["runs"].values()})
    if len(commits) > 1:
        lines.append(f"The runs were made by {len(commits)} versions of the code: {', '.join(commits)}.")
    return lines


def markdown(results: dict[str, Any]) -> str:
    """``table.md``."""
    made = results["provenance"]
    parts = [f"# Sweep {results['name']}", *(_markdown_table(table) for table in tables(results))]
    parts.append("\n".join(f"- {line}" for line in notes(results)))
    parts.append(f"Made with a2po {made['a2po']} ({made['commit'] or 'no commit known'}), {made['created']}. Plan: `sweep.toml`.")
    return "\n\n".join(parts) + "\n"


def _means(results: dict[str, Any]) -> TextTable:
    rows, rates = results["cells"], _rate_names(results)
    rate_headings = [f"{name} 95 %" for name in rates]
    headings = [*_what(results), "seeds", "return", "95 % interval", *rate_headings, "best seed", "steps", "wall", "CPU"]
    lines = []
    for row in rows:
        line, summary = _cells_of(row, results), row["return"]
        line.append(f"{len(row['seeds'])}" + (f"/{len(row['seeds']) + len(row['missing'])}" if row["missing"] else ""))
        if summary is None:
            lines.append(line + ["–"] * (len(headings) - len(line)))
            continue
        line += [number(summary["value"]), interval_of(summary)]
        line += [_rate(row["rates"].get(name)) for name in rates]
        line += [str(row["best_seed"]), f"{row['steps']:,}", _time(row["wall_s"], row), _time(row["cpu_s"], row)]
        lines.append(line)
    return TextTable(_title(results, "mean return over seeds"), headings, lines, len(_what(results)))


def _seeds(results: dict[str, Any]) -> TextTable:
    seeds = [str(seed) for seed in results["plan"]["seeds"]]
    lines = []
    for row in results["cells"]:
        means = [number(row["runs"][seed]["evaluation"]["mean"]) if seed in row["runs"] else "–" for seed in seeds]
        lines.append(_cells_of(row, results) + means)
    headings = [*_what(results), *(f"s{seed}" for seed in seeds)]
    return TextTable(_title(results, "mean return of each seed"), headings, lines, len(_what(results)))


def _differences(results: dict[str, Any]) -> TextTable:
    lines = []
    for found in results["differences"]:
        pair, same = f"{found['first']} − {found['second']}", found["overrides"]
        of_overrides = f"{overrides_text(same)}: {pair}" if same else pair
        shown = [found["task"], *([found["algorithm"], of_overrides] if found["algorithm"] else [pair, overrides_text(same)])]
        line, difference = [shown[index] for index in _shown_columns(results)], found["difference"]
        lines.append([*line, *(["0", "–", "–"] if difference is None else _difference_cells(difference))])
    headings = [*_what(results), "pairs", "difference", "95 % interval"]
    return TextTable(_title(results, "difference of the mean return"), headings, lines, len(_what(results)))


def _difference_cells(difference: dict[str, Any]) -> list[str]:
    return [str(difference["seeds"]), number(difference["value"]), interval_of(difference)]


def _what(results: dict[str, Any]) -> list[str]:
    """The headings that tell the cells apart."""
    return [("task", "algorithm", "overrides")[index] for index in _shown_columns(results)]


def _cells_of(row: dict[str, Any], results: dict[str, Any]) -> list[str]:
    return [(row["task"], row["algorithm"], overrides_text(row["overrides"]))[index] for index in _shown_columns(results)]


def _shown_columns(results: dict[str, Any]) -> list[int]:
    """Algorithm always, task where there are several (one stands in the title), overrides where there are any."""
    plan = results["plan"]
    return [*([0] if len(plan["tasks"]) > 1 else []), 1, *([2] if plan["vary"] else [])]


def _title(results: dict[str, Any], words: str) -> str:
    tasks = results["plan"]["tasks"]
    return f"{tasks[0]}: {words}" if len(tasks) == 1 else words.capitalize()


def _rate_names(results: dict[str, Any]) -> Sequence[str]:
    return list(dict.fromkeys(name for row in results["cells"] for name in row.get("rates") or {}))


def _rate(summary: dict[str, Any] | None) -> str:
    return "–" if summary is None else f"{number(summary['value'])} {interval_of(summary)}"


def _time(seconds: float, row: dict[str, Any]) -> str:
    """Per run; a lower bound where a part was not counted."""
    shown = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 36000 else f"{seconds / 3600:.1f} h"
    return shown if row["times_complete"] else f"≥ {shown}"


def _markdown_table(table: TextTable) -> str:
    aligned = ["---" if column < table.numbers_from else "---:" for column in range(len(table.headings))]
    lines = [table.headings, aligned, *table.rows]
    return f"## {table.title}\n\n" + "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
