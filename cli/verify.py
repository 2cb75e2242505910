"""``a2po verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

MARKS = {True: "[green]passed[/green]", False: "[red]FAILED[/red]", None: "[dim]-[/dim]"}


def verify(
    path: Annotated[
        Path | None, typer.Argument(help="A bundle, its .zip, or a run folder; by default the newest bundle in runs/.", show_default=False)
    ] = None,
    require_signature: Annotated[
        Path | None,
        typer.Option("--require-signature", metavar="PUBKEY", help="The key that must have signed it, a PEM file.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON on standard output.")] = False,
) -> None:
    """Check a bundle before anything plays it: hashes, signature, operators, and that the graphs compute what the weights say. No torch."""
    from a2po.errors import EXIT_FAILED
    from a2po.evaluation.locate import RUNS, find_bundle
    from a2po.files import existing
    from a2po.runtime.verify import verify as run_verify

    result = run_verify(find_bundle(None if path is None else existing(path, RUNS)), require_signature)
    if as_json:
        print(json.dumps(result))
    else:
        show_verification(result)
    if not result["passed"]:
        raise typer.Exit(EXIT_FAILED)


def show_verification(result: dict[str, Any]) -> None:
    """A line for every check, and the verdict."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(emoji=False, highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in result["checks"]:
        table.add_row(check["name"], MARKS[check["passed"]], escape(check["detail"]))
    console.print(table)
    verdict = "[green]verified[/green]" if result["passed"] else "[red]not verified: do not play it[/red]"
    left = [check["name"] for check in result["checks"] if check["passed"] is None and check["detail"].startswith("not ")]
    if result["passed"] and left:
        verdict += f", but for what was not checked: {', '.join(left)}"
    console.print(f"[bold]{escape(result['bundle'])}[/bold]: {verdict}")
