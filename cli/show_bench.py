"""Tables of a team under changed rules and against several opponents."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from a2po.cli.show import interval, number, show_pairs, teammates_row
from a2po.evaluation.bench_verdict import bounds, level, points

LINES_AROUND = 11
"""What stands above and below the rows, with a verdict of three lines and the next prompt."""
FEWEST_ROWS = 5


def show_bench(result: dict[str, Any]) -> None:
    """The rows, the worst first, and the verdict. On a terminal that they do not fit, the last ones become one line."""
    console = Console(emoji=False, highlight=False)
    heading = "won" if result["rate"] else "return"
    table = Table(box=None, pad_edge=False)
    for name in ("rule", "changed to", heading, "change", f"{result['confidence']:.0%} interval".replace("%", " %"), ""):
        table.add_column(name, justify="left" if name in ("rule", "changed to", "") else "right", no_wrap=True)
    trained = result["trained"]
    around = trained["interval"] and [level(end, result) for end in trained["interval"]]
    table.add_row("trained rules", "", level(trained["mean"], result), "", f"{around[0]} to {around[1]}" if around else "-", style="bold")
    rows = result["rows"]
    room = max(console.height - LINES_AROUND, FEWEST_ROWS) if console.is_terminal else len(rows)
    shown = rows if len(rows) <= room else rows[: room - 1]
    for row in shown:
        difference = row["difference"]
        mark = "worse" if difference["worse"] else "better" if difference["better"] else ""
        cells = [row["rule"], row["value"], level(row["mean"], result)]
        cells += [points(difference["mean"], result, signed=True), bounds(difference["interval"], result), mark]
        table.add_row(*map(escape, cells), style={"worse": "red", "better": "green"}.get(mark))
    console.print(f"[bold]{escape(result['bundle']['path'])}[/bold] on {escape(result['task'])}: the same episodes under changed rules")
    console.print(table)
    if len(shown) < len(rows):
        console.print(_others(rows[len(shown) :], result), style="dim")
    console.print(escape(result["verdict"]), style="bold")
    written = ", ".join(path for path in (result["file"], result["plot"]) if path)
    played = f"{result['episodes']} for each row, seed {result['seed']}, {result['actions']} actions, {result['wall_time_s']:.1f} s"
    show_pairs(console, [("episodes", played), ("interval", _method(result)), ("written", written or "nothing")])


def _others(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """What is not shown."""
    low, high = (points(row["difference"]["mean"], result, signed=True) for row in (rows[0], rows[-1]))
    counts = {word: sum(row["difference"][word] for row in rows) for word in ("worse", "better")}
    marked = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"... {len(rows)} others from {low} to {high}{f' ({marked})' if marked else ''}: --json or the file has them"


def _method(result: dict[str, Any]) -> str:
    methods = " and ".join(dict.fromkeys(row["difference"]["method"] for row in result["rows"]))
    rows = len(result["rows"])
    return f"{methods}, of paired episodes; worse and better: corrected for {rows} row{'s' if rows > 1 else ''}"


def show_opponents(result: dict[str, Any]) -> None:
    """A team against each opponent: the win rate where there is one, and the return."""
    console = Console(emoji=False, highlight=False)
    results: dict[str, dict[str, Any]] = result["opponents"]
    first = next(iter(results.values()))
    rates = [name for name, metric in first["metrics"].items() if metric["method"] == "Wilson"]
    table = Table(box=None, pad_edge=False)
    for heading in ("opponent", *(name for rate in rates for name in (rate, "95 % interval")), "return", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "opponent" else "right", no_wrap=True)
    for opponent, found in results.items():
        summaries = [*(found["metrics"][name] for name in rates), found]
        table.add_row(
            *map(escape, [opponent, *(cell for each in summaries for cell in (number(each["mean"]), interval(each["interval"])))])
        )
    who = first["bundle"]["path"] if first["bundle"] else first["run"] or f"the player {first['policy']}"
    console.print(f"[bold]{escape(str(who))}[/bold] on {escape(first['task'])}: {first['actions']} actions against each opponent")
    console.print(table)
    played = f"{first['episodes']} against each, the same seeds, by quota over {first['copies']} copies, seed {first['seed']}"
    written = [found["file"] for found in results.values() if found["file"]]
    kept = f"{len(written)} results, the last {written[-1]}" if written else "nothing: --json prints the results"
    show_pairs(console, [*teammates_row(first), ("episodes", played), ("written", kept)])
