"""The buffer and the batch made of it: which steps count, and which state is a step's true successor."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from a2po.config import NetworkConfig
from a2po.envs.protocol import Observations, Step, TaskSpec
from a2po.errors import WorkFailed
from a2po.networks.team_policy import TeamActions, TeamPolicy
from a2po.training.buffer import RolloutBuffer
from a2po.training.prepare import prepare

T, B = 6, 3
SPEC = TaskSpec(
    task="none",
    agents=("a", "b"),
    obs_sizes=(3, 2),
    state_size=4,
    state_per_agent=False,
    action_spaces=(Discrete(2), Discrete(3)),
    reward_per_agent=False,
    max_episode_steps=9,
    metrics=(),
    feature_names=(("x", "y", "z"), ("x", "y")),
    action_names=(("l", "r"), ("l", "m", "r")),
    exact_state=True,
)
CONTINUOUS = replace(SPEC, action_spaces=(Box(-1, 1, (2,)), Box(-1, 1, (3,))))


def slow_valid(terminated: Tensor, truncated: Tensor, invalid: Tensor) -> Tensor:
    """Per copy: cut the rollout into episodes, drop each that holds an invalid step."""
    length, copies = invalid.shape
    result = torch.ones(length, copies, dtype=torch.bool)
    for b in range(copies):
        start = 0
        for t in range(length):
            if terminated[t, b] or truncated[t, b] or t == length - 1:
                if invalid[start : t + 1, b].any():
                    result[start : t + 1, b] = False
                start = t + 1
    return result


@given(st.data())
def test_valid_drops_the_whole_episode_of_a_fault_and_no_other(data: st.DataObject) -> None:
    length, copies = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    kinds = data.draw(st.lists(st.lists(st.sampled_from("...tux"), min_size=copies, max_size=copies), min_size=length, max_size=length))
    buffer = RolloutBuffer(SPEC, length, copies, torch.device("cpu"))
    for t, row in enumerate(kinds):
        for b, kind in enumerate(row):
            buffer.terminated[t, b] = kind in "tx"  # a fault ends its episode (x)
            buffer.truncated[t, b] = kind == "u"
            buffer.invalid[t, b] = kind == "x"
    assert torch.equal(buffer.valid(), slow_valid(buffer.terminated, buffer.truncated, buffer.invalid))


def random_observations(spec: TaskSpec, stream: torch.Generator) -> Observations:
    state_shape = (B, 2, 4) if spec.state_per_agent else (B, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]]).expand(B, -1, -1) if spec.discrete else None
    alive = torch.rand(B, 2, generator=stream) < 0.7
    return Observations(torch.randn(B, 2, 3, generator=stream), torch.randn(state_shape, generator=stream), mask, alive)


def filled_buffer(spec: TaskSpec = SPEC, seed: int = 0, *, critics_observe: bool = False) -> RolloutBuffer:
    """T random steps with ends of every kind; ``final`` is rubbish in the rows whose episode goes on."""
    stream = torch.Generator().manual_seed(seed)
    buffer = RolloutBuffer(spec, T, B, torch.device("cpu"), critics_observe=critics_observe)
    buffer.start(random_observations(spec, stream))
    for t in range(T):
        following = random_observations(spec, stream)
        for slot, values in zip(buffer.slots[t + 1], following, strict=True):
            if slot is not None and values is not None:
                slot.copy_(values)
        kind = torch.randint(0, 5, (B,), generator=stream)
        samples = torch.randint(0, 2, (B, 2), generator=stream) if spec.discrete else torch.randn(B, 2, 3, generator=stream)
        reward = torch.randn((B, 2) if spec.reward_per_agent else (B,), generator=stream)
        final = random_observations(spec, stream)
        final.state[kind < 3] = final.obs[kind < 3] = 1e9
        step = Step(buffer.slots[t + 1], reward, kind == 3, kind == 4, torch.zeros(B, dtype=torch.bool), final)
        buffer.record(t, TeamActions(samples, samples, torch.zeros(2, B, 0, 0)), step)
    assert buffer.terminated.any() and buffer.truncated[:-1].any() and buffer.truncated.sum() < T * B
    return buffer


def make_team(spec: TaskSpec, **network: Any) -> TeamPolicy:
    team = TeamPolicy(spec, NetworkConfig(hidden_sizes=(6,), **network), seed=0)
    stream = torch.Generator().manual_seed(3)
    team.value_norm.update(torch.randn(50, team.num_critics, generator=stream) * 4.0 + 2.0)
    state_shape = (50, 2, 4) if spec.state_per_agent else (50, 4)
    team.state_norm.update(torch.randn(state_shape, generator=stream) * 2.0 + 1.0)
    return team


@pytest.mark.parametrize(
    ("spec", "network"),
    [
        (SPEC, {}),
        (SPEC, {"critics": "one"}),
        (SPEC, {"normalise_values": False, "normalise_observations": False}),
        (replace(SPEC, state_per_agent=True, reward_per_agent=True), {}),
        (CONTINUOUS, {"layer_norm": True}),
        (SPEC, {"share_parameters": True}),
        (SPEC, {"share_parameters": True, "critics": "one"}),
        (CONTINUOUS, {"critic_input": "observation"}),
        (replace(SPEC, state_per_agent=True), {"share_parameters": True, "critic_input": "observation", "layer_norm": True}),
    ],
    ids=[
        *("per agent", "one critic", "no normalisers", "own states and rewards", "continuous"),
        *("shared", "shared, one value", "critics observe", "shared, critics observe"),
    ],
)
def test_a_batch_holds_the_rollout_agent_first(spec: TaskSpec, network: dict[str, Any]) -> None:
    """Against a loop over (t, b, agent): sample t · B + b is step t of copy b, successors are the true ones."""
    observe = network.get("critic_input") == "observation"
    buffer, team = filled_buffer(spec, critics_observe=observe), make_team(spec, **network)
    batch = prepare(team, buffer)
    assert (buffer.state is buffer.obs) == (batch.state is batch.obs) == observe  # nothing is kept twice

    def value(state: Tensor, agent: int) -> float:
        values = team.denormalise_values(team.values(state.unsqueeze(0), team.initial_memory(1))[0].detach())
        return float(values[agent if team.num_critics > 1 else 0, 0])

    truncations = 0
    for t in range(T):
        for b in range(B):
            row = t * B + b
            assert torch.equal(batch.state[:, row] if batch.state.dim() == 3 else batch.state[row], buffer.state[t, b])
            for agent in range(2):
                assert torch.equal(batch.obs[agent, row], buffer.obs[t, b, agent])
                assert torch.equal(batch.samples[agent, row], buffer.samples[t, b, agent])
                assert batch.mask[agent, row] == float(buffer.alive[t, b, agent])
                if spec.discrete:
                    assert batch.action_mask is not None and buffer.action_mask is not None
                    assert torch.equal(batch.action_mask[agent, row], buffer.action_mask[t, b, agent])
                assert batch.rewards[t, b, agent] == (buffer.reward[t, b, agent] if spec.reward_per_agent else buffer.reward[t, b])
                assert batch.terminated[t, b, agent] == buffer.terminated[t, b]
                assert batch.truncated[t, b, agent] == buffer.truncated[t, b]
                assert float(batch.values[t, b, agent]) == pytest.approx(value(buffer.state[t, b], agent), rel=1e-4, abs=1e-4)
                if not buffer.terminated[t, b]:
                    successor = buffer.final_state[t, b] if buffer.truncated[t, b] else buffer.state[t + 1, b]
                    truncations += bool(buffer.truncated[t, b])
                    assert float(batch.next_values[t, b, agent]) == pytest.approx(value(successor, agent), rel=1e-4, abs=1e-4)
    assert truncations > 0
    assert (batch.action_mask is None) == (not spec.discrete)
    normalised = team.normalise_returns(batch.agent_major(batch.values)[: team.num_critics])
    torch.testing.assert_close(batch.old_values, normalised, rtol=1e-4, atol=1e-4)


def test_steps_of_invalid_episodes_are_masked() -> None:
    buffer, team = filled_buffer(), make_team(SPEC)
    step, copy = buffer.terminated.nonzero()[-1].tolist()
    buffer.invalid[step, copy] = True
    batch = prepare(team, buffer)
    valid = slow_valid(buffer.terminated, buffer.truncated, buffer.invalid)
    assert not valid.all()
    assert torch.equal(batch.value_mask, valid.flatten().float())
    for agent in range(2):
        assert torch.equal(batch.mask[agent], (valid & buffer.alive[:T, :, agent]).flatten().float())


def test_nothing_in_a_batch_carries_gradient() -> None:
    buffer, team = filled_buffer(), make_team(SPEC)
    batch = prepare(team, buffer)
    assert not any(isinstance(value, Tensor) and value.requires_grad for value in vars(batch).values())


def test_the_next_rollout_starts_where_this_one_ended() -> None:
    buffer = filled_buffer()
    last = [None if values is None else values.clone() for values in buffer.slots[-1]]
    buffer.wrap()
    for mine, theirs in zip(buffer.slots[0], last, strict=True):
        assert mine is not None and theirs is not None and torch.equal(mine, theirs)


def test_states_that_nobody_sees_have_one_place() -> None:
    """An environment writes them in any case."""
    buffer = filled_buffer(critics_observe=True)
    assert len({slot.state.data_ptr() for slot in buffer.slots}) == 1 and buffer.slots[0].state.shape == (B, 4)
    kept = [value for value in vars(buffer).values() if isinstance(value, Tensor) and value.shape[-1:] == (4,)]
    assert not kept  # S is 4, O is 3
    assert buffer.truncated.any() and (buffer.final_state[buffer.truncated] < 1e9).all()  # what the step gave as final.obs


def test_slots_are_views_of_the_buffer() -> None:
    buffer = RolloutBuffer(SPEC, T, B, torch.device("cpu"))
    assert buffer.action_mask is not None
    for t, slot in enumerate(buffer.slots):
        for mine, whole in zip(slot, (buffer.obs, buffer.state, buffer.action_mask, buffer.alive), strict=True):
            assert mine is not None and mine.data_ptr() == whole[t].data_ptr()
    assert len(buffer.slots) == T + 1
    assert RolloutBuffer(CONTINUOUS, T, B, torch.device("cpu")).slots[0].action_mask is None


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("reward", (2, 1), "reward that is not finite (copy 1, step 2 of the rollout)"),
        ("obs", (T, 0), f"observation that is not finite (copy 0, step {T} of the rollout)"),
        ("state", (T, 2), f"state that is not finite (copy 2, step {T} of the rollout)"),
        ("final_state", (3, 1), "final state that is not finite (copy 1, step 3 of the rollout)"),
    ],
)
def test_whatever_is_learned_from_or_valued_is_finite(name: str, where: tuple[int, int], message: str) -> None:
    """What follows the last step and what a limit cut off are valued, too: else training would seem to diverge."""
    buffer, team = RolloutBuffer(SPEC, T, B, torch.device("cpu")), TeamPolicy(SPEC, NetworkConfig(hidden_sizes=(4,)), seed=0)
    buffer.truncated[3, 1] = True
    buffer.final_state[2, 1] = torch.nan  # unspecified: nothing was cut there
    prepare(team, buffer)
    getattr(buffer, name)[where] = torch.inf
    with pytest.raises(WorkFailed, match=re.escape(message)):
        prepare(team, buffer)
