"""Options of a task as a user types them: ``--option KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from a2po.errors import TaskError

TaskOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="An option of the task in place of the team's own, for example action_delay=1; may be repeated.",
        show_default=False,
    ),
]


def parse_task_options(texts: Iterable[str] | None, flag: str = "--option") -> dict[str, Any]:
    """``["action_delay=1", "terrain=cliff"]`` -> ``{"action_delay": 1, "terrain": "cliff"}``. Values are TOML, or text.

    Raises:
        TaskError: one is not KEY=VALUE. ``flag`` is how the user gave them.
    """
    from a2po.config import parse_setting
    from a2po.toml_files import merge

    options: dict[str, Any] = {}
    for text in texts or ():
        key, separator, _ = text.partition("=")
        if not separator or not key.strip():
            raise TaskError(f"{flag} {text}: expected KEY=VALUE, an option of the task")
        options = merge(options, parse_setting(text))
    return options
