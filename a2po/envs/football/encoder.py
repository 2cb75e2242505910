"""What an agent sees of a football frame, as numbers: the features of the A2PO paper's code, and which actions it may take. Numpy only.

Sums, roots and comparisons run in float64, as they do there, and only the result is float32: so it is equal in every bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from a2po.envs.football.frames import ACTIONS, CORNER, GOAL_KICK, PENALTY, frame_type
from a2po.envs.football.scenarios import ROLES
from a2po.errors import ObservationError

__all__ = ["NEAR", "STEPS_PER_PERIOD", "ZONES", "Encoder", "zones"]

NEAR = 0.03
"""A ball that is further away cannot be played."""
STEPS_PER_PERIOD = 500
"""With ``match``, an agent sees in which period of this length the game is."""
ZONES = ("own box", "own part", "middle", "opponents' box", "opponents' part", "elsewhere")

_GAME_MODES = ("normal", "kick-off", "goal kick", "free kick", "corner", "throw-in", "penalty")
_BALL = (
    "x", "y", "z", *(f"in {zone}" for zone in ZONES), "x from agent", "y from agent", "velocity x", "velocity y", "velocity z", "speed",
    "distance", "owned", "owned by team",
)  # fmt: skip
_AGENT = (
    "x", "y", "velocity x", "velocity y", "speed", *(f"is {role}" for role in ROLES), "is far from ball", "tiredness", "dribbles",
    "sprints",
)  # fmt: skip
_PLAYER = ("x", "y", "velocity x", "velocity y", "speed", "distance", "tiredness")
_SCALES = np.array([2.0, 2.0, 100.0, 100.0, 100.0, 1.0, 1.0])  # of a row of _PLAYER; its distance has its own
_OWN_SCALES = np.array([0.5, 0.5, 1.0, 1.0, 1.0])  # what is left of them in _AGENT

# Borders between zones along x and |y|. A border begins what lies behind it, but the three on the right still belong to what lies before.
_BORDERS_X = np.array([-1.0, -0.64, -0.2, *np.nextafter([0.2, 0.64, 1.0], 2.0)])
_BORDERS_Y = np.array([0.27, 0.42])
_ZONE = np.array([[5, 5, 5], [0, 1, 5], [1, 1, 5], [2, 2, 5], [4, 4, 5], [3, 4, 5], [5, 5, 5]])  # by x from behind our goal, by |y|

_ZONE_ROWS, _ROLE_ROWS, _MODE_ROWS = np.eye(len(ZONES)), np.eye(len(ROLES)), np.eye(len(_GAME_MODES))
_ACTION_ROWS = np.eye(len(ACTIONS) + 1, len(ACTIONS))  # row -1, for no action yet, is zero
_DIRECTIONS, _SPRINT, _DRIBBLE = slice(8), 8, 9  # columns of the sticky actions
_NUMBER = {action: number for number, action in enumerate(ACTIONS)}
_SET_PLAY = np.isin(ACTIONS, ("idle", "long_pass", "high_pass", "short_pass"))
_PENALTY_SHOT = np.isin(ACTIONS, ("idle", "shot"))


def zones(ball: np.ndarray) -> np.ndarray:
    """In which of ``ZONES`` balls [..., 2 or 3], float64, lie: indices [...]."""
    along = _BORDERS_X.searchsorted(ball[..., 0], side="right")
    return np.asarray(_ZONE[along, _BORDERS_Y.searchsorted(np.abs(ball[..., 1]), side="right")])


class _Sight(NamedTuple):
    """What both features and masks look at."""

    values: np.ndarray  # float64 [B, F]: the frames' columns
    player: np.ndarray  # [B, N]: whom each agent controls
    offset: np.ndarray  # [B, N, 2]: from him to the ball
    distance: np.ndarray  # [B, N]


class Encoder:
    """Features and masks of the left agents of any number of games; keeps no state.

    Args:
        left: players of the own team.
        right: players of the other team.
        agents: controlled players of the own team.
        match: add the score, the period and the game mode.
        agent_id: add which player of the team the agent is, one-hot.
        masks_in: add the mask.
        last_action: add the last action, one-hot.
        duration: steps of a game, for ``match``.
    """

    def __init__(
        self, left: int, right: int, agents: int, *, match: bool = False, agent_id: bool = False, masks_in: bool = False,
        last_action: bool = False, duration: int = 3000,
    ) -> None:  # fmt: skip
        self._left, self._right, self._agents = left, right, agents
        self._periods = -(-duration // STEPS_PER_PERIOD)
        blocks = {
            "ball": [f"ball {name}" for name in _BALL],
            "closest mate": [f"closest mate {name}" for name in _PLAYER],
            "mates": [f"mate {mate} {name}" for mate in range(1, left) for name in _PLAYER],
            "match": [
                *("goals", "goals against", *(f"period {periods} from the end" for periods in range(self._periods))),
                *(f"mode is {mode}" for mode in _GAME_MODES),
            ] if match else [],
            "agent": [f"agent {name}" for name in _AGENT],
            "agent id": [f"agent is player {player}" for player in range(left)] if agent_id else [],
            "mask": [f"agent may {action}" for action in ACTIONS] if masks_in else [],
            "closest opponent": [f"closest opponent {name}" for name in _PLAYER],
            "opponents": [f"opponent {opponent} {name}" for opponent in range(1, right + 1) for name in _PLAYER],
            "last action": [f"agent did {action}" for action in ACTIONS] if last_action else [],
        }  # fmt: skip
        self.feature_names = tuple(name for names in blocks.values() for name in names)
        """What each of the O columns is."""
        self.size = len(self.feature_names)
        """O."""
        ends = np.cumsum([len(names) for names in blocks.values()]).tolist()
        self._columns = {block: slice(end - len(names), end) for (block, names), end in zip(blocks.items(), ends, strict=True) if names}
        self._kind = frame_type(left, right, agents)
        self._at = {name: field[1] // 4 for name, field in (self._kind.fields or {}).items()}  # in floats
        self._rows = np.array([self._row(side, player) for side, count in (("left", left), ("right", right)) for player in range(count)])
        everyone = np.arange(left + right)
        self._order = np.array([[player, *np.delete(everyone, player)] for player in range(left)])  # the agent itself comes first

    def features(self, frames: np.ndarray, last_actions: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """What the left agents of frames [B] see: float32 [B, N, O].

        Args:
            frames: of ``frame_type``; the right team may have agents, too.
            last_actions: [B, N], -1 where there was none yet; None: nowhere was one. For ``last_action``.
            out: to be filled and returned.

        Raises:
            ObservationError: the frames show other team sizes.
        """
        sight = self._look(frames)
        features = np.empty((*sight.player.shape, self.size), np.float32) if out is None else out
        players = self._players(sight)
        self._put_ball(sight, features[..., self._columns["ball"]])
        self._put_team(players[:, :, 1 : self._left], features, "closest mate", "mates")
        self._put_agent(sight, players[:, :, 0], features[..., self._columns["agent"]])
        self._put_team(players[:, :, self._left :], features, "closest opponent", "opponents")
        for block, columns in self._columns.items():
            match block:
                case "match":
                    self._put_match(sight.values, features[..., columns])
                case "agent id":
                    features[..., columns] = np.eye(self._left)[sight.player]
                case "mask":
                    features[..., columns] = self._masks(sight)
                case "last action":
                    features[..., columns] = 0.0 if last_actions is None else _ACTION_ROWS[last_actions]
        return features

    def masks(self, frames: np.ndarray) -> np.ndarray:
        """Which actions the left agents of frames [B] may take: bool [B, N, 19].

        Raises:
            ObservationError: the frames show other team sizes.
        """
        return self._masks(self._look(frames))

    def _row(self, side: str, player: int) -> tuple[int, ...]:
        """The frame's columns for a player's row of ``_PLAYER``: for the speed something, which is replaced; for the distance his role."""
        place, velocity = (self._at[f"{side}_team{name}"] + 2 * player for name in ("", "_direction"))
        role, tiredness = (self._at[f"{side}_team_{name}"] + player for name in ("roles", "tired_factor"))
        return place, place + 1, velocity, velocity + 1, velocity, role, tiredness

    def _look(self, frames: np.ndarray) -> _Sight:
        if frames.dtype is not self._kind:
            self._check(frames.dtype)
        values = np.ascontiguousarray(frames).view(np.float32).reshape(len(frames), -1).astype(np.float64)
        player = self._agent_values(values, "controlled_player", 1)[..., 0].astype(np.intp)
        places = values[:, self._at["left_team"] :][:, : 2 * self._left].reshape(-1, self._left, 2)
        offset = values[:, None, :2] - places[np.arange(len(frames))[:, None], player]
        return _Sight(values, player, offset, _length(offset))

    def _check(self, kind: np.dtype[np.void]) -> None:
        fields = ("left_team_roles", "right_team_roles", "left_agent_controlled_player")
        left, right, agents = (kind[name].shape[0] for name in fields)
        if (left, right, agents) != (self._left, self._right, self._agents):
            raise ObservationError(
                f"the game is {left} against {right} with {agents} agents; what is to be encoded are {self._left} against {self._right} "
                f"with {self._agents} agents"
            )

    def _agent_values(self, values: np.ndarray, name: str, width: int) -> np.ndarray:
        """One field of the left agents: [B, N, width]."""
        start = self._at[f"left_agent_{name}"]
        return np.reshape(values[:, start : start + width * self._agents], (-1, self._agents, width))

    def _players(self, sight: _Sight) -> np.ndarray:
        """Rows of ``_PLAYER`` [B, N, n + m, 7]: of each agent, his mates and his opponents. The agent's own distance is his role."""
        rows = sight.values.take(self._rows, axis=1)
        rows[..., 4] = _length(rows[..., 2:4])
        rows *= _SCALES
        players: np.ndarray = rows[np.arange(len(rows))[:, None, None], self._order[sight.player]]
        players[:, :, 1:, 5] = _length(players[:, :, 1:, :2] - players[:, :, :1, :2])  # doubled, as the places are
        return players

    def _put_ball(self, sight: _Sight, out: np.ndarray) -> None:
        values = sight.values[:, None]
        out[..., 0:3] = values[..., 0:3]
        out[..., 3:9] = _ZONE_ROWS[zones(values)]
        out[..., 9:11] = sight.offset
        out[..., 11:14] = values[..., 3:6] * 20.0
        out[..., 14] = _length(values[..., 3:5]) * 20.0
        out[..., 15] = sight.distance
        owner = values[..., self._at["ball_owned_team"]]
        out[..., 16] = owner != -1.0
        out[..., 17] = owner == 0.0

    def _put_agent(self, sight: _Sight, own: np.ndarray, out: np.ndarray) -> None:
        sticky = self._agent_values(sight.values, "sticky_actions", 10)
        out[..., 0:5] = own[..., 0:5] * _OWN_SCALES
        out[..., 5:15] = _ROLE_ROWS[own[..., 5].astype(np.intp)]
        out[..., 15] = sight.distance > NEAR
        out[..., 16] = own[..., 6]
        out[..., 17] = sticky[..., _DRIBBLE]
        out[..., 18] = sticky[..., _SPRINT]

    def _put_team(self, team: np.ndarray, features: np.ndarray, closest: str, block: str) -> None:
        """A team's rows [B, N, players, 7], and once more the closest player's."""
        games, agents, players, _ = team.shape
        if not players:  # an agent who plays alone
            features[..., self._columns[closest]] = 0.0
            return
        features[..., self._columns[block]] = team.reshape(games, agents, -1)
        first = team[..., 5].argmin(axis=-1)
        features[..., self._columns[closest]] = team[np.arange(games)[:, None], np.arange(agents), first]

    def _put_match(self, values: np.ndarray, out: np.ndarray) -> None:
        period = np.minimum(values[:, self._at["steps_left"]] // STEPS_PER_PERIOD, self._periods - 1).astype(np.intp)
        mode = values[:, self._at["game_mode"]].astype(np.intp)
        score = values[:, self._at["score"] :][:, :2]
        out[...] = np.concatenate((score, np.eye(self._periods)[period], _MODE_ROWS[mode]), axis=1)[:, None]

    def _masks(self, sight: _Sight) -> np.ndarray:
        values, at = sight.values, self._at
        x, width, mode = values[:, 0:1], np.abs(values[:, 1:2]), values[:, at["game_mode"]]
        sticky = self._agent_values(values, "sticky_actions", 10) != 0.0
        theirs = values[:, at["ball_owned_team"], None] == 1.0
        near = sight.distance <= NEAR
        plays, in_front = near & ~theirs, (x >= 0.64) & (width <= 0.27)
        long_passes = plays & ~(in_front & (x <= 1.0))
        mask = np.ones((*near.shape, len(ACTIONS)), np.bool_)
        for action, allowed in (
            ("long_pass", long_passes), ("high_pass", long_passes), ("short_pass", plays), ("shot", plays & in_front), ("dribble", plays),
            ("sliding", near & theirs & ~sticky[..., _DRIBBLE]), ("release_direction", sticky[..., _DIRECTIONS].any(axis=-1)),
            ("release_sprint", sticky[..., _SPRINT]), ("release_dribble", sticky[..., _DRIBBLE]),
        ):  # fmt: skip
            mask[..., _NUMBER[action]] = allowed
        if mode.any():  # our set plays come before everything else
            x = x[:, 0]
            mask[((mode == GOAL_KICK) & (x < -0.7)) | ((mode == CORNER) & (x > 0.9))] = _SET_PLAY
            mask[(mode == PENALTY) & (x > 0.6)] = _PENALTY_SHOT
        return mask


def _length(vectors: np.ndarray) -> np.ndarray:
    """Of vectors [..., 2]: [...]."""
    squares = vectors * vectors
    return np.asarray(np.sqrt(squares[..., 0] + squares[..., 1]))
