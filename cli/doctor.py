"""``a2po doctor``."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON on standard output.")] = False,
) -> None:
    """Try everything that is installed; where something is broken, name the first cause and the command that mends it, and exit with 1."""
    from a2po.doctor.__main__ import main

    raise typer.Exit(main(as_json))
