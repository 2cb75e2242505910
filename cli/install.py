"""``a2po install``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

PARTS = ("football",)


def install(
    what: Annotated[str, typer.Argument(help="What to install: football, the engine of Google Research Football.")],
    force: Annotated[bool, typer.Option("--force", help="Build it anew, although it is there.")] = False,
    sdist: Annotated[
        Path | None,
        typer.Option(help="The source, gfootball-2.10.2.tar.gz, where no package index can be reached.", show_default=False),
    ] = None,
    apt: Annotated[bool, typer.Option("--apt", help="Install missing Debian packages with sudo (as root: always).")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Compilers at once; by default as cores and memory allow.", show_default=False)
    ] = None,
    accept_difference: Annotated[
        bool, typer.Option("--accept-difference", help="Keep an engine whose self-test differs from the stored game.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Build the football engine, once for each user: fetched, verified, compiled, proven by a self-test. A second call finds it done."""
    from a2po.cli.bar import progress_bar
    from a2po.envs.football.installer.install import install_football
    from a2po.errors import UserError, did_you_mean

    if what not in PARTS:
        raise UserError(f"there is nothing to install by the name '{what}'{did_you_mean(what, PARTS)} (known: {', '.join(PARTS)})")
    quarter = 0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal quarter
        told(done, total, what)
        if not sys.stderr.isatty() and 4 * done // total > quarter:  # there the bar is off
            quarter = 4 * done // total
            say(f"{what}: {done} of {total} files are compiled")

    with progress_bar() as (told, say):
        result = install_football(
            force=force, sdist=sdist, apt=apt, jobs=jobs, accept_difference=accept_difference, say=say, progress=progress
        )
    if as_json:
        print(json.dumps(result))
        return
    minutes, seconds = divmod(round(result["seconds"]), 60)
    print(f"football is installed in {minutes} min {seconds} s" if result["built"] else "football was installed already", end=": ")
    print(result["folder"])
    for other in result["others"]:
        print(f"the engine of another version of a2po, which may go: rm -r '{other}'")
