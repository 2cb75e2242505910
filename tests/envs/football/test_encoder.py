"""The encoder says what the A2PO paper's code says of the same raw observations: features equal in every bit, masks equal.

tests/data/football/<scenario>.npz: frames of real games (random, scripted and built-in play; kick-offs, goal kicks, free kicks, corners and
throw-ins; either team with the ball, near and far, held directions, sprint and dribbling), chosen for variety. In half of them the mode,
the ball or its owner was then set by hand, so that penalties and the borders between zones occur. `features`, `features_with_options`
(match of 3,000 steps, agent id, mask, last action) and `masks` are what the public code of the paper (xihuai18/A2PO-ICLR2023) gave for
`raw_observations` of each frame, cast to float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from a2po.envs.football.encoder import ZONES, Encoder, zones
from a2po.envs.football.frames import ACTIONS, STICKY, frame_type, frames_of, mirrored, raw_observations
from a2po.errors import ObservationError

STORED = {path.stem: path for path in sorted((Path(__file__).parents[2] / "data" / "football").glob("*_*.npz"))}
SIZES = {"5_vs_5": 114, "11_vs_11_easy_stochastic": 198, "academy_3_vs_1_with_keeper": 86, "academy_pass_and_shoot_with_keeper": 79}


class Stored:
    """One stored file."""

    def __init__(self, name: str) -> None:
        with np.load(STORED[name]) as stored:
            self.features, self.with_options = stored["features"], stored["features_with_options"]
            self.masks, self.last_actions = stored["masks"], stored["last_actions"]
            self.sizes = tuple(stored["sizes"].tolist())
            self.frames = stored["frames"].view(frame_type(*self.sizes))[:, 0]


@pytest.fixture(params=SIZES)
def stored(request: pytest.FixtureRequest) -> Stored:
    return Stored(request.param)


def with_options(stored: Stored) -> Encoder:
    return Encoder(*stored.sizes, match=True, agent_id=True, masks_in=True, last_action=True)


def test_features_are_those_of_the_paper(stored: Stored) -> None:
    encoder = Encoder(*stored.sizes)
    features = encoder.features(stored.frames)
    assert features.dtype == np.float32 and np.array_equal(features, stored.features)
    optional = with_options(stored)
    assert np.array_equal(optional.features(stored.frames, stored.last_actions), stored.with_options)


def test_masks_are_those_of_the_paper(stored: Stored) -> None:
    masks = Encoder(*stored.sizes).masks(stored.frames)
    assert masks.dtype == np.bool_ and np.array_equal(masks, stored.masks)
    assert masks.any(axis=(0, 1)).all() and not masks.all(axis=(0, 1))[1:].any()  # every action occurs, and is forbidden somewhere


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes_and_names(name: str, size: int) -> None:
    stored = Stored(name)
    left, right, _ = stored.sizes
    encoder, optional = Encoder(*stored.sizes), with_options(stored)
    assert encoder.size == size == len(set(encoder.feature_names))
    assert optional.size == size + 9 + 6 + left + 19 + 19 == len(set(optional.feature_names))
    columns = [optional.feature_names.index(feature) for feature in encoder.feature_names]
    assert columns == sorted(columns) and np.array_equal(stored.with_options[..., columns], stored.features)
    assert encoder.feature_names[0] == "ball x" and encoder.feature_names[-1] == f"opponent {right} tiredness"


def test_each_name_stands_at_its_number() -> None:
    stored = Stored("5_vs_5")
    encoder = with_options(stored)
    features, frames = encoder.features(stored.frames, stored.last_actions), stored.frames
    for game, agent in np.ndindex(features.shape[:2]):
        frame, seen = frames[game], dict(zip(encoder.feature_names, features[game, agent], strict=True))
        player = int(frame["left_agent_controlled_player"][agent])
        held = frame["left_agent_sticky_actions"][agent]
        mates = [frame["left_team"][mate] for mate in range(5) if mate != player]
        assert (seen["agent x"], seen["agent y"]) == tuple(frame["left_team"][player])
        assert (seen["agent dribbles"], seen["agent sprints"]) == (held[9], held[8])
        assert (seen["mate 4 x"], seen["opponent 2 y"]) == (2 * mates[3][0], 2 * frame["right_team"][1, 1])
        assert seen["closest mate distance"] == min(seen[f"mate {mate} distance"] for mate in range(1, 5))
        assert seen["ball owned by team"] == (frame["ball_owned_team"] == 0) and seen["goals"] == frame["score"][0]
        assert seen[f"agent is player {player}"] == 1 and seen["agent may shot"] == stored.masks[game, agent, ACTIONS.index("shot")]
        if stored.last_actions[game, agent] >= 0:
            assert seen[f"agent did {ACTIONS[stored.last_actions[game, agent]]}"] == 1


def test_one_game_is_as_many(stored: Stored) -> None:
    encoder = Encoder(*stored.sizes)
    for frame, features, masks in zip(stored.frames, stored.features, stored.masks, strict=True):
        alone = frames_of(raw_observations(frame))
        assert np.array_equal(encoder.features(alone)[0], features) and np.array_equal(encoder.masks(alone)[0], masks)


def test_out_is_filled_in_place(stored: Stored) -> None:
    encoder = Encoder(*stored.sizes)
    games, agents, size = stored.features.shape
    wide = np.full((games, agents, size + 3), 7.0, np.float32)  # as padding to the widest agent makes it
    out = wide[..., :size]
    assert encoder.features(stored.frames, out=out) is out
    assert np.array_equal(out, stored.features) and (wide[..., size:] == 7).all()
    every_second = stored.frames[::2]
    assert np.array_equal(encoder.features(every_second), stored.features[::2])


def test_the_right_team_does_not_matter() -> None:
    stored = Stored("5_vs_5")
    both = np.zeros(len(stored.frames), frame_type(5, 5, 4, 4))
    for name in stored.frames.dtype.names or ():
        if not name.startswith("right_agent"):
            both[name] = stored.frames[name]
    both["right_agent_controlled_player"] = 3
    encoder = Encoder(5, 5, 4)
    assert np.array_equal(encoder.features(both), stored.features)
    assert np.array_equal(encoder.masks(both), stored.masks)
    turned = encoder.features(mirrored(both))  # and from over there it is the left one
    assert np.array_equal(turned[..., 0], -stored.features[..., 0]) and not np.array_equal(turned, stored.features)


def test_before_the_first_action_there_is_none() -> None:
    stored = Stored("5_vs_5")
    encoder = Encoder(*stored.sizes, last_action=True)
    none = encoder.features(stored.frames)
    assert not none[..., -19:].any()
    assert np.array_equal(encoder.features(stored.frames, np.full(none.shape[:2], -1)), none)


def test_an_agent_without_mates() -> None:
    frames = np.zeros(2, frame_type(1, 1, 1))
    frames["right_team"] = [[[0.3, 0.4]]]
    encoder = Encoder(1, 1, 1)
    seen = dict(zip(encoder.feature_names, encoder.features(frames)[1, 0], strict=True))
    assert encoder.size == 44 + 7 * 2 and seen["closest opponent distance"] == seen["opponent 1 distance"] == np.float32(1.0)
    assert not any(value for name, value in seen.items() if "mate" in name)


@pytest.mark.parametrize(
    ("x", "y", "zone"),
    [
        (-1.0, 0.0, "own box"), (-0.65, 0.27, "own part"), (-0.64, 0.0, "own part"), (-1.01, 0.0, "elsewhere"), (-0.2, 0.0, "middle"),
        (0.2, -0.4, "middle"), (0.2, 0.42, "elsewhere"), (0.21, 0.0, "opponents' part"), (0.64, 0.0, "opponents' part"),
        (0.65, 0.0, "opponents' box"), (1.0, -0.26, "opponents' box"), (1.0, 0.28, "opponents' part"), (1.01, 0.0, "elsewhere"),
    ],
)  # fmt: skip
def test_zones(x: float, y: float, zone: str) -> None:
    assert ZONES[zones(np.array([x, y, 0.1]))] == zone


def test_other_team_sizes_are_refused() -> None:
    frames = Stored("5_vs_5").frames
    for encoder in (Encoder(11, 11, 10), Encoder(5, 5, 3)):
        for method in (encoder.features, encoder.masks):
            with pytest.raises(ObservationError, match=r"5 against 5 with 4 agents.*with (10|3) agents"):
                method(frames)


BALL = {"long_pass", "high_pass", "short_pass", "shot", "dribble"}
ALWAYS = {*ACTIONS[:9], "sprint"}


@pytest.mark.parametrize(
    ("fields", "near", "allowed"),
    [
        ({"ball_owned_team": 0}, 0.0299, ALWAYS | BALL - {"shot"}),
        ({"ball_owned_team": 0}, 0.0301, ALWAYS),
        ({"ball_owned_team": -1}, 0.0299, ALWAYS | BALL - {"shot"}),
        ({"ball_owned_team": -1, "game_mode": 5}, 0.0301, ALWAYS),
        ({"ball_owned_team": 1}, 0.0299, ALWAYS | {"sliding"}),
        ({"ball_owned_team": 1}, 0.0301, ALWAYS),
        ({"ball_owned_team": 1, "held": "dribble"}, 0.0299, ALWAYS | {"release_dribble"}),
        ({"held": "sprint"}, 0.5, ALWAYS | {"release_sprint"}),
        ({"held": "bottom_left"}, 0.5, ALWAYS | {"release_direction"}),
        ({"ball": 0.65}, 0.0, ALWAYS | BALL - {"long_pass", "high_pass"}),
        ({"ball": 0.63}, 0.0, ALWAYS | BALL - {"shot"}),
        ({"ball": 1.01}, 0.0, ALWAYS | BALL),
        ({"ball": -0.71, "game_mode": 2}, 0.5, {"idle", "long_pass", "high_pass", "short_pass"}),
        ({"ball": -0.69, "game_mode": 2}, 0.5, ALWAYS),
        ({"ball": 0.91, "game_mode": 4}, 0.5, {"idle", "long_pass", "high_pass", "short_pass"}),
        ({"ball": 0.89, "game_mode": 4}, 0.5, ALWAYS),
        ({"ball": 0.61, "game_mode": 6}, 0.5, {"idle", "shot"}),
        ({"ball": 0.59, "game_mode": 6}, 0.5, ALWAYS),
    ],
)
def test_masks_by_hand(fields: dict[str, Any], near: float, allowed: set[str]) -> None:
    fields = {"ball": 0.0, **fields}
    frames = np.zeros(1, frame_type(2, 2, 1))
    frames["left_agent_controlled_player"] = 1
    frames["ball"][0, 0] = fields.pop("ball")
    frames["left_team"][0, 1] = frames["ball"][0, :2] + [0, near]
    if held := fields.pop("held", None):
        frames["left_agent_sticky_actions"][0, 0, STICKY.index(held)] = 1
    for name, value in fields.items():
        frames[name] = value
    mask = Encoder(2, 2, 1).masks(frames)[0, 0]
    assert {action for action, may in zip(ACTIONS, mask, strict=True) if may} == allowed
