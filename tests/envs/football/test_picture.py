"""Pictures of a game: everything is where the frame says, in the colours of its team."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.envs.football.frames import frame_type
from a2po.envs.football.picture import BAR, CARD, KEEPERS, OWNER, SIZE, TEAMS, WHITE, picture
from a2po.envs.football.scenarios import ROLES
from a2po.errors import DependencyError


def a_frame(**changed) -> np.ndarray:
    """Two against one on an empty pitch; the left team's second player is an agent's."""
    frame = np.zeros((), frame_type(2, 1, 1))
    frame["left_team"], frame["right_team"] = [[-0.9, 0.0], [-0.2, -0.2]], [[0.6, 0.3]]
    frame["left_team_roles"], frame["right_team_roles"] = [ROLES.index("GK"), ROLES.index("CF")], [ROLES.index("CB")]
    frame["left_team_active"], frame["right_team_active"] = 1, 1
    frame["left_agent_controlled_player"] = 1
    frame["ball"] = [0.3, 0.2, 0.0]
    frame["ball_owned_team"] = frame["ball_owned_player"] = -1
    for name, value in changed.items():
        frame[name] = value
    return frame


def near(shown: np.ndarray, x: float, y: float, colour: tuple[int, int, int], reach: int = 14) -> int:
    """How many pixels around a place of the pitch have a colour."""
    width, height = SIZE
    scale = width / 120
    column, row = round(width / 2 + scale * 54.4 * x), round(height / 2 - 1.5 * scale + scale * 83.6 * y)
    patch = shown[max(row - reach, 0) : row + reach, column - reach : column + reach].astype(int)
    return int((np.abs(patch - colour).max(axis=-1) < 12).sum())


def test_players_and_ball_stand_where_the_frame_says():
    shown = picture(a_frame())
    assert shown.shape == (SIZE[1], SIZE[0], 3) and shown.dtype == np.uint8
    for place, colour in (((-0.9, 0.0), KEEPERS[0]), ((-0.2, -0.2), TEAMS[0]), ((0.6, 0.3), TEAMS[1])):
        assert near(shown, *place, colour) > 60
        assert near(shown, -place[0], -place[1], colour) == 0
    assert near(shown, 0.3, 0.2, WHITE) > 15 and near(shown, 0.3, -0.2, WHITE) == 0


@pytest.mark.parametrize(
    ("changed", "place", "colour"),
    [
        ({"ball_owned_team": 0, "ball_owned_player": 1}, (-0.2, -0.2), OWNER),
        ({"ball_owned_team": 1, "ball_owned_player": 0}, (0.6, 0.3), OWNER),
        ({"left_team_yellow_card": [0, 1]}, (-0.2, -0.2), CARD),
        ({"left_agent_controlled_player": 0}, (-0.9, 0.0), WHITE),
    ],
)
def test_what_marks_a_player(changed, place, colour):
    before, after = picture(a_frame()), picture(a_frame(**changed))
    assert near(after, *place, colour) > near(before, *place, colour) + 10


def test_who_was_sent_off_is_not_there():
    assert near(picture(a_frame(right_team_active=[0])), 0.6, 0.3, TEAMS[1]) == 0


def test_a_high_ball_is_off_its_shadow():
    low, high = (near(picture(a_frame(ball=[0.3, 0.2, height])), 0.3, 0.2 - height / 2 / 83.6, WHITE) for height in (0.0, 8.0))
    assert high > low > 15


def test_score_names_and_clock_are_below_and_actions_at_the_agents():
    shown = picture(a_frame(), names=("a", "b"))
    bar = SIZE[1] - 20
    assert (shown[bar, 5] == BAR).all()
    for other in (picture(a_frame(score=[3, 0]), names=("a", "b")), picture(a_frame(steps_left=77), names=("a", "b")), picture(a_frame())):
        assert (other[: bar - 30] == shown[: bar - 30]).all() and (other[bar - 30 :] != shown[bar - 30 :]).any()
    acting = picture(a_frame(), names=("a", "b"), actions=[11])
    rows, columns = np.nonzero((acting != shown).any(axis=-1))
    assert 0 < np.ptp(rows) < 30 and 0 < np.ptp(columns) < 100


@pytest.mark.parametrize("size", [(640, 360), (320, 400)])
def test_other_sizes_show_the_whole_pitch(size):
    shown = picture(a_frame(), size)
    assert shown.shape == (size[1], size[0], 3)
    for colour in (KEEPERS[0], TEAMS[1]):
        assert (np.abs(shown.astype(int) - colour).max(axis=-1) < 12).sum() >= 4


def test_without_pillow_there_is_one_line(monkeypatch):
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None if name == "PIL" else object())
    with pytest.raises(DependencyError, match=r"picture of a game needs the package 'PIL'.*a2po\[report\]"):
        picture(a_frame())
