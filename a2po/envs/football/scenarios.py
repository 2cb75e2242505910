"""The football scenarios: who stands where, how well the engine plays, when a game ends. Numbers of gfootball 2.10.2 and of A2PO."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from a2po.errors import TaskError, did_you_mean

MAX_PLAYERS = 11
ROLES = ("GK", "CB", "LB", "RB", "DM", "CM", "LM", "RM", "AM", "CF")
_PAPER = {"easy": 0.05, "medium": 0.3, "hard": 1.0}
"""A2PO's 5_vs_5 by the difficulty of both teams; a step shorter than the stock game."""
_PAPER_DURATION = 2999


class Player(NamedTuple):
    """One player's place in the line-up, in his own team's view: his own goal is at x = -1."""

    role: int  # index in frames.ROLES
    x: float
    y: float
    lazy: bool = False
    controllable: bool = True


@dataclass(frozen=True)
class Scenario:
    """One scenario. A game of ``duration`` D has D + 1 steps where nothing ends it before."""

    name: str
    agents: int
    left: tuple[Player, ...]
    right: tuple[Player, ...]
    duration: int
    ball: tuple[float, float] = (0.0, 0.0)
    left_difficulty: float = 1.0
    right_difficulty: float = 0.6
    second_half: int | None = None
    swapped: bool = False
    """The line-ups, not the goals, change sides in every second game."""
    deterministic: bool = False
    offsides: bool = True
    end_on_score: bool = False
    end_on_out_of_play: bool = False
    end_on_possession_change: bool = False

    def with_lineups_swapped(self) -> Scenario:
        """The same scenario, in which each team stands as the other one did."""
        return replace(self, left=self.right, right=self.left)

    def with_fixed_keepers(self) -> Scenario:
        """The same scenario, in which goalkeepers are left to the engine; but not one who is all that his team has."""

        def fixed(team: tuple[Player, ...]) -> tuple[Player, ...]:
            if len(team) == 1:
                return team
            return tuple(player._replace(controllable=player.controllable and ROLES[player.role] != "GK") for player in team)

        return replace(self, left=fixed(self.left), right=fixed(self.right))

    def controllable(self, side: str) -> int:
        """How many players of the ``left`` or ``right`` team can be controlled."""
        return sum(player.controllable for player in (self.left if side == "left" else self.right))


@cache
def scenarios() -> dict[str, Scenario]:
    """Every scenario by name."""
    table = tomllib.loads((files(__package__) / "scenarios.toml").read_text())
    found = {name: _scenario(name, values) for name, values in table.items()}
    for level, difficulty in _PAPER.items():
        name = f"5_vs_5_{level}"
        found[name] = replace(found["5_vs_5"], name=name, duration=_PAPER_DURATION, left_difficulty=difficulty, right_difficulty=difficulty)
    return dict(sorted(found.items()))


def scenario(name: str) -> Scenario:
    """The scenario ``name``.

    Raises:
        TaskError: there is none.
    """
    known = scenarios()
    if name not in known:
        raise TaskError(f"unknown football scenario '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    return known[name]


def _scenario(name: str, values: dict[str, Any]) -> Scenario:
    left, right = (tuple(_player(text) for text in values.pop(side)) for side in ("left", "right"))
    return Scenario(name=name, ball=tuple(values.pop("ball", (0.0, 0.0))), left=left, right=right, **values)


def _player(text: str) -> Player:
    role, x, y, *marks = text.split()
    return Player(ROLES.index(role), float(x), float(y), "lazy" in marks, "fixed" not in marks)
