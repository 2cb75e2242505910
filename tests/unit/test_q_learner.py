"""Replay and QLearner: random play with ends of every kind, told once more by plain lists and loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from a2po.algorithms.q_learner import EpisodeBatch, QLearner
from a2po.config import NetworkConfig, QmixConfig, UpdateConfig
from a2po.envs.protocol import Observations, Step, TaskSpec
from a2po.errors import ConfigError, WorkFailed
from a2po.networks.team_policy import TeamActions, TeamPolicy
from a2po.training.replay import EpisodeBuffer, EpisodeReplay, replay_bytes

LIMIT, T, B, N = 6, 5, 3, 2
SPEC = TaskSpec(
    task="none",
    agents=("a", "b"),
    obs_sizes=(3, 2),
    state_size=4,
    state_per_agent=False,
    action_spaces=(Discrete(2), Discrete(3)),
    reward_per_agent=False,
    max_episode_steps=LIMIT,
    metrics=(),
    feature_names=(("x", "y", "z"), ("x", "y")),
    action_names=(("l", "r"), ("l", "m", "r")),
    exact_state=True,
)
OWN = replace(SPEC, state_per_agent=True, reward_per_agent=True)
CPU = torch.device("cpu")
Episode = dict[str, Any]


class RandomPlay:
    """Rollouts as a sampler leaves them, and the whole valid episodes as lists of what happened, oldest first."""

    def __init__(self, spec: TaskSpec, seed: int = 0) -> None:
        self.spec, self.stream = spec, torch.Generator().manual_seed(seed)
        self.buffer = EpisodeBuffer(spec, T, B, CPU)
        self.buffer.start(self._observations())
        self.running: list[Episode] = [self._begin() for _ in range(B)]
        self.whole: list[Episode] = []
        self.dropped = 0

    def _begin(self) -> Episode:
        return {"obs": [], "state": [], "action_mask": [], "actions": [], "rewards": [], "terminated": False}

    def _observations(self) -> Observations:
        spec, stream = self.spec, self.stream
        obs = torch.randn(B, N, 3, generator=stream)
        obs[:, 1, 2] = 0.0  # the padding of the second agent
        legal = torch.rand(B, N, 3, generator=stream) < 0.6
        legal[:, :, 0], legal[:, 0, 2] = True, False
        legal[:, 1] &= torch.rand(B, 1, generator=stream) < 0.8  # at times the second agent does not exist
        state = torch.randn((B, N, 4) if spec.state_per_agent else (B, 4), generator=stream)
        return Observations(obs, state, legal, torch.ones(B, N, dtype=torch.bool))

    def round(self) -> EpisodeBuffer:
        """One more rollout, on from where the last one ended."""
        if self.running[0]["obs"] or self.whole:
            self.buffer.wrap()
        for t in range(T):
            self._step(t)
        return self.buffer

    def _step(self, t: int) -> None:
        now, following, final = self.buffer.slots[t], self._observations(), self._observations()
        assert now.action_mask is not None
        actions = now.action_mask.float().add(1e-6).multiply(torch.rand(B, N, 3, generator=self.stream)).argmax(-1)
        reward = torch.randn((B, N) if self.spec.reward_per_agent else (B,), generator=self.stream)
        chance = torch.rand(B, generator=self.stream)
        lengths = torch.tensor([len(running["actions"]) + 1 for running in self.running])
        terminated, invalid = chance < 0.15, (chance > 0.15) & (chance < 0.25)
        truncated = ((lengths >= LIMIT) | (chance > 0.85)) & ~terminated | invalid
        ends = terminated | truncated
        final.obs[~ends | terminated] = torch.nan  # whoever looks at these is found out
        final.state[~ends | terminated] = torch.nan
        for b, running in enumerate(self.running):
            for name in ("obs", "state", "action_mask"):
                running[name].append(getattr(now, name)[b].clone())
            running["actions"].append(actions[b])
            running["rewards"].append(float(reward[b].mean()))
            if ends[b]:
                running["terminated"] = bool(terminated[b])
                for name in ("obs", "state", "action_mask"):
                    running[name].append(getattr(final, name)[b].clone())
                self.whole += [] if invalid[b] else [running]
                self.dropped += int(invalid[b])
                self.running[b] = self._begin()
        for slot, values in zip(self.buffer.slots[t + 1], following, strict=True):
            assert slot is not None and values is not None
            slot.copy_(values)
        step = Step(following, reward, terminated, truncated, invalid, final)
        self.buffer.record(t, TeamActions(actions, actions, torch.zeros(N, B, 0, 0)), step)


def filled(spec: TaskSpec = SPEC, *, episodes: int = 8, rounds: int = 12) -> tuple[RandomPlay, EpisodeReplay]:
    play, replay = RandomPlay(spec), EpisodeReplay(spec, episodes, B, CPU)
    for _ in range(rounds):
        replay.add(play.round())
    assert play.dropped > 2 and len(play.whole) > 2 * episodes
    return play, replay


def check_batch(batch: EpisodeBatch, episodes: list[Episode], *, cuts_end: bool = False) -> None:
    """Column e of the batch is one of the episodes, and every one of them is there once."""
    found = []
    longest = max(len(episode["actions"]) for episode in episodes)
    assert batch.mask.shape == (longest, len(episodes))
    for e in range(len(episodes)):
        length = int(batch.mask[:, e].sum())
        assert batch.mask[:length, e].all()
        [which] = [i for i, own in enumerate(episodes) if torch.equal(own["obs"][0], batch.obs[0, e])]
        episode = episodes[which]
        found.append(which)
        assert len(episode["actions"]) == length
        observed = length if episode["terminated"] else length + 1
        for name in ("obs", "state", "action_mask"):
            column = getattr(batch, name)[:, e]
            assert torch.equal(column[:observed], torch.stack(episode[name][:observed])) and not column[observed:].any()
        assert torch.equal(batch.actions[:length, e], torch.stack(episode["actions"])) and not batch.actions[length:, e].any()
        torch.testing.assert_close(batch.rewards[:length, e], torch.tensor(episode["rewards"]))
        ended = [False] * (length - 1) + [episode["terminated"] or cuts_end] + [False] * (longest - length)
        assert batch.terminated[:, e].tolist() == ended
    assert sorted(found) == list(range(len(episodes)))


# The replay


@pytest.mark.parametrize("spec", [SPEC, OWN], ids=["team", "own states and rewards"])
def test_the_replay_holds_the_newest_whole_episodes(spec: TaskSpec) -> None:
    """After every round, however often the ring went round; what lies in a slot from before is not seen."""
    play, replay = RandomPlay(spec), EpisodeReplay(spec, 8, B, CPU)
    stream = torch.Generator().manual_seed(0)
    for _ in range(15):
        replay.add(play.round())
        assert len(replay) == min(len(play.whole), 8) and replay.episodes == len(play.whole)
        if play.whole:
            check_batch(replay.sample(8, stream), play.whole[-8:])
            check_batch(replay.sample(8, stream, truncation_ends=True), play.whole[-8:], cuts_end=True)
            assert replay.sample(3, stream).mask.shape[1] == min(3, len(replay))
    assert len(play.whole) > 24 and play.dropped > 3


def test_its_size_is_known_beforehand() -> None:
    for spec in (SPEC, OWN, replace(SPEC, action_spaces=(Discrete(300), Discrete(3)))):
        replay = EpisodeReplay(spec, 8, B, CPU)
        assert replay.nbytes == replay_bytes(spec, 8, B) == replay.open_bytes
    play, replay = filled()
    steps = sum(len(episode["actions"]) for episode in play.whole[-8:])
    assert replay.nbytes == replay_bytes(SPEC, 8, B)
    assert replay.open_bytes == round(replay.nbytes * (1 - steps / ((8 + B) * LIMIT)))


@pytest.mark.parametrize("rounds", [0, 1, 4, 12])
def test_a_saved_replay_goes_on(rounds: int) -> None:
    """Also in the middle of episodes and before the first one is whole; what is saved holds every step once."""
    play, replay = RandomPlay(SPEC), EpisodeReplay(SPEC, 8, B, CPU)
    for _ in range(rounds):
        replay.add(play.round())
    state, other = replay.state_dict(), EpisodeReplay(SPEC, 8, B, CPU)
    held = play.whole[-8:]
    steps = sum(len(episode["actions"]) for episode in [*held, *play.running])
    assert {len(state["data"][name]) for name in ("actions", "rewards")} == {steps}
    assert {len(state["data"][name]) for name in ("obs", "state", "action_mask")} == {steps + len(held)}
    other.load_state_dict(state)
    for _ in range(6):
        buffer = play.round()
        for own in (replay, other):
            own.add(buffer)
        assert len(replay) == len(other) and replay.episodes == other.episodes
        one, two = (own.sample(4, torch.Generator().manual_seed(1)) for own in (replay, other))
        assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in EpisodeBatch.__annotations__)
    check_batch(other.sample(8, torch.Generator()), play.whole[-8:])
    with pytest.raises(ValueError, match="room for 2"):
        EpisodeReplay(SPEC, 2, B, CPU).load_state_dict(filled()[1].state_dict())


def test_an_episode_beyond_the_limit_is_no_episode() -> None:
    replay = EpisodeReplay(replace(SPEC, max_episode_steps=2), 8, B, CPU)
    play = RandomPlay(SPEC)
    with pytest.raises(WorkFailed, match=r"none plays on after spec\.max_episode_steps = 2"):
        for _ in range(5):
            replay.add(play.round())


# The learner


def make_learner(spec: TaskSpec, mixing: str, layers: int, *, shift: bool = True, shared: bool = False, **settings: Any) -> QLearner:
    sizes = {"hidden_sizes": (6,), "recurrent_layers": layers, "recurrent_size": 5, "head_gain": 1.0, "layer_norm": True}
    network = NetworkConfig.model_validate({**sizes, "share_parameters": shared})
    team = TeamPolicy(spec, network, seed=0)
    stream = torch.Generator().manual_seed(3)
    team.obs_norm.update(torch.randn(50, N, 3, generator=stream) * 2.0 + 1.0)
    team.state_norm.update(torch.randn((50, N, 4) if spec.state_per_agent else (50, 4), generator=stream) * 2.0 + 1.0)
    learner = QLearner(
        team, mixing, UpdateConfig(discount=0.9, actor_learning_rate=0.003), QmixConfig(mixer_size=4, hypernet_size=3, **settings), seed=0
    )
    if shift:  # the target networks are other ones
        learner.target.actors.values.add_(torch.randn(learner.target.actors.values.shape, generator=stream) * 0.2)
        if learner.target_mixer:
            learner.target_mixer.stack.values.add_(torch.randn(learner.target_mixer.stack.values.shape, generator=stream) * 0.2)
    return learner


def played_alone(team: TeamPolicy, episode: Episode) -> Tensor:
    """[T + 1, N, A] Q values by one call of the actors after another."""
    actor, memory, rows = team.actor(0, N), team.initial_state(1), []
    for obs in episode["obs"]:
        (values,), memory = actor(torch.nan_to_num(obs).unsqueeze(1), None, memory)
        rows.append(values[:, 0])
    return torch.stack(rows)


def slow_loss(learner: QLearner, episodes: list[Episode], *, cuts_end: bool) -> Tensor:
    """Episode by episode, step by step, agent by agent."""
    team, own = learner.team, learner.settings
    discount, td_lambda = learner.update_settings.discount, own.td_lambda
    total, steps = torch.zeros(()), 0

    def mixed(mixer: Any, q: list[Tensor], state: Tensor) -> Tensor:
        if mixer is None:
            return torch.stack(q).sum()
        return mixer(torch.stack(q), team.state_norm.normalise(state).flatten())

    for episode in episodes:
        live, target = played_alone(team, episode), played_alone(learner.target, episode).detach()
        length, ends = len(episode["actions"]), episode["terminated"] or cuts_end
        following = None
        for t in reversed(range(length)):
            if t == length - 1 and ends:
                goal = torch.tensor(episode["rewards"][t])
            else:
                best = []
                for agent in range(N):
                    legal = episode["action_mask"][t + 1][agent].nonzero().flatten().tolist()
                    judge = live if own.double_q else target
                    pick = max(legal, key=lambda action: float(judge[t + 1, agent, action].detach()), default=None)
                    best.append(torch.zeros(()) if pick is None else target[t + 1, agent, pick])
                with torch.no_grad():
                    ahead = mixed(learner.target_mixer, best, episode["state"][t + 1])
                    goal = episode["rewards"][t] + discount * (
                        ahead if following is None else (1 - td_lambda) * ahead + td_lambda * following
                    )
            following = goal
            exists = episode["action_mask"][t].any(-1)
            chosen = [live[t, agent, episode["actions"][t][agent]] if exists[agent] else torch.zeros(()) for agent in range(N)]
            total = total + (mixed(learner.mixer, chosen, episode["state"][t]) - goal) ** 2
            steps += 1
    return total / steps


LOSSES: list[tuple[str, TaskSpec, bool, dict[str, Any]]] = [
    ("qmix", SPEC, False, {}),
    ("qmix", OWN, True, {"td_lambda": 0.6, "double_q": False}),
    ("qmix", SPEC, False, {"td_lambda": 1.0, "hypernet_layers": 1}),
    ("vdn", SPEC, True, {"td_lambda": 0.3}),
]


@pytest.mark.parametrize(("layers", "shared"), [(0, False), (1, False), (1, True)], ids=["MLP", "GRU", "shared GRU"])
@pytest.mark.parametrize(("mixing", "spec", "cuts_end", "settings"), LOSSES)
def test_the_loss_is_that_of_plain_loops(
    mixing: str, spec: TaskSpec, cuts_end: bool, settings: dict[str, Any], layers: int, shared: bool
) -> None:
    play, replay = filled(spec)
    learner = make_learner(spec, mixing, layers, shared=shared, **settings)
    batch = replay.sample(8, torch.Generator(), truncation_ends=cuts_end)
    assert not batch.action_mask[:-1][batch.mask].any(-1).all()  # somebody does not exist
    loss, figures, _ = learner.loss(batch)
    expected = slow_loss(learner, play.whole[-8:], cuts_end=cuts_end)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(figures["loss"], loss.detach())
    weights = [*learner.team.actor(0, N).weights.values(), *(learner.mixer.weights.values() if learner.mixer else [])]
    gradients = (torch.autograd.grad(value, weights, allow_unused=True) for value in (loss, expected))
    for fused, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, slow, rtol=1e-4, atol=1e-5)


def test_qmix_with_a_sum_for_a_mixer_is_vdn(monkeypatch: pytest.MonkeyPatch) -> None:
    _, replay = filled()
    batch = replay.sample(8, torch.Generator())
    vdn, summing = make_learner(SPEC, "vdn", 0), make_learner(SPEC, "qmix", 0)
    for mixer in (summing.mixer, summing.target_mixer):
        monkeypatch.setattr(mixer, "forward", lambda q, state: q.sum(-1))
    summing.target.actors.values.copy_(vdn.target.actors.values)
    loss, other = (learner.loss(batch)[0] for learner in (vdn, summing))
    assert torch.equal(loss, other)
    assert not torch.equal(loss, make_learner(SPEC, "qmix", 0).loss(batch)[0])


@pytest.mark.parametrize(("mixing", "shared"), [("qmix", False), ("qmix", True), ("vdn", False)])
def test_an_update_moves_the_live_networks_alone(mixing: str, shared: bool) -> None:
    _, replay = filled()
    batch, learner = replay.sample(8, torch.Generator()), make_learner(SPEC, mixing, 1, shared=shared)
    before = learner.target.actors.values.clone(), learner.team.critics.values.clone()
    losses = []
    for _ in range(60):
        figures = learner.update(batch)
        losses.append(float(figures.team["loss"]))
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(before[0], learner.target.actors.values) and torch.equal(before[1], learner.team.critics.values)
    assert figures.per_agent["q"].shape == figures.per_agent["actor_grad_norm"].shape == (N,)
    assert ("mixer_grad_norm" in figures.team) == (mixing == "qmix")
    learner.copy_to_target(7)
    assert learner.copied_at == 7 and torch.equal(learner.target.actors.values, learner.team.actors.values)
    if learner.mixer and learner.target_mixer:
        assert torch.equal(learner.mixer.stack.values, learner.target_mixer.stack.values)


def test_both_networks_see_one_set_of_statistics() -> None:
    learner = make_learner(SPEC, "qmix", 0, shift=False)
    _, replay = filled()
    batch = replay.sample(8, torch.Generator())
    learner.team.obs_norm.update(torch.full((500, N, 3), 5.0))
    live, target = (learner._q_values(team, batch) for team in (learner.team, learner.target))
    assert torch.equal(live, target)


def test_a_saved_learner_goes_on() -> None:
    _, replay = filled()
    batch, one = replay.sample(8, torch.Generator()), make_learner(SPEC, "qmix", 0)
    one.update(batch)
    two = make_learner(SPEC, "qmix", 0, shift=False)
    two.team.load_state_dict(one.team.state_dict())
    two.load_state_dict(one.state_dict())
    for _ in range(3):
        figures = [learner.update(batch).team for learner in (one, two)]
        assert all(torch.equal(figures[0][name], figures[1][name]) for name in figures[0])


def test_what_only_policy_gradients_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"critic_input = 'observation' has no meaning for vdn"):
        QLearner(TeamPolicy(SPEC, NetworkConfig(critic_input="observation"), seed=0), "vdn", UpdateConfig(), QmixConfig(), seed=0)
    with pytest.raises(ConfigError, match=r"update\.time_limits = 'zeroed' has no meaning for qmix"):
        QLearner(TeamPolicy(SPEC, NetworkConfig(), seed=0), "qmix", UpdateConfig(time_limits="zeroed"), QmixConfig(), seed=0)
    with pytest.raises(ConfigError, match=r"update\.advantage = 'gae' has no meaning for qmix"):
        QLearner(TeamPolicy(SPEC, NetworkConfig(), seed=0), "qmix", UpdateConfig(advantage="gae"), QmixConfig(), seed=0)
