"""a2po's scenarios as levels of gfootball: ``--level a2po_<scenario>``, with goalkeepers that the engine plays, as in training.

gfootball lets agents control the goalkeeper in most of its own levels; then fewer agents than players change whom they control.
"""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any

from a2po.bots.football.engine_stand_in import e_PlayerRole, e_Team
from a2po.envs.football.scenarios import Scenario, scenarios

PREFIX = "a2po_"


def register_levels() -> None:
    """Let gfootball, which has been imported, find the levels."""
    for name, found in scenarios().items():
        level = ModuleType(f"gfootball.scenarios.{PREFIX}{name}")
        vars(level)["build_scenario"] = partial(_build, found.with_fixed_keepers())
        sys.modules[level.__name__] = level


def _build(found: Scenario, builder: Any) -> None:
    """Tell gfootball's ``builder`` about the scenario."""
    config = builder.config()
    config.game_duration, config.deterministic, config.offsides = found.duration, found.deterministic, found.offsides
    config.left_team_difficulty, config.right_team_difficulty = found.left_difficulty, found.right_difficulty
    config.end_episode_on_score = found.end_on_score
    config.end_episode_on_out_of_play = found.end_on_out_of_play
    config.end_episode_on_possession_change = found.end_on_possession_change
    if found.second_half:
        config.second_half = found.second_half
    builder.SetBallPosition(*found.ball)
    shown = found.with_lineups_swapped() if found.swapped and builder.EpisodeNumber() % 2 else found
    for side, team in ((e_Team.e_Left, shown.left), (e_Team.e_Right, shown.right)):
        builder.SetTeam(side)
        for player in team:
            builder.AddPlayer(player.x, player.y, e_PlayerRole(player.role), player.lazy, player.controllable)
