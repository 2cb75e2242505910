"""How steps of a football game are scored: goals, checkpoints on the way there, and the set of the A2PO paper's code for 5 against 5."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from a2po.envs.football.encoder import zones

__all__ = ["CHECKPOINT_REWARD", "SHAPED_WEIGHTS", "THRESHOLDS", "Rewards"]

CHECKPOINT_REWARD = 0.1
THRESHOLDS = 0.99 - 0.8 / 9 * np.arange(10)
"""Distances to the opponents' goal at which the ten checkpoints are collected, the first one first."""
SHAPED_WEIGHTS = {"goal": 5.0, "win": 5.0, "yellow_card": 1.0, "zone": 1.0, "possession": 1.0, "distance": 0.0}
"""What ``shaped`` is made of:

    goal         +1 for ours, -1 for theirs
    win          the lead when time is up; 0 where there is none
    yellow_card  +1 for each of theirs, -1 for each of ours
    zone         by how much the ball's zone is worth more than before; a goal from the box nets 5 - 2, as the ball goes back to the centre
    possession   +0.1 where the ball went from their player to ours without being free in between, -0.1 the other way
    distance     how much nearer the ball is to their goal than to ours
"""
_POSSESSION = 0.1
_ZONE_WORTH = np.array([-2.0, -1.0, 0.0, 2.0, 1.0, 0.0])  # in the order of ZONES
_OURS, _THEIRS = 0, 1
_OUR_GOAL, _THEIR_GOAL = np.array([-1.0, 0.0]), np.array([1.0, 0.0])


class Rewards:
    """The rewards of N agents in B games.

    Args:
        names: any of ``scoring``, ``checkpoints`` and ``shaped``; what they pay is added up.
        num_envs: B.
        num_agents: N.
        weights: in place of some of ``SHAPED_WEIGHTS``.
    """

    def __init__(self, names: Collection[str], num_envs: int, num_agents: int, weights: Mapping[str, float] | None = None) -> None:
        self._names, self._weights = frozenset(names), {**SHAPED_WEIGHTS, **(weights or {})}
        assert self._names <= {"scoring", "checkpoints", "shaped"} and self._weights.keys() == SHAPED_WEIGHTS.keys()
        self._collected = np.zeros((num_envs, num_agents), np.int64)
        self.arrays = {"checkpoints": self._collected}
        """What later rewards depend on, to be saved: the checkpoints that each agent has collected."""
        self.time_limit_ends = "shaped" in self._names and self._weights["win"] != 0.0
        """The end of the time is an end of the task: winning is paid there."""

    def begin(self, copies: Sequence[int] | np.ndarray) -> None:
        """Episodes begin in ``copies`` [K]."""
        self._collected[copies] = 0

    def step(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """What the step from frames ``before`` [B] to ``after`` [B] pays each agent: float64 [B, N]."""
        goals = _lead(after) - _lead(before)
        reward = np.zeros(self._collected.shape)
        if "scoring" in self._names:
            reward += goals[:, None]
        if "checkpoints" in self._names:
            reward += CHECKPOINT_REWARD * self._newly_collected(goals, after)
        if "shaped" in self._names:
            reward += self._shaped(goals, before, after)[:, None]
        return reward

    def _newly_collected(self, goals: np.ndarray, after: np.ndarray) -> np.ndarray:
        """How many checkpoints each agent has collected in this step: int64 [B, N]. Our goal gives everybody the rest."""
        owns = (after["ball_owned_team"] == _OURS)[:, None] & (after["left_agent_controlled_player"] == after["ball_owned_player"][:, None])
        reached = (_distance(_ball(after), _THEIR_GOAL)[:, None] <= THRESHOLDS).sum(axis=1)
        reached = np.where(goals == 1, len(THRESHOLDS), reached)[:, None]
        new = np.where(owns | (goals == 1)[:, None], np.maximum(reached - self._collected, 0), 0)
        self._collected += new
        return new

    def _shaped(self, goals: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """The weighted sum of the paper's terms: [B]."""
        owner, previous = after["ball_owned_team"], before["ball_owned_team"]
        won, lost = (previous == _THEIRS) & (owner == _OURS), (previous == _OURS) & (owner == _THEIRS)
        terms = {
            "goal": goals,
            "win": np.where(after["steps_left"] == 0, np.maximum(_lead(after), 0.0), 0.0),
            "yellow_card": _cards(after) - _cards(before),
            "zone": _ZONE_WORTH[zones(_ball(after))] - _ZONE_WORTH[zones(_ball(before))],
            "possession": _POSSESSION * (won.astype(np.float64) - lost),
            "distance": _distance(_ball(after), _OUR_GOAL) - _distance(_ball(after), _THEIR_GOAL),
        }
        return np.asarray(sum(self._weights[name] * term for name, term in terms.items()))


def _lead(frames: np.ndarray) -> np.ndarray:
    """Our goals less theirs: float64 [B]."""
    score = np.asarray(frames["score"], np.float64)
    return np.asarray(score[:, 0] - score[:, 1])


def _cards(frames: np.ndarray) -> np.ndarray:
    """Their yellow cards less ours: [B]."""
    ours, theirs = (frames[f"{side}_team_yellow_card"].sum(axis=1, dtype=np.float64) for side in ("left", "right"))
    return np.asarray(theirs - ours)


def _ball(frames: np.ndarray) -> np.ndarray:
    """Where it is on the pitch: float64 [B, 2]."""
    return np.asarray(frames["ball"][:, :2], np.float64)


def _distance(places: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """From places [B, 2]: [B]."""
    return np.asarray(np.sqrt(np.square(places - goal).sum(axis=1)))
