"""The probe of ``--plan``: real rounds of the real configuration, in memory, with a clock."""

from __future__ import annotations

import json
import resource
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from a2po.config import TrainConfig
from a2po.envs.play import play
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import stream_seed
from a2po.training.checkpoints import serialised_size
from a2po.training.greedy import TeamActor, copies_at_once
from a2po.training.metrics import MetricsFile
from a2po.training.runs import make_env
from a2po.training.trainer import Trainer

ROUNDS_SHARE = 0.7
"""The share of the probe's time for rounds, where there are evaluations to be timed too."""


@dataclass(frozen=True)
class Round:
    """One update round. Seconds."""

    sampling_s: float
    update_s: float
    cpu_s: float
    """Of all threads together."""
    metrics_bytes: int

    @property
    def wall_s(self) -> float:
        """Sampling and update."""
        return self.sampling_s + self.update_s


@dataclass(frozen=True)
class Evaluation:
    """One greedy evaluation, with the policy as it is now."""

    steps_per_s: float
    cpu_per_wall: float
    expected_s: float
    """As measured to its end, else for ``longest`` episodes."""
    longest_s: float
    """If an episode goes to the step limit."""


@dataclass(frozen=True)
class Measured:
    """What the probe found."""

    warm_up_s: float
    rounds: list[Round]
    evaluation: Evaluation | None
    checkpoint_bytes: int
    checkpoint_s: float
    peak_bytes: int
    """The most memory that this process ever had resident."""
    device_peak_bytes: int
    """The most memory of a GPU that torch ever held; 0 without one."""


class _Sizes(MetricsFile):
    """Weighs rows instead of writing them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.bytes = 0

    def write(self, row: dict[str, Any]) -> None:
        self.bytes += len(json.dumps(row)) + 1


def probe(trainer: Trainer, config: TrainConfig, seconds: float) -> Measured:
    """Play rounds for a while, at least one, after one that warms up; then a greedy evaluation and a checkpoint in memory.

    Args:
        trainer: may be trained and forgotten; it must not evaluate or save by itself.
        config: the run's own configuration.
        seconds: how long, without the first round.
    """
    trainer.journal.metrics = sizes = _Sizes(trainer.journal.metrics.path)
    warm_up_s = time.perf_counter()
    trainer.round()
    begin = time.perf_counter()
    warm_up_s = begin - warm_up_s
    rounds: list[Round] = []
    share = ROUNDS_SHARE if config.run.evaluate_every else 1.0
    while not rounds or time.perf_counter() - begin < share * seconds:
        rounds.append(_round(trainer, sizes))
    left = max(seconds - (time.perf_counter() - begin), (1.0 - share) * seconds)
    evaluation = _evaluation(config, trainer.team, left) if config.run.evaluate_every else None
    saving = time.perf_counter()
    size = serialised_size(trainer.state_dict())
    saving = time.perf_counter() - saving
    device_peak = torch.cuda.max_memory_allocated(trainer.device) if trainer.device.type == "cuda" else 0
    return Measured(warm_up_s, rounds, evaluation, size, saving, memory_of_process()[1], device_peak)


def _round(trainer: Trainer, sizes: _Sizes) -> Round:
    before, cpu = sizes.bytes, time.process_time()
    trainer.round()
    row = trainer.journal.rows["update"]
    return Round(row["sampling_s"], row["update_s"], time.process_time() - cpu, sizes.bytes - before)


class _Enough(Exception):
    """The time of the evaluation is up."""


def _evaluation(config: TrainConfig, team: TeamPolicy, seconds: float) -> Evaluation:
    """Play the first episodes of a greedy evaluation, as many as play at a time, until their end or for a while."""
    episodes, steps, finished = config.run.evaluation_episodes, 0, True
    copies = copies_at_once(config)
    turns = -(-episodes // copies)
    with closing(make_env(config, copies, stream_seed(config.seed, "evaluation"))) as env:
        env.reset()  # the first one may open the games, which is no part of a step
        actor, begin, cpu = TeamActor(team, copies, env.device), time.perf_counter(), time.process_time()

        def tick(valid: int) -> None:
            nonlocal steps
            steps += 1
            if time.perf_counter() - begin > seconds:
                raise _Enough

        try:
            play(env, actor, copies, progress=tick)
        except _Enough:
            finished = False
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    longest = max(wall, wall / steps * env.spec.max_episode_steps)
    return Evaluation(steps * copies / wall, cpu / wall, turns * (wall if finished else longest), turns * longest)


def memory_of_process() -> tuple[int, int]:
    """Bytes that this process has resident now, and had at most."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
        now, peak = (int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):  # no Linux: macOS counts the peak in bytes and tells nothing else
        now = peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return now, peak
