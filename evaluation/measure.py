"""Playing a number of episodes with one set of options, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.errors import WorkFailed
from a2po.evaluation.football_observer import STATISTICS, FootballObserver
from a2po.evaluation.football_results import pooled
from a2po.evaluation.statistics import summary

if TYPE_CHECKING:
    from a2po.envs.protocol import EpisodeRecord, VectorEnv
    from a2po.evaluation.contestant import Contestant


@dataclass(frozen=True)
class Played:
    """What was played, and how."""

    facts: Mapping[str, Any]
    records: Sequence[EpisodeRecord]
    """By copy and then in order; those that a fault ended are among them."""
    metrics: tuple[str, ...]
    wall_time_s: float
    teammates: Mapping[str, Any]
    """Agent -> who played it in place of the team."""

    @property
    def valid(self) -> list[EpisodeRecord]:
        """The episodes that count."""
        return [record for record in self.records if not record["invalid"]]

    def result(self) -> dict[str, Any]:
        """What a result file holds but for who played and provenance: facts, summaries and each episode's figures."""
        valid = self.valid
        return {
            **self.facts,
            "teammates": dict(self.teammates),
            "episodes": len(valid),
            "invalid_episodes": len(self.records) - len(valid),
            **summary([record["return"] for record in valid]),
            "length": summary([record["length"] for record in valid]),
            "metrics": {name: _metric([record[name] for record in valid]) for name in self.metrics},
            "steps_per_s": round(sum(record["length"] for record in self.records) / max(self.wall_time_s, 1e-9), 1),
            "returns": [record["return"] for record in valid],
            "lengths": [record["length"] for record in valid],
            "seeds": [record["seed"] for record in valid],
            **({"football": pooled([record[STATISTICS] for record in valid])} if STATISTICS in valid[0] else {}),
        }


def play_episodes(
    contestant: Contestant,
    task: str,
    options: Mapping[str, Any],
    episodes: int,
    *,
    seed: int,
    deterministic: bool = True,
    num_envs: int | None = None,
    num_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Played:
    """Play ``episodes`` valid episodes by quota. With the same seed and number of copies they have the same episode seeds.

    Raises:
        UserError: the task or an option is wrong, or the team does not fit.
        WorkFailed: too many episodes ended in a fault.
    """
    from a2po.envs.play import copies_for, play
    from a2po.envs.registry import make
    from a2po.streams import stream_seed

    copies = min(num_envs or copies_for(episodes), episodes)
    with closing(make(task, copies, seed=stream_seed(seed, "bundle evaluation"), num_threads=num_threads, **options)) as env:
        contestant.check_fits(env.spec)
        watch(env)
        act = contestant.act(env, seed, deterministic=deterministic)
        begin = time.perf_counter()
        try:
            records = play(env, act, episodes, progress=progress)
        except RuntimeError as error:
            raise WorkFailed(f"the evaluation was given up: {error}") from error
        wall_time_s = time.perf_counter() - begin
        facts = {"task": task, "task_options": dict(options), "copies": copies, "seed": seed, "wall_time_s": round(wall_time_s, 3)}
        return Played(facts, records, env.spec.metrics, wall_time_s, contestant.seated(env.spec))


def watch(env: VectorEnv) -> None:
    """Count what football players do; other tasks need nobody who watches."""
    if env.spec.task.startswith("football/"):
        env.observer = FootballObserver()  # type: ignore[attr-defined]


def counted(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``episodes`` as they are; of football, without what was counted, which comes to ``football`` for those that count."""
    statistics = [episode[STATISTICS] for episode in episodes if STATISTICS in episode and not episode["invalid"]]
    plain = [{name: value for name, value in episode.items() if name != STATISTICS} for episode in episodes]
    return {"episodes": plain, **({"football": pooled(statistics)} if statistics else {})}


def _metric(values: list[Any]) -> dict[str, Any]:
    return summary(values, rate=is_rate(values))


def is_rate(values: Sequence[Any]) -> bool:
    """A task says that a figure is a rate by giving truth values."""
    return all(isinstance(value, (bool, np.bool_)) for value in values)
