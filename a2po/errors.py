"""The errors that a user can mend, and the exit codes that the command line gives them.

Every message says what is wrong, where, and how to mend it, in one line where one line is enough. Names that the
user typed get a did-you-mean. Nothing here imports anything but the standard library, so the bot runtime can use it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.util import find_spec

EXIT_FAILED = 1
EXIT_USER_ERROR = 2


class UserError(Exception):
    """Something that the user can mend. The command line prints the message alone and exits with 2."""


class WorkFailed(Exception):
    """The work itself failed, through nobody's typing. The command line prints the message alone and exits with 1."""


class ConfigError(UserError):
    """A configuration file, a preset or a ``--set`` value is wrong."""


class TaskError(UserError):
    """A task name or one of the task's options is wrong."""


class RunError(UserError):
    """A run folder is missing, exists already, or belongs to something else."""


class CheckpointError(UserError):
    """No checkpoint of a run can be read."""


class BundleError(UserError):
    """A bundle is missing, altered, incomplete or made for something else."""


class ObservationError(UserError):
    """An observation or action mask given to a team is not what its actors were trained on."""


class ActionError(UserError):
    """An action given to an environment is not finite or outside its space."""


class DependencyError(UserError):
    """An optional package is missing. The message names the extra that installs it."""


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """``"; did you mean 'a', 'b'?"`` for the known names closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=limit, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(match) for match in close)}?" if close else ""


def require(purpose: str, **packages: str) -> None:
    """Check that optional packages are installed: ``require("training", torch="train")``.

    Raises:
        DependencyError: naming the first missing package and the extra that installs it.
    """
    for package, extra in packages.items():
        if find_spec(package) is None:
            raise missing_extra(package, extra, purpose)


def missing_extra(package: str, extra: str, purpose: str) -> DependencyError:
    """The error for an optional package that is not installed."""
    return DependencyError(f"{purpose} needs the package '{package}', which is not installed: pip install \"a2po[{extra}]\"")
