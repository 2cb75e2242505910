"""The ``event`` statistics of a football game: what happened, as a spectator would count it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from a2po.evaluation.football_moment import NORMAL, OURS, PASSES, SERVE_MODES, SHOT, Moment, Owner, Score, ratio
from a2po.evaluation.football_tables import outcome, pairs, player_rows

PRESS_WINDOW = 10
"""Steps in which the ball leaves a player because he chose to pass. Nine of ten passes leave within them."""


class _Press(NamedTuple):
    step: int
    serve: bool


class _Attempt(NamedTuple):
    passer: int
    serve: bool


class EventCounter:
    """Counts one episode. ``reset`` forgets everything."""

    def __init__(self, players: tuple[int, ...]) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an episode: 0 to 0, and nobody has had the ball."""
        self._step = 0
        self._score: Score = (0, 0)
        self._counts: Counter[str] = Counter()
        self._by_player: Counter[tuple[int, str]] = Counter()
        self._passes: Counter[tuple[int, int]] = Counter()
        self._assists: Counter[tuple[int, int]] = Counter()
        self._new_ball()

    def _new_ball(self) -> None:
        """The ball was put down anew: nothing that follows has to do with what was before."""
        self._owner: Owner | None = None
        self._owning_team: int | None = None  # the newest that had the ball
        self._chain: list[tuple[int, bool]] = []  # our two newest successive owners, and whether an agent moved them
        self._pass_press: _Press | None = None  # of the owner, as the next one
        self._shot_press: _Press | None = None
        self._attempt: _Attempt | None = None  # a pass on its way

    def observe(self, now: Moment) -> None:
        """Count one step."""
        self._step += 1
        if now.score != self._score:
            if now.score[OURS] > self._score[OURS]:
                self._goal()
            self._score = now.score
            self._new_ball()
        if now.owner != self._owner:
            self._release()
            if now.owner is not None:
                self._receive(now.owner, now.mode)
            self._owner = now.owner
        if now.owner is not None:
            self._own(now.owner, now)

    def _goal(self) -> None:
        """Our score has risen: who scored, and who played to him before."""
        if self._owner is not None:  # it went in before an observation showed the ball free
            self._release_shot(self._owner)
        if not self._chain:
            self._counts["own_goals"] += 1
            return
        scorer, _ = self._chain[-1]
        self._by_player[scorer, "goals"] += 1
        if len(self._chain) > 1:
            assister, is_agent = self._chain[0]
            self._counts["team_assist"] += 1
            self._counts["assist"] += is_agent
            self._by_player[assister, "assists"] += 1
            self._assists[assister, scorer] += 1

    def _release(self) -> None:
        """The owner has lost the ball, or nobody had it."""
        if self._owner is None:
            return
        press, passer = self._pass_press, self._owner[1]
        if press is not None and self._step - press.step <= PRESS_WINDOW:
            self._attempt = _Attempt(passer, press.serve)
            self._counts["pass_attempts"] += 1
            self._counts["serve_attempts"] += press.serve
            self._by_player[passer, "pass_attempts"] += 1
        self._release_shot(self._owner)
        self._pass_press = self._shot_press = None

    def _release_shot(self, owner: Owner) -> None:
        """The same for a shot; where he chose a pass after it, he did not shoot."""
        press, passing = self._shot_press, self._pass_press
        if press is None or self._step - press.step > PRESS_WINDOW or (passing is not None and passing.step > press.step):
            return
        self._counts["shots"] += 1
        self._by_player[owner[1], "shots"] += 1

    def _receive(self, owner: Owner, mode: int) -> None:
        """Somebody has got the ball: a pass on its way has ended, and the ball may have changed the team."""
        team, player = owner
        attempt, self._attempt = self._attempt, None
        if attempt is not None and team == OURS and player != attempt.passer:
            self._counts["pass_completed"] += 1
            self._counts["serve_completed"] += attempt.serve
            self._by_player[attempt.passer, "pass_completed"] += 1
            self._passes[attempt.passer, player] += 1
        if self._owning_team not in (None, team) and mode == NORMAL:
            self._counts["interceptions" if team == OURS else "ball_losses"] += 1

    def _own(self, owner: Owner, now: Moment) -> None:
        """Somebody has the ball in this observation."""
        team, player = owner
        self._owning_team = team
        if team != OURS:
            self._counts["opponent_owned_steps"] += 1
            self._chain = []
            return
        action = now.action_of(player)
        self._counts["team_owned_steps"] += 1
        if not self._chain or self._chain[-1][0] != player:
            self._chain = [*self._chain[-1:], (player, False)]
        self._chain[-1] = (player, action is not None)
        if action is None:
            return
        self._counts["possession_steps"] += 1
        self._by_player[player, "possession_steps"] += 1
        if action in PASSES:
            self._pass_press = _Press(self._step, now.mode in SERVE_MODES)
        elif action == SHOT:
            self._shot_press = _Press(self._step, False)

    def summary(self) -> dict[str, Any]:
        """The episode so far; see ``FootballStatistics``."""
        counts = self._counts
        return {
            **outcome(self._score),
            "steps": self._step,
            **{name: counts[name] for name in ("pass_attempts", "pass_completed")},
            "pass_rate": ratio(counts["pass_completed"], counts["pass_attempts"]),
            **{name: counts[name] for name in ("serve_attempts", "serve_completed")},
            "serve_rate": ratio(counts["serve_completed"], counts["serve_attempts"]),
            **{name: counts[name] for name in ("assist", "team_assist", "own_goals", "shots", "ball_losses", "interceptions")},
            **{name: counts[name] for name in ("possession_steps", "team_owned_steps", "opponent_owned_steps")},
            "possession_share": ratio(counts["team_owned_steps"], counts["team_owned_steps"] + counts["opponent_owned_steps"]),
            "players": player_rows(self._by_player),
            "pass_network": pairs(self._passes, "passer", "receiver", "passes"),
            "assist_pairs": pairs(self._assists, "assister", "scorer", "goals"),
        }
