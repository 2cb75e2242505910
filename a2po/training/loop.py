"""The training loop: sample, update, evaluate, save; resume; leave cleanly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from a2po.config import TrainConfig, resolve
from a2po.errors import ConfigError, RunError, WorkFailed
from a2po.training.interrupt import Interrupt
from a2po.training.lock import RunLock, busy, holder
from a2po.training.log import LoggedView
from a2po.training.runs import RUNS, check_free, clean_run, create_run, default_name, newest_run, open_run, write_config
from a2po.training.trainer import Trainer
from a2po.training.view import TerminalView, View

CHANGEABLE = ("device", "env.num_threads", "run.")
"""What a resumed run may change: how it is run and for how long, not what is learned."""


@dataclass(frozen=True)
class TrainResult:
    """Where a run ended."""

    run: Path
    step: int
    return_mean: float | None
    evaluation: float | None
    interrupted_by: int | None


def train(
    config: TrainConfig | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    runs: Path | str = RUNS,
    view: View | None = None,
) -> TrainResult:
    """Train a team, or continue a run.

    Args:
        config: what to train; by default the default task and preset. For a resumed run only ``device``,
            ``env.num_threads`` and ``run.*`` may differ from what it was started with; None takes it as it was.
        name: the run's folder in ``runs``; by default made of task, algorithm, seed and time.
        resume: continue from the newest whole checkpoint of ``name`` (by default of the newest run).
        runs: the folder that holds the runs.
        view: shows progress; by default a dashboard in a terminal and plain lines elsewhere.

    Raises:
        UserError: anything that the caller can mend.
        WorkFailed: training diverged.
        KeyboardInterrupt, SystemExit: a second SIGINT or SIGTERM came before what the first one asked for was done.
    """
    runs, view = Path(runs), view or TerminalView()
    if name is not None and (not name.strip() or Path(name).name != name or name == ".."):
        raise RunError(f"--name '{name}' must be a plain folder name")
    if resume:
        folder = runs / name if name else newest_run(runs)
        before = open_run(folder)
        config = before if config is None else check_same_run(before, config, folder)
    else:
        if config is None:
            config = resolve()
        folder = runs / (name or default_name(config))
        if holder(folder) is not None:
            raise RunError(busy(folder))
        check_free(folder)
    device, threads = pick_device(config.device), torch.get_num_threads()
    view = LoggedView(view, folder / "log.txt")
    trainer = Trainer(config, folder, device, view.say)  # may still refuse the task or its options: nothing is on disk yet
    torch.set_num_threads(1)  # more only while updating, see Trainer
    lock = RunLock(folder, view.say)
    try:
        with Interrupt() as interrupt:
            trainer.interrupted = lambda: interrupt.received is not None
            lock.take()
            clean_run(folder)
            trainer.checkpoints.clean()
            if not resume:
                create_run(folder, config)
            elif trainer.checkpoints.names():
                trainer.restore()
                write_config(folder, config)
            else:
                view.say(f"'{folder}' has no checkpoint yet: starting from the beginning")
                trainer.forget_metrics()
            _run(trainer, view, interrupt)
    finally:
        trainer.close()
        lock.release()
        torch.set_num_threads(threads)
    return TrainResult(folder, trainer.step, trainer.return_mean, trainer.evaluation, interrupt.received)


def _run(trainer: Trainer, view: View, interrupt: Interrupt) -> None:
    view.say(trainer.headline())
    trainer.sinks.start(trainer.step)
    view.start(trainer.step, trainer.config.run.total_steps)
    try:
        trainer.catch_up()
        while not trainer.done and interrupt.received is None:
            view.show(trainer.round())
        saved = trainer.save()
    finally:
        view.stop()
    if not saved:
        raise WorkFailed(
            f"the checkpoint of step {trainer.step:,} could not be written; '{trainer.folder}' can be resumed from the checkpoint before"
        )
    if interrupt.received is not None:
        view.say(f"interrupted: saved at step {trainer.step:,}; go on with --name {trainer.folder.name} --resume")


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
    old, new = _flat(before.model_dump()), _flat(now.model_dump())
    # The linear schedule ends at the last step, so there the number of steps is part of what is learned.
    fixed = ("run.total_steps",) if before.update.learning_rate_schedule == "linear" else ()
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and (key in fixed or not key.startswith(CHANGEABLE))]
    if changed:
        differences = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in changed)
        raise RunError(f"cannot resume '{folder}' with another configuration: {differences}. Leave these out, or start a new run")
    return now


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    items: Iterable[tuple[str, object]] = values.items()
    flat: dict[str, object] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
