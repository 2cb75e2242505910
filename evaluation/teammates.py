"""Mixed teams: some agents of a contestant are played by another bundle, or by a script of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from a2po.envs.registry import scripted_players
from a2po.errors import BundleError, UserError, did_you_mean
from a2po.evaluation.contestant import Contestant
from a2po.evaluation.contestants import exported, scripted
from a2po.evaluation.locate import RUNS, known_paths
from a2po.files import existing

Teammates = Mapping[str, Path | str] | Sequence[tuple[str, Path | str]]
"""Agents (a name, several with commas between, or patterns with *) -> a bundle, a run, or a scripted player of the task."""


def with_teammates(contestant: Contestant, teammates: Teammates | None, task: str, *, deterministic: bool) -> Contestant:
    """The contestant with others in some of its seats. One who is named several times plays all its agents as one team.

    A script brings its ways, not the options that it asks for when it plays alone.

    Raises:
        UserError: there is no such bundle, run or player, or nobody who plays could sample.
        BundleError: a bundle is altered or of another format.
    """
    named: dict[str, list[str]] = {}
    for agents, who in teammates.items() if isinstance(teammates, Mapping) else teammates or ():
        named.setdefault(str(who), []).append(agents)
    found = tuple((",".join(agents), _teammate(who, task)) for who, agents in named.items())
    mixed = replace(contestant, teammates=found)
    if not deterministic and mixed.actions(deterministic=False) == "scripted":
        raise UserError("sampled actions: everybody who plays is a script, and a script has no probabilities")
    return mixed


def _teammate(who: str, task: str) -> Contestant:
    players = scripted_players(task)
    if who in players:
        return scripted(who, task)
    try:
        return exported(who)
    except BundleError as error:
        if existing(who, RUNS).exists():
            raise
        close = did_you_mean(who, [*players, *known_paths(RUNS, Path(who))])
        raise UserError(
            f"no teammate '{who}'{close} ('{task}' has the players: {', '.join(players)}; or name a bundle or a run)"
        ) from error
