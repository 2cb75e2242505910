"""``a2po.evaluate``: plays the exported actors by quota and says how sure the mean is."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.config import DEFAULT_TASK
from a2po.errors import BundleError, UserError, WorkFailed, at_least, did_you_mean, require
from a2po.evaluation import results
from a2po.evaluation.statistics import summary

if TYPE_CHECKING:
    from a2po.envs.protocol import EpisodeRecord
    from a2po.evaluation.contestants import Contestant

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
    _check_arguments(episodes, policy, seed, num_envs, report)
    _check_player(player, bundle, policy, deterministic, report)
    import torch

    contestant = _contestant(bundle, player, policy, task, say)
    home = contestant.home
    if home is not None:
        home.check_writable()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # idle torch threads would spin on the simulator's cores
    try:
        result = _play(contestant, episodes, seed, deterministic, task, num_envs, num_threads, progress)
    finally:
        torch.set_num_threads(threads)
    if home is None:
        return {**result, "file": None, "report": None}
    file = _written(lambda: results.write_result(home, result), "the result", say)
    if contestant.bundle is not None and policy == "onnx" and result["task"] == contestant.task:
        results.note_in_manifest(contestant.bundle, results.short(result), say)
    if not report:
        return {**result, "file": file, "report": None}
    from a2po.evaluation.report import write_report

    return {**result, "file": file, "report": _written(lambda: write_report(home), "the report", say)}


def _written(write: Callable[[], Path], what: str, say: Say) -> str | None:
    """The path of what was written. What was played is worth more than its file: a full disk is only said."""
    try:
        return str(write())
    except (OSError, BundleError) as error:
        say(f"{what} could not be written: {error}")
        return None


def _check_arguments(episodes: int, policy: str, seed: int, num_envs: int | None, report: bool) -> None:
    if policy not in POLICIES:
        raise UserError(f"unknown policy '{policy}'{did_you_mean(policy, POLICIES)} (there are: {', '.join(POLICIES)})")
    at_least(1, episodes=episodes, num_envs=num_envs)
    at_least(0, seed=seed)
    require("evaluating", torch="train", gymnasium="train")
    if report:
        require("the report", matplotlib="report", jinja2="report")


def _check_player(player: str | None, bundle: Path | str | None, policy: str, deterministic: bool, report: bool) -> None:
    if player is None:
        return
    excluded = {"bundle": bundle is not None, "policy torch": policy == "torch", "sampled actions": not deterministic, "report": report}
    for what, given in excluded.items():
        if given:
            raise UserError(f"player {player} and {what} exclude each other: a script has no actors and no run folder")


def _contestant(bundle: Path | str | None, player: str | None, policy: str, task: str | None, say: Say) -> Contestant:
    from a2po.evaluation.contestants import exported, scripted, trained

    if player is not None:
        return scripted(player, task or DEFAULT_TASK)
    return exported(bundle) if policy == "onnx" else trained(bundle, say)


def _play(
    contestant: Contestant,
    episodes: int,
    seed: int,
    deterministic: bool,
    task: str | None,
    num_envs: int | None,
    num_threads: int | None,
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    from a2po.envs.play import copies_for, play
    from a2po.envs.registry import make
    from a2po.streams import stream_seed
    from a2po.training.fit import check_fits

    name = task_to_play(contestant, task)
    options = contestant.options if name == contestant.task else {}
    copies = min(num_envs or copies_for(episodes), episodes)
    with closing(make(name, copies, seed=stream_seed(seed, "bundle evaluation"), num_threads=num_threads, **options)) as env:
        if contestant.description is not None:
            check_fits(contestant.what, contestant.description, env.spec)
        act = contestant.act(env, seed, deterministic=deterministic)
        begin = time.perf_counter()
        try:
            records = play(env, act, episodes, progress=progress)
        except RuntimeError as error:
            raise WorkFailed(f"the evaluation was given up: {error}") from error
        wall_time_s = time.perf_counter() - begin
        facts = {"task": name, "task_options": options, "copies": copies, "seed": seed, "wall_time_s": round(wall_time_s, 3)}
        return {
            "kind": "evaluation",
            "policy": contestant.policy,
            "actions": contestant.actions(deterministic=deterministic),
            **contestant.origin,
            **facts,
            **_statistics(records, env.spec.metrics, wall_time_s),
            "provenance": _provenance(),
        }


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


def _statistics(records: list[EpisodeRecord], metrics: tuple[str, ...], wall_time_s: float) -> dict[str, Any]:
    valid = [record for record in records if not record["invalid"]]
    returns = summary([record["return"] for record in valid])
    return {
        "episodes": len(valid),
        "invalid_episodes": len(records) - len(valid),
        **returns,
        "length": summary([record["length"] for record in valid]),
        "metrics": {name: _metric([record[name] for record in valid]) for name in metrics},
        "steps_per_s": round(sum(record["length"] for record in records) / max(wall_time_s, 1e-9), 1),
        "returns": [record["return"] for record in valid],
        "lengths": [record["length"] for record in valid],
        "seeds": [record["seed"] for record in valid],
    }


def _metric(values: list[Any]) -> dict[str, Any]:
    """A task says that a figure is a rate by giving truth values."""
    return summary(values, rate=all(isinstance(value, (bool, np.bool_)) for value in values))


def _provenance() -> dict[str, Any]:
    from a2po.provenance import provenance

    return provenance()
