"""Exactly solvable tasks: their dynamics, their optima, and that memory is what the memory task asks for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from a2po.envs import make, optimum
from a2po.envs.matrix import GAMES
from a2po.envs.tabular.chance import uniform
from a2po.envs.tabular.dec_mdp import START, TWO_STATES
from a2po.envs.tabular.exact import best_returns, best_values, policy_values
from a2po.errors import TaskError


def play(env, act, steps: int) -> float:
    """Mean return of the episodes that ended within ``steps``; ``act``: observations -> [B, N]."""
    now = env.reset()
    for _ in range(steps):
        now = env.step(act(now)).observations
    return float(np.mean([record["return"] for record in env.drain_episodes()]))


def test_the_dec_mdp_moves_and_pays_as_its_tables_say() -> None:
    env = make("tabular/dec_mdp", 2000, length=1000, seed=3)
    generator = torch.Generator().manual_seed(0)
    states = env.reset().state.argmax(-1)
    assert abs(float((states == 0).float().mean()) - START[0]) < 0.04
    visits = np.zeros((2, 2, 2, 2))
    for _ in range(50):
        actions = torch.randint(0, 2, (2000, 2), generator=generator)
        step = env.step(actions)
        here = (states.numpy(), actions[:, 0].numpy(), actions[:, 1].numpy())
        assert np.array_equal(step.reward.numpy(), TWO_STATES.rewards[here].astype(np.float32))
        states = step.observations.state.argmax(-1)
        np.add.at(visits, (*here, states.numpy()), 1)
    frequencies = visits / visits.sum(-1, keepdims=True)
    assert np.abs(frequencies - TWO_STATES.transitions).max() < 0.02  # about four standard errors of 10,000 visits


def test_the_dec_mdp_is_cut_and_never_over() -> None:
    env = make("tabular/dec_mdp", 3, length=4)
    env.reset()
    for time in range(1, 9):
        step = env.step(torch.zeros(3, 2, dtype=torch.int64))
        assert not step.terminated.any() and bool(step.truncated.all()) == (time % 4 == 0)


def stationary_policies() -> list[np.ndarray]:
    """All 16 joint policies [S, A, C] that choose an action of each agent per state."""
    tables = []
    for actions in itertools.product(range(2), repeat=4):
        table = np.zeros((2, 2, 2))
        table[0, actions[0], actions[1]] = table[1, actions[2], actions[3]] = 1.0
        tables.append(table)
    return tables


def test_value_iteration_finds_the_best_of_all_policies() -> None:
    values = np.stack([policy_values(TWO_STATES, policy) for policy in stationary_policies()])
    assert np.abs(best_values(TWO_STATES) - values.max(axis=0)).max() < 1e-9


def test_the_optimum_of_the_dec_mdp_is_reached_and_not_passed() -> None:
    def expected(policy: np.ndarray) -> float:
        moves, rewards = np.einsum("sac,sact->st", policy, TWO_STATES.transitions), (policy * TWO_STATES.rewards).sum((1, 2))
        values = np.zeros(2)
        for _ in range(100):
            values = rewards + moves @ values
        return float(START @ values)

    returns = [expected(policy) for policy in stationary_policies()]
    best = optimum("tabular/dec_mdp")
    assert 0.995 * best < max(returns) <= best + 1e-9  # the clock is worth next to nothing
    actions = torch.tensor([divmod(int(row), 2) for row in stationary_policies()[int(np.argmax(returns))].reshape(2, 4).argmax(1)])
    played = play(make("tabular/dec_mdp", 500, seed=1), lambda now: actions[now.state.argmax(-1)], 100)
    assert abs(played - max(returns)) < 1.0  # 500 episodes with a deviation of about 5
    assert best_returns(TWO_STATES, 1).tolist() == TWO_STATES.rewards.max((1, 2)).tolist()


class Remember:
    """What a perfect pair does: the first repeats the cue, the second what it saw or was told."""

    def __init__(self) -> None:
        self.known = torch.zeros(0)

    def __call__(self, now) -> torch.Tensor:
        seen = now.obs[..., :-1]  # [B, N, cues]
        if not len(self.known):
            self.known = torch.zeros(seen.shape[:2], dtype=torch.int64)
        self.known = torch.where(seen.any(-1), seen.argmax(-1), self.known)
        return self.known


@pytest.mark.parametrize("seen_by", ["both", "first"])
@pytest.mark.parametrize(("length", "cues"), [(2, 2), (7, 3)])
def test_memory_wins_the_memory_task(seen_by: str, length: int, cues: int) -> None:
    options = {"length": length, "cues": cues, "seen_by": seen_by}
    env = make("tabular/memory", 600, **options)
    assert play(env, Remember(), 2 * length) == optimum("tabular/memory", **options) == 1.0
    forgetful = play(env, lambda now: torch.where(now.obs[..., :-1].any(-1), now.obs[..., :-1].argmax(-1), 0), 2 * length)
    assert abs(forgetful - 1 / cues) < 0.08


def test_nothing_at_the_last_step_shows_the_cue() -> None:
    env = make("tabular/memory", 50, length=4)
    first = env.reset().obs.clone()
    assert bool((first[:, 0] == first[:, 1]).all()) and set(first[:, 0, :2].argmax(-1).tolist()) == {0, 1}
    for _ in range(3):
        obs = env.step(torch.zeros(50, 2, dtype=torch.int64)).observations.obs
        assert not obs[..., :-1].any()
    assert bool((obs[..., -1] == 1).all())


def test_draws_are_uniform_and_independent() -> None:
    seeds = np.random.default_rng(0).integers(0, 2**63, 400)
    draws = np.stack([uniform(seeds, number) for number in range(500)])  # [draws, seeds]
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.003 and abs(draws.var() - 1 / 12) < 0.001
    for one, other in (
        (draws[:-1], draws[1:]),
        (draws[:, :-1], draws[:, 1:]),
        (uniform(np.arange(9999), 0), uniform(np.arange(1, 10000), 0)),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.04


@pytest.mark.parametrize("game", GAMES)
def test_the_optimum_of_a_matrix_game_is_its_best_cell(game: str) -> None:
    assert optimum(f"matrix/{game}", length=3) == 3 * max(max(row) for row in GAMES[game])


def test_the_penalty_can_be_set() -> None:
    env = make("matrix/penalty", 3, penalty=-100)
    env.reset()
    assert env.step(torch.tensor([[0, 2], [0, 0], [1, 1]])).reward.tolist() == [-100, 10, 2]
    assert optimum("matrix/penalty", penalty=-100) == 10.0


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("tabular/memory", {"lenght": 3}, "did you mean 'length'"),
        ("tabular/memory", {"length": 1}, "a whole number of at least 2, got 1"),
        ("tabular/memory", {"seen_by": "second"}, "'both' or 'first', got 'second'"),
        ("tabular/memry", {}, "did you mean 'tabular/memory'"),
        ("tabular/dec_mdp", {"cues": 3}, "no option 'cues'"),
        ("matrix/climbing", {"penalty": -3}, "no option 'penalty'"),
        ("matrix/penalty", {"penalty": 3}, "a number of at most 0, got 3"),
    ],
)
def test_what_is_refused(task: str, options: dict, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make(task, 2, **options)


def test_only_some_optima_are_known() -> None:
    with pytest.raises(TaskError, match="the optimum of 'mamujoco/Ant-4x2' is not known"):
        optimum("mamujoco/Ant-4x2")
