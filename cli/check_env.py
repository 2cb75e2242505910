"""``a2po check-env``."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from a2po.testing import Finding

MARKS = {"passed": "[green]passed[/green] ", "broken": "[red]BROKEN[/red] ", "skipped": "[yellow]skipped[/yellow]"}


def check_env(
    task: Annotated[str, typer.Argument(help="A task name, or module:factory of your own environment.")],
    setting: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the task; may be repeated.")] = None,
    num_envs: Annotated[int, typer.Option(min=1, help="Copies in most checks.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of random play; by default one more than an episode, at most 500.", show_default=False)
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train and resume with every algorithm, MLP and GRU, not with one alone.")] = False,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Nothing is left to chance: seeds need not differ.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON on standard output.")] = False,
) -> None:
    """Hold an environment against every rule of the contract. Exits with 1 if one is broken."""
    from rich.console import Console

    from a2po.cli.task_options import parse_task_options
    from a2po.errors import EXIT_FAILED, foreign, require

    require("checking an environment", torch="train", gymnasium="train")
    from a2po.testing.check import ALL_TRAININGS, ONE_TRAINING, check_environment

    options = parse_task_options(setting, "--set")
    console, looked_at = Console(stderr=True), ["the task"]

    def tell(rule: str) -> None:
        looked_at.append(rule)
        status.update(f"checking {rule}")

    with redirect_stdout(sys.stderr), console.status("") as status:  # what the environment prints is no finding
        try:
            findings = check_environment(
                task,
                options=options,
                num_envs=num_envs,
                num_steps=steps,
                deterministic=deterministic,
                trainings=ALL_TRAININGS if train else ONE_TRAINING,
                progress=tell,
            )
        except KeyboardInterrupt as cut:  # the way out of an environment that hangs: where it does is the finding
            print(f"a2po: interrupted while checking {looked_at[-1]}: {foreign(cut)}", file=sys.stderr)
            raise typer.Exit(130) from None
    broken = [finding for finding in findings if finding.status == "broken"]
    if as_json:
        print(json.dumps({"task": task, "options": options, "passed": not broken, "rules": [finding.as_dict() for finding in findings]}))
    else:
        _show(task, findings)
    if broken:
        raise typer.Exit(EXIT_FAILED)


def _show(task: str, findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    for wide in (False, False, True):
        table.add_column(no_wrap=not wide, overflow="fold")
    for finding in findings:
        detail = finding.asks
        if finding.status == "broken":
            detail = f"{finding.where}: {finding.what}. {finding.mend}."
        elif finding.status == "skipped":
            detail = f"not looked at: {finding.what}"
        table.add_row(MARKS[finding.status], finding.rule, escape(detail))
    console.print(table)
    counts = {status: sum(finding.status == status for finding in findings) for status in MARKS}
    console.print(f"{escape(task)}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count))
