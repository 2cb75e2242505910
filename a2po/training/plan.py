"""``a2po train --plan``: what a run would cost, from its configuration and a few seconds of its real rounds. Nothing is kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from a2po.algorithms.turn import rows_at_once
from a2po.algorithms.update_rules import RULES
from a2po.config import TrainConfig
from a2po.errors import CheckpointError
from a2po.networks.stack import ParameterStack
from a2po.training.checkpoints import read_checkpoint
from a2po.training.counts import Counts, count
from a2po.training.loop import pick_device, run_to_train
from a2po.training.probe import Measured, memory_of_process, probe
from a2po.training.runs import RUNS, load_team
from a2po.training.trainer import Trainer
from a2po.training.warm_start import start_from

PROBE_S = 5.0
SPARE = 1.1
"""A disk with less than this times the need is short."""

BUSY = 0.8
"""Rounds on the CPU keep at least one processor busy; with less than this share of one, others have it."""


@dataclass(frozen=True)
class Time:
    """Seconds of the rest of the run, without start-up, and where they go."""

    expected_s: float
    shortest_s: float
    """If every round were as quick as the quickest of the probe."""
    longest_s: float
    """If every round were as slow as the slowest, and every evaluation had an episode that goes to the step limit."""
    cpu_s: float
    """CPU time of all threads, for ``expected_s``."""
    sampling_s: float
    """Mean of a round."""
    update_s: float
    """Mean of a round."""
    evaluation_s: float | None
    """One evaluation."""
    checkpoint_s: float
    """Serialising one checkpoint; the disk adds to it."""
    rounds: int
    """That the probe measured."""
    warm_up_s: float


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    now: int
    """Resident before the first round, without buffer and networks."""
    buffer: int
    batch: int
    """The batch of an update with the activations of its networks, roughly."""
    networks: int
    """Parameters and Adam's moments."""
    checkpoint: int
    """A checkpoint on its way to the disk."""
    peak: int
    """The most that was resident in the probe, which did all of this: what the run will need."""
    device_peak: int
    """The same of a GPU's memory."""

    @property
    def estimate(self) -> int:
        """What the parts add up to."""
        return self.now + self.buffer + self.batch + self.networks + self.checkpoint


@dataclass(frozen=True)
class Disk:
    """Bytes."""

    checkpoint: int
    """One checkpoint, measured; of a replay, when it is full."""
    metrics_per_update: int
    total: int
    """Checkpoints and metrics at the end of the run."""
    needed: int
    """Free space that the run needs: the total, one checkpoint on its way, less what is there already."""
    free: int


@dataclass(frozen=True)
class Plan:
    """What a run would cost."""

    run: str
    task: str
    algorithm: str
    device: str
    num_agents: int
    num_actors: int
    """Networks: 1 where the agents share it."""
    num_critics: int
    """Networks."""
    actor_parameters: int
    """Of one actor."""
    critic_parameters: int
    """Of one critic."""
    counts: Counts
    time: Time
    memory: Memory
    disk: Disk
    notices: list[str]
    """What a person should know: warnings first."""


def plan(
    config: TrainConfig | None = None, *, name: str | None = None, resume: bool = False, runs: Path | str = RUNS, probe_s: float = PROBE_S
) -> Plan:
    """Say what ``train`` with the same arguments would cost. What is trained meanwhile is forgotten, and nothing is written.

    Args:
        config: as for ``train``.
        name: as for ``train``.
        resume: plan what is left of a run.
        runs: the folder that holds the runs.
        probe_s: how long to measure, in seconds; at least one round is.

    Raises:
        UserError: whatever ``train`` would refuse.
        WorkFailed: training diverged within the probe.
    """
    runs = Path(runs)
    config, folder = run_to_train(config, name, resume, runs)
    notices: list[str] = []
    # Evaluations, checkpoints and sinks are left to the probe; all else is the run as it would be.
    quiet = config.run.model_copy(update={"evaluate_every": 0, "checkpoint_every": 2**62, "milestone_every": 0, "track": ()})
    trainer = Trainer(config.model_copy(update={"run": quiet}), folder, pick_device(config.device), notices.append)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as while training
    try:
        start = _take_newest(trainer) if resume else None
        if config.init_from is not None and start is None:
            start_from(trainer.team, config.init_from, runs, notices.append, critics=config.algorithm in RULES)
        counts, now = count(config, start or 0), memory_of_process()[0]
        measured = probe(trainer, config, probe_s)
        memory, disk = _memory(trainer, now, measured), _disk(counts, config.run.evaluation_episodes, measured, trainer)
        return Plan(
            run=str(folder),
            task=config.task,
            algorithm=config.algorithm,
            device=trainer.device.type,
            num_agents=trainer.team.spec.num_agents,
            num_actors=trainer.team.actors.num_networks,
            num_critics=trainer.team.critics.num_networks,
            actor_parameters=trainer.team.actors.values.shape[1],
            critic_parameters=trainer.team.critics.values.shape[1],
            counts=counts,
            time=_time(counts, measured),
            memory=memory,
            disk=disk,
            notices=[*_warnings(trainer, measured, disk, probe_s), *filter(None, [trainer.method.notice()]), *notices],
        )
    finally:
        trainer.close()
        torch.set_num_threads(threads)


def _take_newest(trainer: Trainer) -> int | None:
    """Fill the team from the run's newest whole checkpoint without putting its folder in order, as a resumed run would.

    Returns: the checkpoint's step, or None where there is none.
    """
    for name in trainer.checkpoints.names():
        try:
            state = read_checkpoint(trainer.checkpoints.folder / name)
        except CheckpointError as error:
            trainer.say(f"checkpoint {name} is damaged ({error})")
            continue
        load_team(trainer.team, state["team"], name)
        return int(state["step"])
    if trainer.checkpoints.names():
        raise CheckpointError(f"no whole checkpoint in '{trainer.checkpoints.folder}'")
    return None


def _time(counts: Counts, measured: Measured) -> Time:
    rounds, evaluation = measured.rounds, measured.evaluation
    walls = [round_.wall_s for round_ in rounds]
    mean = sum(walls) / len(walls)
    saving = counts.checkpoints * measured.checkpoint_s
    evaluating = counts.evaluations * evaluation.expected_s if evaluation else 0.0
    longest = counts.evaluations * (evaluation.longest_s + measured.checkpoint_s) if evaluation else 0.0
    cpu = sum(round_.cpu_s for round_ in rounds) / len(rounds)
    return Time(
        expected_s=counts.updates * mean + evaluating + saving,
        shortest_s=counts.updates * min(walls) + evaluating + saving,
        longest_s=counts.updates * max(walls) + longest + saving,
        cpu_s=counts.updates * cpu + evaluating * (evaluation.cpu_per_wall if evaluation else 0.0) + saving,
        sampling_s=sum(round_.sampling_s for round_ in rounds) / len(rounds),
        update_s=sum(round_.update_s for round_ in rounds) / len(rounds),
        evaluation_s=evaluation.expected_s if evaluation else None,
        checkpoint_s=measured.checkpoint_s,
        rounds=len(rounds),
        warm_up_s=measured.warm_up_s,
    )


def _memory(trainer: Trainer, now: int, measured: Measured) -> Memory:
    buffer, team, growth, on_cpu = trainer.buffer, trainer.team, trainer.method.growth(), trainer.device.type == "cpu"
    samples, agents = buffer.length * buffer.num_envs, team.spec.num_agents
    rows = min(samples, rows_at_once(agents)) if on_cpu else samples
    inputs = team.actor_shape.network.input_size + team.critic_shape.input_size
    widths = sum(team.network.hidden_sizes) + sum(team.network.head_sizes) + 4 * sum(team.actor_shape.state_shape)
    figures = 4 * agents * (10 * samples + rows * (2 * inputs + 4 * widths))  # values, advantages, masks; activations of both networks
    networks = sum(_stack_bytes(stack) for stack in (team.actors, team.critics))
    stored = _bytes(trainer.method.storage()) - on_cpu * _bytes([buffer.final_state])  # of which next to nothing is written to there
    now = now - stored - networks if on_cpu else now
    in_flight = 2 * (measured.checkpoint_bytes + growth)  # a copy of the tensors, and the file
    # What the probe did not fill is handed out by the system when it is written to.
    peak = measured.peak_bytes + (3 if on_cpu else 2) * growth
    return Memory(now, stored, figures, networks, in_flight, peak, measured.device_peak_bytes)


def _stack_bytes(stack: ParameterStack) -> int:
    return _bytes([stack.values, stack.first_moments, stack.second_moments, stack.steps])


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _disk(counts: Counts, episodes: int, measured: Measured, trainer: Trainer) -> Disk:
    folder, checkpoint = trainer.folder, measured.checkpoint_bytes + trainer.method.growth()
    per_update = sum(round_.metrics_bytes for round_ in measured.rounds) // len(measured.rounds)
    evaluation_row = 150 + 20 * episodes  # its returns are written with all digits
    checkpoints, metrics = counts.kept_checkpoints * checkpoint, counts.updates * per_update
    total = checkpoints + metrics + counts.evaluations * evaluation_row
    there = sum(file.stat().st_size for file in (folder / "checkpoints").glob("step_*/*"))
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    needed = max(total - there, 0) + checkpoint
    return Disk(checkpoint, per_update, total, needed, shutil.disk_usage(existing).free)


def _warnings(trainer: Trainer, measured: Measured, disk: Disk, probe_s: float) -> list[str]:
    found = []
    wall = sum(round_.wall_s for round_ in measured.rounds)
    share = sum(round_.cpu_s for round_ in measured.rounds) / wall
    if share < BUSY and trainer.device.type == "cpu":
        found.append(f"this machine is busy: the rounds had a processor for {100 * share:.0f}% of their time; alone they take less")
    if disk.free < SPARE * disk.needed:
        found.append(f"the disk of '{trainer.folder.parent}' is short: the run needs {disk.needed:,} bytes, {disk.free:,} are free")
    if len(measured.rounds) == 1:
        took = measured.rounds[0].wall_s
        longer = f"takes longer ({took:.1f} s) than the probe of {probe_s:g} s" if took > probe_s else f"took {took:.1f} s"
        found.append(f"one round {longer}: the time is that of this one round, without a range (--probe-seconds measures more)")
    return found
