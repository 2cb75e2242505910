"""Exact quantities of a small two-agent decision process: values, advantages, and what PreOPC estimates on average.

Everything is float64 numpy and the solution of a linear system. Letters in shapes: S states, A and C the two agents' actions.
A joint policy is [S, A, C] probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DecMdp:
    """States that both agents see.

    Args:
        transitions: [S, A, C, S] probabilities.
        rewards: [S, A, C] of the team.
        discount: γ.
    """

    transitions: np.ndarray
    rewards: np.ndarray
    discount: float

    def next_states(self, states: np.ndarray, first: np.ndarray, second: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """[...] successors of ``states`` [...] under both agents' actions [...], from uniform numbers [...] in [0, 1)."""
        cumulative = self.transitions.cumsum(axis=-1)[states, first, second]
        found: np.ndarray = (uniform[..., None] >= cumulative[..., :-1]).sum(axis=-1)
        return found


def joint(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[S, A, C] of independent agents with the policies [S, A] and [S, C]."""
    product: np.ndarray = first[:, :, None] * second[:, None, :]
    return product


def policy_values(process: DecMdp, policy: np.ndarray) -> np.ndarray:
    """[S] V of a joint policy: the solution of V = r + γ P V."""
    moves = np.einsum("sac,sact->st", policy, process.transitions)
    rewards = (policy * process.rewards).sum(axis=(1, 2))
    return np.linalg.solve(np.eye(len(rewards)) - process.discount * moves, rewards)


def deltas(process: DecMdp, values: np.ndarray) -> np.ndarray:
    """[S, A, C] r + γ E[V(s')] − V(s). With a policy's own V these are its advantages."""
    error: np.ndarray = process.rewards + process.discount * process.transitions @ values - values[:, None, None]
    return error


def advantages(process: DecMdp, policy: np.ndarray) -> np.ndarray:
    """[S, A, C] A of a joint policy."""
    return deltas(process, policy_values(process, policy))


def expected_preopc(
    process: DecMdp, behaviour: np.ndarray, ratios: np.ndarray, values: np.ndarray, *, trace_decay: float, max_ratio: float = 1.0
) -> np.ndarray:
    """[S, A, C] expectation of the PreOPC advantage of (s, a, c) over what the behaviour policy does from there on.

    The solution X of X = δ + γ λ E[ min(c̄, ρ(s', a', c')) X(s', a', c') ], s' from the process, a' and c' from ``behaviour``.

    Args:
        process: the decision process.
        behaviour: [S, A, C] the rollout's joint policy.
        ratios: [S, A, C] ρ, the product of new over old probabilities of the agents that were already updated.
        values: [S] V in δ.
        trace_decay: λ.
        max_ratio: c̄.
    """
    error = deltas(process, values)
    weights = process.transitions[..., None, None] * (behaviour * np.minimum(ratios, max_ratio))  # [S, A, C, S, A, C]
    system = np.eye(error.size) - process.discount * trace_decay * weights.reshape(error.size, error.size)
    return np.linalg.solve(system, error.reshape(-1)).reshape(error.shape)


def value_target(
    process: DecMdp,
    behaviour: np.ndarray,
    ratios: np.ndarray,
    *,
    trace_decay: float,
    max_ratio: float = 1.0,
    weight_first_step: bool = False,
) -> np.ndarray:
    """[S] the V that a critic trained on V + PreOPC comes to rest at: where the expected correction is zero in every state.

    ``weight_first_step``: the first step's ratio weighs as well (V-trace). The correction is affine in V, so it is known from
    V = 0 and the unit vectors.
    """
    weights = behaviour * np.minimum(ratios, max_ratio) if weight_first_step else behaviour

    def correction(values: np.ndarray) -> np.ndarray:
        expected = expected_preopc(process, behaviour, ratios, values, trace_decay=trace_decay, max_ratio=max_ratio)
        summed: np.ndarray = (weights * expected).sum(axis=(1, 2))
        return summed

    count = len(process.rewards)
    offset = correction(np.zeros(count))
    slopes = np.stack([correction(unit) - offset for unit in np.eye(count)], axis=1)
    return np.linalg.solve(slopes, -offset)


def best_values(process: DecMdp, tolerance: float = 1e-12) -> np.ndarray:
    """[S] the optimal discounted values, by value iteration over joint actions."""
    values = np.zeros(len(process.rewards))
    while True:
        better = (process.rewards + process.discount * process.transitions @ values).max(axis=(1, 2))
        if np.abs(better - values).max() < tolerance:
            return better
        values = better


def best_returns(process: DecMdp, length: int) -> np.ndarray:
    """[S] the best expected sum of rewards over ``length`` steps, undiscounted: joint actions may look at the clock."""
    values = np.zeros(len(process.rewards))
    for _ in range(length):
        values = (process.rewards + process.transitions @ values).max(axis=(1, 2))
    return values
