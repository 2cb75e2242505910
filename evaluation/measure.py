"""Playing a number of episodes with one set of options, and what they come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from a2po.errors import WorkFailed
from a2po.evaluation.statistics import summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from a2po.envs.protocol import EpisodeRecord
    from a2po.evaluation.contestants import Contestant


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Idle torch threads would spin on the simulator's cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(
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
) -> dict[str, Any]:
    """Play ``episodes`` valid episodes by quota. With the same seed and number of copies they begin with the same episode seeds.

    Returns: how it was played, the summaries and each episode's figures; what a result file holds but for who played and provenance.

    Raises:
        UserError: the task or an option is wrong, or the team does not fit.
        WorkFailed: too many episodes ended in a fault.
    """
    from a2po.envs.play import copies_for, play
    from a2po.envs.registry import make
    from a2po.streams import stream_seed
    from a2po.training.fit import check_fits

    copies = min(num_envs or copies_for(episodes), episodes)
    with closing(make(task, copies, seed=stream_seed(seed, "bundle evaluation"), num_threads=num_threads, **options)) as env:
        if contestant.description is not None:
            check_fits(contestant.what, contestant.description, env.spec)
        act = contestant.act(env, seed, deterministic=deterministic)
        begin = time.perf_counter()
        try:
            records = play(env, act, episodes, progress=progress)
        except RuntimeError as error:
            raise WorkFailed(f"the evaluation was given up: {error}") from error
        wall_time_s = time.perf_counter() - begin
        facts = {"task": task, "task_options": dict(options), "copies": copies, "seed": seed, "wall_time_s": round(wall_time_s, 3)}
        return {**facts, **_statistics(records, env.spec.metrics, wall_time_s)}


def _statistics(records: list[EpisodeRecord], metrics: tuple[str, ...], wall_time_s: float) -> dict[str, Any]:
    valid = [record for record in records if not record["invalid"]]
    returns = summary([record["return"] for record in valid])
    return {
        "episodes": len(valid),
        "invalid_episodes": len(records) - len(valid),
        **returns,
        "length": summary([record["length"] for record in valid]),
        "metrics": {name: _metric([record[name] for record in valid]) for name in metrics},
        "steps_per_s": round(sum(record["length"] for record in records) / max(wall_time_s, 1e-9), 1),
        "returns": [record["return"] for record in valid],
        "lengths": [record["length"] for record in valid],
        "seeds": [record["seed"] for record in valid],
    }


def _metric(values: list[Any]) -> dict[str, Any]:
    """A task says that a figure is a rate by giving truth values."""
    return summary(values, rate=all(isinstance(value, (bool, np.bool_)) for value in values))
