"""Rewards per agent, from the buffer through advantages, value targets and normaliser: against slow loops with numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from a2po.algorithms import learner as learner_module
from a2po.algorithms import turn as turn_module
from a2po.algorithms.batch import Batch
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.update_rules import rule
from a2po.config import NetworkConfig, UpdateConfig
from a2po.envs.episodes import EpisodeTracker
from a2po.envs.protocol import TaskSpec
from a2po.networks.normalise import ValueNorm
from a2po.networks.team_policy import TeamPolicy
from a2po.training.buffer import RolloutBuffer
from a2po.training.prepare import prepare

pytestmark = pytest.mark.usefixtures("one_thread")

T, B, N = 7, 3, 3
DISCOUNT, TRACE_DECAY = 0.9, 0.8
SPEC = TaskSpec(
    task="none",
    agents=("a", "b", "c"),
    obs_sizes=(2, 2, 2),
    state_size=4,
    state_per_agent=False,
    action_spaces=(Discrete(3),) * N,
    reward_per_agent=True,
    max_episode_steps=9,
    metrics=(),
    feature_names=(("x", "y"),) * N,
    action_names=(("l", "m", "r"),) * N,
    exact_state=True,
)


def filled_buffer() -> RolloutBuffer:
    """Random steps with true ends, truncations and one episode that a fault ended."""
    stream = torch.Generator().manual_seed(1)
    buffer = RolloutBuffer(SPEC, T, B, torch.device("cpu"))
    for values in (buffer.obs, buffer.state, buffer.final_state, buffer.reward):
        values.normal_(generator=stream)
    buffer.samples.random_(0, 3, generator=stream)
    buffer.terminated[2, 0] = buffer.terminated[4, 2] = True
    buffer.truncated[3, 1] = buffer.truncated[6, 0] = True
    buffer.terminated[5, 1] = buffer.invalid[5, 1] = True
    return buffer


def make_team(critics: str) -> TeamPolicy:
    team = TeamPolicy(SPEC, NetworkConfig(hidden_sizes=(6,), critics=critics), seed=0)
    stream = torch.Generator().manual_seed(3)
    team.value_norm.update(torch.randn(50, team.num_critics, generator=stream) * 4.0 + 2.0)
    return team


class Spied:
    """One update round, with what the learner gave to and got from its functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, algorithm: str, critics: str, *, more_for_b: float = 0.0) -> None:
        self.buffer, self.team = filled_buffer(), make_team(critics)
        self.buffer.reward[:, :, 1] += more_for_b * torch.arange(T).unsqueeze(-1)
        self.batch: Batch = prepare(self.team, self.buffer)
        self.advantages: list[tuple[Tensor | None, Tensor]] = []  # (ratios or None, result) of every estimate
        self.normalised: list[Tensor] = []
        self.targets: list[Tensor] = []
        self._spy(monkeypatch, learner_module.estimators, "gae", lambda given, result: self.advantages.append((None, result)))
        self._spy(monkeypatch, learner_module.estimators, "preopc", lambda given, result: self.advantages.append((given[5], result)))
        self._spy(monkeypatch, learner_module.estimators, "normalise", lambda given, result: self.normalised.append(given[0]))
        self._spy(monkeypatch, turn_module.objectives, "value_loss", lambda given, result: self.targets.append(given[2]))
        settings = UpdateConfig(num_epochs=1, num_minibatches=1, discount=DISCOUNT, trace_decay=TRACE_DECAY, actor_learning_rate=0.05)
        self.before = self.team.value_norm.state_dict()
        self.report = PolicyLearner(self.team, rule(algorithm), settings, seed=0).update(self.batch)

    @staticmethod
    def _spy(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, note: Any) -> None:
        genuine = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            result = genuine(*given, **named)
            note(given, result)
            return result

        monkeypatch.setattr(module, name, call)


def slow_values(team: TeamPolicy, states: Tensor, statistics: dict[str, Tensor]) -> np.ndarray:
    """[..., N] values in units of the reward; one critic's value stands for every agent."""
    norm = ValueNorm((team.num_critics,))
    norm.load_state_dict(statistics)
    fresh = make_team(team.network.critics)  # the networks before the update
    with torch.no_grad():
        flat = states.reshape(-1, SPEC.state_size)
        values = norm.denormalise(fresh.values(flat, fresh.initial_memory(len(flat)))[0].T.double())
    return values.expand(-1, N).numpy().reshape(*states.shape[:-1], N)


def slow_advantages(spied: Spied, ratios: np.ndarray) -> np.ndarray:
    """[T, B, N], one number after the other: an agent's own rewards, its critic's values, the trace cut at ends."""
    buffer, team = spied.buffer, spied.team
    values, finals = (slow_values(team, states, spied.before) for states in (buffer.state, buffer.final_state))
    result = np.zeros((T, B, N))
    for copy in range(B):
        for agent in range(N):
            following = 0.0
            for t in reversed(range(T)):
                ended, cut = bool(buffer.terminated[t, copy]), bool(buffer.truncated[t, copy])
                successor = 0.0 if ended else finals[t, copy, agent] if cut else values[t + 1, copy, agent]
                delta = float(buffer.reward[t, copy, agent]) + DISCOUNT * successor - values[t, copy, agent]
                ratio = min(1.0, ratios[t + 1, copy]) if t + 1 < T else 1.0
                following = delta + (0.0 if ended or cut else DISCOUNT * TRACE_DECAY * ratio * following)
                result[t, copy, agent] = following
    return result


@pytest.mark.parametrize("critics", ["per_agent", "one"])
@pytest.mark.parametrize("algorithm", ["mappo", "a2po"])
def test_advantages_targets_and_normaliser_against_a_slow_loop(algorithm: str, critics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spied = Spied(monkeypatch, algorithm, critics)
    valid = spied.buffer.valid().numpy()
    assert not valid.all()
    for ratios, found in spied.advantages:
        own = np.ones((T, B)) if ratios is None else ratios[..., 0].double().numpy()
        np.testing.assert_allclose(found.numpy()[valid], slow_advantages(spied, own)[valid], rtol=1e-4, atol=1e-4)
    assert len(spied.advantages) == (1 if algorithm == "mappo" else N)
    values = slow_values(spied.team, spied.buffer.state[:-1], spied.before)
    returns = slow_advantages(spied, np.ones((T, B))) + values  # [T, B, N]
    learned = returns if critics == "per_agent" else returns.mean(-1, keepdims=True)  # one critic: the mean over the agents
    expected = ValueNorm((spied.team.num_critics,))
    expected.load_state_dict(spied.before)
    expected.update(torch.from_numpy(learned[valid]))
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(spied.team.value_norm.state_dict()[name], value, rtol=1e-5, atol=1e-7)
    targets = spied.targets
    if algorithm == "a2po" and critics == "per_agent":  # trained together, on the targets of their agents' turns
        [together] = targets
        targets = [together[agent : agent + 1] for agent in spied.report.order]
    assert len(targets) == len(spied.advantages)
    for turn, target in enumerate(targets):
        agents = list(range(N)) if algorithm == "mappo" else [spied.report.order[turn]]
        ratios, _ = spied.advantages[turn]
        own = np.ones((T, B)) if ratios is None else ratios[..., 0].double().numpy()
        corrected = slow_advantages(spied, own) + values
        if critics == "one":
            corrected, agents = corrected.mean(-1, keepdims=True), [0]  # always the team's mean, whoever's turn it is
        mean, std = spied.team.value_norm.mean.numpy(), spied.team.value_norm.std.numpy()
        for row, critic in enumerate(agents):
            normalised = (corrected[..., critic] - mean[critic]) / std[critic]
            np.testing.assert_allclose(target[row].reshape(T, B).numpy()[valid], normalised[valid], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("critics", ["per_agent", "one"])
def test_nobody_is_credited_with_another_agents_reward(critics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other rewards of agent b change b's actor and no other; with a critic each, no other critic and statistic either."""
    after = []
    for change in (0.0, 3.0):
        with monkeypatch.context() as patch:
            after.append(Spied(patch, "mappo", critics, more_for_b=change))
    one, other = after
    same = [torch.equal(*(spied.team.actors.values[agent] for spied in after)) for agent in range(N)]
    assert same == [True, False, True]
    own = [torch.equal(one.normalised[agent], other.normalised[agent]) for agent in range(N)]
    assert own == [True, False, True]
    critics_alike = [torch.equal(*(spied.team.critics.values[critic] for spied in after)) for critic in range(one.team.num_critics)]
    assert critics_alike == ([True, False, True] if critics == "per_agent" else [False])


def test_an_episodes_return_is_that_of_the_agents_mean_reward() -> None:
    tracker = EpisodeTracker(2, seed=0)
    tracker.start(np.arange(2))
    rewards = np.random.default_rng(0).normal(size=(5, 2, N)).astype(np.float32)
    for reward in rewards:
        tracker.add(reward)
    tracker.finish(np.array([1]), np.zeros(2, bool))
    total = 0.0
    for reward in rewards:
        total += sum(float(reward[1, agent]) for agent in range(N)) / N
    assert tracker.drain()[0]["return"] == pytest.approx(total, rel=1e-6)
