"""``a2po.play``: shows what a team does, as a table of its episodes and as a video."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2po.config import DEFAULT_TASK
from a2po.errors import UserError, WorkFailed, at_least, did_you_mean, require
from a2po.evaluation.locate import RUNS, known_paths
from a2po.evaluation.measure import counted, watch
from a2po.evaluation.opponents import opponent_options
from a2po.evaluation.task_choice import options_to_play, plain_options, task_to_play
from a2po.evaluation.video import VideoOptions, check_video
from a2po.files import existing

if TYPE_CHECKING:
    from a2po.envs.play import Act
    from a2po.envs.protocol import VectorEnv
    from a2po.evaluation.camera import Tally
    from a2po.evaluation.contestant import Contestant
    from a2po.evaluation.teammates import Teammates

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def play(
    bundle: Path | str | None = None,
    *,
    task: str | None = None,
    run: Path | str | None = None,
    checkpoint: str | None = None,
    player: str | None = None,
    left: str | None = None,
    opponent: str | None = None,
    episodes: int = 1,
    steps: int | None = None,
    seed: int = 0,
    deterministic: bool = True,
    video: Path | str | None = None,
    options: VideoOptions | None = None,
    task_options: Mapping[str, Any] | None = None,
    teammates: Teammates | None = None,
    progress: Progress | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Play episodes one after the other in one copy of the task; with ``video``, film them.

    The first episode is the first one that copy 0 plays in ``a2po.evaluate`` with the same seed. A picture shows the moment
    before a step, so an episode of L steps has L of them.

    Args:
        bundle: a bundle, its .zip, or a run folder, whose exported actors play; the newest bundle by default.
        task: another task than the team's own. An own environment (``module:factory``) that a bundle names must be repeated here.
        run: play a checkpoint of this run instead of a bundle.
        checkpoint: which one: ``latest``, ``best`` or a step; by default the one that the run's bundle comes from.
        player: a script plays instead: ``random``, or one of the task's own; by default in the task that ``train`` takes by default.
        left: who plays, told from its form: a player of the task, a bundle or a run; in place of ``bundle`` and ``player``.
        opponent: who leads the other side, as in ``a2po.evaluate``.
        episodes: how many.
        steps: stop after this many steps in all, even within an episode.
        seed: of the episodes and of sampled or scripted actions.
        deterministic: greedy actions; else sampled ones.
        video: an .mp4 or .gif file to write. Frames are written as they come.
        options: how the video looks.
        task_options: of the task, in place of those that the team was trained with; the others stay as they were.
        teammates: who plays some of the agents in place of the team, as in ``a2po.evaluate``.
        progress: told the steps so far, and the most there can be.
        say: where notices go.

    Returns: who played what, ``episodes`` (a list: episode, seed, length, return, complete, invalid and the task's metrics) and
    ``video`` (path, frames, fps, every, width, height, bytes, speed as a multiple of real time; or None).

    Raises:
        UserError: the team is missing or does not fit the task, an argument is wrong, the task has no pictures, or a package is
            missing.
        WorkFailed: the video could not be written, or the simulation failed.
    """
    if left is not None:
        bundle, player = _left(left, bundle, run, player, task)
    _check_arguments(bundle, run, checkpoint, player, task, episodes, steps, seed)
    if player is not None and not deterministic and not teammates:
        raise UserError(f"player {player} and sampled actions exclude each other: a script has no probabilities")
    path, options = None if video is None else Path(video), options or VideoOptions()
    if path is not None:
        check_video(path, force=options.force)
    require("playing", torch="train", gymnasium="train")
    from a2po.envs.play import one_torch_thread
    from a2po.envs.registry import make
    from a2po.evaluation.teammates import with_teammates
    from a2po.streams import stream_seed

    with one_torch_thread():  # one copy gives them nothing to do
        contestant = _contestant(bundle, run, checkpoint, player, task, say)
        name = task_to_play(contestant, task, option="")
        contestant = with_teammates(contestant, teammates, name, deterministic=deterministic)
        given = plain_options(opponent_options(name, opponent, task_options))
        env_options = options_to_play(contestant, name, given)
        with closing(make(name, 1, seed=stream_seed(seed, "bundle evaluation"), **env_options)) as env:
            begin = time.perf_counter()
            contestant.check_fits(env.spec)
            watch(env)
            if hasattr(env, "names"):  # in its pictures, of both sides
                env.names = (str(contestant.origin["run"] or contestant.policy), env.names[1])
            seated = contestant.seated(env.spec)
            act = contestant.act(env, seed, deterministic=deterministic)
            tally, filmed = _play(env, act, episodes, steps, path, options, progress)
            wall_time_s = round(time.perf_counter() - begin, 3)
    return {
        "kind": "play",
        "policy": contestant.policy,
        "actions": contestant.actions(deterministic=deterministic),
        **contestant.origin,
        **{"task": name, "task_options": env_options, "options_given": given},
        **{"teammates": seated, "seed": seed, "wall_time_s": wall_time_s},
        **counted(tally.episodes),
        "video": filmed,
    }


def _left(left: str, bundle: Any, run: Any, player: str | None, task: str | None) -> tuple[str | None, str | None]:
    """``left`` as (bundle, player). Raises: UserError: somebody else is to play as well, or there is no such player or path."""
    for name, other in (("bundle", bundle), ("run", run), ("player", player)):
        if other is not None:
            raise UserError(f"left and {name} exclude each other: only one team can play")
    from a2po.envs.registry import check_task, scripted_players

    if task is None:
        return left, None
    check_task(task)
    names = scripted_players(task)
    if left in names:
        return None, left
    if not existing(left, RUNS).exists():
        close = did_you_mean(left, [*names, *known_paths(RUNS, Path(left))])
        raise UserError(f"'{task}' has no player '{left}'{close} (it has: {', '.join(names)}; or name a bundle or a run)")
    return left, None


def _check_arguments(
    bundle: Any, run: Any, checkpoint: str | None, player: str | None, task: str | None, episodes: int, steps: int | None, seed: int
) -> None:
    chosen = [name for name, value in (("bundle", bundle), ("run", run), ("player", player)) if value is not None]
    if len(chosen) > 1:
        raise UserError(f"{chosen[0]} and {chosen[1]} exclude each other: only one team can play")
    if checkpoint is not None and run is None:
        raise UserError(f"checkpoint {checkpoint}: of which run? Name the run as well")
    at_least(1, episodes=episodes, steps=steps)
    at_least(0, seed=seed)
    if task is not None and Path(task).exists() and ":" not in task:
        raise UserError(f"'{task}' is a file or folder and no task: name a bundle with --bundle, a run with --run")


def _contestant(
    bundle: Path | str | None, run: Path | str | None, checkpoint: str | None, player: str | None, task: str | None, say: Say
) -> Contestant:
    from a2po.evaluation.contestants import exported, scripted, trained

    if player is not None:
        return scripted(player, task or DEFAULT_TASK)
    return exported(bundle) if run is None else trained(run, say, checkpoint)


def _play(
    env: VectorEnv,
    act: Act,
    episodes: int,
    steps: int | None,
    path: Path | None,
    options: VideoOptions,
    progress: Progress | None,
) -> tuple[Tally, dict[str, Any] | None]:
    from a2po.envs.play import steps as walk
    from a2po.evaluation.camera import Tally, camera

    tally, filming = Tally(env), None
    most = min(steps or 10**12, episodes * env.spec.max_episode_steps)
    with ExitStack() as stack:
        if path is not None:
            act = filming = stack.enter_context(camera(env, act, tally, path, options))
        try:
            for step in walk(env, act):
                tally.count(step)
                if progress:
                    progress(tally.steps, most)
                if len(tally.episodes) == episodes or tally.steps == steps:
                    break
        except RuntimeError as error:
            raise WorkFailed(f"the play was given up: {error}") from error
    tally.close()
    return tally, None if filming is None else filming.facts()
