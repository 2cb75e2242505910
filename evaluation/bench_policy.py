"""``a2po.bench_policy``: how one team fares where a rule of its task is not what it was trained with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2po.errors import UserError, at_least, did_you_mean, require
from a2po.evaluation.bench_rows import compared
from a2po.evaluation.bench_verdict import verdict
from a2po.evaluation.measure import Played, play_episodes
from a2po.evaluation.outputs import check_output
from a2po.evaluation.plots import FORMATS
from a2po.evaluation.results import write_result, written
from a2po.evaluation.task_choice import own_options, task_to_play

if TYPE_CHECKING:
    from a2po.envs.perturbation import Perturbation
    from a2po.evaluation.contestant import Contestant

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]


def bench_policy(
    bundle: Path | str | None = None,
    *,
    episodes: int = 200,
    only: Sequence[str] | None = None,
    seed: int = 0,
    task: str | None = None,
    num_envs: int | None = None,
    num_threads: int | None = None,
    plot: Path | str | None = None,
    progress: Progress | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Play the same episodes under the rules that a team was trained with and under changed ones, one change at a time.

    The actors are the exported ones, their actions greedy. The result is kept beside the run (or the bundle).

    Args:
        bundle: a bundle, its .zip, or a run folder; the newest bundle by default.
        episodes: how many under each set of rules.
        only: the rules to change; by default all that matter in the task.
        seed: of the episodes, which are the first ones of ``a2po.evaluate`` with this seed.
        task: another task than the team's own.
        num_envs: copies that play at once; by default chosen to divide the episodes evenly.
        num_threads: simulator threads; by default one per core.
        plot: a .png, .svg or .pdf file to draw the differences into; it is replaced.
        progress: told the episodes played so far, how many there will be, and what is played now.
        say: where notices go.

    Returns: ``trained`` (mean, interval, values), ``rows``, the worst first (rule, value, options, mean, interval, ``difference`` to
    ``trained`` with its interval), ``verdict``, ``file`` and ``plot`` (paths, or None), and what else the file holds.

    Raises:
        UserError: the bundle is missing or does not fit, the task has no rules to change, an argument is wrong, or a package is missing.
        WorkFailed: too many episodes ended in a fault.
        OSError: the plot cannot be written.
    """
    at_least(1, episodes=episodes, num_envs=num_envs)
    at_least(0, seed=seed)
    require("bench-policy", torch="train", gymnasium="train")
    if plot is not None:
        check_output(Path(plot), FORMATS, replace=True)
        require("the plot", matplotlib="report")
    from a2po.envs.play import one_torch_thread
    from a2po.evaluation.contestants import exported
    from a2po.provenance import provenance

    contestant = exported(bundle)
    home = contestant.home
    assert home is not None  # a bundle has one
    home.check_writable()
    name = task_to_play(contestant, task)
    options = own_options(contestant, name)
    with one_torch_thread():
        changes = _chosen(_changes(contestant, name, options), only, name)
        begin, total = time.perf_counter(), (len(changes) + 1) * episodes

        def played(number: int, given: Mapping[str, Any], label: str) -> Played:
            def told(done: int) -> None:
                if progress:
                    progress(number * episodes + done, total, label)

            told(0)  # the first battles may have to be compiled
            return play_episodes(
                contestant, name, {**options, **given}, episodes,
                seed=seed, num_envs=num_envs, num_threads=num_threads, progress=told,
            )  # fmt: skip

        trained = played(0, {}, "trained rules")
        others = [played(number, change.options, f"{change.rule} {change.value}") for number, change in enumerate(changes, start=1)]
        wall_time_s = round(time.perf_counter() - begin, 3)
    result = {
        "kind": "bench_policy",
        "policy": contestant.policy,
        "actions": contestant.actions(deterministic=True),
        **contestant.origin,
        **trained.facts,
        **compared(trained, changes, others),
        "wall_time_s": wall_time_s,
        "provenance": provenance(),
    }
    result["verdict"] = verdict(result)
    file = written(lambda: write_result(home, result, "bench"), "the result", say)
    if plot is not None:
        from a2po.evaluation.bench_plot import draw_bench

        draw_bench(Path(plot), result)
    return {**result, "file": file, "plot": None if plot is None else str(plot)}


def _changes(contestant: Contestant, task: str, options: Mapping[str, Any]) -> list[Perturbation]:
    """What the task can change.

    Raises:
        UserError: nothing, or the team does not fit.
    """
    from a2po.envs.registry import check_task, families_with, make, perturbations

    check_task(task)
    family, offering = task.split("/", 1)[0], families_with("perturbations")
    if ":" in task or family not in offering:
        raise UserError(f"'{task}' has no rules that bench-policy could change; tasks of {' and '.join(offering)} have")
    with closing(make(task, 1, num_threads=1, **options)) as env:
        contestant.check_fits(env.spec)
        return perturbations(env)


def _chosen(changes: Sequence[Perturbation], only: Sequence[str] | None, task: str) -> list[Perturbation]:
    """The changes of the rules that were asked for."""
    rules = list(dict.fromkeys(change.rule for change in changes))
    for name in only or ():
        if name not in rules:
            raise UserError(f"no rule '{name}' matters in '{task}'{did_you_mean(name, rules)} (there are: {', '.join(rules)})")
    return [change for change in changes if not only or change.rule in only]
