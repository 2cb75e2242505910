"""The training loop: sample, update, evaluate, save; resume; leave cleanly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from a2po.algorithms.update_rules import RULES
from a2po.config import TrainConfig, flat, resolve
from a2po.errors import ConfigError, EnvironmentFailed, RunError, WorkFailed
from a2po.training.callback import Callback, TrainProgress, ask
from a2po.training.interrupt import Interrupt
from a2po.training.lock import RunLock, busy, holder
from a2po.training.log import LoggedView
from a2po.training.runs import (
    RUNS,
    check_free,
    check_name,
    clean_run,
    create_run,
    default_folder,
    newest_run,
    open_run,
    pinned,
    write_config,
    write_provenance,
)
from a2po.training.trainer import Trainer
from a2po.training.view import TerminalView, View
from a2po.training.warm_start import WarmStart, start_from

CHANGEABLE = ("device", "env.num_threads", "run.")
"""What a resumed run may change: how it is run and for how long, not what is learned."""


HEARD = "interrupted: finishing this update, then saving; once more leaves at once"


@dataclass(frozen=True)
class TrainResult:
    """Where a run ended."""

    run: Path
    """Its folder: ``a2po.export`` takes it."""
    step: int
    """Environment steps over all copies."""
    return_mean: float | None
    """Mean return of the last 64 episodes of training, or None before the first one ends."""
    evaluation: float | None
    """Mean return of the last greedy evaluation, or None before the first one."""
    interrupted_by: int | None
    """The signal that ended it early, or None."""
    stopped: bool = False
    """The callback ended it early."""


def train(
    config: TrainConfig | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    runs: Path | str = RUNS,
    view: View | None = None,
    callback: Callback | None = None,
) -> TrainResult:
    """Train a team, or continue a run, and keep everything in a run folder.

    Args:
        config: what to train; by default the default task and preset, see ``a2po.resolve``. For a resumed run only
            ``device``, ``env.num_threads`` and ``run.*`` may differ from what it was started with; None takes it as it was.
        name: the run's folder in ``runs``; by default made of task, algorithm, seed and time.
        resume: continue from the newest whole checkpoint of ``name`` (by default of the newest run).
        runs: the folder that holds the runs.
        view: shows progress; by default a dashboard in a terminal and plain lines elsewhere.
            ``a2po.training.view.SilentView()`` shows nothing.
        callback: called with a ``TrainProgress`` after every update round, in this thread. If it returns True, training ends
            after saving. If it raises, the run is saved before the exception goes on: ``resume`` continues it.

    Returns: where the run ended and why. SIGINT and SIGTERM end it after saving (``interrupted_by``) rather than raise.

    Raises:
        UserError: anything that the caller can mend: a task or run that does not exist, an option that is wrong, weights of
            ``init_from`` that do not fit, a package that is missing.
        WorkFailed: training diverged, most episodes ended in a simulator fault, the last checkpoint could not be written, or an
            environment of your own raised (``EnvironmentFailed``; its exception is the ``__cause__``).
        KeyboardInterrupt, SystemExit: a second SIGINT or SIGTERM came before what the first one asked for was done.
        TypeError: the callback returned neither True, False nor None.

    Example:
        >>> config = a2po.resolve(values={"task": "matrix/penalty"}, settings=["run.total_steps=20000"])
        >>> result = a2po.train(config, callback=lambda progress: (progress.evaluation or 0) >= 10)
        >>> bundle = a2po.export(result.run)
    """
    runs, view = Path(runs), view or TerminalView()
    config, folder = run_to_train(config, name, resume, runs)
    device, threads = pick_device(config.device), torch.get_num_threads()
    view = LoggedView(view, folder / "log.txt")
    torch.set_num_threads(1)  # more only while updating, see Trainer; large initial weights differ in the last bit with the number
    try:
        trainer = Trainer(config, folder, device, view.say)  # may still refuse the task or its options: nothing is on disk yet
    except BaseException:
        torch.set_num_threads(threads)
        raise
    lock = RunLock(folder, view.say)
    try:
        with Interrupt(lambda: view.say(HEARD)) as interrupt:
            trainer.interrupted = lambda: interrupt.received is not None
            begun = resume and bool(trainer.checkpoints.names())
            warm = None
            if config.init_from is not None and not begun:
                warm = start_from(trainer.team, config.init_from, runs, view.say, critics=config.algorithm in RULES)
            lock.take()  # here the folder begins to be
            clean_run(folder)
            trainer.checkpoints.clean()
            if begun:
                trainer.restore()
                write_config(folder, config)
            else:
                _begin(trainer, view, resume, warm)
            stopped = _run(trainer, view, interrupt, callback)
    except EnvironmentFailed as failure:
        view.keep(failure)
        saved = trainer.checkpoints.names()
        after = f"--name {folder.name} --resume goes on from {saved[0]}" if saved else "nothing is saved yet"
        more = f"its traceback is in '{view.path}', and 'a2po check-env {config.task}' looks at every rule"
        raise EnvironmentFailed(f"{failure}; {more}; {after}") from failure.__cause__
    finally:
        trainer.close()
        lock.release()
        torch.set_num_threads(threads)
    return TrainResult(folder, trainer.step, trainer.journal.return_mean, trainer.evaluation, interrupt.received, stopped)


def run_to_train(config: TrainConfig | None, name: str | None, resume: bool, runs: Path) -> tuple[TrainConfig, Path]:
    """The configuration and the folder that ``train`` would use.

    Raises:
        RunError: the name is none, is taken, or is not there to be resumed, or the configuration is not that of the run.
    """
    check_name(name)
    if resume:
        folder = runs / name if name else newest_run(runs)
        before = open_run(folder)
        return before if config is None else check_same_run(before, pinned(config, before), folder), folder
    if config is None:
        config = resolve()
    folder = runs / name if name else default_folder(runs, config)
    if holder(folder) is not None:
        raise RunError(busy(folder))
    check_free(folder)
    return pinned(config), folder


def _begin(trainer: Trainer, view: View, resume: bool, warm: WarmStart | None) -> None:
    """The first steps of a run, or of one that ended before its first checkpoint."""
    folder, origin = trainer.folder, warm.origin if warm else None
    if resume:
        view.say(f"'{folder}' has no checkpoint yet: starting from the beginning")
        write_provenance(folder, origin)
        trainer.forget_metrics()
    else:
        create_run(folder, trainer.config, origin)
    if warm:
        view.say(warm.message)
        trainer.keep_start()


def _run(trainer: Trainer, view: View, interrupt: Interrupt, callback: Callback | None) -> bool:
    """Rounds until all steps are played, a signal arrives or the callback has enough. Returns: whether the callback ended it."""
    stopped = False
    view.say(trainer.headline())
    if notice := trainer.method.notice():
        view.say(notice)
    trainer.journal.sinks.start(trainer.step)
    view.start(trainer.step, trainer.config.run.total_steps)
    try:
        trainer.catch_up()
        while not trainer.done and interrupt.received is None and not stopped:
            view.show(trainer.round())
            stopped = callback is not None and _ask(callback, trainer, view)
        saved = trainer.save()
    finally:
        view.stop()
    if not saved:
        raise WorkFailed(
            f"the checkpoint of step {trainer.step:,} could not be written; '{trainer.folder}' can be resumed from the checkpoint before"
        )
    if interrupt.received is not None:
        view.say(f"interrupted: saved at step {trainer.step:,}; go on with --name {trainer.folder.name} --resume")
    elif stopped:
        view.say(f"stopped by the callback: saved at step {trainer.step:,}")
    return stopped


def _ask(callback: Callback, trainer: Trainer, view: View) -> bool:
    """Whether the callback wants to stop. What was learned survives its mistakes."""
    try:
        return ask(callback, TrainProgress.of(trainer))
    except BaseException:
        if trainer.save():
            view.say(f"the callback failed: saved at step {trainer.step:,}; go on with --name {trainer.folder.name} --resume")
        raise


def pick_device(wanted: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Raises:
        ConfigError: ``cuda`` was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("--device cuda: torch finds no CUDA device here (torch.cuda.is_available() is False); use --device cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def check_same_run(before: TrainConfig, now: TrainConfig, folder: Path) -> TrainConfig:
    """``now``, if it differs from what the run was started with in nothing that changes the learning.

    Raises:
        RunError: with every difference.
    """
    old, new = flat(before.model_dump()), flat(now.model_dump())
    # The linear schedule ends at the last step, so there the number of steps is part of what is learned.
    fixed = ("run.total_steps",) if before.update.learning_rate_schedule == "linear" else ()
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and (key in fixed or not key.startswith(CHANGEABLE))]
    if changed:
        differences = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in changed)
        raise RunError(f"cannot resume '{folder}' with another configuration: {differences}. Leave these out, or start a new run")
    return now
