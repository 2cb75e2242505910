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

    all = "all"
    onnx = "onnx"
    safetensors = "safetensors"


class Profile(StrEnum):
    """Which operators are used."""

    standard = "standard"
    plain = "plain"


class Quantization(StrEnum):
    """Weights of fewer bytes."""

    int8 = "int8"


def export(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder, or its name in runs/; by default the newest one.", show_default=False)
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="latest, best, or a step.")] = "latest",
    output: Annotated[Path | None, typer.Option(help="A folder or a .zip; by default RUN/bundle.", show_default=False)] = None,
    agents: Annotated[
        str | None, typer.Option(help="Names with commas between, with --output; by default all.", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="onnx: actors that play. safetensors: weights to train on with.")] = Format.all,
    opset: Annotated[int, typer.Option(help="ONNX opset: 17 to 21, with --profile plain 13 to 21.")] = 18,
    profile: Annotated[
        Profile, typer.Option(help="plain, for engines that lag: no LayerNormalization, nothing that came after opset 13.")
    ] = Profile.standard,
    noise: Annotated[bool, typer.Option("--noise", help="Actors that sample, with an input for noise: equal in every language.")] = False,
    quantize: Annotated[
        Quantization | None, typer.Option(help="Weights of one byte; what that changes is measured.", show_default=False)
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign with a private ed25519 key, a PEM file.", show_default=False)
    ] = None,
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
        path = run_export(
            run, checkpoint=checkpoint, agents=chosen, output=output, format=format.value, opset=opset, profile=profile.value,
            noise=noise, quantize=quantize and quantize.value, sign=sign, say=say,
        )  # fmt: skip
    bundle = read_bundle(path)
    if as_json:
        print(json.dumps({"bundle": str(path), **bundle.manifest}))
        return
    show_bundle(bundle, brief=True)
    if not bundle.agents[0].file:
        typer.echo(f"Next: a2po train --task {shlex.quote(bundle.task)} --init-from {shlex.quote(str(path))}")
    elif len(bundle.agents) == len(bundle.manifest["task"]["agents"]):  # a part of the team cannot play the task
        typer.echo(f"Next: a2po evaluate {shlex.quote(str(path))}")
