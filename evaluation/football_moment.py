"""One step of a football game as the counters read it, and the numbers of the game that they go by."""

from __future__ import annotations

from typing import NamedTuple

PASSES = frozenset((9, 10, 11))
"""Long, high and short pass."""
SHOT = 12
SERVE_MODES = frozenset((1, 2, 4, 5))
"""Game modes of a kick-off, goal kick, corner and throw-in."""
NORMAL = 0
OURS, THEIRS = 0, 1
"""Teams; the statistics are those of the left team."""

Owner = tuple[int, int]
"""(team, player)."""
Score = tuple[int, int]
"""(ours, theirs)."""


class Moment(NamedTuple):
    """The actions of one step and what the game showed after it."""

    actions: list[int]
    """Of each agent."""
    players: tuple[int, ...]
    """Whom each agent moved with its action."""
    owner: Owner | None
    """Who has the ball, None where nobody has."""
    mode: int
    score: Score

    def action_of(self, player: int) -> int | None:
        """What the agent of one of our players did, None where no agent moved him."""
        return self.actions[self.players.index(player)] if player in self.players else None


def ratio(part: int, whole: int) -> float:
    """``part / whole``, 0 where there is nothing to divide."""
    return part / whole if whole else 0.0
