"""The formulas of QMIX and its mixer: golden numbers, the sums they abbreviate, monotonicity."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from a2po.algorithms import qmix
from a2po.algorithms.catalogue import ALGORITHMS, check_algorithm
from a2po.errors import ConfigError
from a2po.networks import QMixer

CASES = json.loads((Path(__file__).parents[1] / "data" / "algorithm_cases.json").read_text())


def tensor(numbers: Any) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual: Tensor, expected: Any) -> None:
    expected = expected if isinstance(expected, Tensor) else tensor(expected)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


# Golden numbers


@pytest.mark.parametrize("case", CASES["qmix_td_lambda"])
def test_golden_targets(case: dict[str, Any]) -> None:
    data = [tensor(case[name]) for name in ("rewards", "terminated", "mask", "target_qtot_T_plus_1")]
    close(qmix.td_lambda_targets(*data, discount=case["gamma"], td_lambda=case["td_lambda"]), case["targets"])


def test_golden_double_q() -> None:
    case = CASES["qmix_double_q"]
    data = [tensor(case[name]) for name in ("live_q", "target_q", "available")]
    close(qmix.double_q_targets(*data), case["selected_target_q"])
    close(qmix.double_q_targets(*data, double_q=False), case["plain_max_target_q"])


@pytest.mark.parametrize("case", CASES["epsilon_schedule"])
def test_golden_epsilon(case: dict[str, float]) -> None:
    found = qmix.epsilon(case["t"], start=case["start"], finish=case["finish"], anneal=case["anneal"])
    assert abs(found - case["eps"]) < 1e-12


def test_golden_mixer() -> None:
    case = CASES["qmix_mixer"]
    q_agents, *hyper = (tensor(case[name]) for name in ("q_agents", "hyper_w1", "hyper_b1", "hyper_w2", "hyper_b2"))
    close(QMixer.mix(q_agents, *hyper), case["q_tot"])
    for agent in range(2):
        moved = q_agents + 0.1 * torch.eye(2, dtype=torch.float64)[agent]
        perturbed = QMixer.mix(moved, *hyper)
        close(perturbed, case[f"dq_tot_plus_0_1_on_agent{agent}"])
        assert perturbed > case["q_tot"]


# Targets


def slow_target(t: int, rewards: list[float], ends: bool, q: list[float], discount: float, td_lambda: float) -> float:
    """The λ-weighted mean of the n-step returns of one episode, each written out."""
    length = len(rewards)
    returns = []
    for n in range(1, length - t + 1):
        paid = sum(discount**k * rewards[t + k] for k in range(n))
        returns.append(paid + (0.0 if ends and t + n == length else discount**n * q[t + n]))
    weights = [(1 - td_lambda) * td_lambda ** (n - 1) for n in range(1, len(returns))] + [td_lambda ** (len(returns) - 1)]
    return sum(weight * own for weight, own in zip(weights, returns, strict=True))


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_targets_are_mixtures_of_n_step_returns(seed: int, td_lambda: float) -> None:
    """Episodes of many lengths, ended truly or cut, padded with rubbish behind their end."""
    stream = torch.Generator().manual_seed(seed)
    length, episodes = 7, 5
    rewards = torch.randn(length, episodes, generator=stream, dtype=torch.float64)
    q = torch.randn(length + 1, episodes, generator=stream, dtype=torch.float64)
    lengths = torch.randint(1, length + 1, (episodes,), generator=stream).tolist()
    ends = (torch.rand(episodes, generator=stream) < 0.5).tolist()
    mask = torch.arange(length).unsqueeze(1) < torch.tensor(lengths)
    terminated = (torch.arange(length).unsqueeze(1) == torch.tensor(lengths) - 1) & torch.tensor(ends)
    for rubbish in (1e9, torch.nan):
        soiled_rewards = torch.where(mask, rewards, rubbish)
        behind = torch.arange(length + 1).unsqueeze(1) > torch.tensor(lengths)
        targets = qmix.td_lambda_targets(
            soiled_rewards, terminated, mask, torch.where(behind, rubbish, q), discount=0.9, td_lambda=td_lambda
        )
        for e, count in enumerate(lengths):
            own_rewards, own_q = rewards[:count, e].tolist(), q[: count + 1, e].tolist()
            expected = [slow_target(t, own_rewards, ends[e], own_q, 0.9, td_lambda) for t in range(count)]
            close(targets[:, e], [*expected, *[0.0] * (length - count)])


def test_what_does_not_fit_is_refused() -> None:
    row = torch.zeros(3)
    with pytest.raises(ValueError, match="one step more"):
        qmix.td_lambda_targets(row, row, row, row, discount=0.9, td_lambda=0.5)
    with pytest.raises(ValueError, match=r"td_lambda is 1\.5"):
        qmix.td_lambda_targets(row, row, row, torch.zeros(4), discount=0.9, td_lambda=1.5)
    with pytest.raises(ValueError, match="differ in shape"):
        qmix.double_q_targets(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="anneal is 0"):
        qmix.epsilon(0, start=1.0, finish=0.0, anneal=0)


def test_an_agent_without_a_legal_action_is_worth_nothing() -> None:
    legal = torch.tensor([[False, False], [False, True]])
    found = qmix.double_q_targets(torch.ones(2, 2), torch.tensor([[5.0, 6.0], [7.0, -8.0]]), legal)
    assert found.tolist() == [0.0, -8.0]


# The mixer


@given(st.integers(0, 2**31), st.sampled_from([1, 2]))
def test_the_mixer_never_falls_in_any_agent(seed: int, layers: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    mixer = QMixer(3, 4, mixer_size=6, hypernet_size=5, hypernet_layers=layers, generator=stream).double()
    with torch.no_grad():
        for weight in mixer.weights.values():
            weight.copy_(torch.randn(weight.shape, generator=stream, dtype=torch.float64))
    state = torch.randn(8, 4, generator=stream, dtype=torch.float64)
    q = (3.0 * torch.randn(8, 3, generator=stream, dtype=torch.float64)).requires_grad_()
    [slope] = torch.autograd.grad(mixer(q, state).sum(), q)
    assert bool((slope >= 0).all()) and bool((slope > 0).any())
    values = [mixer(q.detach() + step, state) for step in torch.linspace(0.0, 5.0, 6, dtype=torch.float64)]
    assert all(bool((after >= before).all()) for before, after in pairwise(values))


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize(
    ("agents", "state_size", "sizes"), [(2, 1, (32, 64, 2)), (3, 54, (32, 64, 2)), (3, 54, (8, 16, 1)), (20, 300, (64, 256, 2))]
)
def test_the_mixer_begins_about_as_steep_as_the_sum(agents: int, state_size: int, sizes: tuple[int, int, int], scale: float) -> None:
    """Also where the state says nothing. Steeper, its noise is above any reward; flat, no agent learns."""
    stream = torch.Generator().manual_seed(0)
    mixer = QMixer(agents, state_size, mixer_size=sizes[0], hypernet_size=sizes[1], hypernet_layers=sizes[2], generator=stream)
    state, q = scale * torch.randn(500, state_size, generator=stream), torch.zeros(500, agents, requires_grad=True)
    q_tot = mixer(q, state)
    [slope] = torch.autograd.grad(q_tot.sum(), q)
    assert 0.5 < float(slope.mean()) < 2.0 and float(q_tot.detach().square().mean()) < 1.0


def test_the_mixer_against_the_hypernetworks_written_out() -> None:
    stream = torch.Generator().manual_seed(3)
    mixer = QMixer(3, 4, mixer_size=6, hypernet_size=5, generator=stream).double()
    assert set(mixer.weights) == {
        f"{part}_linear{layer}_{kind}"
        for part, layers in (("w1", 2), ("b1", 1), ("w2", 2), ("b2", 2))
        for layer in range(layers)
        for kind in ("weight", "bias")
    }
    with torch.no_grad():
        for name, value in mixer.weights.items():
            if name.endswith("bias"):
                value.copy_(torch.randn(value.shape, generator=stream, dtype=torch.float64))
    weights = {name: value[0] for name, value in mixer.weights.items()}
    q, state = torch.randn(2, 5, 3, generator=stream).double(), torch.randn(2, 5, 4, generator=stream).double()

    def linear(part: str, layer: int, inputs: Tensor) -> Tensor:
        return inputs @ weights[f"{part}_linear{layer}_weight"] + weights[f"{part}_linear{layer}_bias"]

    for i in range(2):
        for j in range(5):
            s = state[i, j]
            w1 = linear("w1", 1, linear("w1", 0, s).relu()).view(3, 6).abs()
            hidden = torch.nn.functional.elu(q[i, j] @ w1 + linear("b1", 0, s))
            w2 = linear("w2", 1, linear("w2", 0, s).relu()).abs()
            close(mixer(q, state)[i, j], hidden @ w2 + linear("b2", 1, linear("b2", 0, s).relu()).squeeze())
    with pytest.raises(ValueError, match="hypernet_layers is 3"):
        QMixer(3, 4, hypernet_layers=3)


def test_algorithms_have_one_list() -> None:
    assert {"mappo", "a2po", "qmix", "vdn"} <= set(ALGORITHMS)
    check_algorithm("vdn")
    with pytest.raises(ConfigError, match="unknown algorithm 'qmx'; did you mean 'qmix'"):
        check_algorithm("qmx")
