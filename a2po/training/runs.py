"""Run folders: where a run keeps its configuration, metrics, checkpoints, bundle and results."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from a2po.config import TrainConfig, override, to_toml, validate
from a2po.envs.protocol import VectorEnv
from a2po.envs.registry import make, pin
from a2po.errors import CheckpointError, RunError, TaskError, did_you_mean
from a2po.files import existing, leftovers, replace_text, write_json
from a2po.networks.team_policy import TeamPolicy
from a2po.provenance import PROVENANCE, provenance, read_provenance
from a2po.runtime.schema import RESERVED
from a2po.training.checkpoints import Checkpoints
from a2po.training.lock import LOCK

RUNS = Path("runs")
Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainedPolicy:
    """A team as one of a run's checkpoints holds it, on the CPU."""

    run: Path
    config: TrainConfig
    team: TeamPolicy
    step: int
    checkpoint: str
    provenance: dict[str, Any]


def check_name(name: str | None) -> None:
    """A name for a run or a sweep is one folder, if it is given.

    Raises:
        RunError: it is a path, or nothing.
    """
    if name is not None and (not name.strip() or Path(name).name != name or name == ".."):
        raise RunError(f"--name '{name}' must be a plain folder name")


def default_folder(runs: Path, config: TrainConfig) -> Path:
    """``HalfCheetah-2x3-a2po-s0-20260131-120000``: what, how, which seed and when; with a number where a second sees several."""
    short = Path(config.task).stem if config.task.endswith(".toml") else config.task.split("/", 1)[-1]
    task = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in short)
    name = f"{task}-{config.algorithm}-s{config.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    folder, number = runs / name, 2
    while folder.exists():
        folder, number = runs / f"{name}-{number}", number + 1
    return folder


def pinned(config: TrainConfig, before: TrainConfig | None = None) -> TrainConfig:
    """The configuration with what its task reads from files, so that the run keeps it; of a run that goes on as it was ``before``.

    Raises:
        TaskError: there is no such file.
    """
    options = pin(config.task, config.env.options, before.env.options if before and before.task == config.task else None)
    return config if options == config.env.options else override(config, values={"env": {"options": options}})


def create_run(folder: Path, config: TrainConfig, origin: dict[str, Any] | None = None) -> None:
    """Make a new run folder with its resolved configuration, which comes last and makes it a run, and its provenance.

    ``origin`` says where its first weights come from if they are not random.

    Raises:
        RunError: it exists already, or cannot be made.
    """
    check_free(folder)
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_provenance(folder, origin)
        write_config(folder, config)
    except OSError as error:
        raise RunError(f"the run folder '{folder}' cannot be made: {error.strerror or error}") from error


def check_free(folder: Path) -> None:
    """A new run takes a folder that is not there, is empty, or holds what a process left that was killed while it made it.

    Raises:
        RunError: the folder is a run, or something else.
    """
    if (folder / "config.toml").is_file():
        raise RunError(f"the run '{folder}' exists already: continue it with --resume, or choose another --name")
    if not folder.is_dir():
        return  # making it tells what is wrong with a file
    begun = {LOCK, PROVENANCE, "log.txt", "checkpoints", *(path.name for path in leftovers(folder, PROVENANCE, "config.toml"))}
    if any(path.name not in begun for path in folder.iterdir()) or any((folder / "checkpoints").glob("*")):
        raise RunError(f"the folder '{folder}' exists already and is no run: choose another --name")


def clean_run(folder: Path) -> None:
    """Remove what killed writers left beside the checkpoints. Only for the process that trains the run."""
    for orphan in leftovers(folder, PROVENANCE, "config.toml", "metrics.jsonl"):
        orphan.unlink(missing_ok=True)


def write_config(folder: Path, config: TrainConfig) -> None:
    """Write the resolved configuration into a run."""
    replace_text(folder / "config.toml", to_toml(config))


def write_provenance(folder: Path, origin: dict[str, Any] | None) -> None:
    """Write what a run is made with, and where its first weights come from if they are not random."""
    write_json(folder / PROVENANCE, {**provenance(), **({"init_from": origin} if origin else {})})


def open_run(folder: Path) -> TrainConfig:
    """The configuration of an existing run.

    Raises:
        RunError: there is no run in the folder.
    """
    path = folder / "config.toml"
    if not path.is_file():
        names = [run.name for run in list_runs(folder.parent)] or [str(run) for run in list_runs()]
        raise RunError(f"no run in '{folder}'{did_you_mean(folder.name, names)}")
    try:
        return validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RunError(f"the configuration '{path}' cannot be read: {error}") from None


def list_runs(runs: Path = RUNS) -> list[Path]:
    """All run folders, newest first."""
    found = [path.parent for path in runs.glob("*/config.toml")]
    return sorted(found, key=lambda run: (run / "config.toml").stat().st_mtime_ns, reverse=True)


def newest_run(runs: Path = RUNS) -> Path:
    """The run that was started last.

    Raises:
        RunError: there is none.
    """
    found = list_runs(runs)
    if not found:
        raise RunError(f"no run in '{runs}' yet: 'a2po train' makes one")
    return found[0]


def make_env(config: TrainConfig, num_envs: int, seed: int, **changes: Any) -> VectorEnv:
    """Copies of the run's task with its options.

    Raises:
        TaskError: an option has the name of something that is set elsewhere.
    """
    taken = [name for name in RESERVED if name in config.env.options]
    if taken:
        raise TaskError(f"env.options.{taken[0]} is not an option of a task: set it at the top of the configuration or in [env]")
    return make(config.task, num_envs, seed=seed, **{"num_threads": config.env.num_threads, **config.env.options, **changes})


def open_policy(run: Path | str | None = None, checkpoint: str = "latest", say: Say = print) -> TrainedPolicy:
    """Load the team of a run (a folder, or its name in ``runs``; the newest by default) from one of its checkpoints.

    Raises:
        RunError: there is no such run.
        CheckpointError: it has no such checkpoint, or none is whole.
    """
    folder = existing(run, RUNS) if run is not None else newest_run()
    config = open_run(folder)
    name, state = Checkpoints(folder / "checkpoints").load(checkpoint, say)
    env = make_env(config, 1, config.seed)
    env.close()
    team = TeamPolicy(env.spec, config.network, seed=config.seed)
    load_team(team, state["team"], name)
    return TrainedPolicy(folder, config, team, int(state["step"]), name, read_provenance(folder / PROVENANCE) or {})


def load_team(team: TeamPolicy, state: dict[str, torch.Tensor], name: str) -> None:
    """Fill a team from a checkpoint's tensors.

    Raises:
        CheckpointError: they are of another network or task.
    """
    try:
        team.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {name} does not fit the run's configuration: {error}") from error
