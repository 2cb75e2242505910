"""Agents that die before their life is over: SMACv2's option ``health_level``."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import torch

from a2po.envs import make
from a2po.envs.smac import fields as f

STOP = 1


def test_an_agent_that_begins_a_step_below_its_level_dies_in_that_step():
    with closing(make("smacv2/protoss_5_vs_5", 1, seed=1, health_level=[0.5, 0.5], head_start=0)) as env:
        env.reset()
        W, M = env.simulation.units[0], env.simulation.marks[0]
        W[f.X, 5:10] = np.float32(60.0)  # nobody fights
        W[f.HP, 0], W[f.HP, 1] = 0.5 * W[f.HP_MAX, 0] - 1, 0.5 * W[f.HP_MAX, 1]
        env.step(torch.full((1, 5), STOP))
        assert M[f.ALIVE, :5].tolist() == [0, 1, 1, 1, 1]  # whatever is left of its shield


def test_who_falls_below_its_level_in_a_step_lives_to_see_the_next():
    with closing(make("smacv2/terran_5_vs_5", 1, seed=1, health_level=[0.9, 0.9])) as env:
        seen = env.reset()
        W, M = env.simulation.units[0], env.simulation.marks[0]
        fallen = np.zeros(5, bool)
        for _ in range(60):
            alive = M[f.ALIVE, :5] == 1
            frail = alive & (W[f.HP, :5] < 0.9 * W[f.HP_MAX, :5])
            seen = env.step(torch.where(seen.action_mask[..., STOP], STOP, 0)).observations
            if env.drain_episodes():
                break
            assert not (frail & (M[f.ALIVE, :5] == 1)).any()
            fallen |= frail
        assert fallen.any()
