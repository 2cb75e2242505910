"""The exact library against golden numbers, and the sampled PreOPC advantage against the exact expectation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from a2po.algorithms.advantages import preopc
from a2po.envs.tabular.dec_mdp import TWO_STATES
from a2po.envs.tabular.exact import advantages, expected_preopc, joint, policy_values, value_target

CASE = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())["tabular_dec_mdp"]
FIRST, SECOND, UPDATED = (np.array(CASE[name]) for name in ("pi1", "pi2", "pi1_updated"))
BEHAVIOUR, TARGET = joint(FIRST, SECOND), joint(UPDATED, SECOND)
RATIOS = TARGET / BEHAVIOUR


def close(one: np.ndarray, other: object) -> bool:
    return bool(np.abs(one - np.array(other)).max() < 1e-9)


def test_the_task_is_the_case() -> None:
    assert TWO_STATES.discount == CASE["gamma"]
    assert np.array_equal(TWO_STATES.transitions, CASE["P_s_a1_a2_s2"]) and np.array_equal(TWO_STATES.rewards, CASE["R_s_a1_a2"])


def test_values_and_advantages() -> None:
    assert close(policy_values(TWO_STATES, BEHAVIOUR), CASE["V_pi"]) and close(policy_values(TWO_STATES, TARGET), CASE["V_pihat"])
    assert close(advantages(TWO_STATES, BEHAVIOUR), CASE["A_pi"]) and close(advantages(TWO_STATES, TARGET), CASE["A_pihat"])


@pytest.mark.parametrize("case", CASE["expected_preopc"], ids=lambda case: f"{case['value']}-{case['lam']}-{case['clip_bar']:g}")
def test_expected_preopc(case: dict) -> None:
    values = policy_values(TWO_STATES, {"V_pi": BEHAVIOUR, "V_pihat": TARGET}[case["value"]])
    found = expected_preopc(TWO_STATES, BEHAVIOUR, RATIOS, values, trace_decay=case["lam"], max_ratio=case["clip_bar"])
    assert close(found, case["expected_preopc_s_a1_a2"])
    target, own = advantages(TWO_STATES, TARGET), advantages(TWO_STATES, BEHAVIOUR)
    centred = found - (TARGET * found).sum(axis=(1, 2), keepdims=True)
    for gap, wanted in ((found - target, "A_pihat"), (found - own, "A_pi"), (centred - target, "A_pihat_after_centring_by_pihat")):
        assert close(np.abs(gap).max(), case[f"sup_gap_to_{wanted}"])


@pytest.mark.parametrize("case", CASE["value_target_fixed_points"], ids=lambda case: f"{case['lam']}-{case['clip_bar']:g}")
def test_where_a_critic_comes_to_rest(case: dict) -> None:
    found = value_target(
        TWO_STATES,
        BEHAVIOUR,
        RATIOS,
        trace_decay=case["lam"],
        max_ratio=case["clip_bar"],
        weight_first_step=case["weight_first_step"],
    )
    assert close(found, case["V_fixed_point"])


CHAIN, TAIL = 200, 120
"""Samples per chain, and the steps behind them that only serve their traces: 0.855 ** 120 is 1e-8."""


def sample(chains: int, seed: int, trace_decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Sums [chains, 8] of the sampled PreOPC advantages by (s, a, c), and counts: CHAIN samples each, played by the behaviour."""
    random = np.random.default_rng(seed)
    states, steps = random.integers(0, 2, chains), CHAIN + TAIL
    cells, rewards, values, following, ratios = (np.zeros((steps, chains), kind) for kind in (int, float, float, float, float))
    own = policy_values(TWO_STATES, BEHAVIOUR)
    for time in range(steps):
        first = (random.random(chains) >= FIRST[states, 0]).astype(int)
        second = (random.random(chains) >= SECOND[states, 0]).astype(int)
        now = (states, first, second)
        cells[time] = np.ravel_multi_index(now, (2, 2, 2))
        rewards[time], values[time], ratios[time] = TWO_STATES.rewards[now], own[states], RATIOS[now]
        states = TWO_STATES.next_states(*now, random.random(chains))
        following[time] = own[states]
    ends = torch.zeros(steps, chains, dtype=torch.bool)
    found = preopc(
        *(torch.from_numpy(values) for values in (rewards, values, following)),
        ends,
        ends,
        torch.from_numpy(ratios),
        discount=TWO_STATES.discount,
        trace_decay=trace_decay,
    ).numpy()[:CHAIN]
    chain = np.broadcast_to(np.arange(chains), (CHAIN, chains))
    index = (chain * 8 + cells[:CHAIN]).ravel()
    sums = np.bincount(index, found.ravel(), chains * 8).reshape(chains, 8)
    return sums, np.bincount(index, minlength=chains * 8).reshape(chains, 8).astype(float)


def test_the_sampled_advantage_converges_to_the_exact_expectation() -> None:
    """Root mean square error over the 8 cells and many independent groups of chains, from 1e3 to 1e6 samples a group."""
    exact = expected_preopc(TWO_STATES, BEHAVIOUR, RATIOS, policy_values(TWO_STATES, BEHAVIOUR), trace_decay=0.95).ravel()
    squares: dict[int, list[np.ndarray]] = {10**power: [] for power in range(3, 7)}
    for seed in range(8):
        sums, counts = sample(10**6 // CHAIN, seed, 0.95)
        for samples, found in squares.items():
            groups = 10**6 // samples
            means = sums.reshape(groups, -1, 8).sum(1) / counts.reshape(groups, -1, 8).sum(1)
            found.append(np.square(means - exact))
    errors = [float(np.sqrt(np.concatenate(found).mean())) for found in squares.values()]
    slope = np.polyfit(np.log(list(squares)), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.1, (slope, errors)
    assert errors[-1] < 0.01
