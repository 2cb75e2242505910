"""What theory expects of the solvable games, computed: the exact flow of the policy gradient, and what factored Q values can represent."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from _games import Tables
from torch import Tensor

from a2po.algorithms import qmix
from a2po.envs.tabular.exact import DecMdp

Fit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, list[tuple[int, int]]]]
"""(table [A, C], weights [A, C]) -> the representable table that is nearest, and the joint actions that are greedy for it."""
TIE, SETTLED = 1e-7, 1e-5


def flow(value: Callable[[Tables], Tensor], begin: Tables, *, stride: float = 0.02, most: int = 20_000) -> dict[str, Tensor]:
    """The deterministic policy that the gradient flow of tabular softmax policies runs into: dθ/dt = ∇ value.

    Followed at unit speed (largest component of a step: ``stride``), which changes when it passes where, not where it goes.
    """
    logits = {name: table.clamp(min=1e-12).log().requires_grad_() for name, table in begin.items()}
    for _ in range(most):
        policies = {name: table.softmax(-1) for name, table in logits.items()}
        if all(bool((table.detach().max(-1).values > 1 - SETTLED).all()) for table in policies.values()):
            break
        gradients = torch.autograd.grad(value(policies), list(logits.values()))
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        if largest < 1e-14:
            break
        with torch.no_grad():
            for table, gradient in zip(logits.values(), gradients, strict=True):
                table += gradient * (stride / largest)
    return {name: torch.nn.functional.one_hot(table.detach().argmax(-1), table.shape[-1]).double() for name, table in logits.items()}


def additive_fit(table: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Least squares by q1(a) + q2(c): all that VDN can represent."""
    rows, columns = table.shape
    design = np.zeros((rows, columns, rows + columns))
    design[range(rows), :, range(rows)] = 1.0
    design[:, range(columns), rows + np.arange(columns)] = 1.0
    root = np.sqrt(weights).reshape(-1)
    solution = np.linalg.lstsq(design.reshape(-1, rows + columns) * root[:, None], table.reshape(-1) * root, rcond=None)[0]
    fitted = solution[:rows, None] + solution[None, rows:]
    best = np.argwhere(fitted >= fitted.max() - TIE)
    return fitted, [(int(row), int(column)) for row, column in best]


@cache
def _upper_sets(rows: int, columns: int) -> np.ndarray:
    """[U, rows * columns] all sets of cells that hold, with a cell, those with larger indices."""
    found = []
    for starts in itertools.product(range(columns + 1), repeat=rows):
        if all(later <= earlier for earlier, later in itertools.pairwise(starts)):
            found.append([column >= start for start in starts for column in range(columns)])
    return np.array(found)


def isotonic(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares by a table that never falls along rows and columns: max over upper sets of min over lower sets.

    Source: Robertson, Wright and Dykstra, "Order Restricted Statistical Inference", 1988, section 1.4.
    """
    upper = _upper_sets(*table.shape)
    lower, flat, weight = ~upper, table.reshape(-1), weights.reshape(-1)
    both = upper[:, None] & lower[None]  # [U, L, cells]
    mass = both @ weight
    average = np.where(mass > 0, both @ (weight * flat) / np.where(mass > 0, mass, 1.0), np.nan)
    fitted = np.empty_like(flat)
    for cell in range(flat.size):
        fitted[cell] = average[np.ix_(upper[:, cell], lower[:, cell])].min(1).max()
    return fitted.reshape(table.shape)


def monotone_fit(table: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Least squares by f(q1(a), q2(c)) that falls in neither: all that QMIX can represent. Every order of rows and columns is tried."""
    found: list[tuple[float, np.ndarray, tuple[int, int]]] = []
    for rows in itertools.permutations(range(table.shape[0])):
        for columns in itertools.permutations(range(table.shape[1])):
            where = np.ix_(rows, columns)
            fitted = np.empty_like(table)
            fitted[where] = isotonic(table[where], weights[where])
            found.append((float((weights * (fitted - table) ** 2).sum()), fitted, (rows[-1], columns[-1])))
    least = min(loss for loss, _, _ in found)
    nearest = [(fitted, top) for loss, fitted, top in found if loss <= least + TIE * max(least, 1.0)]
    return nearest[0][0], sorted({top for _, top in nearest})


FITS: Mapping[str, Fit] = {"vdn": additive_fit, "qmix": monotone_fit}


def q_learning(
    process: DecMdp, fit: Fit, *, rounds: int, window: int, epsilon_start: float, greedy: list[tuple[int, int]] | None = None
) -> list[list[tuple[int, int]]] | None:
    """Q learning without noise: in every round the nearest representable Q of the exact targets, under the data of the last rounds.

    ε falls to 0.05 over the first half, as in training. ``greedy`` [S] are the joint actions it begins with; None for random data.

    Returns: [S] lists of the joint actions that are greedy in the end, several where the fit cannot tell them apart; or None if
    they still change in the last quarter.
    """
    states, *sizes = process.rewards.shape
    q, replay = np.zeros_like(process.rewards), deque[np.ndarray](maxlen=window)
    chosen = list(greedy or [(0, 0)] * states)
    tops: list[list[tuple[int, int]]] = [[joint] for joint in chosen]
    changed = 0
    for number in range(rounds):
        share = 1.0 if greedy is None and not number else qmix.epsilon(number, start=epsilon_start, finish=0.05, anneal=rounds / 2)
        replay.append(_visits(process, chosen, share, sizes))
        weights = np.mean(replay, axis=0)
        for _ in range(1 if not process.discount else 50):
            best = np.array([q[state][chosen[state]] for state in range(states)])
            targets = process.rewards + process.discount * process.transitions @ best
            for state in range(states):
                q[state], tops[state] = fit(targets[state], weights[state])
                if chosen[state] not in tops[state]:
                    chosen[state], changed = tops[state][0], number
    return tops if changed < 0.75 * rounds else None


def rest_points(process: DecMdp, fit: Fit, share: float = 0.05) -> list[tuple[tuple[int, int], ...]]:
    """Joint actions by state [S] that stay greedy for the nearest representable Q under the data that they make with ``share`` explored."""
    states, *sizes = process.rewards.shape
    joint_actions = list(itertools.product(*(range(size) for size in sizes)))
    found = []
    for chosen in itertools.product(joint_actions, repeat=states):
        weights, q = _visits(process, list(chosen), share, sizes), np.zeros_like(process.rewards)
        for _ in range(1 if not process.discount else 300):
            best = np.array([q[state][chosen[state]] for state in range(states)])
            targets = process.rewards + process.discount * process.transitions @ best
            fitted = [fit(targets[state], weights[state]) for state in range(states)]
            q = np.array([table for table, _ in fitted])
        if all(chosen[state] in tops for state, (_, tops) in enumerate(fitted)):
            found.append(chosen)
    return found


def _visits(process: DecMdp, chosen: list[tuple[int, int]], share: float, sizes: list[int]) -> np.ndarray:
    """[S, A, C] how often what is played, in the long run, by agents that are greedy but for a share of random actions."""
    own = []
    for agent, size in enumerate(sizes):
        policy = np.full((len(chosen), size), share / size)
        for state, joint in enumerate(chosen):
            policy[state, joint[agent]] += 1 - share
        own.append(policy)
    policy = own[0][:, :, None] * own[1][:, None, :]
    moves = np.einsum("sac,sact->st", policy, process.transitions)
    if not moves.any():
        return policy / len(chosen)
    visits = np.full(len(chosen), 1 / len(chosen))
    for _ in range(200):
        visits = visits @ moves
    return visits[:, None, None] * policy
