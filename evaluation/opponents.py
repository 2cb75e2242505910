"""Who leads the other side: the option ``opponent`` of tasks that have opponents to choose from, and an evaluation against each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from a2po.errors import BundleError, UserError, did_you_mean
from a2po.evaluation.locate import RUNS, find_bundle, known_paths
from a2po.files import existing

Say = Callable[[str], None]
OPTION = "opponent"


def known_opponents(task: str) -> list[str]:
    """The opponents of a task that have names.

    Raises:
        UserError: it has none, or there is no such task.
    """
    from a2po.envs.registry import check_task, families_with, opponent_names

    check_task(task)
    names = opponent_names(task)
    if not names:
        having = families_with("opponent_names")
        raise UserError(f"'{task}' has no opponents to choose from" + (f"; tasks of {', '.join(having)} have" if having else ""))
    return names


def opponent_options(task: str, opponent: str | None, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """``options`` with the opponent among them: a name that the task knows, or a bundle's path (of a run: that of its bundle).

    Raises:
        UserError: the task has no opponents, there is no such one, or the options name one as well.
    """
    given = dict(options or {})
    if opponent is None:
        return given
    if OPTION in given:
        raise UserError(f"opponent {opponent} and the option 'opponent' exclude each other: only one can lead the other side")
    names = known_opponents(task)
    if opponent in names:
        return {**given, OPTION: opponent}
    try:
        return {**given, OPTION: str(find_bundle(opponent))}
    except BundleError as error:
        if existing(opponent, RUNS).exists():
            raise
        close = did_you_mean(opponent, [*names, *known_paths(RUNS, Path(opponent))])
        known = ", ".join(names)
        raise UserError(f"'{task}' has no opponent '{opponent}'{close} (it has: {known}; or name a bundle or a run)") from error


def evaluate_opponents(
    bundle: Path | str | None = None,
    *,
    player: str | None = None,
    policy: str = "onnx",
    task: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    say: Say = print,
    episodes: int = 100,
    **others: Any,
) -> dict[str, Any]:
    """Evaluate a team against each opponent that its task knows by name, with the same episode seeds.

    Args:
        bundle: as in ``a2po.evaluate``.
        player: as there.
        policy: as there.
        task: as there.
        progress: told the episodes played so far, how many there will be, and the opponent.
        say: where notices go.
        episodes: how many against each.
        **others: what else ``a2po.evaluate`` takes.

    Returns: ``opponents``, by name the result of ``a2po.evaluate``; each is kept where that keeps it.

    Raises:
        UserError: as ``a2po.evaluate``, or the task has no opponents.
    """
    from a2po.evaluation.evaluate import check_arguments, evaluate
    from a2po.evaluation.task_choice import task_to_play

    check_arguments(bundle, player, policy, episodes, others)
    from a2po.evaluation.contestants import contestant_of

    contestant = contestant_of(bundle, player, policy, task, say)
    names = known_opponents(task_to_play(contestant, task))
    results: dict[str, Any] = {}
    for number, name in enumerate(names):

        def told(done: int, before: int = number * episodes, name: str = name) -> None:
            if progress:
                progress(before + done, len(names) * episodes, name)

        results[name] = evaluate(
            bundle, player=player, policy=policy, task=task, opponent=name, progress=told, say=say, episodes=episodes, **others
        )
    return {"kind": "opponents", "opponents": results}
