"""Statistics of a football game from what the game shows after each step. Standard library only: any program that plays can count with it.

    statistics = FootballStatistics(definition="event", players=[1, 2, 3, 4])
    statistics.reset()                              # an episode begins
    statistics.observe(actions, observation)        # after each step
    statistics.summary()                            # {"goals": 1, "pass_attempts": 7, "pass_rate": 0.57, ...}

docs/football-statistics.md says what each figure means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from a2po.errors import UserError, did_you_mean
from a2po.evaluation.football_event import EventCounter
from a2po.evaluation.football_moment import Moment
from a2po.evaluation.football_paper import PaperCounter

FIELDS = ("ball_owned_team", "ball_owned_player", "game_mode", "score")
"""What is read of an observation; it may have any other field besides."""


class Counter(Protocol):
    """One definition of the statistics."""

    def reset(self) -> None:
        """Begin an episode."""
        ...

    def observe(self, now: Moment) -> None:
        """Count one step."""
        ...

    def summary(self) -> dict[str, Any]:
        """The episode so far."""
        ...


DEFINITIONS: dict[str, Callable[[tuple[int, ...]], Counter]] = {"event": EventCounter, "paper": PaperCounter}


class FootballStatistics:
    """Counts what one team does in football games, seen by itself as the left team.

    Args:
        definition: ``event``, what happened in the game; or ``paper``, the counters of A2PO's public code as they are: their records go
            on over ``reset``, so that an episode's first owner may complete a pass of the episode before.
        players: the players that the agents move, in the order of the actions (the ``active`` of their raw observations).

    Raises:
        UserError: there is no such definition, or the players are not different whole numbers.
    """

    def __init__(self, definition: str = "event", players: Iterable[int] = ()) -> None:
        self.definition, self.players = definition, _players(players)
        if definition not in DEFINITIONS:
            raise UserError(f"unknown definition '{definition}'{did_you_mean(str(definition), DEFINITIONS)} (there are: event, paper)")
        if not self.players or len(set(self.players)) < len(self.players):
            raise UserError(f"players {list(self.players)}: name the players that the agents move, each once and at least one")
        self._counter: Counter = DEFINITIONS[definition](self.players)

    def reset(self) -> None:
        """An episode begins, at 0 to 0."""
        self._counter.reset()

    def observe(self, actions: Sequence[int], observation: Mapping[str, Any], *, players: Iterable[int] | None = None) -> None:
        """Count one step.

        Args:
            actions: of the agents, in the order of ``players``, as in gfootball's default set (9 to 11 pass, 12 shoots).
            observation: what the game showed after them: a raw observation of gfootball or any mapping with ``FIELDS``.
            players: whom the agents moved in this step, where that changes within a game (the ``active`` of the observations that
                the actions were chosen on); by default those of the beginning. ``paper`` keeps to these, as the original does.

        Raises:
            UserError: there are not as many actions as players, or a field is missing.
        """
        moved = self.players if players is None else _players(players)
        if len(moved) != len(self.players):
            raise UserError(f"{len(moved)} players in this step, but the statistics are of {len(self.players)} agents")
        self._counter.observe(_moment(actions, moved, observation))

    def summary(self) -> dict[str, Any]:
        """The counts of the episode so far: whole numbers, rates from 0 to 1 and lists of rows, as JSON holds them.

        Both definitions: ``goals``, ``conceded``, ``win``, ``draw``, ``loss`` (0 or 1), ``steps``, ``players`` (a row for each player),
        ``pass_network`` (passer, receiver, passes) and ``assist_pairs``.

        ``event``: ``pass_attempts``, ``pass_completed``, ``pass_rate``, ``serve_attempts``, ``serve_completed``, ``serve_rate``,
        ``assist`` (by agents), ``team_assist`` (by anyone of ours), ``own_goals`` (theirs, for us), ``shots``, ``ball_losses``,
        ``interceptions``, ``possession_steps`` (agents), ``team_owned_steps``, ``opponent_owned_steps`` and ``possession_share``.

        ``paper``: ``assist``, ``succ_pass``, ``pass``, ``possession``, ``succ_serve``, ``serve``, ``shoot``, ``succ_pass_rate``,
        ``succ_serve_rate``.
        """
        return self._counter.summary()


def _players(players: Iterable[int]) -> tuple[int, ...]:
    try:
        return tuple(map(int, players))
    except (TypeError, ValueError):
        raise UserError(f"players must be the numbers of the players that the agents move, got {players!r}") from None


def _moment(actions: Sequence[int], players: tuple[int, ...], observation: Mapping[str, Any]) -> Moment:
    try:
        chosen = [int(action) for action in actions]
    except (TypeError, ValueError):
        raise UserError(f"actions must be a whole number for each of the {len(players)} agents, got {actions!r}") from None
    if len(chosen) != len(players):
        raise UserError(f"{len(chosen)} actions for {len(players)} agents: give one for each of the players {list(players)}, in this order")
    try:
        team, player, mode, score = (observation[name] for name in FIELDS)
    except KeyError as error:
        raise UserError(f"the observation has no {error}: the statistics read {', '.join(FIELDS)} of a raw observation") from None
    try:
        ours, theirs = map(int, score)
        return Moment(chosen, players, (int(team), int(player)) if int(team) >= 0 else None, int(mode), (ours, theirs))
    except (TypeError, ValueError):
        given = {name: observation[name] for name in FIELDS}
        raise UserError(f"the observation has {given}: whole numbers are needed, and two of them for the score") from None
