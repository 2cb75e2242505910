"""What SMACv2's enemies are told, and which actions of agents give no order."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from a2po.envs import make
from a2po.envs.smac import fields as f
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.filming import UNSEEN
from a2po.envs.smac.rules.enemies import CHASE_LOOPS

NORTH, FIRST = 2, 6
ROWS = np.array([4, 10, 16, 22, 28], np.float32)


def begun(task: str, copies: int = 1, **options: Any) -> StarCraftBattles:
    env = make(f"smacv2/{task}", copies, seed=1, num_threads=1, head_start=0, **options)
    env.reset()
    assert isinstance(env, StarCraftBattles)
    return env


def put(env: StarCraftBattles, unit: int, x: float, y: float) -> None:
    W = env.simulation.units[0]
    W[[f.X, f.NEXT_X], unit], W[[f.Y, f.NEXT_Y], unit] = x, y


def opposite(env: StarCraftBattles) -> None:
    """Every ally at the western edge, every enemy across from one of them, out of sight."""
    for unit in range(5):
        put(env, unit, 2, ROWS[unit])
        put(env, 5 + unit, 30, ROWS[unit])


def play(env: StarCraftBattles, until_trigger: bool) -> None:
    """Game loops up to the next one in which idle enemies are sent off, or that one too."""
    clock = env.simulation.marks[0, f.CLOCK]
    while clock[f.LOOP] % CHASE_LOOPS != clock[f.PHASE]:
        env.simulation.loop(UNSEEN)
    if not until_trigger:
        env.simulation.loop(UNSEEN)


def test_idle_enemies_chase_the_ally_that_is_nearest_then_until_it_is_dead() -> None:
    with closing(begun("protoss_5_vs_5")) as env:
        M = env.simulation.marks[0]
        opposite(env)
        play(env, until_trigger=True)
        assert (M[f.ORDER, 5:10] == f.GUARD).all()
        play(env, until_trigger=False)
        assert (M[f.ORDER, 5:10] == f.ATTACK).all() and M[f.ORDER_TARGET, 5:10].tolist() == [0, 1, 2, 3, 4]
        put(env, 4, 2, ROWS[0] + 3)
        put(env, 0, 16, ROWS[2])  # the first enemy's prey is the third one's nearest now
        for _ in range(2):
            play(env, until_trigger=False)
        assert M[f.ORDER_TARGET, 5:10].tolist() == [0, 1, 2, 3, 4]
        M[f.ALIVE, 0] = 0
        put(env, 0, f.FAR, f.FAR)
        env.simulation.loop(UNSEEN)
        assert M[f.ORDER, 5:10].tolist() == [f.GUARD, *[f.ATTACK] * 4]
        play(env, until_trigger=True)
        assert M[f.ORDER, 5] == f.GUARD
        play(env, until_trigger=False)
        assert M[f.ORDER, 5] == f.ATTACK and M[f.ORDER_TARGET, 5] in (1, 4)


def test_enemy_medivacs_fly_to_the_ally_that_is_nearest() -> None:
    with closing(begun("terran_5_vs_5")) as env:
        while not (env.simulation.marks[0, f.KIND, 5:10] == env.battle.row("medivac")).any():
            env.reset()
        W, M = env.simulation.units[0], env.simulation.marks[0]
        healer = 5 + int((M[f.KIND, 5:10] == env.battle.row("medivac")).argmax())
        opposite(env)
        for row in (ROWS[healer - 5], ROWS[healer - 5] - 1):  # and after it when it has walked
            put(env, healer - 5, 2, row)
            play(env, until_trigger=False)
            assert M[f.ORDER, healer] == f.ATTACK_MOVE and W[[f.GOAL_X, f.GOAL_Y], healer].tolist() == [2, row]


def test_the_moment_of_the_trigger_differs_from_battle_to_battle() -> None:
    with closing(begun("zerg_5_vs_5", 400)) as env:
        counts = np.bincount(env.simulation.marks[:, f.CLOCK, f.PHASE], minlength=CHASE_LOOPS)
        assert len(counts) == CHASE_LOOPS and counts.min() > 25 and counts.max() < 80


def order(env: StarCraftBattles, action: int) -> None:
    actions = np.full((env.num_envs, 5), action, np.int64)
    env.simulation.order(np.arange(env.num_envs), actions, UNSEEN)


def test_orders_to_targets_get_through_by_chance_and_the_others_always() -> None:
    with closing(begun("protoss_5_vs_5", 400, attack_probability=[0.2, 0.8])) as env:
        W, M = env.simulation.units, env.simulation.marks
        order(env, NORTH)
        assert (M[:, f.ORDER, :5] == f.MOVE).all()
        order(env, FIRST)
        came, chance = M[:, f.ORDER, :5] == f.ATTACK, W[:, f.ACCURACY, :5]
        assert ((M[:, f.ORDER, :5] == f.MOVE) | came).all() and chance.min() >= 0.2 and chance.max() <= 0.8
        for low in (0.2, 0.5):
            some = (chance >= low) & (chance < low + 0.3)
            assert came[some].mean() == pytest.approx(low + 0.15, abs=0.05)
        M[:, f.CLOCK, f.LOOP] += 8
        order(env, NORTH)
        order(env, FIRST)
        assert ((M[:, f.ORDER, :5] == f.ATTACK) != came).mean() > 0.3  # drawn anew for each step


def test_what_the_mask_shows_out_of_range_is_not_done() -> None:
    with closing(begun("protoss_5_vs_5", action_mask=False)) as env:
        M = env.simulation.marks[0]
        opposite(env)
        put(env, 3, 28.5, ROWS[0])  # beside the first enemy
        order(env, NORTH)
        order(env, FIRST)
        assert M[f.ORDER, :5].tolist() == [*[f.MOVE] * 3, f.ATTACK, f.MOVE] and M[f.ORDER_TARGET, 3] == 5


def test_a_turn_of_the_cone_leaves_the_order_in_force() -> None:
    with closing(begun("protoss_5_vs_5", conic_fov=True, num_fov_actions=8)) as env:
        W, M = env.simulation.units[0], env.simulation.marks[0]
        order(env, NORTH)
        order(env, FIRST + 2)  # of eight: a quarter
        assert (M[f.ORDER, :5] == f.MOVE).all() and (M[f.LAST_ACTION, :5] == FIRST + 2).all()
        np.testing.assert_allclose(W[[f.VIEW_X, f.VIEW_Y], :5], [[0] * 5, [1] * 5], atol=1e-6)
        order(env, FIRST + 8)  # the first target
        assert (M[f.ORDER, :5] == f.ATTACK).all()
