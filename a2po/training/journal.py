"""What a run writes down and shows: rows of metrics.jsonl, the trackers, the figures of the live view, and its faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from a2po.algorithms.diagnostics import UpdateReport
from a2po.config import TrainConfig
from a2po.envs.protocol import EpisodeRecord, TaskSpec
from a2po.errors import WorkFailed
from a2po.training.log import Trouble
from a2po.training.metrics import MetricsFile, iterate_metrics
from a2po.training.progress import Progress
from a2po.training.sinks import Sinks

RECENT_EPISODES = 64
MANY_EPISODES = 10
"""A majority of faults among at least this many of the last episodes is no accident and ends the run."""


class Journal:
    """The book-keeping of a run. A disk or a tracker that fails is said, and training goes on."""

    def __init__(
        self, config: TrainConfig, folder: Path, spec: TaskSpec, device: torch.device, sinks: Sinks, say: Callable[[str], None]
    ) -> None:
        self.spec, self.sinks, self.say = spec, sinks, say
        self.metrics = MetricsFile(folder / "metrics.jsonl")
        self.progress = Progress(config, spec, device)
        self.rows: dict[str, dict[str, Any]] = {}
        """The newest row of metrics.jsonl of each kind."""
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.invalid_episodes = 0
        self._faults: deque[bool] = deque(maxlen=2 * MANY_EPISODES)
        self._trouble = Trouble("metrics.jsonl", "its rows are held back and tried again", say)

    @property
    def return_mean(self) -> float | None:
        """Mean return of the last episodes, or None before the first one ends."""
        return sum(self.recent) / len(self.recent) if self.recent else None

    def update(self, step: int, update: int, report: UpdateReport, episodes: list[EpisodeRecord], times: dict[str, float]) -> None:
        """Write down one round.

        Args:
            step: environment steps after it.
            update: its number.
            report: what the learner did.
            episodes: those that ended.
            times: ``time_s`` of training so far, ``sampling_s`` and ``update_s`` of this round, ``save_s`` since the row before,
                and ``steps_per_s``.

        Raises:
            WorkFailed: most of the last episodes ended in a fault.
        """
        valid = [episode for episode in episodes if not episode["invalid"]]
        self._count_faults(len(episodes) - len(valid), len(episodes))
        self.recent.extend(episode["return"] for episode in valid)
        self.progress.add_episodes(valid)
        row: dict[str, Any] = {"kind": "update", "step": step, "update": update, "time_s": round(times["time_s"], 3)}
        row |= {"episodes": len(valid), "invalid_episodes": self.invalid_episodes}
        if valid:
            row |= self._means(valid)
        row |= {name: round(times[name], 4) for name in ("sampling_s", "update_s", "save_s")}
        row["steps_per_s"] = round(times["steps_per_s"], 1)
        self._write(row | _of_learner(report, self.spec.agents))

    def evaluation(self, step: int, time_s: float, episodes: list[EpisodeRecord]) -> dict[str, Any]:
        """Write down the episodes of a greedy evaluation. Returns: the row."""
        row = {"kind": "evaluation", "step": step, "time_s": round(time_s, 3), "episodes": len(episodes), **self._means(episodes)}
        self._write({**row, "returns": [episode["return"] for episode in episodes]})
        return row

    def _means(self, episodes: list[EpisodeRecord]) -> dict[str, float]:
        """Of return, length and the task's metrics; of a yes or no it is the share of yes."""
        return {
            f"{key}_mean": sum(episode[key] for episode in episodes) / len(episodes) for key in ("return", "length", *self.spec.metrics)
        }

    def go_on_from(self, step: int, evaluation_due: bool) -> None:
        """Leave out the rows after ``step``, and its evaluation if that is due: what they tell is played again."""
        self.metrics = MetricsFile(self.metrics.path, resumed_step=step, evaluation_due=evaluation_due)
        self.progress.add_rows(iterate_metrics(self.metrics.path))

    def sync(self) -> None:
        """See to it that a checkpoint is not ahead of its metrics; but it is worth more than they."""
        self._try(self.metrics.sync)

    def close(self, done: bool) -> None:
        """End the trackers. ``done``: all steps were played."""
        if self.metrics.held:
            self.say(f"{self.metrics.held:,} rows of metrics.jsonl could not be written and are lost")
        self.sinks.close(done)

    def _count_faults(self, faults: int, episodes: int) -> None:
        before, self.invalid_episodes = self.invalid_episodes, self.invalid_episodes + faults
        self._faults.extend([True] * faults + [False] * (episodes - faults))
        if sum(self._faults) * 2 > len(self._faults) >= MANY_EPISODES:
            counted = f"{sum(self._faults)} of the last {len(self._faults)} episodes"
            raise WorkFailed(f"{counted} of {self.spec.task} ended in a simulator fault")
        if self.invalid_episodes.bit_length() > before.bit_length():  # the first, and every time the count doubles
            self.say(f"{self.invalid_episodes:,} episodes ended in a simulator fault so far; they are left out of training")

    def _write(self, row: dict[str, Any]) -> None:
        self.rows[row["kind"]] = row
        self.progress.add_rows([row])
        self.sinks.write(row)
        self._try(lambda: self.metrics.write(row))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._trouble.began(error)
        else:
            self._trouble.over()


def _of_learner(report: UpdateReport, agents: Sequence[str]) -> dict[str, Any]:
    """What the learner tells. An agent that the round left alone has its position 0 and no numbers."""
    told: dict[str, Any] = {"order": report.order, "positions": report.positions, "clips": report.clips}
    told["scores"] = [[_short(score) for score in scores] for scores in report.scores]
    if report.bounds is not None:
        told["bounds_estimated"] = {name: _short(bound) for name, bound in report.bounds.items()}
    told["agents"] = {
        agent: {name: _short(values[i]) for name, values in report.per_agent.items()} if report.positions[i] else {}
        for i, agent in enumerate(agents)
    }
    if report.team:
        told["team"] = {name: _short(value) for name, value in report.team.items()}
    return told


def _short(value: float) -> float:
    """As many digits as single precision has: the others only make the row longer."""
    return float(f"{value:.7g}")
