"""PolicyLearner in the real loop: what it feeds to the formulas, checked offline against the saved rollout.

A golden function can pass while the loop feeds it stale ratios. So every update here runs on a real rollout, the
weights are kept after each agent's turn, and the advantages are recomputed from them with plain loops in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from a2po.algorithms import learner as learner_module
from a2po.algorithms import ordering
from a2po.algorithms import turn as turn_module
from a2po.algorithms.batch import Batch, Selection, minibatches, passes
from a2po.algorithms.diagnostics import UpdateReport
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.update_rules import rule
from a2po.config import TrainConfig, UpdateConfig, validate
from a2po.envs.protocol import Observations, Step, TaskSpec, VectorEnv
from a2po.envs.registry import make
from a2po.networks.team_policy import TeamPolicy
from a2po.training.buffer import RolloutBuffer
from a2po.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS: dict[str, dict[str, Any]] = {
    "matrix/climbing": {"length": 5},
    "matrix/uneven": {"length": 3},
    "mamujoco/HalfCheetah-2x3": {"max_episode_steps": 5},  # every episode is truncated inside the rollout
    "mamujoco/HalfCheetah-3x2": {"max_episode_steps": 7},
    "mamujoco/HalfCheetah-6x1": {"max_episode_steps": 5},
}


def config_for(task: str, algorithm: str = "a2po", *, critics: str = "per_agent", **update: Any) -> TrainConfig:
    """Small, but with steps so large that the ratios leave 1 far behind."""
    fast = {"rollout_length": 12, "num_epochs": 4, "num_minibatches": 2, "actor_learning_rate": 0.02, "critic_learning_rate": 0.02}
    return validate(
        {
            "task": task,
            "algorithm": algorithm,
            "env": {"num_envs": 6, "num_threads": 1, "options": TASKS.get(task, {})},
            "network": {"hidden_sizes": (12, 12), "critics": critics, "head_gain": 0.5},
            "update": {**fast, **update},
            "run": {"evaluate_every": 0, "checkpoint_every": 10**9},
        }
    )


@dataclass
class Turn:
    """One call of ``train``: what it was given, and the whole team before and after."""

    agents: tuple[int, ...]
    advantages: Tensor  # [T, B, N]
    clip: float
    before: dict[str, Tensor]
    after: dict[str, Tensor]


class Recorder:
    """A trainer whose last round is on record: the rollout, the frozen statistics, each agent's turn."""

    def __init__(
        self, config: TrainConfig, folder: Path, *, rounds: int = 2, prepare_last: Callable[[Recorder], None] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.config = config
        self.trainer = Trainer(config, folder, torch.device("cpu"), print)
        self.team, self.learner = self.trainer.team, self.trainer.learner
        self.turns: list[Turn] = []
        self.critics: list[Turn] = []
        """Turns of critics alone, after the actors'."""
        for _ in range(rounds):
            self.trainer.round()
        self._update, self._turn, self._train = self.learner.update, self.learner._turn, self.learner.trainer.train
        self.learner.update, self.learner._turn = self._spy_on_update, self._spy_on_turn  # type: ignore[method-assign]
        self.learner.trainer.train = self._spy_on_train  # type: ignore[method-assign]
        if prepare_last:
            prepare_last(self)
        self.trainer.round()
        self.trainer.close()

    def _spy_on_update(self, batch: Batch, **changes: Any) -> UpdateReport:
        buffer = self.trainer.buffer
        self.rollout = {name: value.clone() for name, value in vars(buffer).items() if isinstance(value, Tensor)}
        self.start = copied(self.team.state_dict())
        self.scales = {name: (norm.mean.clone(), norm.inverse_std.clone()) for name, norm in self._norms()}
        self.value_scale = self.team.value_norm.mean.clone(), self.team.value_norm.std.clone()
        self.streams = copied(self.learner.state_dict())
        self.batch = Batch(**{name: None if value is None else value.clone() for name, value in vars(batch).items()})
        self.report = self._update(batch, **changes)
        self.thawed = [
            name for name, value in vars(self.batch).items() if value is not None and not torch.equal(value, getattr(batch, name))
        ]
        return self.report

    def _spy_on_turn(self, place: Any, now: Any) -> Any:
        self._given = now.advantages.clone()
        return self._turn(place, now)

    def _spy_on_train(self, turn: Any, *rest: Any, **which: Any) -> None:
        before = copied(self.team.state_dict())
        self._train(turn, *rest, **which)
        turns = self.turns if which.get("actors", True) else self.critics
        turns.append(Turn(turn.agents, self._given, turn.clip, before, copied(self.team.state_dict())))

    def _norms(self) -> list[tuple[str, Any]]:
        return [("obs", self.team.obs_norm), ("state", self.team.state_norm)]

    def fresh(self, *, seed: int = 0, **update: Any) -> tuple[TeamPolicy, PolicyLearner]:
        """The team as it was before the recorded update, with a learner of its own."""
        team = TeamPolicy(self.team.spec, self.config.network, seed=99)
        team.load_state_dict(self.start)
        settings = UpdateConfig(**{**self.config.update.model_dump(), **update})
        return team, PolicyLearner(team, rule(self.config.algorithm), settings, seed=seed)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


# --- the offline computation: raw numbers of the rollout and of the weights, numpy and plain loops, nothing of a2po ---


def network(state: dict[str, Tensor], prefix: str, index: int, inputs: np.ndarray) -> np.ndarray:
    """A tanh network's outputs [..., J] in float64."""
    layers = sum(name.startswith(f"{prefix}.weights.linear") for name in state) // 2
    hidden = inputs
    for layer in range(layers):
        weight, bias = (state[f"{prefix}.weights.linear{layer}_{part}"][index].double().numpy() for part in ("weight", "bias"))
        hidden = hidden @ weight + bias
        hidden = np.tanh(hidden) if layer < layers - 1 else hidden
    return hidden


def scaled(values: Tensor, scale: tuple[Tensor, Tensor]) -> np.ndarray:
    mean, inverse_std = (part.double().numpy() for part in scale)
    result: np.ndarray = np.clip((values.double().numpy() - mean) * inverse_std, -10.0, 10.0)
    return result


def log_probs(record: Recorder, state: dict[str, Tensor], agent: int) -> np.ndarray:
    """[T, B] of the played samples under an agent's weights."""
    rollout, length = record.rollout, record.config.update.rollout_length
    obs = scaled(rollout["obs"][:length, :, agent], tuple(part[agent] for part in record.scales["obs"]))  # type: ignore[arg-type]
    output, samples = network(state, "actors", agent, obs), rollout["samples"][:, :, agent].numpy()
    if record.team.spec.discrete:
        output = np.where(rollout["action_mask"][:length, :, agent].numpy(), output, -np.inf)
        output -= output.max(-1, keepdims=True)
        normalised = output - np.log(np.exp(output).sum(-1, keepdims=True))
        return np.take_along_axis(normalised, samples[..., None], -1)[..., 0]
    log_std = np.clip(state["actors.weights.log_std"][agent].double().numpy(), -20.0, 2.0)
    terms = -0.5 * ((samples - np.tanh(output)) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    result: np.ndarray = terms.sum(-1)
    return result


def offline_rho(record: Recorder, preceding: list[int], now: dict[str, Tensor]) -> np.ndarray:
    """[T, B] product of the preceding agents' ratios, of their weights now to those that played."""
    rho = np.ones(record.rollout["reward"].shape[:2])
    for agent in preceding:
        rho *= np.exp(log_probs(record, now, agent) - log_probs(record, record.start, agent))
    return rho


def offline_values(record: Recorder, states: Tensor, critic: int) -> np.ndarray:
    mean, std = (part[critic].item() for part in record.value_scale)
    return network(record.start, "critics", critic, scaled(states, record.scales["state"]))[..., 0] * std + mean


def offline_advantages(record: Recorder, rho: np.ndarray, agent: int) -> np.ndarray:
    """A_t = δ_t + Σ_m γ^m (Π_{j=1..m} λ min(1, ρ_{t+j})) δ_{t+m}, until the episode ends."""
    rollout, settings = record.rollout, record.config.update
    critic = agent if record.team.num_critics > 1 else 0
    here, final = offline_values(record, rollout["state"], critic), offline_values(record, rollout["final_state"], critic)
    length, copies = rho.shape
    result = np.zeros((length, copies))
    for b in range(copies):
        delta, ended = [], []
        for t in range(length):
            terminated, truncated = bool(rollout["terminated"][t, b]), bool(rollout["truncated"][t, b])
            successor = 0.0 if terminated else final[t, b] if truncated else here[t + 1, b]
            delta.append(float(rollout["reward"][t, b]) + settings.discount * successor - here[t, b])
            ended.append(terminated or truncated)
        for t in range(length):
            total, trace = 0.0, 1.0
            for m in range(length - t):
                if m > 0:
                    if ended[t + m - 1]:
                        break
                    trace *= settings.discount * settings.trace_decay * min(1.0, rho[t + m, b])
                total += trace * delta[t + m]
            result[t, b] = total
    return result


def advantage_errors(record: Recorder) -> list[float]:
    """Per turn: the largest difference from the offline advantages, relative to their largest."""
    errors, preceding = [], []
    for turn in record.turns:
        rho = offline_rho(record, preceding, turn.before)
        expected = np.stack([offline_advantages(record, rho, agent) for agent in range(record.team.spec.num_agents)], -1)
        errors.append(float(np.abs(turn.advantages.double().numpy() - expected).max() / np.abs(expected).max()))
        preceding.extend(turn.agents)
    return errors


LEARNER_TASKS = ["matrix/climbing", "mamujoco/HalfCheetah-2x3", "mamujoco/HalfCheetah-3x2"]


@pytest.mark.parametrize("critics", ["per_agent", "one"])
@pytest.mark.parametrize("task", LEARNER_TASKS)
def test_the_learner_uses_the_advantages_of_the_saved_rollout(task: str, critics: str, tmp_path: Path) -> None:
    record = Recorder(config_for(task, critics=critics), tmp_path / "run")
    agents = record.team.spec.num_agents
    assert len(record.turns) == agents and record.report.order == [turn.agents[0] for turn in record.turns]
    # The rollout is worth the test: it has ends of the right kind inside, and ratios on both sides of 1.
    kind = "terminated" if record.team.spec.discrete else "truncated"
    assert record.rollout[kind][:-1].any()
    rho = offline_rho(record, record.report.order[:-1], record.turns[-1].before)
    assert rho.min() < 0.9 and rho.max() > 1.1
    assert max(advantage_errors(record)) <= 1e-4


def stale_ratios(record: Recorder) -> None:
    """Every position sees the ratios that the position before should have seen."""
    genuine, last = record.learner._estimate, [torch.zeros(0)]

    def estimate(batch: Batch, ratios: Tensor | None, agents: Any) -> Tensor:
        if ratios is None:
            return genuine(batch, None, agents)
        before, last[0] = last[0] if len(last[0]) else torch.ones_like(ratios), ratios
        return genuine(batch, before, agents)

    record.learner._estimate = estimate  # type: ignore[method-assign]


def ratios_of_wrong_agents(record: Recorder) -> None:
    genuine, agents = record.learner._note_ratios, record.team.spec.num_agents

    def note_ratios(place: Any, now: Any) -> None:
        genuine(replace(place, agents=((place.agents[0] + 1) % agents,)), now)

    record.learner._note_ratios = note_ratios  # type: ignore[method-assign]


class Estimators:
    """The learner's estimators with one argument of preopc spoilt."""

    def __init__(self, **changes: Callable[[Tensor], Tensor]) -> None:
        self.genuine, self.changes = learner_module.estimators, changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.genuine, name)

    def preopc(self, *data: Tensor, **scan: Any) -> Tensor:
        names = ("rewards", "values", "next_values", "terminated", "truncated", "ratios")
        given = dict(zip(names, data, strict=True))
        given |= {name: change(given[name]) for name, change in self.changes.items()}
        return self.genuine.preopc(**given, **scan)


MISTAKES: dict[str, Callable[[Recorder], None] | Estimators] = {
    "stale ratios": stale_ratios,
    "ratios of wrong agents": ratios_of_wrong_agents,
    "ratio at t": Estimators(ratios=lambda ratios: torch.roll(ratios, 1, 0)),
    "ratio at t + 2": Estimators(ratios=lambda ratios: torch.roll(ratios, -1, 0)),
    "inverse ratios": Estimators(ratios=lambda ratios: 1.0 / ratios),
    "ends not cut": Estimators(terminated=torch.zeros_like, truncated=torch.zeros_like),
    "copies mixed up": Estimators(ratios=lambda ratios: torch.roll(ratios, 1, 1)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("task", ["matrix/climbing", "mamujoco/HalfCheetah-2x3"])
def test_the_learner_test_finds(mistake: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above, against learners with one mistake each."""
    spoil = MISTAKES[mistake]

    def prepare_last(record: Recorder) -> None:
        if isinstance(spoil, Estimators):
            monkeypatch.setattr(learner_module, "estimators", spoil)
        else:
            spoil(record)

    record = Recorder(config_for(task), tmp_path / "run", prepare_last=prepare_last)
    errors = advantage_errors(record)
    assert errors[0] <= 1e-4 < 1e-2 < max(errors)


def test_preceding_ratios_weigh_in_the_surrogate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product that the surrogate gets is that of the agents before, in every epoch, in the order of the samples."""
    seen: list[tuple[Tensor, Tensor, float]] = []
    genuine = turn_module.objectives.surrogate

    def surrogate(own_rule: Any, ratio: Tensor, others: Tensor, advantages: Tensor, **ranges: Any) -> Tensor:
        seen.append((ratio.detach().clone(), others.clone(), ranges["clip"]))
        return genuine(own_rule, ratio, others, advantages, **ranges)

    def prepare_last(record: Recorder) -> None:
        monkeypatch.setattr(turn_module.objectives, "surrogate", surrogate)

    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", num_minibatches=1), tmp_path / "run", prepare_last=prepare_last)
    epochs, preceding = record.config.update.num_epochs, []
    assert len(seen) == 3 * epochs
    for position, turn in enumerate(record.turns):
        rho = offline_rho(record, preceding, turn.before).reshape(-1)
        for ratio, others, clip in seen[position * epochs : (position + 1) * epochs]:
            np.testing.assert_allclose(others[0].double().numpy(), rho, rtol=2e-4)
            assert clip == turn.clip == record.report.clips[position]
            assert ratio.shape == others.shape == (1, record.batch.num_samples)
        preceding.extend(turn.agents)
    assert record.report.clips == pytest.approx([0.2 * (0.5 + 0.5 * k / 3) for k in (1, 2, 3)])


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("task", LEARNER_TASKS)
def test_the_first_ratios_of_every_agent_are_one(task: str, algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what training recomputes is not what was played: masks, normalisers, the order of samples."""
    first: dict[int, Tensor] = {}
    genuine = learner_module.RoundMetrics.add_policy

    def add_policy(self: Any, agents: tuple[int, ...], surrogate: Tensor, ratio: Tensor, *rest: Any) -> None:
        for row, agent in enumerate(agents):
            first.setdefault(agent, ratio[row].clone())
        genuine(self, agents, surrogate, ratio, *rest)

    def prepare_last(record: Recorder) -> None:
        monkeypatch.setattr(learner_module.RoundMetrics, "add_policy", add_policy)

    record = Recorder(config_for(task, algorithm), tmp_path / "run", prepare_last=prepare_last)
    assert sorted(first) == list(range(record.team.spec.num_agents))
    for ratio in first.values():
        assert len(ratio) == record.batch.num_samples // 2 and (ratio - 1.0).abs().max() <= 1e-6


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
def test_entropy_is_that_of_the_policies_that_sampled(algorithm: str, tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3", algorithm), tmp_path / "run")
    log_std = record.start["actors.weights.log_std"].double()
    expected = (log_std + 0.5 * np.log(2 * np.pi * np.e)).sum(1)  # of a Gaussian, whatever it sees
    np.testing.assert_allclose(record.report.per_agent["entropy"], expected, rtol=1e-5)
    assert not torch.equal(record.start["actors.weights.log_std"], record.team.state_dict()["actors.weights.log_std"])
    record = Recorder(config_for("matrix/uneven", algorithm), tmp_path / "masked")
    for agent, entropy in enumerate(record.report.per_agent["entropy"]):
        assert 0.0 < entropy < np.log(record.team.spec.action_sizes[agent])


def test_without_movement_everybody_gets_plain_gae(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2"), tmp_path / "run")
    _, learner = record.fresh()
    given: list[Tensor] = []
    genuine = learner._turn
    learner._turn = lambda place, now: given.append(now.advantages.clone()) or genuine(place, now)  # type: ignore[func-returns-value]
    learner.trainer.train = lambda *arguments, **which: None  # type: ignore[method-assign]
    learner.update(record.batch)
    plain = learner._estimate(record.batch, None, slice(None))
    assert len(given) == 3
    for advantages in given:
        torch.testing.assert_close(advantages, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("critics", ["per_agent", "one"])
def test_agents_move_in_their_own_turn_only(critics: str, tmp_path: Path) -> None:
    """Weights and Adam moments of every other agent stay, bit for bit; so do all normalisers. Own critics move after all actors."""
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", critics=critics), tmp_path / "run")
    assert len(record.critics) == (critics == "per_agent")
    for turn in record.critics:
        assert turn.agents == (0, 1, 2) and all(name.startswith("critics.") for name in differing(turn.before, turn.after))
    for turn in record.turns:
        changed = differing(turn.before, turn.after)
        assert changed and all(name.startswith(("actors.", "critics.")) for name in changed)
        for name in changed:
            own = turn.agents if name.startswith("actors.") else (0,)
            moved = [i for i in range(len(turn.after[name])) if not torch.equal(turn.before[name][i], turn.after[name][i])]
            assert moved == list(own), name
        for part in (
            "actors.weights.linear0_weight",
            "actors.weights.log_std",
            "actors.adam.first",
            "actors.adam.second",
            "actors.adam.steps",
        ):
            assert part in changed
        assert ("critics.weights.linear0_weight" in changed) == (critics == "one")
    steps = record.config.update.num_epochs * record.config.update.num_minibatches
    grown = record.turns[-1].after["actors.adam.steps"] - record.start["actors.adam.steps"]
    assert (grown == steps).all()


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("task", ["matrix/climbing", "mamujoco/HalfCheetah-2x3"])
def test_data_and_statistics_are_frozen_during_a_round(task: str, algorithm: str, tmp_path: Path) -> None:
    record = Recorder(config_for(task, algorithm), tmp_path / "run")
    assert not record.thawed
    statistics = [name for name in record.start if name.split(".")[0] in ("obs_norm", "state_norm")]
    assert len(statistics) == 6
    for turn in record.turns:
        for state in (turn.before, turn.after):
            assert all(torch.equal(state[name], record.start[name]) for name in statistics)
            assert all(torch.equal(state[name], record.turns[0].before[name]) for name in state if name.startswith("value_norm"))
    assert not torch.equal(record.turns[0].before["value_norm.first"], record.start["value_norm.first"])  # moved once, at the beginning
    after = record.team.state_dict()
    assert not torch.equal(after["obs_norm.count"], record.start["obs_norm.count"])  # and the round's end moves the others


def test_semi_greedy_takes_the_highest_score_first(tmp_path: Path) -> None:
    """At even positions; every order is a permutation; the scores are mean |A| of the advantages at that position."""
    orders = []
    for seed in range(3):
        config = config_for("mamujoco/HalfCheetah-6x1", num_epochs=1).model_copy(update={"seed": seed})
        record = Recorder(config, tmp_path / f"run{seed}", rounds=1)
        report, remaining = record.report, set(range(6))
        assert sorted(report.order) == list(range(6)) and len(report.scores) == 6
        for position, (agent, scores, turn) in enumerate(zip(report.order, report.scores, record.turns, strict=True)):
            assert turn.agents == (agent,)
            torch.testing.assert_close(torch.tensor(scores), turn.advantages.abs().flatten(0, 1).mean(0), rtol=1e-4, atol=1e-6)
            if position % 2 == 0:
                assert scores[agent] == max(scores[other] for other in remaining)
            remaining.discard(agent)
        orders.append(tuple(report.order))
    assert len(set(orders)) > 1


def test_scores_are_looked_at_again_or_once(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-6x1", num_epochs=1), tmp_path / "run", rounds=1)
    _, learner = record.fresh(rescore="once", order="greedy")
    once = learner.update(record.batch)
    assert len(once.scores) == 1 and once.order == sorted(range(6), key=lambda agent: -once.scores[0][agent])
    _, learner = record.fresh(rescore="per_agent", order="greedy")
    again = learner.update(record.batch)
    assert len(again.scores) == 6 and again.scores[0] == once.scores[0] and again.scores[1] != again.scores[0]


@pytest.mark.parametrize("order", ordering.STRATEGIES)
def test_every_order_is_a_permutation(order: str, tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", num_epochs=1, order=order), tmp_path / "run", rounds=0)
    assert sorted(record.report.order) == [0, 1, 2]
    if order == "cyclic":
        assert record.report.order == [0, 1, 2]


def test_mappo_updates_all_at_once_on_one_advantage(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", "mappo"), tmp_path / "run")
    assert [turn.agents for turn in record.turns] == [(0, 1, 2)]
    assert record.report.order == [0, 1, 2] and record.report.clips == [0.2] and record.report.scores == []
    assert advantage_errors(record)[0] <= 1e-4


def test_a_stacked_update_is_that_of_each_agent_alone(tmp_path: Path) -> None:
    """Nothing leaks between agents in the batched product, the losses and the optimiser."""
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", "mappo", num_minibatches=1), tmp_path / "run")
    results = []
    for groups in ([(0, 1, 2)], [(2,), (0,), (1,)], [(0, 2), (1,)]):
        team, learner = record.fresh()
        now = learner_module._Round.begin(record.batch, learner._estimate(record.batch, None, slice(None)))
        for agents in groups:
            turn = learner._turn(learner_module._Place(agents, 1, 1, 4), now)
            learner.trainer.train(turn, 4, learner.minibatch_streams[0], 1.0, learner_module.RoundMetrics(3))
        results.append(team.state_dict())
    for name, value in results[0].items():
        for other in results[1:]:
            torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-5)


def test_samples_of_the_dead_do_not_train_actors(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3"), tmp_path / "run")
    stream = torch.Generator().manual_seed(0)
    dead = torch.rand(record.batch.mask.shape, generator=stream) < 0.3
    masked = replace(record.batch, mask=record.batch.mask * ~dead)
    rubbish = replace(
        masked,
        obs=torch.where(dead[..., None], torch.randn(masked.obs.shape, generator=stream) * 5, masked.obs),
        samples=torch.where(dead[..., None], torch.randn(masked.samples.shape, generator=stream), masked.samples),
    )
    states = []
    for batch in (masked, rubbish, record.batch):
        team, learner = record.fresh()
        learner.update(batch)
        states.append(copied(team.state_dict()))
    assert not differing(states[0], states[1])
    assert "actors.weights.linear0_weight" in differing(states[0], states[2])  # the mask is not simply ignored


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("critics", ["per_agent", "one"])
def test_an_invalid_episode_trains_nothing(algorithm: str, critics: str, tmp_path: Path) -> None:
    """Neither actors nor critics, neither the value normaliser nor the order."""
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3", algorithm, critics=critics), tmp_path / "run")
    batch, length = record.batch, record.config.update.rollout_length
    ends = record.rollout["truncated"][:, 2].nonzero().flatten().tolist()
    invalid = torch.zeros(length, 6, dtype=torch.bool)
    invalid[ends[0] + 1 : ends[1] + 1, 2] = True  # one whole episode of one copy
    assert invalid.any()
    flat, per_agent = invalid.flatten(), invalid.unsqueeze(-1)
    stream = torch.Generator().manual_seed(0)

    def spoilt(values: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, torch.randn(values.shape, generator=stream) * 5.0, values)

    masked = replace(batch, mask=batch.mask * ~flat, value_mask=batch.value_mask * ~flat)
    rubbish = replace(
        masked,
        obs=spoilt(batch.obs, flat[:, None]),
        state=spoilt(batch.state, flat[:, None]),
        samples=spoilt(batch.samples, flat[:, None]),
        old_values=spoilt(batch.old_values, flat),
        rewards=spoilt(batch.rewards, per_agent),
        values=spoilt(batch.values, per_agent),
        next_values=spoilt(batch.next_values, per_agent),
    )
    states, orders = [], []
    for data in (masked, rubbish, batch):
        team, learner = record.fresh()
        orders.append(learner.update(data).order)
        states.append(copied(team.state_dict()))
    assert not differing(states[0], states[1]) and orders[0] == orders[1]
    changed = differing(states[0], states[2])
    assert {"actors.weights.linear0_weight", "critics.weights.linear0_weight", "value_norm.first"} <= set(changed)


def test_a_batch_without_a_valid_sample_moves_nothing_and_stays_finite(tmp_path: Path) -> None:
    record = Recorder(config_for("matrix/uneven"), tmp_path / "run", rounds=0)
    empty = replace(record.batch, mask=torch.zeros_like(record.batch.mask), value_mask=torch.zeros_like(record.batch.value_mask))
    team, learner = record.fresh()
    before = copied(team.state_dict())
    report = learner.update(empty)
    assert all(np.isfinite(values).all() for values in report.per_agent.values())
    assert all(".adam.steps" in name for name in differing(before, team.state_dict()))


def indices(rows: Any) -> list[int]:
    """The samples of a minibatch, which is a range or an index tensor."""
    chosen: list[int] = torch.arange(rows.start, rows.stop).tolist() if isinstance(rows, slice) else rows.tolist()
    return chosen


@pytest.mark.parametrize("num_minibatches", [1, 3, 5])
@pytest.mark.parametrize("max_rows", [2, 4, 100])
def test_minibatches_cover_every_sample_once(num_minibatches: int, max_rows: int) -> None:
    stream, device = torch.Generator().manual_seed(0), torch.device("cpu")
    epochs = []
    for _ in range(2):
        parts = list(minibatches(17, num_minibatches, stream, device))
        chosen = [indices(part) for part in parts]
        assert len(parts) == num_minibatches and {len(part) for part in chosen} <= {17 // num_minibatches, -(-17 // num_minibatches)}
        assert sorted(list(chain.from_iterable(chosen))) == list(range(17))
        for part, whole in zip(parts, chosen, strict=True):
            pieces = [indices(piece) for piece in passes(part, max_rows)]
            assert list(chain.from_iterable(pieces)) == whole and all(0 < len(piece) <= max_rows for piece in pieces)
        epochs.append(list(chain.from_iterable(chosen)))
    assert (epochs[0] == epochs[1]) == (num_minibatches == 1)


def test_every_epoch_of_every_agent_covers_every_sample_once(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3", num_minibatches=5), tmp_path / "run")
    _, learner = record.fresh()
    seen: dict[int, list[list[int]]] = {0: [], 1: []}
    genuine = learner.trainer._policy_loss

    def policy_loss(turn: Any, part: Selection, *rest: Any) -> Tensor:
        seen[turn.agents[0]].append(indices(part.samples))
        return genuine(turn, part, *rest)

    learner.trainer._policy_loss = policy_loss  # type: ignore[method-assign]
    learner.update(record.batch)
    for parts in seen.values():
        assert len(parts) == 4 * 5
        for epoch in range(4):
            assert sorted(list(chain.from_iterable(parts[5 * epoch : 5 * epoch + 5]))) == list(range(record.batch.num_samples))
    assert seen[0][0] != seen[1][0]  # streams of their own


@pytest.mark.parametrize("num_minibatches", [1, 2])
@pytest.mark.parametrize("critics", ["per_agent", "one"])
def test_a_minibatch_in_parts_is_the_whole_minibatch(
    num_minibatches: int, critics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU large minibatches go through the networks in parts. Masks are uneven, so a mean of means would differ."""
    config = config_for("mamujoco/HalfCheetah-2x3", critics=critics, num_minibatches=num_minibatches, entropy_coefficient=0.1, num_epochs=2)
    record = Recorder(config, tmp_path / "run")
    keep = torch.rand(record.batch.mask.shape, generator=torch.Generator().manual_seed(0)) < torch.linspace(0.1, 1.0, 72)
    batch = replace(record.batch, mask=keep.float(), value_mask=keep.any(0).float())
    results = []
    for max_rows in (1024, 7):
        monkeypatch.setattr(turn_module, "CPU_ROWS", max_rows)
        team, learner = record.fresh()
        report = learner.update(batch)
        results.append((copied(team.state_dict()), report.per_agent))
    for name, value in results[0][0].items():
        torch.testing.assert_close(value, results[1][0][name], rtol=1e-3, atol=2e-5, msg=name)
    for name, values in results[0][1].items():
        assert values == pytest.approx(results[1][1][name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
def test_one_minibatch_draws_nothing(algorithm: str, tmp_path: Path) -> None:
    order = "cyclic" if algorithm == "a2po" else None
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3", algorithm, num_minibatches=1, order=order), tmp_path / "run")
    states = []
    for seed in (0, 1):
        team, learner = record.fresh(seed=seed)
        report = learner.update(record.batch)
        assert report.per_agent["value_loss"][0] > 0
        states.append(copied(team.state_dict()))
    assert not differing(*states)
    assert "actors.weights.linear0_weight" in differing(states[0], record.start)


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/HalfCheetah-3x2"])
def test_one_critic_for_the_team(task: str, algorithm: str, tmp_path: Path) -> None:
    record = Recorder(config_for(task, algorithm, critics="one"), tmp_path / "run")
    agents = record.team.spec.num_agents
    assert record.team.num_critics == 1 and tuple(record.batch.old_values.shape) == (1, record.batch.num_samples)
    for values in (record.batch.values, record.batch.next_values):
        assert torch.equal(values, values[..., :1].expand_as(values))
    for turn in record.turns:
        assert not torch.equal(turn.before["critics.weights.linear0_weight"], turn.after["critics.weights.linear0_weight"])
    assert {name: len(values) for name, values in record.report.per_agent.items()} == dict.fromkeys(record.report.per_agent, agents)
    if algorithm == "a2po":
        for scores in record.report.scores:  # one V ties all scores; ties go to the lowest id
            assert scores == pytest.approx([scores[0]] * agents, rel=1e-5)


def test_an_agents_critic_is_trained_on_its_own_corrected_return(tmp_path: Path) -> None:
    """Value target = corrected advantage + V, in the normaliser's units."""
    record = Recorder(config_for("mamujoco/HalfCheetah-2x3"), tmp_path / "run")
    turn = record.turns[1]
    agent, state = turn.agents[0], turn.before
    targets = record.learner._targets(turn.agents, learner_module._Round.begin(record.batch, turn.advantages))
    weight = state["value_norm.weight"][agent].clamp(min=1e-5)
    mean = state["value_norm.first"][agent] / weight
    std = (state["value_norm.second"][agent] / weight - mean**2).clamp(min=1e-2).sqrt()
    expected = ((turn.advantages + record.batch.values)[..., agent].flatten().double() - mean) / std
    torch.testing.assert_close(targets[0].double(), expected, rtol=1e-4, atol=1e-4)
    shared = replace_critics(record)
    torch.testing.assert_close(shared, ((turn.advantages + record.batch.values).mean(-1).flatten())[None], rtol=1e-5, atol=1e-5)


def replace_critics(record: Recorder) -> Tensor:
    """The targets of a team's one critic, without a value normaliser."""
    network_config = record.config.network.model_copy(update={"critics": "one", "normalise_values": False})
    team = TeamPolicy(record.team.spec, network_config, seed=0)
    learner = PolicyLearner(team, rule("mappo"), record.config.update, seed=0)
    return learner._targets((0, 1), learner_module._Round.begin(record.batch, record.turns[1].advantages))


class OneAgent:
    """The first agent of a task alone; the others stand still."""

    def __init__(self, inner: VectorEnv) -> None:
        self.inner, self.num_envs, self.device = inner, inner.num_envs, inner.device
        spec = inner.spec
        one = {name: getattr(spec, name)[:1] for name in ("agents", "obs_sizes", "action_spaces", "feature_names", "action_names")}
        self.spec: TaskSpec = replace(spec, **one)

    @property
    def episode_seeds(self) -> np.ndarray:
        return self.inner.episode_seeds

    def reset(self, seeds: Any = None) -> Observations:
        return self._first(self.inner.reset(seeds))

    def step(self, actions: Tensor, out: Observations | None = None) -> Step:
        still = torch.zeros(self.num_envs, self.inner.spec.num_agents - 1, *actions.shape[2:], dtype=actions.dtype)
        step = self.inner.step(torch.cat([actions, still], 1))
        observations = self._first(step.observations)
        if out is not None:
            for slot, values in zip(out, observations, strict=True):
                if slot is not None and values is not None:
                    slot.copy_(values)
        return step._replace(observations=observations if out is None else out, final=self._first(step.final))

    def _first(self, seen: Observations) -> Observations:
        width, size = self.spec.max_obs_size, self.spec.max_action_size
        mask = None if seen.action_mask is None else seen.action_mask[:, :1, :size]
        return Observations(seen.obs[:, :1, :width], seen.state, mask, seen.alive[:, :1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def one_agent(task: str, num_envs: int, *, inner: str, **arguments: Any) -> OneAgent:
    return OneAgent(make(inner, num_envs, **{**arguments, **TASKS[inner]}))


@pytest.mark.parametrize("inner", ["matrix/uneven", "mamujoco/HalfCheetah-2x3"])
@pytest.mark.parametrize("num_minibatches", [1, 3])
def test_with_one_agent_the_rules_give_the_same_bits(inner: str, num_minibatches: int, tmp_path: Path) -> None:
    """Over several rounds; HAPPO's critic draws minibatches of its own, so there one update is compared, and the actor."""
    states: dict[str, list[dict[str, Tensor]]] = {"one": [], "more": []}
    for algorithm in ("mappo", "coppo", "happo", "a2po", "rpisa"):
        config = config_for(f"{__name__}:one_agent", algorithm, num_minibatches=num_minibatches, entropy_coefficient=0.01)
        config = config.model_copy(update={"env": config.env.model_copy(update={"options": {"inner": inner}})})
        for rounds, found in zip((0, 4), states.values(), strict=True):
            record = Recorder(config, tmp_path / f"{algorithm}{rounds}", rounds=rounds)
            assert record.report.order == [0] and record.report.clips == [0.2]
            found.append(copied(record.team.state_dict()))
    for other in states["one"][1:]:
        assert all(name.startswith("critics.") for name in differing(states["one"][0], other))
    for number in (1, 3, 4):
        assert not differing(states["more"][0], states["more"][number])
    assert "actors.weights.linear0_weight" in differing(states["one"][0], states["more"][0])


def test_streams_are_saved_and_restored(tmp_path: Path) -> None:
    record = Recorder(config_for("mamujoco/HalfCheetah-3x2", num_epochs=1), tmp_path / "run", rounds=0)
    team, learner = record.fresh(seed=3)
    learner.update(record.batch)
    saved, weights = copied(learner.state_dict()), copied(team.state_dict())
    results = []
    for seed in (3, 4):
        other, again = record.fresh(seed=seed)
        other.load_state_dict(weights)
        again.load_state_dict(copied(saved))
        report = again.update(record.batch)
        results.append((report.order, copied(other.state_dict())))
    assert results[0][0] == results[1][0] and not differing(results[0][1], results[1][1])


def test_the_buffer_is_what_the_record_says(tmp_path: Path) -> None:
    """The recorder looks at the buffer itself: guard against a renamed field making the tests above vacuous."""
    record = Recorder(config_for("matrix/climbing"), tmp_path / "run", rounds=0)
    assert isinstance(record.trainer.buffer, RolloutBuffer)
    assert {"obs", "state", "final_state", "samples", "reward", "terminated", "truncated", "action_mask"} <= record.rollout.keys()
    assert record.rollout["obs"].shape[0] == 13 and record.rollout["samples"].shape[0] == 12
