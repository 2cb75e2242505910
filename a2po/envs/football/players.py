"""A scripted player of football tasks: enough football to show passes, shots and goals, and no more."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from a2po.envs.football.frames import ACTIONS
from a2po.envs.play import Act
from a2po.envs.protocol import Observations, VectorEnv
from a2po.envs.scripted import ScriptedPlayer

IDLE, SHORT_PASS, SHOT = (ACTIONS.index(name) for name in ("idle", "short_pass", "shot"))
TOWARDS = np.array([ACTIONS.index(name) for name in (
    "right", "bottom_right", "bottom", "bottom_left", "left", "top_left", "top", "top_right",
)])  # fmt: skip
"""The direction for each eighth of a circle, from straight ahead downwards."""
GOAL = np.array([1.0, 0.0])
SHOOTS_FROM, SHOOTS_WITHIN = 0.68, 0.24
"""He shoots beyond this x and this near to the middle."""
PRESSED = 0.12
"""An opponent this near makes him turn to a team-mate and pass."""
PASSES_WITHIN = 0.5
"""And how far that may be."""
LANE = 0.22
"""Who does not have the ball keeps to a lane of his own, between this far above and below the middle."""
AHEAD, BEHIND = 0.12, 0.2
"""How far before the ball they wait when we have it, and behind it when we do not."""


def passer(env: VectorEnv, seed: int) -> Act:
    """Runs at the goal, passes to the freest where an opponent is near, shoots from the box; without the ball, the nearest goes for it."""
    from a2po.envs.football.environment import Football

    assert isinstance(env, Football)

    def act(observations: Observations, begun: Tensor | None) -> Tensor:
        assert observations.action_mask is not None
        wished = _wishes(env.frames)
        legal = observations.action_mask.cpu().numpy()
        chosen = np.full(wished.shape[:2], IDLE)
        for wish in reversed(range(wished.shape[2])):  # the first that is legal counts
            allowed = np.take_along_axis(legal, wished[..., wish : wish + 1], axis=2)[..., 0]
            chosen = np.where(allowed, wished[..., wish], chosen)
        return torch.from_numpy(chosen).to(env.device)

    return act


def _wishes(frames: np.ndarray) -> np.ndarray:
    """int64 [B, N, 3]: what each agent would like to do, the dearest first."""
    ball, mates, opponents = frames["ball"][:, None, :2], frames["left_team"], frames["right_team"]
    player = frames["left_agent_controlled_player"].astype(int)
    place = np.take_along_axis(mates, player[..., None], axis=1)
    ours = (frames["ball_owned_team"] == 0)[:, None]
    has_ball = ours & (frames["ball_owned_player"][:, None] == player)
    away = np.linalg.norm(place - ball, axis=-1)
    nearest = away == away.min(axis=1, keepdims=True)
    lane = np.linspace(-LANE, LANE, player.shape[1])
    waiting = np.stack(np.broadcast_arrays(np.clip(ball[..., 0] + np.where(ours, AHEAD, -BEHIND), -0.9, 0.9), lane), axis=-1)
    target = np.where(has_ball[..., None], GOAL, np.where((nearest & ~ours)[..., None], ball, waiting))
    shoots = has_ball & (place[..., 0] > SHOOTS_FROM) & (np.abs(place[..., 1]) < SHOOTS_WITHIN)
    passes = has_ball & ~shoots & (_room(place, opponents) < PRESSED)
    run = _direction(np.where(passes[..., None], _freest(place, player, mates, opponents), target) - place)
    faces = np.take_along_axis(frames["left_agent_sticky_actions"], run[..., None] - 1, axis=-1)[..., 0] > 0
    first = np.where(shoots, SHOT, np.where(passes & faces, SHORT_PASS, run))
    return np.stack([first, run, np.full_like(run, SHORT_PASS)], axis=-1)


def _direction(offset: np.ndarray) -> np.ndarray:
    """The action that goes most nearly that way: [..., 2] -> [...]."""
    angle = np.arctan2(offset[..., 1], offset[..., 0])
    found: np.ndarray = TOWARDS[np.rint(angle / (np.pi / 4)).astype(int) % 8]
    return found


def _room(places: np.ndarray, opponents: np.ndarray) -> np.ndarray:
    """[B, K]: how far the next opponent is from each of the places [B, K, 2]."""
    room: np.ndarray = np.linalg.norm(places[:, :, None] - opponents[:, None], axis=-1).min(axis=2)
    return room


def _freest(place: np.ndarray, player: np.ndarray, mates: np.ndarray, opponents: np.ndarray) -> np.ndarray:
    """[B, N, 2]: where the team-mate is who has most room, those before the goalkeeper and not too far away."""
    away = np.linalg.norm(mates[:, None] - place[:, :, None], axis=-1)
    others = (np.arange(mates.shape[1]) != player[..., None]) & (np.arange(mates.shape[1]) > 0) & (away < PASSES_WITHIN)
    score = np.where(others, _room(mates, opponents)[:, None] + 0.2 * mates[:, None, :, 0], -np.inf)
    return np.take_along_axis(mates, score.argmax(axis=2)[..., None], axis=1)


PASSER = ScriptedPlayer(passer)
