"""The errors that a user can mend, and the exit codes that the command line gives them.

Every message says what is wrong, where, and how to mend it, in one line where one line is enough. Names that the
user typed get a did-you-mean. Nothing here imports anything but the standard library, so the bot runtime can use it.
"""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

EXIT_FAILED = 1
EXIT_USER_ERROR = 2


class UserError(Exception):
    """Something that the user can mend. The command line prints the message alone and exits with 2."""


class WorkFailed(Exception):
    """The work itself failed, through nobody's typing. The command line prints the message alone and exits with 1."""


class EnvironmentFailed(WorkFailed):
    """An environment of the user's own raised in the middle of play. Its exception is the cause."""


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
    """``"; did you mean 'a' or 'b'?"`` for the known names closest to ``name``, or an empty string.

    Capitals do not count. A name whose last part is all that was given (``3m`` of ``smac/3m``) comes first.
    """
    given, spelled = name.lower(), {each.lower(): each for each in known}
    ends = [each for each in spelled if each.endswith(f"/{given}")]
    close = [*ends, *(each for each in difflib.get_close_matches(given, spelled, n=limit, cutoff=0.5) if each not in ends)][:limit]
    return f"; did you mean {' or '.join(repr(spelled[match]) for match in close)}?" if close else ""


def at_least(minimum: int, **values: int | None) -> None:
    """Check arguments by name; None is one that was not given.

    Raises:
        UserError: naming the first that is too small.
    """
    for name, value in values.items():
        if value is not None and value < minimum:
            raise UserError(f"{name} must be at least {minimum}, got {value}")


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


def foreign(error: BaseException) -> str:
    """``ValueError: its text (my_env.py:12)``: an exception of somebody else's code, with the line of theirs that led to it.

    Theirs is the first file on the way that is neither ours nor the standard library's, and what lies in its folder.
    """
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}:{error.lineno})"
    frames = list(traceback.walk_tb(error.__traceback__))
    theirs = [(Path(frame.f_code.co_filename), line) for frame, line in frames if not _is_ours_or_standard(frame)]
    if theirs:
        home = theirs[0][0].parent
        theirs = [(file, line) for file, line in theirs if home in file.parents]
    way = theirs or [(Path(frame.f_code.co_filename), line) for frame, line in frames]
    return f"{words} ({way[-1][0].name}:{way[-1][1]})" if way else words


def _is_ours_or_standard(frame: FrameType) -> bool:
    file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__"))
    path, standard = Path(file), Path(sysconfig.get_path("stdlib"))
    installed = "site-packages" in path.parts or "dist-packages" in path.parts
    # By name: an editable install has a2po.cli, a2po.exporters and a2po.evaluation outside of this folder.
    return file.startswith("<") or module.partition(".")[0] == "a2po" or (standard in path.parents and not installed)
