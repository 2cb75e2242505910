"""What a status tells beyond the last update: curves, rates, memory, the last checkpoint. For show: no learning depends on it."""

from __future__ import annotations

import os
import resource
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2po.config import TrainConfig
from a2po.envs.protocol import EpisodeRecord, TaskSpec
from a2po.training.chart import Curve
from a2po.training.view import Status

RECENT_OUTCOMES = 100


class Progress:
    """Follows a run and makes its statuses. Memory does not grow with the run."""

    def __init__(self, config: TrainConfig, spec: TaskSpec, device: torch.device) -> None:
        self.device, self.metrics = device, spec.metrics
        self.title = f"{config.algorithm} on {config.task}"
        copies = f"{spec.num_agents} agents · {config.env.num_envs} copies × {config.update.rollout_length} steps"
        self.setting = f"{copies} · preset {config.preset} · seed {config.seed} · {device.type}"
        self.returns, self.evaluations = Curve(), Curve()
        self.outcomes: dict[str, deque[bool]] = {}
        self.episodes = 0
        self.last_update: Mapping[str, Any] = {}
        self.last_evaluation: Mapping[str, Any] = {}
        self.checkpoint: tuple[int, float] | None = None

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows of ``metrics.jsonl``: each as it is made, and all there are when a run goes on."""
        for row in rows:
            curve = self.evaluations if row.get("kind") == "evaluation" else self.returns
            if "return_mean" in row:
                curve.add(row["step"], row["return_mean"])
            if row.get("kind") == "evaluation":
                self.last_evaluation = row
            elif row.get("kind") == "update":
                self.last_update = row
                self.episodes += row.get("episodes", 0)

    def add_episodes(self, episodes: Iterable[EpisodeRecord]) -> None:
        """Count the yes-or-no metrics of finished episodes."""
        for episode in episodes:
            for name in self.metrics:
                if isinstance(episode[name], (bool, np.bool_)):
                    self.outcomes.setdefault(name, deque(maxlen=RECENT_OUTCOMES)).append(bool(episode[name]))

    def saved(self, step: int, path: Path) -> None:
        """``path`` is the newest checkpoint now."""
        self.checkpoint = step, path.stat().st_mtime

    def status(self, step: int, return_mean: float | None, evaluation: float | None, other_s: float) -> Status:
        """The state after the last update."""
        sampling_s, update_s = self.last_update["sampling_s"], self.last_update["update_s"]
        return Status(
            step,
            return_mean,
            evaluation,
            self.last_update["steps_per_s"],
            sampling_s / max(sampling_s + update_s, 1e-9),
            title=self.title,
            setting=self.setting,
            update=self.last_update,
            rates={name: sum(outcomes) / len(outcomes) for name, outcomes in self.outcomes.items()},
            evaluation_rates={
                name: self.last_evaluation[f"{name}_mean"] for name in self.outcomes if f"{name}_mean" in self.last_evaluation
            },
            returns=self.returns,
            evaluations=self.evaluations,
            episodes=self.episodes,
            other_s=other_s,
            checkpoint=self.checkpoint,
            memory=memory_in_use(self.device),
        )


def memory_in_use(device: torch.device) -> dict[str, int]:
    """Bytes: ``resident`` of this process (where the system does not tell, the most there ever was), and ``cuda`` on such a device."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"resident": resident} | ({"cuda": torch.cuda.memory_reserved(device)} if device.type == "cuda" else {})
