"""``a2po export``."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What an actor is written as."""

    onnx = "onnx"


def export(
    run: Annotated[Path | None, typer.Argument(help="The run folder; by default the newest one in runs/.", show_default=False)] = None,
    format: Annotated[Format, typer.Option("--format", help="Format of the actors.")] = Format.onnx,
    checkpoint: Annotated[str, typer.Option(help="latest, best, or a step.")] = "latest",
    output: Annotated[Path | None, typer.Option(help="A folder or a .zip; by default RUN/bundle.", show_default=False)] = None,
    agents: Annotated[
        str | None, typer.Option(help="Names with commas between, with --output; by default all.", show_default=False)
    ] = None,
    opset: Annotated[int, typer.Option(help="ONNX opset, 17 to 21.")] = 18,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON on standard output.")] = False,
) -> None:
    """Write a run's team as a bundle: one ONNX actor per agent, proven equal to the trained policy on recorded observations."""
    from rich.console import Console

    from a2po.cli.show_bundle import show_bundle
    from a2po.exporters.export import export as run_export
    from a2po.runtime.bundle import read_bundle

    console = Console(stderr=True)
    chosen = [name.strip() for name in agents.split(",") if name.strip()] if agents is not None else None

    def say(message: str) -> None:
        console.print(message, markup=False, soft_wrap=True)

    with console.status("exporting and proving every actor"):
        path = run_export(run, checkpoint=checkpoint, agents=chosen, output=output, opset=opset, say=say)
    bundle = read_bundle(path)
    if as_json:
        print(json.dumps({"bundle": str(path), **bundle.manifest}))
        return
    show_bundle(bundle, brief=True)
    if len(bundle.agents) == len(bundle.manifest["task"]["agents"]):  # a part of the team cannot play the task
        typer.echo(f"Next: a2po evaluate {shlex.quote(str(path))}")
