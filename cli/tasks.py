"""``a2po tasks``."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def tasks(
    pattern: Annotated[str, typer.Argument(help="Show only names that contain this.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the tasks that `train` takes. Besides these it takes your own: smac/path/to/battle.toml, and module:factory."""
    from a2po.envs.registry import task_names
    from a2po.errors import TaskError, did_you_mean

    names = task_names()
    found = [name for name in names if pattern.lower() in name.lower()]
    if not found:
        raise TaskError(f"no task contains '{pattern}'{did_you_mean(pattern, names)}")
    print(json.dumps(found) if as_json else "\n".join(found))
