"""The family ``matrix``: one-step team games whose optimum is known. For tests and first steps; light to import."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from a2po.errors import TaskError, did_you_mean

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

# Rows: the first agent's action; columns: the second's. The team reward of one step.
GAMES: dict[str, tuple[tuple[float, ...], ...]] = {
    # Source: Claus and Boutilier, "The Dynamics of Reinforcement Learning in Cooperative Multiagent Systems", AAAI 1998.
    "climbing": ((11.0, -30.0, 0.0), (-30.0, 7.0, 6.0), (0.0, 0.0, 5.0)),
    "penalty": ((10.0, 0.0, -10.0), (0.0, 2.0, 0.0), (-10.0, 0.0, 10.0)),
    # The second agent has more actions than the first: the padded one is masked.
    "uneven": ((1.0, 0.0, 2.0), (0.0, 3.0, 0.0)),
}


def task_names() -> list[str]:
    """All task names of the family."""
    return [f"matrix/{game}" for game in GAMES]


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one game.

    Args:
        task: ``matrix/<game>``.
        num_envs: B.
        seed: the run's seed.
        device: where the tensors live.
        num_threads: not needed.
        options: ``length``, steps per episode (default 1); of the penalty game ``penalty``, what miscoordination pays (-10).

    Raises:
        TaskError: an option is unknown or wrong.
    """
    from a2po.envs.matrix.game import MatrixGame

    length, payoff = _options(task, options)
    return MatrixGame(task, payoff, num_envs, length, seed=seed, device=device)


def optimum(task: str, **options: Any) -> float:
    """The return per episode of the best joint policy: the table's largest payoff in every round.

    Raises:
        TaskError: an option is unknown or wrong.
    """
    length, payoff = _options(task, options)
    return float(length * max(max(row) for row in payoff))


def _options(task: str, given: Mapping[str, Any]) -> tuple[int, tuple[tuple[float, ...], ...]]:
    """Rounds and payoffs."""
    game = task.removeprefix("matrix/")
    known = ["length", "penalty"] if game == "penalty" else ["length"]
    for name in given:
        if name not in known:
            raise TaskError(f"{task} has no option '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    length, penalty = given.get("length", 1), given.get("penalty", -10.0)
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise TaskError(f"{task}: option 'length' must be a whole number of at least 1, got {length!r}")
    if not isinstance(penalty, (int, float)) or isinstance(penalty, bool) or not -math.inf < penalty <= 0:
        raise TaskError(f"{task}: option 'penalty' must be a number of at most 0, got {penalty!r}")
    payoff = GAMES[game]
    return length, tuple(tuple(penalty if pay < 0 else pay for pay in row) for row in payoff) if "penalty" in given else payoff
