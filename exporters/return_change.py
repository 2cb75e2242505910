"""What another form of the same team changes in its return: both play the same episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2po.envs.episodes import episode_seed
from a2po.envs.play import Act, play, playable
from a2po.envs.protocol import Observations, VectorEnv
from a2po.runtime.team import Team
from a2po.streams import stream_seed

EPISODES = 32
RESAMPLES = 10_000
CONFIDENCE = 0.95


def change_of_return(env: VectorEnv, before: Team, after: Team, seed: int) -> dict[str, Any]:
    """Mean returns of greedy play over one episode in each of the environment's copies, and the difference of the pairs.

    In chaotic physics the last bit of an action makes another episode: there the interval, not the difference, says what is known.

    Args:
        env: a task with as many copies as there are to be episodes.
        before: the team as it was trained.
        after: the same team in another form.
        seed: of the run; the episodes are none that it was trained on.

    Returns: float, int8 (mean returns), difference (after less before), interval of it (95 %, percentile bootstrap of the pairs, None
    for fewer than two), episodes (pairs that no fault ended) and seed.

    Raises:
        WorkFailed: too many episodes ended in a fault.
    """
    own = stream_seed(seed, "change of return")
    seeds = [episode_seed(own, copy, 0) for copy in range(env.num_envs)]
    returns = np.stack([_returns(env, team, seeds) for team in (before, after)])
    pairs = returns[:, np.isfinite(returns).all(axis=0)]
    first, second = pairs.mean(axis=1)
    differences = pairs[1] - pairs[0]
    return {
        "float": _rounded(first),
        "int8": _rounded(second),
        "difference": _rounded(differences.mean()),
        "interval": _interval(differences),
        "episodes": len(differences),
        "seed": seed,
    }


def _returns(env: VectorEnv, team: Team, seeds: list[int]) -> np.ndarray:
    """[B] the team's returns, NaN where a fault ended the episode: the one that replaces it has another seed."""
    returns = np.full(env.num_envs, np.nan)
    records = play(env, _player(team), env.num_envs, seeds=seeds)
    for record in records:
        if record["seed"] == seeds[int(record["copy"])] and not record["invalid"]:
            returns[record["copy"]] = record["return"]
    return returns


def _player(team: Team) -> Act:
    team.reset()

    def act(observations: Observations, begun: Tensor | None) -> Tensor:
        if begun is not None:
            team.reset(begun.cpu().numpy())
        mask = playable(observations)
        actions = team.act(observations.obs.cpu().numpy(), None if mask is None else mask.cpu().numpy())
        return torch.from_numpy(actions).to(observations.obs.device)

    return act


def _interval(differences: np.ndarray) -> list[float] | None:
    """Where the mean of [n] resampled differences lies."""
    if len(differences) < 2:
        return None
    stream = np.random.default_rng(0)
    means = differences[stream.integers(len(differences), size=(RESAMPLES, len(differences)))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    return [_rounded(bound) for bound in np.quantile(means, [tail, 1 - tail])]


def _rounded(value: Any) -> float:
    """Without the last digits of single precision, in which returns are summed; and no negative zero."""
    return round(float(value), 6) + 0.0
