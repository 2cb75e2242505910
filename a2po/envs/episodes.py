"""Episode bookkeeping that every environment shares: seeds, returns, lengths and finished-episode records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from a2po.envs.protocol import EpisodeRecord


def episode_seed(seed: int, copy: int, episode: int) -> int:
    """The seed of one episode: a fixed hash of (run seed, copy, episode number) in [0, 2**63).

    It depends on nothing else: not on the number of copies, on threads or on load.
    """
    return int(np.random.SeedSequence([seed, copy, episode]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _check_seeds(seeds: Sequence[int] | np.ndarray, count: int) -> None:
    if len(seeds) != count:
        raise ValueError(f"reset() needs one seed per copy: {count}, got {len(seeds)}")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**63:
            raise ValueError(f"an episode seed is a whole number in [0, 2**63), not {seed!r}")


class EpisodeTracker:
    """Seeds and statistics of the running episodes of B copies."""

    def __init__(self, num_envs: int, seed: int, metrics: Sequence[str] = ()) -> None:
        self.seed = seed
        self.metrics = tuple(metrics)
        self.episode = np.full(num_envs, -1, np.int64)
        self.seeds = np.zeros(num_envs, np.int64)
        self.length = np.zeros(num_envs, np.int64)
        self.returns = np.zeros(num_envs, np.float64)
        self.sums = np.zeros((len(self.metrics), num_envs), np.float64)
        self._finished: list[EpisodeRecord] = []

    def start(self, copies: Sequence[int] | np.ndarray, seeds: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Begin the next episode of ``copies``; return their seeds [len(copies)]."""
        copies = np.asarray(copies, np.int64)
        if seeds is not None:
            _check_seeds(seeds, len(copies))
        self.episode[copies] += 1
        if seeds is None:
            seeds = [episode_seed(self.seed, int(copy), int(self.episode[copy])) for copy in copies]
        self.seeds[copies] = seeds
        self.length[copies] = 0
        self.returns[copies] = 0.0
        self.sums[:, copies] = 0.0
        started: np.ndarray = self.seeds[copies]
        return started

    def add(self, reward: np.ndarray) -> None:
        """Count one step of every copy. ``reward``: [B], or [B, N] of the agents: then the return is that of their mean."""
        self.length += 1
        self.returns += reward if reward.ndim < 2 else reward.mean(axis=1, dtype=np.float64)

    def finish(
        self,
        copies: np.ndarray,
        invalid: np.ndarray,
        metrics: Mapping[str, np.ndarray] | None = None,
        remarks: Callable[[int], Mapping[str, Any]] | None = None,
    ) -> None:
        """Record that the episodes of ``copies`` ended.

        Args:
            copies: which.
            invalid: [B].
            metrics: name -> [B], bool for what is a yes or no; by default the running sums.
            remarks: copy -> what its record holds besides.
        """
        values = metrics if metrics is not None else dict(zip(self.metrics, self.sums, strict=True))
        for copy in copies:
            record: EpisodeRecord = {
                "copy": int(copy),
                "seed": int(self.seeds[copy]),
                "length": int(self.length[copy]),
                "return": float(self.returns[copy]),
                "invalid": bool(invalid[copy]),
            }
            record.update({name: bool(value[copy]) if value.dtype == bool else float(value[copy]) for name, value in values.items()})
            record.update(remarks(int(copy)) if remarks else {})
            self._finished.append(record)

    def drain(self) -> list[EpisodeRecord]:
        """The records since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def state_dict(self) -> dict[str, Any]:
        """Counters and sums of the running episodes, and the records that nobody has drained."""
        return {
            "seed": self.seed,
            "episode": self.episode.copy(),
            "seeds": self.seeds.copy(),
            "length": self.length.copy(),
            "returns": self.returns.copy(),
            "sums": self.sums.copy(),
            "finished": [dict(record) for record in self._finished],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.seed = int(state["seed"])
        for name in ("episode", "seeds", "length", "returns", "sums"):
            getattr(self, name)[...] = state[name]
        self._finished = [dict(record) for record in state["finished"]]
