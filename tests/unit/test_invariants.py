"""What holds for any numbers: the invariants of the algorithms, (a) to (k), as far as pure functions reach.

(f), that a round's first ratios are 1, and (i), that one agent makes all rules the same, need the learner: tests/unit/test_learner.py.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2po.algorithms import advantages as estimators
from a2po.algorithms import objectives, ordering
from a2po.algorithms.update_rules import A2PO, COPPO, HAPPO, IPPO, MAPPO, RPISA, UpdateRule
from a2po.networks import ValueNorm

AGENTS = 5
SEEDS = st.integers(0, 10**6)
DECAYS = st.floats(0, 1)
RULES = st.sampled_from([A2PO, COPPO, HAPPO, MAPPO, IPPO, RPISA])
many = settings(deadline=None, max_examples=40)


class Rollout(NamedTuple):
    """[T] each, and the ratios [T, N]."""

    rewards: Tensor
    values: Tensor
    next_values: Tensor
    terminated: Tensor
    truncated: Tensor
    ratios: Tensor


def rollout(seed: int, length: int = 20) -> Rollout:
    stream = torch.Generator().manual_seed(seed)
    numbers = torch.randn(3, length, generator=stream, dtype=torch.float64)
    ends = torch.rand(2, length, generator=stream) < 0.1
    return Rollout(*numbers, *ends, (0.3 * torch.randn(length, AGENTS, generator=stream, dtype=torch.float64)).exp())


def preopc(data: Rollout, rho: Tensor, discount: float = 0.97, trace_decay: float = 0.9) -> Tensor:
    return estimators.preopc(*data[:5], rho, discount=discount, trace_decay=trace_decay)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@many
@given(seed=SEEDS, permutation=st.permutations(range(AGENTS - 1)), rule=RULES)
def test_a_the_order_of_the_preceding_agents_does_not_matter(seed: int, permutation: list[int], rule: UpdateRule) -> None:
    data = rollout(seed)
    agent, ids = AGENTS - 1, list(range(AGENTS - 1))
    rho = [data.ratios[:, preceding].prod(1) for preceding in (ids, permutation)]
    close(*rho)
    close(*(preopc(data, ratios) for ratios in rho))
    losses = [objectives.surrogate_loss(rule, data.ratios, agent, others, data.rewards, None, clip=0.2) for others in (ids, permutation)]
    close(*losses)


@many
@given(seed=SEEDS, position=st.integers(1, AGENTS), discount=DECAYS, trace_decay=DECAYS)
def test_b_where_nobody_moved_a2po_is_mappo(seed: int, position: int, discount: float, trace_decay: float) -> None:
    data = rollout(seed)
    ones = torch.ones_like(data.rewards)
    plain = estimators.gae(*data[:5], discount=discount, trace_decay=trace_decay)
    assert torch.equal(preopc(data, ones, discount, trace_decay), plain)
    clip = ordering.adaptive_clip(0.2, position, AGENTS, 0.5)
    ratio = data.ratios[:, 0]
    assert torch.equal(
        objectives.surrogate(A2PO, ratio, ones, plain, clip=clip), objectives.surrogate(MAPPO, ratio, None, plain, clip=clip)
    )


@many
@given(seed=SEEDS, length=st.integers(1, 30), discount=DECAYS, trace_decay=DECAYS)
def test_c_the_recursion_is_the_double_sum(seed: int, length: int, discount: float, trace_decay: float) -> None:
    data = rollout(seed, length)
    rho = data.ratios[:, 0]
    deltas = data.rewards + discount * torch.where(data.terminated, 0.0, data.next_values) - data.values
    cut = data.terminated | data.truncated
    expected = []
    for t in range(length):
        total, weight = 0.0, 1.0
        for later in range(t, length):
            total += weight * float(deltas[later])
            if cut[later] or later + 1 == length:
                break
            weight *= discount * trace_decay * min(1.0, float(rho[later + 1]))
        expected.append(total)
    close(preopc(data, rho, discount, trace_decay), torch.tensor(expected, dtype=torch.float64))


@many
@given(seed=SEEDS, excess=st.floats(0, 100))
def test_d_ratios_above_one_count_as_one(seed: int, excess: float) -> None:
    data = rollout(seed)
    rho = data.ratios[:, 0]
    raised = torch.where(rho > 1, rho * (1 + excess), rho)
    assert torch.equal(preopc(data, rho), preopc(data, raised))


@many
@given(seed=SEEDS, cut=st.integers(0, 18), terminal=st.booleans())
def test_e_what_comes_after_an_end_does_not_reach_back(seed: int, cut: int, terminal: bool) -> None:
    data, other = rollout(seed), rollout(seed + 1)
    (data.terminated if terminal else data.truncated)[cut] = True
    mixed = Rollout(*(torch.cat([own[: cut + 1], theirs[cut + 1 :]]) for own, theirs in zip(data, other, strict=True)))
    before, after = (preopc(each, each.ratios[:, 0]) for each in (data, mixed))
    assert torch.equal(before[: cut + 1], after[: cut + 1])
    assert not torch.equal(before[cut + 1 :], after[cut + 1 :])


@many
@given(seed=SEEDS, order=st.permutations(range(AGENTS)))
def test_g_happos_factor_is_the_product_of_all_ratios(seed: int, order: list[int]) -> None:
    """After n agents the next one, which has not moved, sees exp(Σ log r) for an advantage of 1; agent by agent it is the same."""
    ratios = rollout(seed).ratios
    with_newcomer = torch.cat([ratios, torch.ones(len(ratios), 1, dtype=torch.float64)], dim=1)
    factor = torch.ones(len(ratios), dtype=torch.float64)
    for agent in order:
        factor = factor * ratios[:, agent]
    for row in range(len(ratios)):
        sample, advantage = with_newcomer[row : row + 1], torch.ones(1, dtype=torch.float64)
        gain = -objectives.surrogate_loss(HAPPO, sample, AGENTS, order, advantage, None, clip=0.2)
        close(gain, ratios[row].log().sum().exp())
        close(gain, factor[row])


@many
@given(clip=st.floats(0.001, 1), count=st.integers(1, 40), coefficient=DECAYS, seed=SEEDS, strategy=st.sampled_from(ordering.STRATEGIES))
def test_h_the_last_agent_gets_the_full_range_and_every_agent_a_turn(
    clip: float, count: int, coefficient: float, seed: int, strategy: str
) -> None:
    assert ordering.adaptive_clip(clip, count, count, coefficient) == clip
    scores, uniforms = torch.rand(2, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert sorted(ordering.agent_order(strategy, scores, uniforms.tolist())) == list(range(count))


@many
@given(seed=SEEDS, agent=st.integers(0, AGENTS - 1), moved=st.integers(0, AGENTS), where=st.integers(0, AGENTS), rule=RULES)
def test_j_an_agent_that_is_never_active_changes_nothing(seed: int, agent: int, moved: int, where: int, rule: UpdateRule) -> None:
    """It acts as it must, so its ratios are 1; wherever it stands, the losses, advantages and scores of the others are as without it."""
    data = rollout(seed)
    length = len(data.rewards)
    others = [other for other in range(AGENTS) if other != agent][:moved]
    mask = torch.rand(length, AGENTS, generator=torch.Generator().manual_seed(seed)) < 0.8
    advantages = data.rewards.unsqueeze(1) * data.ratios

    def pad(table: Tensor, value: float) -> Tensor:
        return torch.cat([table[:, :where], torch.full((length, 1), value).to(table.dtype), table[:, where:]], dim=1)

    def place(own: int) -> int:
        return own + (own >= where)

    loss = objectives.surrogate_loss(rule, data.ratios, agent, others, data.rewards, mask[:, agent], clip=0.2)
    padded = pad(data.ratios, 1.0)
    found = objectives.surrogate_loss(
        rule, padded, place(agent), [where, *map(place, others)], data.rewards, pad(mask, 0)[:, place(agent)], clip=0.2
    )
    close(found, loss)
    idle = objectives.surrogate_loss(rule, padded, where, list(map(place, others)), data.rewards, pad(mask, 0)[:, where], clip=0.2)
    assert idle == 0
    kept = [place(own) for own in range(AGENTS)]
    close(estimators.normalise(pad(advantages, 7.0), pad(mask, 0))[:, kept], estimators.normalise(advantages, mask))
    assert torch.equal(ordering.advantage_scores(pad(advantages, 7.0), pad(mask, 0))[kept], ordering.advantage_scores(advantages, mask))


@many
@given(seed=SEEDS, scale=st.floats(0.5, 1e4))
def test_k_the_unit_of_the_reward_does_not_matter(seed: int, scale: float) -> None:
    """Critics predict in units of the returns' spread, so what they mean grows with the reward, and Â stays (but for its 1e-5)."""
    data = rollout(seed)
    returns = 3.0 * data.values + 5.0  # a spread above the normaliser's floor
    found = []
    for unit in (1.0, scale):
        norm = ValueNorm()
        norm.update(unit * returns)
        values, next_values = (norm.denormalise(predicted) for predicted in (data.values, data.next_values))
        ends = data.terminated, data.truncated
        advantages = estimators.preopc(unit * data.rewards, values, next_values, *ends, data.ratios[:, 0], discount=0.97, trace_decay=0.9)
        found.append(estimators.normalise(advantages, None))
    assert found[0].std() == pytest.approx(1.0, rel=0.1)
    close(found[0], found[1], 1e-4)
