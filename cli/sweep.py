"""``a2po sweep``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from a2po.evaluation.sweep import Sweep, SweepResult
    from a2po.sweeps.plan import SweepPlan


def sweep(
    task: Annotated[list[str] | None, typer.Option(help="What to train on; may be repeated.")] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", "--algo", help="a2po, mappo, ippo, coppo, happo, rpisa, qmix or vdn; may be repeated."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="For example 0-2 or 0,1,5; by default 0-2.", show_default=False)] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fixed in all runs; may be repeated.")] = None,
    vary: Annotated[
        list[str] | None, typer.Option(metavar="KEY=V1,V2", help="Several values of a key; the runs cover all combinations.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Environment steps of each run.", show_default=False)] = None,
    preset: Annotated[
        str | None, typer.Option(help="'a2po presets' lists all; a TOML file of yours; several joined by '+'.", show_default=False)
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with a plan, such as another sweep's sweep.toml.")] = None,
    evaluate: Annotated[int | None, typer.Option(help="Greedy episodes per run at the end; by default 32.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="The sweep's folder name under --sweeps; by default the time.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Continue this sweep as it was planned.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at once; by default as many as the cores allow.", show_default=False)] = None,
    sweeps: Annotated[Path, typer.Option(help="Folder that holds the sweeps.")] = Path("sweeps"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON on standard output.")] = False,
) -> None:
    """Train, export and evaluate tasks x algorithms x overrides x seeds; one table and one plot at the end.

    The same command again goes on where it was stopped or killed.
    """
    from a2po.errors import EXIT_FAILED, UserError
    from a2po.evaluation.sweep import Sweep
    from a2po.sweeps.folder import SWEEPS, SweepFolder
    from a2po.sweeps.parse import make_plan

    if resume is not None:
        if any(value not in (None, []) for value in (task, algorithm, seeds, setting, vary, steps, preset, config, evaluate, name)):
            raise UserError("--resume takes the plan as it is: to add seeds or steps, give the whole command again with more of them")
        name, plan = resume, SweepFolder(sweeps / resume).read_plan()
    else:
        values = {"tasks": task or None, "algorithms": algorithm or None, "preset": preset, "evaluation_episodes": evaluate}
        plan = make_plan(file=config, values=values, seeds=seeds, settings=setting or (), vary=vary or (), steps=steps)
    prepared = Sweep(plan, name=name, jobs=jobs, sweeps=sweeps)
    typer.echo(prepared.headline(), err=True)
    if dry_run:
        print(json.dumps(_planned(prepared, plan)) if as_json else _plan_lines(prepared))
        return
    result = prepared.run()
    again = f"a2po sweep --resume {shlex.quote(result.folder.name)}"
    again += "" if sweeps == SWEEPS else f" --sweeps {shlex.quote(str(sweeps))}"
    if result.interrupted_by is not None:
        typer.echo(f"stopped; go on with: {again}", err=True)
        raise typer.Exit(128 + result.interrupted_by)
    _show(result, as_json)
    if result.failed:
        typer.echo(f"a2po: {result.failed} of {len(prepared.states)} runs failed; to try them again: {again}", err=True)
        raise typer.Exit(EXIT_FAILED)


def _planned(prepared: Sweep, plan: SweepPlan) -> dict[str, Any]:
    runs = [{"run": state.run.name, "status": state.status, "step": state.progress.step} for state in prepared.states]
    return {"folder": str(prepared.folder.path), "plan": plan.model_dump(mode="json"), "jobs": prepared.jobs, "runs": runs}


def _plan_lines(prepared: Sweep) -> str:
    width = max(len(state.run.name) for state in prepared.states)
    return "\n".join(
        f"{state.run.name:<{width}}  {state.status}" + (f" from step {state.progress.step:,}" if state.progress.step else "")
        for state in prepared.states
    )


def _show(result: SweepResult, as_json: bool) -> None:
    from a2po.cli.show import show_sweep

    assert result.results is not None
    plot = str(result.plot) if result.plot else None
    if as_json:
        print(json.dumps({"folder": str(result.folder), "plot": plot, "failed": result.failed, **result.results}))
    else:
        show_sweep(result.results, [str(result.folder / "table.md"), str(result.folder / "results.json"), *([plot] if plot else [])])
