"""The exactly solvable games of games.py: what is decided in them, and what that pays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2po.envs.matrix import GAMES as PAYOFFS
from a2po.envs.tabular.dec_mdp import START, TWO_STATES
from a2po.envs.tabular.exact import DecMdp, best_values

DISCOUNT = 0.99
Tables = Mapping[str, Tensor]
"""Decision -> [K, A] probabilities in each of the K situations that the agent can tell apart."""


@dataclass(frozen=True)
class Decision:
    """What one agent chooses in K situations."""

    agent: int
    situations: Callable[[Tensor], Tensor]
    """Observations [T, B, N, O] of whole episodes -> [T, B] int64 situation, -1 where it is not this that is decided."""
    best: tuple[int, ...]
    """[K] the choice of a best joint policy."""


@dataclass(frozen=True)
class Game:
    """A task with what theory needs to know of it."""

    task: str
    decisions: Mapping[str, Decision]
    actions: int
    """Of the agent that has most."""
    value: Callable[[Tables], Tensor]
    """What the policy gradient climbs, exactly."""
    payoff: Callable[[Tables], float]
    """Expected return per episode, exactly."""
    best: float
    """The largest payoff that a team reaches that sees and remembers what this one does."""
    process: DecMdp
    """What Q values are learned of: the decisions that pay, as states that both agents tell apart."""
    options: Mapping[str, Any] = field(default_factory=dict)
    remembers: bool = False
    length: int = 1
    """Steps of an episode."""
    rollout: int = 4
    """Steps of each copy in a round of training."""
    rounds: int = 40
    learning_rate: float = 3e-3
    """Of the actors, or Q networks."""


def one_step(payoff: np.ndarray) -> DecMdp:
    """States [S], each of which pays [S, A, C] and is over."""
    return DecMdp(np.zeros((*payoff.shape, len(payoff))), payoff, 0.0)


def matrix(name: str, **settings: Any) -> Game:
    """Both decide once and see nothing of use."""
    payoff = np.array(PAYOFFS[name])
    best = np.unravel_index(payoff.argmax(), payoff.shape)
    table = torch.from_numpy(payoff)

    def always(obs: Tensor) -> Tensor:
        return torch.zeros(obs.shape[:2], dtype=torch.int64)

    def value(tables: Tables) -> Tensor:
        return tables["row"][0] @ table @ tables["column"][0]

    decisions = {name: Decision(agent, always, (int(best[agent]),)) for agent, name in enumerate(("row", "column"))}
    worth, process = (lambda tables: float(value(tables))), one_step(payoff[None])
    return Game(f"matrix/{name}", decisions, max(payoff.shape), value, worth, float(payoff.max()), process, **settings)


def dec_mdp(length: int = 100) -> Game:
    """Both see the state. The policy gradient climbs the discounted value, the payoff is the plain sum over an episode."""
    process = replace(TWO_STATES, discount=DISCOUNT)
    moves, rewards, start = (torch.from_numpy(array) for array in (process.transitions, process.rewards, START))

    def dynamics(tables: Tables) -> tuple[Tensor, Tensor]:
        joint = tables["first"].unsqueeze(2) * tables["second"].unsqueeze(1)
        return torch.einsum("sac,sact->st", joint, moves), (joint * rewards).sum((1, 2))

    def value(tables: Tables) -> Tensor:
        transition, reward = dynamics(tables)
        return start @ torch.linalg.solve(torch.eye(2, dtype=reward.dtype) - DISCOUNT * transition, reward)

    def payoff(tables: Tables) -> float:
        transition, reward = dynamics(tables)
        total = torch.zeros_like(reward)
        for _ in range(length):
            total = reward + transition @ total
        return float(start @ total)

    worth = process.rewards + DISCOUNT * process.transitions @ best_values(process)  # [S, A, C]
    first, second = np.unravel_index(worth.reshape(2, -1).argmax(1), worth.shape[1:])
    sure = [torch.eye(2, dtype=torch.float64)[list(rows)] for rows in itertools.product(range(2), repeat=2)]
    best = max(payoff({"first": one, "second": other}) for one in sure for other in sure)
    decisions = {
        name: Decision(agent, lambda obs, agent=agent: obs[:, :, agent].argmax(-1), tuple(int(action) for action in actions))
        for agent, (name, actions) in enumerate((("first", first), ("second", second)))
    }
    return Game("tabular/dec_mdp", decisions, 2, value, payoff, best, process, length=length, rollout=16, rounds=20)


def _at(step: int, seen_at: int, agent: int, cues: int) -> Callable[[Tensor], Tensor]:
    """What the agent saw in one step tells apart the situations of another; counted from the end where negative."""

    def situations(obs: Tensor) -> Tensor:
        found = torch.full(obs.shape[:2], -1)
        found[step] = obs[seen_at, :, agent, :cues].argmax(-1)
        return found

    return situations


def _blind(obs: Tensor) -> Tensor:
    found = torch.full(obs.shape[:2], -1)
    found[-1] = 0
    return found


def memory(*, remembers: bool, length: int = 5, cues: int = 2) -> Game:
    """Both saw the cue. Who does not remember decides the same whatever it was."""
    best = tuple(range(cues)) if remembers else (0,)

    def value(tables: Tables) -> Tensor:
        first, second = (tables[name] for name in ("first", "second"))
        return (first * second).diagonal().mean() if remembers else (first[0] * second[0]).sum() / cues

    decisions = {
        name: Decision(agent, _at(-1, 0, agent, cues) if remembers else _blind, best) for agent, name in enumerate(("first", "second"))
    }
    right = np.zeros((cues, cues, cues))
    right[range(cues), range(cues), range(cues)] = 1.0
    process = one_step(right if remembers else right.mean(0, keepdims=True))
    game = Game("tabular/memory", decisions, cues, value, lambda tables: float(value(tables)), 1.0 if remembers else 1 / cues, process)
    options = {"length": length, "cues": cues}
    return replace(game, options=options, remembers=remembers, length=length, rollout=2 * length, learning_rate=0.004)


def telling(cues: int = 2) -> Game:
    """The first saw the cue: what it says, what the second answers to that, and what it answers itself."""

    def value(tables: Tables) -> Tensor:
        return ((tables["say"] @ tables["hear"]) * tables["answer"]).diagonal().mean()

    best = tuple(range(cues))
    decisions = {
        "say": Decision(0, _at(0, 0, 0, cues), best),
        "answer": Decision(0, _at(1, 0, 0, cues), best),
        "hear": Decision(1, _at(1, 1, 1, cues), best),
    }
    game = Game("tabular/memory", decisions, cues, value, lambda tables: float(value(tables)), 1.0, one_step(np.zeros((1, cues, cues))))
    options = {"length": 2, "cues": cues, "seen_by": "first"}
    return replace(game, options=options, remembers=True, length=2)


GAMES: dict[str, Game] = {
    "climbing": matrix("climbing", rounds=80, learning_rate=0.006),
    "penalty": matrix("penalty"),
    "dec_mdp": dec_mdp(),
    "memory, GRU": memory(remembers=True),
    "memory, MLP": memory(remembers=False),
    "telling, GRU": telling(),
}
