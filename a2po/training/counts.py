"""How often what happens in a run, from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from a2po.algorithms.catalogue import Q_LEARNERS
from a2po.config import TrainConfig


@dataclass(frozen=True)
class Counts:
    """The rest of a run in numbers."""

    start: int
    """Steps that are played already."""
    end: int
    """Steps at the end: the first whole update at or after ``run.total_steps``."""
    updates: int
    samples_per_update: int
    """Environment steps over all copies; every agent has as many samples."""
    gradient_steps_per_agent: int
    evaluations: int
    checkpoints: int
    """That are written for certain; an evaluation that is the best so far may write one more."""
    kept_checkpoints: int
    """Folders at the end, at most: the newest, the best and the milestones."""


def count(config: TrainConfig, start: int = 0) -> Counts:
    """What happens between step ``start`` and the end, by the trainer's rules: a round acts where it crosses a multiple."""
    samples, run = config.env.num_envs * config.update.rollout_length, config.run
    updates = max(ceil((run.total_steps - start) / samples), 0)
    end = start + updates * samples

    def crossings(every: int, *, also_last: bool = False) -> int:
        if not every or not updates:
            return 0
        last_crosses = end // every > (end - samples) // every
        return (updates if samples >= every else end // every - start // every) + (also_last and not last_crosses)

    warm = config.init_from is not None and not start  # a warm start is evaluated and saved first
    evaluations = crossings(run.evaluate_every, also_last=True) + (warm and run.evaluate_every > 0)
    checkpoints = crossings(run.checkpoint_every, also_last=True) + warm
    kept = min(checkpoints + evaluations, run.keep_checkpoints) + (evaluations > 0) + crossings(run.milestone_every)
    per_update = config.update.num_epochs * config.update.num_minibatches
    steps = updates * (config.qmix.updates_per_round if config.algorithm in Q_LEARNERS else per_update)
    return Counts(start, end, updates, samples, steps, evaluations, checkpoints, kept)
