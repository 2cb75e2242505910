"""``a2po.evaluate``: plays the exported actors by quota and says how sure the mean is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2po.errors import UserError, at_least, did_you_mean, require
from a2po.evaluation import results
from a2po.evaluation.football_results import reference
from a2po.evaluation.measure import play_episodes
from a2po.evaluation.opponents import opponent_options
from a2po.evaluation.task_choice import options_to_play, own_options, plain_options, task_to_play

if TYPE_CHECKING:
    from a2po.evaluation.teammates import Teammates

Say = Callable[[str], None]
POLICIES = ("onnx", "torch")


def evaluate(
    bundle: Path | str | None = None,
    *,
    player: str | None = None,
    episodes: int = 100,
    policy: str = "onnx",
    seed: int = 0,
    deterministic: bool = True,
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
    opponent: str | None = None,
    teammates: Teammates | None = None,
    num_envs: int | None = None,
    num_threads: int | None = None,
    report: bool = False,
    progress: Callable[[int], None] | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Play whole episodes and write the result beside the run (or the bundle).

    Every copy plays a number of episodes that is fixed beforehand, so that short episodes get no extra weight.

    Args:
        bundle: a bundle, its .zip, or a run folder; the newest bundle by default.
        player: a script that plays instead of a bundle: ``random``, or one of the task's own. Its result is in no folder.
        episodes: how many valid episodes to play.
        policy: ``onnx`` plays the exported actors, ``torch`` the run's checkpoint that they come from.
        seed: of the episodes (a stream apart from training's) and of sampled actions.
        deterministic: greedy actions; else sampled ones.
        task: another task than the team's own, or the player's (by default the one that ``train`` takes by default). An own
            environment (``module:factory``) that a bundle names must be repeated here.
        options: of the task, in place of those that the team was trained with; the others stay as they were. Where they differ from
            the team's own, the bundle's manifest keeps the summary that it has.
        opponent: who leads the other side, in tasks that have the option ``opponent``: a name that the task knows, a bundle or a run.
        teammates: who plays some of the agents in place of the bundle: ``{"agent_1": WHO}``. The agents are a name, several with commas
            between or patterns with ``*``; WHO is a bundle, a run (its bundle), or a scripted player of the task. The manifest keeps
            the summary that it has.
        num_envs: copies that play at once; by default chosen to divide the episodes evenly.
        num_threads: simulator threads; by default one per core.
        report: write the HTML report as well.
        progress: told the number of finished episodes.
        say: where notices go.

    Returns: the result as written, with ``file`` and ``report`` (paths, or None where nothing was written) besides.

    Raises:
        UserError: the bundle is missing, altered or does not fit the task, an argument is wrong, or a package is missing.
        WorkFailed: too many episodes ended in a fault.
    """
    others = {"seed": seed, "num_envs": num_envs, "deterministic": deterministic, "report": report, "teammates": teammates}
    check_arguments(bundle, player, policy, episodes, others)
    from a2po.envs.play import one_torch_thread
    from a2po.evaluation.contestants import contestant_of
    from a2po.evaluation.teammates import with_teammates

    contestant = contestant_of(bundle, player, policy, task, say)
    home = contestant.home
    if home is not None:
        home.check_writable()
    name = task_to_play(contestant, task)
    contestant = with_teammates(contestant, teammates, name, deterministic=deterministic)
    given = plain_options(opponent_options(name, opponent, options))
    chosen = options_to_play(contestant, name, given)
    with one_torch_thread():
        played = play_episodes(
            contestant, name, chosen, episodes,
            seed=seed, deterministic=deterministic, num_envs=num_envs, num_threads=num_threads, progress=progress,
        )  # fmt: skip
    shown = played.result()
    if "football" in shown:
        trained_on = None if contestant.scripted else contestant.task
        shown["football"]["reference"] = reference(name, trained_on, contestant.origin["step"], mixed=bool(contestant.teammates))
    result = {
        "kind": "evaluation",
        "policy": contestant.policy,
        "actions": contestant.actions(deterministic=deterministic),
        **contestant.origin,
        **shown,
        "options_given": given,
        "provenance": _provenance(),
    }
    if home is None:
        return {**result, "file": None, "report": None}
    file = results.written(lambda: results.write_result(home, result), "the result", say)
    as_trained = name == contestant.task and chosen == own_options(contestant, name) and not contestant.teammates
    if contestant.bundle is not None and policy == "onnx" and as_trained:
        results.note_in_manifest(contestant.bundle, results.short(result), say)
    if not report:
        return {**result, "file": file, "report": None}
    from a2po.evaluation.report import write_report

    return {**result, "file": file, "report": results.written(lambda: write_report(home), "the report", say)}


def check_arguments(bundle: Path | str | None, player: str | None, policy: str, episodes: int, others: Mapping[str, Any]) -> None:
    """Look at the arguments of ``evaluate`` before anything is loaded; ``others`` are those that were given.

    Raises:
        UserError: one is wrong, two exclude each other, or a package is missing.
    """
    if policy not in POLICIES:
        raise UserError(f"unknown policy '{policy}'{did_you_mean(policy, POLICIES)} (there are: {', '.join(POLICIES)})")
    at_least(1, episodes=episodes, num_envs=others.get("num_envs"))
    at_least(0, seed=others.get("seed"))
    require("evaluating", torch="train", gymnasium="train")
    report, sampled = bool(others.get("report")), not (others.get("deterministic", True) or others.get("teammates"))
    if report:
        require("the report", matplotlib="report", jinja2="report")
    excluded = {"bundle": bundle is not None, "policy torch": policy == "torch", "sampled actions": sampled, "report": report}
    for what, given in excluded.items():
        if player is not None and given:
            raise UserError(f"player {player} and {what} exclude each other: a script has no actors and no run folder")


def _provenance() -> dict[str, Any]:
    from a2po.provenance import provenance

    return provenance()
