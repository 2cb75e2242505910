"""An exported football team as a Kaggle agent: ``agent(obs)`` that always answers. ``submission`` writes the files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a2po.bots.football.team import IDLE, FootballTeam
from a2po.runtime.bundle import Bundle


class KaggleAgent:
    """``agent(obs)`` of Kaggle's football environment, for games one after the other.

    Whatever goes wrong, it answers with a legal list: ``faults`` counts, and the first of each kind is printed to standard error.

    Args:
        bundle: of a football task.

    Raises:
        BundleError: there is none, it is altered, or it plays something else.
    """

    def __init__(self, bundle: Path | str | Bundle) -> None:
        self.team = FootballTeam(bundle)
        self.faults: Counter[str] = Counter()
        """How many answers were fallbacks, by kind of error."""
        self._steps_left = -1.0

    def __call__(self, obs: Mapping[str, Any]) -> list[int]:
        """What the controlled players do.

        Args:
            obs: with ``controlled_players``, their number, and ``players_raw``, a raw observation for each of them.

        Returns: for each a number from 0 to 18.
        """
        count = 1
        try:
            count = int(obs["controlled_players"])
            seen: Sequence[Mapping[str, Any]] = obs["players_raw"]
            actions = self._act(seen)
            if len(actions) != count:
                raise ValueError(f"{len(seen)} observations for {count} controlled players")
            return actions
        except Exception as error:  # noqa: BLE001 - a submission that raises loses
            return self._fallback(count, error)

    def _act(self, seen: Sequence[Mapping[str, Any]]) -> list[int]:
        steps_left = float(seen[0]["steps_left"]) if seen else 0.0
        if steps_left > self._steps_left:
            self.team.reset()
        self._steps_left = steps_left
        return self.team.act(seen)

    def _fallback(self, count: int, error: Exception) -> list[int]:
        kind = type(error).__name__
        self.faults[kind] += 1
        if self.faults[kind] == 1:
            print(f"the team stands still where it cannot play ({kind}: {error})", file=sys.stderr)
        return [IDLE] * count
