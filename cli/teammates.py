"""Teammates as a user types them: ``--teammate AGENTS=WHO``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from a2po.errors import UserError

TeammateOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--teammate",
        metavar="AGENTS=WHO",
        help="Who plays some of the agents: a bundle, a run, or a script of the task, as in 'marine_3,marine_4=random' or '*_1=other'; "
        "may be repeated.",
        show_default=False,
    ),
]


def parse_teammates(texts: Iterable[str] | None) -> list[tuple[str, str]]:
    """``["marine_3,marine_4=random"]`` -> ``[("marine_3,marine_4", "random")]``.

    Raises:
        UserError: one is not AGENTS=WHO.
    """
    found = []
    for text in texts or ():
        agents, _, who = (part.strip() for part in text.partition("="))
        if not agents or not who:
            raise UserError(f"--teammate {text}: expected AGENTS=WHO, for example agent_1=runs/other or 'marine_*=random'")
        found.append((agents, who))
    return found
