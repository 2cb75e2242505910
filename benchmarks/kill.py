"""Kill -9 at random moments of short runs: each one resumes, and ends with the bits of an uninterrupted run.

    python benchmarks/kill.py [--kills 50] [--task mamujoco/HalfCheetah-2x3] [--seed 0] [--json benchmarks/results/kill.json]

Half of the kills come at uniformly random times of a run's life, its start included; half come as soon as the temporary folder of a
checkpoint appears, plus a random delay of up to one write. Every run is killed twice, once in each way, so that a
resumed run is killed as well, and then resumed to its end. Compared are all kept checkpoints (every weight, optimiser,
normaliser, random stream, environment and counter; not wall times), which of them are kept, the best, and every row of the metrics
(not wall times). The processes are real; they are forked from a server that has imported torch, so that a start is cheap.
Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2po.algorithms.learner import PolicyLearner
from a2po.config import resolve
from a2po.training.checkpoints import Checkpoints, read_checkpoint
from a2po.training.greedy import GreedyEvaluator
from a2po.training.journal import Journal
from a2po.training.loop import train
from a2po.training.metrics import read_metrics
from a2po.training.rollout import Sampler
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView

TIMES = ("time_s", "sampling_s", "update_s", "save_s", "steps_per_s")
UPDATES, PER_UPDATE = 24, 64
PHASES = ("starting", "resuming", "between", "sampling", "updating", "metrics", "evaluating", "writing", "pruning")
SETTINGS = [
    *("env.num_envs=4", "env.num_threads=1", "update.rollout_length=16", "update.num_epochs=2", "network.hidden_sizes=[32, 32]"),
    *(f"run.total_steps={UPDATES * PER_UPDATE}", f"run.checkpoint_every={PER_UPDATE}", "run.keep_checkpoints=2"),
    *(f"run.evaluate_every={3 * PER_UPDATE}", "run.evaluation_episodes=2", f"run.milestone_every={8 * PER_UPDATE}"),
]
OPTIONS = {"mamujoco": "env.options.max_episode_steps=50", "matrix": "env.options.length=25"}
GIVE_UP_S = 120.0


def play(folder: str, task: str, settings: list[str], phase: Any) -> None:
    """The process that is killed: train the run, or resume it if it is one already."""
    instrumented = [
        (Trainer, "restore", "resuming"),
        (Journal, "_write", "metrics"),
        (Sampler, "collect", "sampling"),
        (PolicyLearner, "update", "updating"),
        (GreedyEvaluator, "evaluate", "evaluating"),
        (Checkpoints, "save", "writing"),
        (Checkpoints, "_prune", "pruning"),
    ]
    for owner, name, label in instrumented:
        setattr(owner, name, noted(getattr(owner, name), phase, PHASES.index(label)))
    run = Path(folder)
    resume = (run / "config.toml").is_file()
    config = resolve(values={"task": task, "device": "cpu"}, settings=[*SETTINGS, OPTIONS[task.partition("/")[0]], *settings])
    train(config, name=run.name, runs=run.parent, resume=resume, view=SilentView())


def noted(function: Any, phase: Any, number: int) -> Any:
    """The function, which notes for the time of its run where the process is."""

    def wrapper(*arguments: Any, **options: Any) -> Any:
        before, phase.value = phase.value, number
        try:
            return function(*arguments, **options)
        finally:
            phase.value = before or PHASES.index("between")

    return wrapper


@dataclass
class Kill:
    """One kill and what it left."""

    kind: str
    moment: str
    newest: str | None
    orphans: list[str]
    torn_metrics: bool


@dataclass
class Life:
    """A run from its start, through its kills, to its end."""

    run: str
    kills: list[Kill] = field(default_factory=list)
    resumed_from: list[str] = field(default_factory=list)
    fell_back: int = 0
    orphans_left: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Bench:
    """Starts the processes and kills them."""

    def __init__(self, runs: Path, task: str, settings: list[str], stream: random.Random) -> None:
        self.runs, self.task, self.settings, self.stream = runs, task, settings, stream
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["a2po.training.loop", "a2po.envs.mamujoco.environment", "a2po.envs.matrix.game"])
        self.phase = self.context.RawValue("i", 0)
        self.start(self.runs / "warm-up").join()  # the server imports
        begin = time.monotonic()
        self.finish(self.runs / "whole")
        self.duration = time.monotonic() - begin
        rows = [row["save_s"] for row in read_metrics(self.runs / "whole" / "metrics.jsonl") if row["kind"] == "update"]
        self.write_s = sorted(rows)[len(rows) // 2]

    def start(self, run: Path) -> Any:
        self.phase.value = 0
        process = self.context.Process(target=play, args=(str(run), self.task, self.settings, self.phase))
        process.start()
        return process

    def finish(self, run: Path) -> None:
        process = self.start(run)
        process.join(GIVE_UP_S)
        if process.exitcode != 0:
            process.kill()
            raise SystemExit(f"{run} did not reach its end: exit code {process.exitcode}, see {run / 'log.txt'}")

    def kill(self, run: Path, kind: str) -> Kill | None:
        """Start or resume the run and kill it; None if it was over before."""
        process = self.start(run)
        left = 1.0 - steps_done(run) / (UPDATES * PER_UPDATE)
        if kind == "any time":
            process.join(self.stream.uniform(0.0, self.duration * left))
        else:
            self._await_write(process, run, self.stream.randrange(max(int(UPDATES * left), 1)))
        process.kill()
        process.join()
        if process.exitcode == 0:
            return None
        if process.exitcode != -9:
            raise SystemExit(f"{run} ended with {process.exitcode} before it was killed, see {run / 'log.txt'}")
        metrics = run / "metrics.jsonl"
        torn = metrics.is_file() and metrics.stat().st_size > 0 and not metrics.read_bytes().endswith(b"\n")
        names = Checkpoints(run / "checkpoints").names()
        return Kill(kind, PHASES[self.phase.value], names[0] if names else None, orphans(run), torn)

    def _await_write(self, process: Any, run: Path, passed: int) -> None:
        """Until a checkpoint is being written for the (passed + 1)-th time, and a little longer."""
        folder, seen = run / "checkpoints", ""
        while process.is_alive():
            writing = next((path.name for path in folder.glob(".step_*.tmp*")), "") if folder.is_dir() else ""
            if writing and writing != seen:
                if passed == 0:
                    break
                passed -= 1
            seen = writing or seen
        time.sleep(self.stream.uniform(0.0, self.write_s))

    def live(self, name: str, kinds: list[str]) -> Life:
        """One run with its kills, to its end."""
        run = self.runs / name
        life = Life(name)
        for kind in kinds:
            kill = self.kill(run, kind)
            if kill is not None:
                life.kills.append(kill)
        self.finish(run)
        log = (run / "log.txt").read_text(encoding="utf-8")
        life.resumed_from = [line.rpartition(" ")[2] for line in log.splitlines() if "resumed from step_" in line]
        life.fell_back = log.count("is damaged")
        life.orphans_left = orphans(run)
        life.differences = differences(self.runs / "whole", run)
        return life


def steps_done(run: Path) -> int:
    names = Checkpoints(run / "checkpoints").names()
    return int(names[0].removeprefix("step_")) if names else 0


def orphans(run: Path) -> list[str]:
    return sorted(path.name for folder in (run, run / "checkpoints") for path in folder.glob(".*"))


def differences(one: Path, other: Path) -> list[str]:
    """What is not equal, bit for bit, between two finished runs, but for wall times."""
    kept = [Checkpoints(run / "checkpoints") for run in (one, other)]
    found = []
    if kept[0].names() != kept[1].names():
        found.append("kept checkpoints")
    for pointer in ("latest", "best"):
        if kept[0].pointer(pointer) != kept[1].pointer(pointer):
            found.append(pointer)
    for name in set(kept[0].names()) & set(kept[1].names()):
        states = [read_checkpoint(folder.folder / name) for folder in kept]
        found += [f"{name}: {path}" for path in unequal(*states)]
    rows = [read_metrics(run / "metrics.jsonl") for run in (one, other)]
    return found + [f"metrics: {path}" for path in unequal(*rows)]


def unequal(one: Any, other: Any, path: str = "") -> list[str]:
    """The paths where two nested values are not the same."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one if key not in TIMES for found in unequal(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [found for index, pair in enumerate(zip(one, other, strict=True)) for found in unequal(*pair, f"{path}/{index}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
    elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    else:
        same = type(one) is type(other) and one == other
    return [] if same else [path]


def table(lives: list[Life]) -> str:
    """One line per kind of kill."""
    lines = ["| kill | number | moments | nothing saved yet | orphans found | torn metrics line |", "|---|---|---|---|---|---|"]
    kills = [kill for life in lives for kill in life.kills]
    for kind in ("any time", "while writing"):
        own = [kill for kill in kills if kill.kind == kind]
        counts = Counter(kill.moment for kill in own)
        moments = ", ".join(f"{phase} {counts[phase]}" for phase in PHASES if counts[phase])
        cells = [kind, len(own), moments, sum(kill.newest is None for kill in own)]
        cells += [sum(bool(kill.orphans) for kill in own), sum(kill.torn_metrics for kill in own)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    equal = sum(not life.differences for life in lives)
    lines.append("")
    lines.append(
        f"{len(kills)} kills of {len(lives)} runs: {equal} of {len(lives)} ended with the same bits; "
        f"{sum(life.fell_back for life in lives)} times an earlier checkpoint had to stand in; "
        f"{sum(bool(life.orphans_left) for life in lives)} runs kept an orphan."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--task", default="mamujoco/HalfCheetah-2x3")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "kill.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stream, lives, done = random.Random(arguments.seed), [], 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.task, arguments.settings, stream)
        while done < arguments.kills:
            kinds = stream.sample(["any time", "while writing"], 2)[: arguments.kills - done]
            lives.append(bench.live(f"run{len(lives)}", kinds))
            done += len(lives[-1].kills)
    print(table(lives))
    result = {"task": arguments.task, "settings": arguments.settings, "run_s": round(bench.duration, 2), "write_s": bench.write_s}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({**result, "lives": [asdict(life) for life in lives]}, indent=1) + "\n")
    broken = [life for life in lives if life.differences or life.orphans_left]
    for life in broken:
        print(f"{life.run}: differs in {life.differences[:5]}, keeps {life.orphans_left}", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
