"""Games with a known optimum: every algorithm holds it from a good beginning, memory needs memory, and theory's computations are right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from a2po.envs import optimum
from a2po.training.runs import make_env

pytestmark = pytest.mark.usefixtures("one_thread")

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def solvable() -> Iterator[Any]:
    """The modules of benchmarks/games.py."""
    sys.path.append(BENCHMARKS)  # last: benchmarks/mujoco.py must not hide the package
    import _games
    import _team
    import _theory

    yield SimpleNamespace(games=_games, team=_team, theory=_theory)
    sys.path.remove(BENCHMARKS)


def trained(solvable: Any, game: Any, algorithm: str, *, good: bool) -> tuple[Any, Any, torch.Tensor]:
    """(configuration, team, what it saw) after all rounds of the game."""
    config = solvable.team.config_for(game, algorithm, 0, good=good)
    obs = solvable.team.look_around(config, game)
    team = solvable.team.initial_team(config, game, obs, good=good)
    assert list(solvable.team.train(config, team))[-1][0] == config.run.total_steps
    return config, team, obs


@pytest.mark.parametrize("algorithm", ["mappo", "coppo", "happo", "a2po", "vdn", "qmix"])
def test_from_a_good_beginning_all_hold_the_optimum_of_the_penalty_game(algorithm: str, solvable: Any) -> None:
    game = replace(solvable.games.GAMES["penalty"], rounds=12)
    config, team, obs = trained(solvable, game, algorithm, good=True)
    assert set(solvable.team.played(config, team)) == {10.0}
    if algorithm != "qmix":  # whose mixer scales the Q values as it likes
        surer = solvable.team.tables(team, game, obs, greedy=False)
        assert all(float(table[0, 0]) > 0.9 for table in surer.values())


def share_of_the_commoner_cue(config: Any, seeds: list[int]) -> float:
    env = make_env(config, len(seeds), 0)
    env.reset(seeds)
    share = float(np.mean(env.cue))  # type: ignore[attr-defined]
    env.close()
    return max(share, 1 - share)


@pytest.mark.parametrize(("algorithm", "good"), [("a2po", False), ("a2po", True), ("qmix", True)])
def test_memory_wins_the_memory_task(algorithm: str, good: bool, solvable: Any) -> None:
    game = replace(solvable.games.memory(remembers=True, length=3), rounds=10 if good else 30)
    config, team, _ = trained(solvable, game, algorithm, good=good)
    assert set(solvable.team.played(config, team)) == {1.0}


@pytest.mark.parametrize("algorithm", ["a2po", "qmix"])
def test_nothing_but_chance_without_memory(algorithm: str, solvable: Any) -> None:
    game = replace(solvable.games.memory(remembers=False, length=3), rounds=10)
    config, team, _ = trained(solvable, game, algorithm, good=False)
    seeds = list(range(solvable.team.COPIES))
    reached = float(np.mean(solvable.team.played(config, team, seeds)))
    assert reached <= share_of_the_commoner_cue(config, seeds) < 0.7


# --- what is expected ---


def test_the_flow_of_climbing_ends_beside_the_optimum(solvable: Any) -> None:
    game = solvable.games.GAMES["climbing"]

    def ends(sure: float) -> float:
        table = torch.tensor([[sure, (1 - sure) / 2, (1 - sure) / 2]], dtype=torch.float64)
        return game.payoff(solvable.theory.flow(game.value, {"row": table, "column": table}))

    assert ends(1 / 3) == 7.0 and ends(0.8) == 11.0


def test_best_of_the_two_states_without_a_clock(solvable: Any) -> None:
    game = solvable.games.GAMES["dec_mdp"]
    sure = {name: torch.eye(2, dtype=torch.float64)[list(decision.best)] for name, decision in game.decisions.items()}
    assert game.payoff(sure) == pytest.approx(game.best) and 0.995 * optimum(game.task) < game.best < optimum(game.task) + 1e-9


def test_fits_represent_what_they_can(solvable: Any) -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        rows, columns, weights = random.normal(size=3), random.normal(size=3), random.random((3, 3)) + 0.1
        total = rows[:, None] + columns[None]
        for fit in (solvable.theory.additive_fit, solvable.theory.monotone_fit):
            np.testing.assert_allclose(fit(total, weights)[0], total, atol=1e-9)
            assert fit(total, weights)[1] == [(rows.argmax(), columns.argmax())]
    either = np.array([[0.0, 1.0], [1.0, 1.0]])  # monotone, not a sum
    np.testing.assert_allclose(solvable.theory.monotone_fit(either, np.ones((2, 2)))[0], either, atol=1e-12)
    assert np.abs(solvable.theory.additive_fit(either, np.ones((2, 2)))[0] - either).max() == pytest.approx(0.25)


def test_isotonic_regression_is_the_nearest_of_many(solvable: Any) -> None:
    """No other table that never falls is nearer, among random ones around it; equal neighbours pool to their weighted mean."""
    random = np.random.default_rng(1)
    table, weights = random.normal(size=(3, 3)), random.random((3, 3)) + 0.1
    fitted = solvable.theory.isotonic(table, weights)
    assert (np.diff(fitted, axis=0) >= -1e-12).all() and (np.diff(fitted, axis=1) >= -1e-12).all()
    loss = (weights * (fitted - table) ** 2).sum()
    for _ in range(2000):
        other = np.maximum.accumulate(np.maximum.accumulate(fitted + 0.1 * random.normal(size=(3, 3)), axis=0), axis=1)
        assert (weights * (other - table) ** 2).sum() >= loss
    falling = solvable.theory.isotonic(np.array([[3.0], [0.0]]), np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(falling, 1.0)


def test_vdn_cannot_leave_the_second_best_of_climbing_nor_the_best(solvable: Any) -> None:
    process = solvable.games.GAMES["climbing"].process
    assert solvable.theory.rest_points(process, solvable.theory.additive_fit) == [((0, 0),), ((1, 1),)]
