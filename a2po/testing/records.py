"""The records of finished episodes against what was seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from a2po.errors import did_you_mean
from a2po.testing.broken import Broken
from a2po.testing.guard import GuardedEnv, number
from a2po.testing.spec import RECORD_KEYS

TRACKER = "EpisodeTracker (a2po.envs.episodes) keeps these books"


def check_records(
    env: GuardedEnv, records: list[dict[str, Any]], ended: np.ndarray, seeds: np.ndarray, lengths: np.ndarray, returns: np.ndarray
) -> None:
    """The records of one step.

    Args:
        env: the environment, after the step.
        records: what it gave since the step before.
        ended: [B] bool, whose episode ended in the step.
        seeds: [B] of the episodes that were running before the step.
        lengths: [B] their steps, this one included.
        returns: [B] their sums of rewards.
    """
    when = f"step {env.time}"
    for record in records:
        _check_keys(env, record, when)
    told, seen = sorted(record["copy"] for record in records), np.flatnonzero(ended).tolist()
    if told != seen:
        raise Broken(
            "episodes", f"{when}: drain_episodes()", f"has records of the copies {told}, but {seen} ended", f"One record per end. {TRACKER}"
        )
    for record in records:
        copy = record["copy"]
        where = f"{when}: record of copy {copy}"
        for key, wanted in (("length", int(lengths[copy])), ("seed", int(seeds[copy]))):
            if record[key] != wanted:
                raise Broken("episodes", f"{where}, '{key}'", f"is {record[key]!r}, the episode's was {wanted}", TRACKER)
        if env.episode_seeds[copy] == seeds[copy]:
            raise Broken(
                "episodes", f"{when}: env.episode_seeds[{copy}]", "is still that of the episode that ended", "Every episode has a new seed"
            )
        comparable = not record["invalid"] and np.isfinite(returns[copy])  # the rule `finite` speaks of the others
        if comparable and not np.isclose(record["return"], returns[copy], rtol=1e-3, atol=1e-3):
            what = f"is {number(float(record['return']))}, the rewards add up to {number(returns[copy])}"
            raise Broken("episodes", f"{where}, 'return'", what, "The return is the sum of the rewards (of the agents' mean reward)")


def _check_keys(env: GuardedEnv, record: dict[str, Any], when: str) -> None:
    where = f"{when}: record of copy {record.get('copy', '?')}"
    for key in (*RECORD_KEYS, *env.spec.metrics):
        extra = [str(other) for other in record if other not in RECORD_KEYS and other not in env.spec.metrics]
        if key not in record:
            why = "spec.metrics names it" if key in env.spec.metrics else "every record has it"
            raise Broken("episodes", where, f"'{key}' is missing{did_you_mean(key, extra)}", f"Put it in: {why}")
        value = record[key]
        good = isinstance(value, (int, float, np.number, np.bool_))
        if key in ("copy", "seed", "length"):
            good = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not good:
            wanted = "a whole number" if key in ("copy", "seed", "length") else "a number or a truth value"
            raise Broken("episodes", f"{where}, '{key}'", f"is {value!r}", f"It must be {wanted}")
