"""``a2po bench-policy``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from a2po.cli.bar import progress_bar


def bench_policy(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle, its .zip, or a run folder; by default the newest bundle in runs/.", show_default=False)
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes under each set of rules.")] = 200,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Change this rule alone, for example enemy_damage; may be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes, the same ones in all rows.")] = 0,
    task: Annotated[str | None, typer.Option(help="Another task than the team's own.", show_default=False)] = None,
    num_envs: Annotated[
        int | None, typer.Option(min=1, help="Copies that play at once; by default chosen to divide the episodes.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the differences: a .png, .svg or .pdf file; it is replaced.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Play a team under changed rules of its task, one change at a time, and say how brittle it is.

    Every row plays the same episodes as the trained rules. The result is kept in the run's results folder.
    """
    from a2po.cli.show_bench import show_bench
    from a2po.evaluation.bench_policy import bench_policy as run_bench

    with progress_bar() as (told, say):
        result = run_bench(bundle, episodes=episodes, only=only, seed=seed, task=task, num_envs=num_envs, plot=plot, progress=told, say=say)
    if as_json:
        print(json.dumps(result))
    else:
        show_bench(result)
