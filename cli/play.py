"""``a2po play``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from a2po.cli.task_options import TaskOptions, parse_task_options
from a2po.cli.teammates import TeammateOptions, parse_teammates
from a2po.errors import UserError


def play(
    task: Annotated[
        str | None,
        typer.Argument(help="Another task than the team's own, or the own environment that the bundle names.", show_default=False),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="A bundle, its .zip, or a run (a folder, or a name in runs/); by default the newest bundle.", show_default=False),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Play a checkpoint of this run instead of a bundle.", show_default=False)] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="With --run: latest, best, or a step; by default the bundle's.", show_default=False)
    ] = None,
    player: Annotated[
        str | None, typer.Option(help="A script plays instead of a team: random, or one that the task has.", show_default=False)
    ] = None,
    left: Annotated[
        str | None,
        typer.Option(
            help="Who plays the agents: a bundle, a run, or a player of the task; instead of --bundle, --player.", show_default=False
        ),
    ] = None,
    right: Annotated[
        str | None,
        typer.Option(
            help="Who leads the other side, where it can be chosen: a name that the task knows, a bundle or a run.", show_default=False
        ),
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="The same as --player random.")] = False,
    option: TaskOptions = None,
    teammate: TeammateOptions = None,
    video: Annotated[Path | None, typer.Option(help="Film it: a name with .mp4 or .gif.", show_default=False)] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to play.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps in all.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes and of sampled actions.")] = 0,
    sampled: Annotated[bool, typer.Option("--sampled/--greedy", help="Sample the actions, or take the most likely one.")] = False,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Pixels; by default the task's own, half of that in a gif.", show_default=False)
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="Film every n-th step; by default as many as play in real time.", show_default=False)
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=120, help="Pictures per second; by default real time.", show_default=False)
    ] = None,
    render: Annotated[str, typer.Option(help="Of tasks with two kinds of pictures: top (from above) or engine (the game's own).")] = "top",
    caption: Annotated[bool, typer.Option("--caption/--no-caption", help="Write episode, step and return into the picture.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a video that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Watch a team play: its episodes as a table and, with --video, as a film."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from a2po.cli.show import show_play
    from a2po.evaluation.play import play as run_play
    from a2po.evaluation.video import VideoOptions, parse_size

    if random and left is not None:
        raise UserError(f"--random and --left {left} exclude each other")
    if random and player is not None:
        raise UserError(f"--random and --player {player} exclude each other")
    options = VideoOptions(None if size is None else parse_size(size), every, fps, caption, force, render)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("filming" if video else "playing", total=None)
        result = run_play(
            bundle,
            task=task,
            task_options=parse_task_options(option),
            teammates=parse_teammates(teammate),
            run=run,
            checkpoint=checkpoint,
            player="random" if random else player,
            left=left,
            opponent=right,
            episodes=episodes,
            steps=steps,
            seed=seed,
            deterministic=not sampled,
            video=video,
            options=options,
            progress=lambda done, most: progress.update(bar, completed=done, total=most),
            say=lambda message: progress.console.print(message, markup=False, emoji=False, soft_wrap=True),
        )
    if as_json:
        print(json.dumps(result))
    else:
        show_play(result)
