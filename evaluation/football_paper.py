"""The ``paper`` statistics: A2PO's own counters, faults included, so that figures can stand beside the published ones.

They read the sequence of records, one for each step in which somebody has the ball. What is between two records is not looked at.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

from a2po.evaluation.football_moment import OURS, PASSES, SERVE_MODES, Moment, Owner, Score, ratio
from a2po.evaluation.football_tables import outcome, pairs, player_rows


class _Record(NamedTuple):
    owner: Owner
    mode: int
    goals: int  # ours


class PaperCounter:
    """Counts episodes. The records go on over ``reset``, as they do in the original; the players are those of the beginning.

    Of all records before the newest, the counters can look at no more than its three newest spells (records of one owner in a row).
    """

    def __init__(self, players: tuple[int, ...]) -> None:
        self._players = players
        self._newest: _Record | None = None
        self._spells: deque[tuple[Owner, int]] = deque(maxlen=3)  # (owner, number of records)
        self.reset()

    def reset(self) -> None:
        """Begin an episode. The records stay."""
        self._score: Score = (0, 0)
        self._steps = 0
        self._counts: Counter[str] = Counter()
        self._by_player: Counter[tuple[int, str]] = Counter()
        self._passes: Counter[tuple[int, int]] = Counter()
        self._assists: Counter[tuple[int, int]] = Counter()

    def observe(self, now: Moment) -> None:
        """Count one step."""
        self._steps += 1
        self._score = now.score
        if now.owner is None:
            return
        record = _Record(now.owner, now.mode, now.score[OURS])
        if record.owner[0] == OURS:
            self._count_owner(record, now.actions)
            if self._newest is not None:
                self._count_receiver(record, self._newest)
                if record.goals > self._newest.goals:
                    self._count_assist()
        self._newest = record
        length = self._spells.pop()[1] if self._spells and self._spells[-1][0] == record.owner else 0
        self._spells.append((record.owner, length + 1))

    def _count(self, what: str, player: int) -> None:
        self._counts[what] += 1
        self._by_player[player, what] += 1

    def _count_owner(self, record: _Record, actions: list[int]) -> None:
        player = record.owner[1]
        if player not in self._players:
            return
        self._count("possession", player)
        if actions[self._players.index(player)] in PASSES:
            self._count("pass", player)
            if record.mode in SERVE_MODES:
                self._count("serve", player)

    def _count_receiver(self, record: _Record, before: _Record) -> None:
        """Any change from one of our agents to another player of ours counts as a pass that succeeded."""
        (team, player), receiver = before.owner, record.owner[1]
        if team == OURS and player != receiver and player in self._players:
            self._count("succ_pass", player)
            self._passes[player, receiver] += 1
            if before.mode in SERVE_MODES:
                self._count("succ_serve", player)

    def _count_assist(self) -> None:
        """Our score has risen since the record before: its owner is taken for the shooter, whichever team he plays for."""
        shooter = self._spells[-1][0][1]
        found = self._owner_before(shooter)
        if found is None or found[0] != OURS or found[1] not in self._players:
            return
        self._count("assist", found[1])
        self._assists[found[1], shooter] += 1
        if shooter in self._players:
            self._count("shoot", shooter)

    def _owner_before(self, shooter: int) -> Owner | None:
        """Back from the record before the newest one, past those of our player with the shooter's number."""
        (newest, length), *earlier = reversed(self._spells)
        spells = [newest, *(owner for owner, _ in earlier)] if length > 1 else [owner for owner, _ in earlier]
        return next((owner for owner in spells if owner != (OURS, shooter)), None)

    def summary(self) -> dict[str, Any]:
        """The episode so far; see ``FootballStatistics``."""
        counts = self._counts
        names = ("assist", "succ_pass", "pass", "possession", "succ_serve", "serve", "shoot")
        return {
            **outcome(self._score),
            "steps": self._steps,
            **{name: counts[name] for name in names},
            "succ_pass_rate": ratio(counts["succ_pass"], counts["pass"]),
            "succ_serve_rate": ratio(counts["succ_serve"], counts["serve"]),
            "players": player_rows(self._by_player),
            "pass_network": pairs(self._passes, "passer", "receiver", "passes"),
            "assist_pairs": pairs(self._assists, "assister", "shooter", "goals"),
        }
