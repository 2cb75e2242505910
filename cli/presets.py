"""``a2po presets``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def presets(
    preset: Annotated[str | None, typer.Argument(help="Show what this one sets: a name, a TOML file, or several joined by '+'.")] = None,
    task: Annotated[str | None, typer.Option(help="For this task; by default the default task.", show_default=False)] = None,
    algorithm: Annotated[
        str | None,
        typer.Option("--algorithm", "--algo", help="For this algorithm; by default a2po, or the first it is for.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """List the presets that `train` takes, or what one of them sets."""
    from a2po.algorithms.catalogue import check_algorithm
    from a2po.config import TrainConfig, flat, resolve
    from a2po.errors import UserError
    from a2po.presets import description, made_for, preset_names

    if preset is None:
        if task or algorithm:
            raise UserError("--task and --algorithm belong to a preset: a2po presets NAME --task TASK --algorithm ALGORITHM")
        found = {name: description(name) for name in preset_names()}
        print(json.dumps([{"name": name, "description": words} for name, words in found.items()])) if as_json else _show_all(found)
        return
    if algorithm is None and (only := made_for(preset)) and TrainConfig().algorithm not in only:
        algorithm = only[0]
    config = resolve(preset=preset, values={"task": task, "algorithm": algorithm})
    check_algorithm(config.algorithm)
    default = flat(TrainConfig().model_dump(mode="json"))
    values = {key: value for key, value in flat(config.model_dump(mode="json")).items() if key.partition(".")[2]}
    changed = {key: value for key, value in values.items() if key not in default or value != default[key]}
    if as_json:
        print(json.dumps({"preset": preset, "task": config.task, "algorithm": config.algorithm, "values": changed}))
    else:
        _show_one(f"{preset} for {config.algorithm} on {config.task}: what differs from the built-in defaults", changed, default)


def _show_all(found: dict[str, str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("preset", no_wrap=True)
    table.add_column("")
    for name, words in found.items():
        table.add_row(escape(name), escape(words))
    console = Console(emoji=False, highlight=False)
    console.print(table)
    console.print("Combine: --preset paper+no-preopc. What one sets: a2po presets NAME --task TASK", style="dim")


def _show_one(title: str, changed: dict[str, Any], default: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("key", "value", "default"):
        table.add_column(heading, overflow="fold")
    for key, value in changed.items():
        table.add_row(*(escape(text) for text in (key, _text(value), _text(default.get(key)))))
    console = Console(emoji=False, highlight=False)
    console.print(title, markup=False, style="bold")
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value).strip('"')
