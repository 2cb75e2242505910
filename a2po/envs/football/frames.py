"""Frames: what the football engine shows, one structured numpy row per game and step, named as gfootball's raw observations.

Every field is float32, which holds all that the engine says exactly. A frame is seen by the left team; ``mirrored`` turns it round, so that
whoever plays on the right is on the left, too. Positions: x in [-1, 1] towards the opponents' goal, y in [-0.42, 0.42] downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

ACTIONS = (
    "idle", "left", "top_left", "top", "top_right", "right", "bottom_right", "bottom", "bottom_left",
    "long_pass", "high_pass", "short_pass", "shot", "sprint", "release_direction", "release_sprint",
    "sliding", "dribble", "release_dribble",
)  # fmt: skip
"""The 19 actions of gfootball's set "default"; its set "v2" has one more, ``BUILTIN_AI``."""
BUILTIN_AI = 19
ENGINE_CODES = np.array([*range(13), 18, 20, 30, 14, 19, 31, 32], np.int32)
"""Action -> the number that the engine has for it."""
MIRRORED_ACTIONS = np.array([0, 5, 6, 7, 8, 1, 2, 3, 4, *range(9, 20)])
"""Action of a player who sees the pitch turned round -> the action that does it on the pitch."""
STICKY = (*ACTIONS[1:9], "sprint", "dribble")
"""What goes on until it is released: the columns of ``*_agent_sticky_actions``."""
_MIRRORED_STICKY = np.array([4, 5, 6, 7, 0, 1, 2, 3, 8, 9])

NORMAL, KICK_OFF, GOAL_KICK, FREE_KICK, CORNER, THROW_IN, PENALTY = range(7)
"""``game_mode``."""

_TEAM = ("", "_direction", "_tired_factor", "_active", "_yellow_card", "_roles", "_designated_player")
_WHOLE = ("_roles", "_designated_player", "score", "game_mode", "ball_owned_team", "ball_owned_player", "steps_left", "_controlled_player")


@cache
def frame_type(left: int, right: int, left_agents: int, right_agents: int = 0) -> np.dtype[np.void]:
    """The row of a game of ``left`` against ``right`` players, of whom ``left_agents`` and ``right_agents`` are controlled."""
    fields: list[tuple[str, str, tuple[int, ...]]] = [
        ("ball", "<f4", (3,)),
        ("ball_direction", "<f4", (3,)),
        ("ball_rotation", "<f4", (3,)),
    ]
    for side, count in (("left", left), ("right", right)):
        shapes = ((count, 2), (count, 2), (count,), (count,), (count,), (count,), ())
        fields += [(f"{side}_team{name}", "<f4", shape) for name, shape in zip(_TEAM, shapes, strict=True)]
    fields += [("score", "<f4", (2,))]
    fields += [(name, "<f4", ()) for name in ("game_mode", "ball_owned_team", "ball_owned_player", "steps_left")]
    for side, count in (("left", left_agents), ("right", right_agents)):
        fields += [(f"{side}_agent_controlled_player", "<f4", (count,)), (f"{side}_agent_sticky_actions", "<f4", (count, len(STICKY)))]
    return np.dtype(fields)


def mirrored(frames: np.ndarray) -> np.ndarray:
    """Frames [...] as the right team sees them: it has become the left one."""
    names, shape = frames.dtype.names, frames.dtype
    assert names is not None
    counts = [shape[f"{side}_team_roles"].shape[0] for side in ("right", "left")]
    agents = [shape[f"{side}_agent_controlled_player"].shape[0] for side in ("right", "left")]
    turned = np.empty(frames.shape, frame_type(*counts, *agents))
    other = {"left": "right", "right": "left"}
    for name in names:
        side, _, rest = name.partition("_")
        source = frames[f"{other[side]}_{rest}" if side in other else name]
        if name in ("ball", "ball_direction"):
            source = source * np.array([-1, -1, 1], np.float32)
        elif name in ("left_team", "right_team") or name.endswith("_team_direction"):
            source = -source
        elif name == "score":
            source = source[..., ::-1]
        elif name == "ball_owned_team":
            source = np.where(source < 0, source, 1 - source)
        elif name.endswith("_sticky_actions"):
            source = source[..., _MIRRORED_STICKY]
        turned[name] = source
    return turned


def raw_observations(frame: np.void) -> list[dict[str, Any]]:
    """One frame as gfootball's raw observations of the left agents: a mapping for each of them, float64 and whole numbers as there."""
    common: dict[str, Any] = {}
    for name in frame.dtype.names or ():
        if "_agent_" not in name:
            value = frame[name].astype(int if name.endswith(_WHOLE) else bool if name.endswith(("_active", "_yellow_card")) else np.float64)
            common[name] = value if value.ndim else value.item()
    designated = {side: common.pop(f"{side}_team_designated_player") for side in ("left", "right")}
    common |= {"score": common["score"].tolist(), "designated": designated["left"]}
    active, sticky = frame["left_agent_controlled_player"], frame["left_agent_sticky_actions"]
    return [{**common, "active": int(player), "sticky_actions": held.astype(np.uint8)} for player, held in zip(active, sticky, strict=True)]


def frames_of(observations: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Raw observations of the agents of one team, at one moment of one game, as a frame [1] of which they are the left agents.

    Takes what gfootball, Kaggle and ``raw_observations`` give: arrays or lists.

    Raises:
        KeyError, ValueError: a field is missing or has another size.
    """
    first = observations[0]
    frame = np.zeros(1, frame_type(len(first["left_team"]), len(first["right_team"]), len(observations)))
    for name in frame.dtype.names or ():
        if "_agent_" not in name and not name.endswith("_designated_player"):
            frame[name] = np.asarray(first[name], np.float32)
    frame["left_team_designated_player"], frame["right_team_designated_player"] = first.get("designated", -1), -1
    frame["left_agent_controlled_player"] = [observation["active"] for observation in observations]
    frame["left_agent_sticky_actions"] = [observation["sticky_actions"][: len(STICKY)] for observation in observations]
    return frame
