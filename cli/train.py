"""``a2po train``."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def train(
    task: Annotated[str | None, typer.Option(help="What to train on; 'a2po tasks' lists all.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="a2po or mappo.")] = None,
    preset: Annotated[str | None, typer.Option(help="fast (ours), paper, or the path of a TOML file.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any configuration keys.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="section.key=value; may be repeated.")] = None,
    steps: Annotated[int | None, typer.Option(help="Environment steps over all copies.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's folder name under --runs.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run --name, or the newest one.")] = False,
    runs: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of the dashboard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train a team: sample, update, evaluate greedily now and then, save. Ctrl-C saves and leaves."""
    from a2po import config as configuration
    from a2po.errors import require

    require("training", torch="train", gymnasium="train")
    from a2po.training import runs as run_folders
    from a2po.training.loop import train as run_training
    from a2po.training.view import TerminalView

    settings = [*(setting or []), *([f"run.total_steps={steps}"] if steps is not None else [])]
    values = {"task": task, "algorithm": algorithm, "preset": preset, "seed": seed, "device": device}
    if resume:
        folder = runs / name if name else run_folders.newest_run(runs)
        chosen = configuration.override(run_folders.open_run(folder), file=config, settings=settings, values=values)
        name = folder.name
    else:
        chosen = configuration.resolve(file=config, settings=settings, values=values)
    result = run_training(chosen, name=name, resume=resume, runs=runs, view=TerminalView(plain=plain))
    if as_json:
        print(json.dumps({**asdict(result), "run": str(result.run)}))
    else:
        shown = "–" if result.evaluation is None else f"{result.evaluation:,.1f}"
        print(f"{result.run}: {result.step:,} steps, last greedy return {shown}. Next: a2po export {shlex.quote(str(result.run))}")
    if result.interrupted_by is not None:
        raise typer.Exit(128 + result.interrupted_by)
