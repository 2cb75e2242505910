"""Options of a PettingZoo task: ours, and those of the game, which are passed through if the game knows them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

from a2po.errors import TaskError, did_you_mean, foreign

STATES = ("auto", "own", "observations")
RENDER = "render_mode"


@dataclass(frozen=True)
class Options:
    """What the adapter itself understands."""

    team_reward: bool = False
    """True: everybody gets the mean over the agents. False: every agent keeps its own reward."""

    state: str = "auto"
    """``own``: the game's ``state()``; ``observations``: all agents' observations in a row; ``auto``: the first that works."""

    exact_state: bool = True
    """False: a resumed run begins new episodes. True: it replays the running ones, where the game can be replayed."""

    max_episode_steps: int | None = None
    """Steps after which an episode is truncated; by default the game's ``max_cycles``, or 1000 where it has none."""

    max_cycles: int | None = None
    """The game's own limit: found here, passed on to it."""


def split(task: str, module: ModuleType, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Our options and the game's.

    Raises:
        TaskError: one is unknown, or one of ours has a wrong value.
    """
    own_names = [field.name for field in fields(Options) if field.name != "max_cycles"]
    own = {name: value for name, value in given.items() if name in own_names}
    theirs = {name: value for name, value in given.items() if name not in own_names}
    known = _known(module)
    for name in theirs:
        if known is not None and (name not in known or name == RENDER):
            names = [*(other for other in known if other != RENDER), *own_names]
            raise TaskError(f"{task}: unknown option '{name}'{did_you_mean(name, names)} (options: {', '.join(names)})")
    _check(task, own)
    if known is None or RENDER in known:
        theirs[RENDER] = "rgb_array"
    limit = theirs.get("max_cycles", (known or {}).get("max_cycles"))
    return Options(**own, max_cycles=limit if isinstance(limit, int) else None), theirs


def build(task: str, module: ModuleType, options: dict[str, Any]) -> Any:
    """One game.

    Raises:
        TaskError: ``parallel_env`` raised.
    """
    try:
        return module.parallel_env(**options)
    except (Exception, SystemExit) as error:
        shown = {name: value for name, value in options.items() if name != RENDER}
        raise TaskError(f"{task}: the game could not be made with the options {shown}: {foreign(error)}") from error


def _known(module: ModuleType) -> dict[str, Any] | None:
    """The game's options and their defaults; None if it takes whatever it is given."""
    for function in _makers(module):
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return {parameter.name: parameter.default for parameter in parameters}
    return None


def _makers(module: ModuleType) -> Iterator[Any]:
    """``parallel_env`` itself, then what it hands its keywords on to: the raw game, and the games inside of that."""
    yield module.parallel_env
    if hasattr(module, "raw_env"):
        yield module.raw_env
    try:
        game = module.parallel_env().unwrapped
    except Exception:  # noqa: BLE001 - it may need options; what is wrong with it shows when it is made with them
        return
    inside = getattr(game, "env", None)
    while inside is not None:
        yield type(inside)
        inside = getattr(inside, "env", None)


def _check(task: str, own: Mapping[str, Any]) -> None:
    for name, value in own.items():
        if name == "state":
            allowed, good = " or ".join(repr(state) for state in STATES), value in STATES
        elif name == "max_episode_steps":
            allowed, good = "a whole number of at least 1", isinstance(value, int) and not isinstance(value, bool) and value >= 1
        else:
            allowed, good = "true or false", isinstance(value, bool)
        if not good:
            raise TaskError(f"{task}: option '{name}' must be {allowed}, got {value!r}")
