"""Both statistics of every game of a football environment, counted while it plays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from a2po.evaluation.football_event import EventCounter
from a2po.evaluation.football_moment import Moment
from a2po.evaluation.football_paper import PaperCounter

STATISTICS = "statistics"
"""The key of an episode's record that holds them."""


class FootballObserver:
    """The ``observer`` of an environment of B games: counts each of them by both definitions."""

    def __init__(self) -> None:
        self._event: dict[int, EventCounter] = {}
        self._paper: dict[int, PaperCounter] = {}
        self._moved: list[tuple[int, ...]] = []  # [B]: whom the agents move next
        self._active = np.zeros((0, 0))

    def begin(self, copies: Iterable[int], frames: np.ndarray) -> None:
        """Episodes begin in ``copies``; ``frames`` [B] is what all games show now."""
        self._look(frames)
        for copy in map(int, copies):
            if copy not in self._event:
                self._event[copy], self._paper[copy] = EventCounter(self._moved[copy]), PaperCounter(self._moved[copy])
            self._event[copy].reset()
            self._paper[copy].reset()

    def step(self, actions: np.ndarray, frames: np.ndarray) -> None:
        """Count one step.

        Args:
            actions: [B, N] of the left agents.
            frames: [B], what the games show after them, before any of them begins anew.
        """
        names = ("ball_owned_team", "ball_owned_player", "game_mode", "score")
        teams, players, modes, scores = (frames[name].astype(int).tolist() for name in names)
        for copy, (chosen, team, player, mode, (ours, theirs)) in enumerate(
            zip(np.asarray(actions).tolist(), teams, players, modes, scores, strict=True)
        ):
            now = Moment(chosen, self._moved[copy], (team, player) if team >= 0 else None, mode, (ours, theirs))
            self._event[copy].observe(now)
            self._paper[copy].observe(now)
        self._look(frames)

    def summary(self, copy: int) -> dict[str, Any]:
        """What the record of an episode gets besides, when it ends."""
        return {STATISTICS: {"event": self._event[copy].summary(), "paper": self._paper[copy].summary()}}

    def _look(self, frames: np.ndarray) -> None:
        """Whom the agents move from now on: with some of the players as agents, this changes within a game."""
        active = frames["left_agent_controlled_player"]
        if not np.array_equal(active, self._active):
            self._active = active.copy()
            self._moved = [tuple(row) for row in active.astype(int).tolist()]
