"""Rewards, ends of episodes and control costs of all copies at once, number for number as Gymnasium's ``*-v5``.

The order of every addition is Gymnasium's: float64 results are equal to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from a2po.envs.mamujoco.rows import RowLayout
from a2po.envs.mamujoco.scenarios import Range, Scenario


class Score(NamedTuple):
    """What one step was worth, for every copy."""

    reward: np.ndarray  # float64 [B]
    terminated: np.ndarray  # bool [B]
    control_cost: np.ndarray  # float64 [B]


class Referee:
    """Scores steps of one scenario."""

    def __init__(self, scenario: Scenario, model: mujoco.MjModel, layout: RowLayout, always_bonus: bool) -> None:
        self._rule = scenario.reward
        self._always_bonus = always_bonus
        self._fields = layout.fields
        self._contact_clip = scenario.contact_clip
        self._timestep = float(model.opt.timestep)
        self._seconds = self._timestep * scenario.frame_skip
        self._mass = np.array(model.body_mass)
        self._total_mass = self._mass.sum()

    def position(self, rows: np.ndarray) -> np.ndarray:
        """[B] where the robot is along x (Standup: its height); the difference of two of them makes the reward."""
        if self._rule.progress == "torso":
            return rows[:, self._fields["xpos"].start + 3].copy()  # body 1, x
        if self._rule.progress == "center_of_mass":
            centers = rows[:, self._fields["xipos"]][:, ::3]  # x of every body, [B, bodies]
            # accumulate adds body after body, as Gymnasium's einsum does; sum would pair them up and round differently
            center: np.ndarray = np.add.accumulate(self._mass * centers, axis=1)[:, -1] / self._total_mass
            return center
        return rows[:, self._fields["qpos"].start + (2 if self._rule.progress == "height" else 0)].copy()

    def score(self, rows: np.ndarray, control: np.ndarray, before: np.ndarray, after: np.ndarray) -> Score:
        """Score one step. ``control``: float64 [B, actuators]; ``before``, ``after``: [B] positions around the step."""
        rule = self._rule
        control_cost = rule.control_cost * np.square(control).sum(axis=1)
        contact_cost = self._contact_cost(rows)
        if rule.progress == "height":
            reward = after / self._timestep - control_cost - contact_cost + 1
            return Score(reward, np.zeros(len(rows), bool), control_cost)
        healthy = self._healthy(rows)
        bonus = rule.healthy_bonus if self._always_bonus else healthy * rule.healthy_bonus
        reward = rule.forward * ((after - before) / self._seconds) + bonus - (control_cost + contact_cost)
        return Score(reward, ~healthy, control_cost)

    def _contact_cost(self, rows: np.ndarray) -> np.ndarray | float:
        if "cfrc_ext" not in self._fields or self._rule.contact_cost == 0.0:
            return 0.0
        forces = rows[:, self._fields["cfrc_ext"]]
        if self._contact_clip is not None:
            forces = np.clip(forces, -self._contact_clip, self._contact_clip)
        cost: np.ndarray = self._rule.contact_cost * np.square(forces).sum(axis=1)
        limited: np.ndarray = np.minimum(cost, self._rule.max_contact_cost)
        return limited

    def _healthy(self, rows: np.ndarray) -> np.ndarray:
        rule, qpos = self._rule, rows[:, self._fields["qpos"]]
        if rule.healthy_height is None:
            return np.ones(len(rows), bool)
        if rule.closed_range:  # Ant: a free joint, whose height is qpos[2]
            low, high = rule.healthy_height
            finite = np.isfinite(qpos).all(axis=1) & np.isfinite(rows[:, self._fields["qvel"]]).all(axis=1)
            healthy: np.ndarray = finite & (low <= qpos[:, 2]) & (qpos[:, 2] <= high)
            return healthy
        if rule.healthy_angle is None:  # Humanoid, likewise
            return _inside(qpos[:, 2], rule.healthy_height)
        healthy = _inside(qpos[:, 1], rule.healthy_height) & _inside(qpos[:, 2], rule.healthy_angle)
        if rule.healthy_state is not None:  # Hopper: everything but x and height
            healthy &= _inside(qpos[:, 2:], rule.healthy_state).all(axis=1)
            healthy &= _inside(rows[:, self._fields["qvel"]], rule.healthy_state).all(axis=1)
        return healthy


def _inside(values: np.ndarray, limits: Range) -> np.ndarray:
    inside: np.ndarray = (limits[0] < values) & (values < limits[1])
    return inside
