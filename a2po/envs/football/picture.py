"""A game of football from above: pitch, players, ball, who has it, the score and the clock; and what the agents do, where that is known.

The left team is blue and plays to the right, the other one red. A player is a disc with his number and a beak where he runs, below it his
role; a goalkeeper's disc is green or orange, an agent's has a white rim, the ball's owner a yellow ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import hypot
from typing import TYPE_CHECKING

import numpy as np

from a2po.envs.canvas import Canvas, Colour, Frame
from a2po.envs.football.frames import ACTIONS
from a2po.envs.football.scenarios import ROLES
from a2po.errors import require

if TYPE_CHECKING:
    from PIL import Image

METRES = np.array([54.4, -83.6])
"""A frame's units in metres; y goes upwards in the picture."""
HALF_LENGTH, HALF_WIDTH = 55.0, 36.0
GOAL, GOAL_DEPTH = 3.7, 2.55
BOXES = ((16.5, 20.16), (5.5, 9.16))
"""Depth and half width of penalty area and goal area, metres."""
CIRCLE, SPOT = 9.15, 11.0

SHOWN = Frame(0.0, -1.5, 120.0, 83.0)
"""The part of the world that is shown: the pitch, and below it the line with the score."""
SIZE = (880, 608)
SCORE_LINE = -39.8

GRASS: tuple[Colour, Colour] = ((52, 116, 58), (47, 107, 53))
CHALK: Colour = (225, 235, 225)
BAR: Colour = (18, 26, 22)
TEAMS: tuple[Colour, Colour] = ((50, 110, 220), (210, 55, 50))
BRIGHT: tuple[Colour, Colour] = ((130, 180, 255), (255, 135, 120))  # of their names
KEEPERS: tuple[Colour, Colour] = ((25, 160, 150), (235, 140, 30))
WHITE: Colour = (250, 250, 250)
DARK: Colour = (14, 18, 16)
OWNER: Colour = (255, 225, 60)
CARD: Colour = (250, 215, 0)
RADIUS, BALL = 1.35, 0.55
MODES = ("", "kick-off", "goal kick", "free kick", "corner", "throw-in", "penalty")


def picture(
    frame: np.void, size: tuple[int, int] = SIZE, *, actions: Sequence[int] | None = None, names: tuple[str, str] = ("left", "right")
) -> np.ndarray:
    """One frame as uint8 [H, W, 3].

    Args:
        frame: see ``frames.frame_type``.
        size: width and height, pixels.
        actions: what the agents do, those of the left team first, as in ``frames.ACTIONS`` and as seen on the pitch; None: not shown.
        names: of the teams.

    Raises:
        DependencyError: Pillow is missing.
    """
    require("the picture of a game", PIL="report")
    canvas = Canvas(size, _framed(size), _pitch(size))
    doing = _doing(frame, actions)
    for side in (1, 0):
        for player in range(len(frame[f"{_side(side)}_team_roles"])):
            if frame[f"{_side(side)}_team_active"][player]:
                _draw_player(canvas, frame, side, player, doing.get((side, player)))
    _draw_ball(canvas, frame)
    _draw_score(canvas, frame, names)
    return canvas.picture()


def _side(side: int) -> str:
    return "right" if side else "left"


def _framed(size: tuple[int, int]) -> Frame:
    """``SHOWN`` with room around it, in the picture's aspect."""
    width = max(SHOWN.width, SHOWN.height * size[0] / size[1])
    return Frame(SHOWN.x, SHOWN.y, width, width * size[1] / size[0])


def _doing(frame: np.void, actions: Sequence[int] | None) -> dict[tuple[int, int], str]:
    """(side, player) -> what the agent that controls him does, or nothing where that is unknown."""
    controlled = [(side, int(player)) for side in (0, 1) for player in frame[f"{_side(side)}_agent_controlled_player"]]
    words = [""] * len(controlled) if actions is None else [(*ACTIONS, "built-in")[int(action)].replace("_", " ") for action in actions]
    return dict(zip(controlled, words, strict=True))


@cache
def _pitch(size: tuple[int, int]) -> Image.Image:
    """What stays the same in all pictures of a size."""
    canvas = Canvas(size, _framed(size))
    canvas.box(-200, -200, 200, 200, GRASS[1])
    for stripe in range(0, 10, 2):
        canvas.box(-HALF_LENGTH + 11 * stripe, -HALF_WIDTH, -HALF_LENGTH + 11 * stripe + 11, HALF_WIDTH, GRASS[0])
    for side in (-1, 1):
        goal = side * HALF_LENGTH
        canvas.box(min(goal, goal + side * GOAL_DEPTH), -GOAL, max(goal, goal + side * GOAL_DEPTH), GOAL, CHALK, 90)
        for depth, half in BOXES:
            _outline(canvas, goal - side * depth, half, goal)
        canvas.disc(goal - side * SPOT, 0, 0.25, CHALK)
        _outline(canvas, goal + side * GOAL_DEPTH, GOAL, goal)
    _outline(canvas, -HALF_LENGTH, HALF_WIDTH, HALF_LENGTH)
    canvas.line([(0, -HALF_WIDTH), (0, HALF_WIDTH)], CHALK, 200, 0.25)
    canvas.ring(0, 0, CIRCLE, CHALK, 200, 0.25)
    canvas.disc(0, 0, 0.35, CHALK)
    canvas.box(-200, -200, 200, SCORE_LINE + 2.2, BAR)
    return canvas.image


def _outline(canvas: Canvas, x: float, half: float, end: float) -> None:
    canvas.line([(x, -half), (x, half), (end, half), (end, -half), (x, -half)], CHALK, 200, 0.25)


def _draw_player(canvas: Canvas, frame: np.void, side: int, player: int, doing: str | None) -> None:
    """``doing``: None where nobody controls him."""
    team = f"{_side(side)}_team"
    (x, y), (east, north) = frame[team][player] * METRES, frame[f"{team}_direction"][player] * METRES
    role = ROLES[int(frame[f"{team}_roles"][player])]
    colour = (KEEPERS if role == "GK" else TEAMS)[side]
    speed = hypot(east, north)
    if speed > 0.05:
        east, north, tip = east / speed, north / speed, RADIUS + 0.5 + min(2.0 * speed, 1.6)
        base = [(x - 0.9 * RADIUS * north, y + 0.9 * RADIUS * east), (x + 0.9 * RADIUS * north, y - 0.9 * RADIUS * east)]
        canvas.shape([(x + tip * east, y + tip * north), *base], WHITE, 210)
    owns = frame["ball_owned_team"] == side and frame["ball_owned_player"] == player
    if owns:
        canvas.disc(x, y, RADIUS + 0.75, OWNER)
    if doing is None:
        canvas.disc(x, y, RADIUS, colour, rim=DARK, width=0.2)
    else:
        canvas.disc(x, y, RADIUS + 0.3, colour, rim=WHITE, width=0.35)
    canvas.text(x, y, str(player), 1.6, WHITE)
    canvas.text(x, y - RADIUS - 1.1, role, 1.2, CHALK)
    if frame[f"{team}_yellow_card"][player]:
        canvas.box(x + RADIUS, y + 0.4, x + RADIUS + 0.7, y + 1.5, CARD)
    if doing:
        canvas.text(x, y + RADIUS + 1.5, doing, 1.5, OWNER if owns else WHITE, DARK)


def _draw_ball(canvas: Canvas, frame: np.void) -> None:
    """Its shadow lies where it is; it seems larger and further up the higher it flies."""
    (x, y), height = frame["ball"][:2] * METRES, float(frame["ball"][2])
    canvas.disc(x, y, BALL, DARK, 150)
    canvas.disc(x, y + 0.5 * height, BALL * (1 + 0.08 * height), WHITE, rim=DARK, width=0.15)


def _draw_score(canvas: Canvas, frame: np.void, names: tuple[str, str]) -> None:
    left, right = (int(goals) for goals in frame["score"])
    canvas.text(0, SCORE_LINE, f"{left} : {right}", 3.4, WHITE)
    canvas.text(-7, SCORE_LINE, names[0], 2.4, BRIGHT[0], anchor="rm")
    canvas.text(7, SCORE_LINE, names[1], 2.4, BRIGHT[1], anchor="lm")
    canvas.text(58, SCORE_LINE, f"{int(frame['steps_left']):,} steps left", 1.9, CHALK, anchor="rm")
    canvas.text(-58, SCORE_LINE, MODES[int(frame["game_mode"])], 1.9, OWNER, anchor="lm")
