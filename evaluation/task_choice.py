"""Which task is played, and with which options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from a2po.errors import TaskError, UserError
from a2po.runtime.schema import RESERVED

if TYPE_CHECKING:
    from a2po.evaluation.contestant import Contestant


def task_to_play(contestant: Contestant, task: str | None, option: str = "--task ") -> str:
    """``task``, or the team's own. A bundle may come from anywhere: which code runs is not for its manifest to say.

    Raises:
        UserError: only the bundle names an own environment. ``option`` is how the user names it.
    """
    from a2po.envs.registry import runs_foreign_code

    if task is None and contestant.bundle is not None and runs_foreign_code(contestant.task):
        raise UserError(
            f"{contestant.what} names an environment of its own, and making that runs its code: "
            f"if you trust it, add {option}{shlex.quote(contestant.task)}"
        )
    return task or contestant.task


def own_options(contestant: Contestant, task: str) -> dict[str, Any]:
    """The options that the team was trained with (or that its script asks for). Another task gets none of them."""
    return contestant.options if task == contestant.task else {}


def options_to_play(contestant: Contestant, task: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The team's own options, each replaced as a whole by the ``given`` one of the same name.

    Whether the task knows them is for the task to say.

    Raises:
        TaskError: a value could not be written into a result file, or a name is one of ``make``'s own.
    """
    return {**own_options(contestant, task), **plain_options(given)}


def plain_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options as a result file gives them back: tuples are lists.

    Raises:
        TaskError: a value is of no kind that JSON has, or a name is one of ``make``'s own.
    """
    plain: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name in RESERVED:
            raise TaskError(f"'{name}' is not an option of a task: it is an argument of its own")
        try:
            plain[str(name)] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise TaskError(f"option '{name}' must be a number, text, true or false, or a list or table of these ({error})") from None
    return plain
