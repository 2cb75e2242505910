"""``a2po train``."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from a2po.config import TrainConfig


def train(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="What to train on; 'a2po tasks' lists all, module:factory names your own.")
    ] = None,
    task_option: Annotated[str | None, typer.Option("--task", help="The same, as an option.")] = None,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", "--algo", help="a2po, mappo, ippo, coppo, happo, rpisa, qmix or vdn.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="'a2po presets' lists all; a TOML file of yours; several joined by '+'.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with any configuration keys.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="section.key=value; may be repeated.")] = None,
    steps: Annotated[int | None, typer.Option(help="Environment steps over all copies.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's folder name under --runs.")] = None,
    init_from: Annotated[
        str | None, typer.Option(metavar="RUN|BUNDLE", help="Begin with trained weights: a run, RUN:best, RUN:STEP or a bundle.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run --name, or the newest one.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost in time, memory and disk; train and write nothing.")] = False,
    probe_seconds: Annotated[float, typer.Option(min=0.0, help="How long --plan measures real rounds.")] = 5.0,
    runs: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of the dashboard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train a team: sample, update, evaluate greedily now and then, save. Ctrl-C saves and leaves."""
    from a2po import config as configuration
    from a2po.errors import UserError, require

    require("training", torch="train", gymnasium="train")
    from a2po.training import runs as run_folders
    from a2po.training.loop import train as run_training
    from a2po.training.view import TerminalView

    if task is None:
        task = task_option
    elif task_option not in (None, task):
        raise UserError(f"the task is given twice, as '{task}' and as --task '{task_option}': leave out one")
    settings = [*(setting or []), *([f"run.total_steps={steps}"] if steps is not None else [])]
    values = {"task": task, "algorithm": algorithm, "preset": preset, "seed": seed, "device": device, "init_from": init_from}
    if resume:
        folder = runs / name if name else run_folders.newest_run(runs)
        chosen = configuration.override(run_folders.open_run(folder), file=config, settings=settings, values=values)
        name = folder.name
    else:
        chosen = configuration.resolve(file=config, settings=settings, values=values)
    if plan:
        _plan(chosen, name, resume, runs, probe_seconds, as_json)
        return
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what an environment prints is no JSON
        result = run_training(chosen, name=name, resume=resume, runs=runs, view=TerminalView(plain=plain))
    if as_json:
        print(json.dumps({**asdict(result), "run": str(result.run)}))
    else:
        shown = "–" if result.evaluation is None else f"{result.evaluation:,.1f}"
        print(f"{result.run}: {result.step:,} steps, last greedy return {shown}. Next: a2po export {shlex.quote(str(result.run))}")
    if result.interrupted_by is not None:
        raise typer.Exit(128 + result.interrupted_by)


def _plan(config: TrainConfig, name: str | None, resume: bool, runs: Path, probe_seconds: float, as_json: bool) -> None:
    from rich.console import Console

    from a2po.cli.show_plan import show_plan
    from a2po.training.plan import plan

    with Console(stderr=True).status("measuring some rounds"):
        planned = plan(config, name=name, resume=resume, runs=runs, probe_s=probe_seconds)
    if as_json:
        print(json.dumps(asdict(planned)))
    else:
        show_plan(planned)
