"""The player ``a2po`` of gfootball: ``--players "a2po:left_players=4,path=BUNDLE"``, on either side or on both.

gfootball turns the pitch round for players on the right and their directions back, so one team plays either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gfootball.env import player_base

from a2po.bots.football.team import FootballTeam
from a2po.errors import UserError, did_you_mean

OPTIONS = ("path", "left_players", "right_players")
_OF_GFOOTBALL = ("index", "player_")
"""What gfootball adds to the options by itself."""


class Player(player_base.PlayerBase):  # type: ignore[misc]
    """A team that was exported by a2po. On both sides it plays against itself, with a memory for each side."""

    def __init__(self, player_config: Mapping[str, Any], env_config: Any) -> None:
        super().__init__(player_config)
        for name in player_config:
            if name not in OPTIONS and not name.startswith(_OF_GFOOTBALL):
                raise UserError(f"player a2po: unknown option '{name}'{did_you_mean(name, OPTIONS)} (options: {', '.join(OPTIONS)})")
        if "path" not in player_config:
            raise UserError('player a2po: which team? Name its bundle: "a2po:left_players=4,path=BUNDLE"')
        path = str(player_config["path"])
        self._left = FootballTeam(path) if self.num_controlled_left_players() else None
        self._right = FootballTeam(path) if self.num_controlled_right_players() else None

    def reset(self) -> None:
        """A game begins."""
        for team in (self._left, self._right):
            if team:
                team.reset()

    def take_action(self, observations: Sequence[Mapping[str, Any]]) -> list[int]:
        """What the controlled players do, those of the left side first."""
        count = self.num_controlled_left_players()
        halves = (self._left, observations[:count]), (self._right, observations[count:])
        return [action for team, seen in halves if team for action in team.act(seen)]
