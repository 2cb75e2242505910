"""What SMACv2's battles pay, and how they end, where that is not as in SMAC's."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.protocol import Step
from a2po.envs.smac import fields as f
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.units import KINDS

STOP = 1


def stand(env: StarCraftBattles) -> Step:
    """A step in which agents stop, and the dead do nothing."""
    return env.step(torch.from_numpy(np.where(env._mask[:, :, STOP], STOP, 0)))


def apart(env: StarCraftBattles) -> tuple[np.ndarray, np.ndarray]:
    """The memory of the first battle, with its sides so far from each other that nobody fights in the next step."""
    W, M = env.simulation.units[0], env.simulation.marks[0]
    W[f.X, :5], W[f.X, 5:10] = 2.0, 30.0
    W[f.NEXT_X, :10] = W[f.X, :10]
    return W, M


@pytest.mark.parametrize(("options", "sign"), [({}, 0), ({"reward_only_positive": False}, -1)])
def test_what_enemies_get_back_pays_nothing(options: dict[str, bool], sign: int) -> None:
    with closing(make("smacv2/protoss_5_vs_5", 1, seed=1, num_threads=1, reward_scale=False, **options)) as env:
        env.reset()
        W, M = apart(env)
        W[[f.SHIELD, f.BEFORE], 5] -= 20
        M[f.CALM, 5] = 0
        before = W[f.SHIELD, 5]
        reward, grown = float(stand(env).reward[0]), W[f.SHIELD, 5] - before
        assert grown > 0.5 and reward == pytest.approx(sign * grown, abs=1e-3)


def test_what_enemies_get_back_is_taken_off_what_they_lose() -> None:
    with closing(make("smacv2/protoss_5_vs_5", 1, seed=1, num_threads=1, reward_scale=False)) as env:
        env.reset()
        W, M = apart(env)
        W[[f.SHIELD, f.BEFORE], 5] -= 20
        M[f.CALM, 5] = 0
        W[f.HP, 6] -= 7
        before = W[f.SHIELD, 5]
        assert float(stand(env).reward[0]) == pytest.approx(7 - (W[f.SHIELD, 5] - before), abs=1e-3)


@pytest.mark.parametrize(("healers", "won", "lost"), [(range(7, 10), True, False), (range(3, 5), False, True)])
def test_healers_alone_are_beaten_however_many(healers: range, won: bool, lost: bool) -> None:
    with closing(make("smacv2/terran_5_vs_5", 1, seed=1, num_threads=1, reward_sparse=True, reward_scale=False)) as env:
        env.reset()
        W, M = apart(env)
        side = range(5, 10) if won else range(5)
        for column in side:
            if column in healers:
                M[f.KIND, column] = KINDS.index("medivac")
            else:
                M[f.ALIVE, column] = 0
                W[[f.X, f.Y, f.NEXT_X, f.NEXT_Y], column] = f.FAR
        step = stand(env)
        assert bool(step.terminated[0]) and float(step.reward[0]) == won - lost
