"""Matrix games: payoffs, masks, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from a2po.envs import make
from a2po.envs.matrix import GAMES
from a2po.errors import ActionError, TaskError


@pytest.mark.parametrize("game", GAMES)
def test_the_table_pays_the_team(game: str) -> None:
    table = torch.tensor(GAMES[game])
    rows, columns = table.shape
    env = make(f"matrix/{game}", rows * columns)
    env.reset()
    actions = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    step = env.step(actions)
    assert torch.equal(step.reward, table.flatten()) and step.terminated.all() and not step.truncated.any()
    best = [record["best_rounds"] for record in env.drain_episodes()]
    assert sum(best) == (table == table.max()).sum()


def test_what_is_refused() -> None:
    env = make("matrix/uneven", 2)
    actions = torch.tensor([[0, 0], [0, 2]])
    with pytest.raises(RuntimeError, match="reset"):
        env.step(actions)
    env.reset()
    with pytest.raises(ActionError, match=r"action 2 of 'row' in copy 1"):
        env.step(torch.tensor([[0, 0], [2, 0]]))
    with pytest.raises(ActionError, match="int64"):
        env.step(actions.float())
    for seeds in ([-1, 0], [0, 2**63], [0.5, 1], [1]):
        with pytest.raises(ValueError, match="seed"):
            env.reset(seeds)
    with pytest.raises(TaskError, match="did you mean 'length'"):
        make("matrix/uneven", 2, lenght=3)
    with pytest.raises(TaskError, match="num_threads"):
        make("matrix/uneven", 2, num_threads=0)
