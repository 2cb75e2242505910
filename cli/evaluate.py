"""``a2po evaluate``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from a2po.cli.bar import progress_bar
from a2po.cli.task_options import TaskOptions, parse_task_options
from a2po.cli.teammates import TeammateOptions, parse_teammates

ALL = "all"
"""Each opponent that the task knows by name."""


class Policy(StrEnum):
    """Who plays."""

    onnx = "onnx"
    torch = "torch"


def evaluate(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="A bundle, its .zip, or a run (a folder, or a name in runs/); by default the newest bundle.", show_default=False
        ),
    ] = None,
    player: Annotated[
        str | None, typer.Option(help="A script plays instead of a bundle: random, or one that the task has.", show_default=False)
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to play.")] = 100,
    policy: Annotated[Policy, typer.Option(help="The exported ONNX actors, or the torch checkpoint that they come from.")] = Policy.onnx,
    sampled: Annotated[bool, typer.Option("--sampled/--greedy", help="Sample the actions, or take the most likely one.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes and of sampled actions.")] = 0,
    task: Annotated[
        str | None,
        typer.Option(
            help="Another task than the team's own, the player's, or the own environment that the bundle names.", show_default=False
        ),
    ] = None,
    option: TaskOptions = None,
    opponent: Annotated[
        str | None,
        typer.Option(help="Who leads the other side: a name that the task knows, a bundle, a run, or all names.", show_default=False),
    ] = None,
    teammate: TeammateOptions = None,
    num_envs: Annotated[
        int | None, typer.Option(min=1, help="Copies that play at once; by default chosen to divide the episodes.", show_default=False)
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Write an HTML report beside the run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Play the exported actors and say how good they are, with an interval. The result is kept in the run's results folder.

    The result of a script (--player) is kept nowhere; --json prints it.
    """
    from a2po.cli.show import show_evaluation
    from a2po.cli.show_bench import show_opponents
    from a2po.evaluation.evaluate import evaluate as run_evaluation
    from a2po.evaluation.opponents import evaluate_opponents

    with progress_bar(episodes) as (told, say):
        arguments: dict[str, Any] = {
            **{"player": player, "episodes": episodes, "policy": policy.value, "seed": seed, "deterministic": not sampled, "task": task},
            **{"options": parse_task_options(option), "num_envs": num_envs, "report": report, "say": say},
            "teammates": parse_teammates(teammate),
        }
        if opponent == ALL:
            result = evaluate_opponents(bundle, progress=told, **arguments)
        else:
            result = run_evaluation(bundle, opponent=opponent, progress=told, **arguments)
    show = show_opponents if opponent == ALL else show_evaluation
    if as_json:
        print(json.dumps(result))
    else:
        show(result)
