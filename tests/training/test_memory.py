"""Recurrent teams in the real loop: what is remembered, forgotten, stored and trained on, against plain step loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from a2po.algorithms import learner as learner_module
from a2po.algorithms.batch import Batch, pick
from a2po.algorithms.turn import distribution_of, evaluate
from a2po.config import TrainConfig, validate
from a2po.envs.matrix.game import MatrixGame
from a2po.networks.team_policy import TeamPolicy
from a2po.training import trainer as trainer_module
from a2po.training.prepare import prepare
from a2po.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS: dict[str, dict[str, Any]] = {
    "matrix/uneven": {"length": 5},
    "mamujoco/HalfCheetah-2x3": {"max_episode_steps": 7},
    "mamujoco/Hopper-3x1": {"max_episode_steps": 11},  # falls, and is cut
}
CHUNK, LENGTH, COPIES = 4, 12, 5


def config_for(task: str, algorithm: str = "a2po", *, network: dict[str, Any] | None = None, **update: Any) -> TrainConfig:
    fast = {"rollout_length": LENGTH, "chunk_length": CHUNK, "num_epochs": 2, "num_minibatches": 3, "actor_learning_rate": 0.01}
    return validate(
        {
            "task": task,
            "algorithm": algorithm,
            "env": {"num_envs": COPIES, "num_threads": 1, "options": TASKS.get(task, {})},
            "network": {"hidden_sizes": (12,), "recurrent_layers": 1, "recurrent_size": 8, "head_gain": 0.5, **(network or {})},
            "update": {**fast, **update},
            "run": {"evaluate_every": 0, "checkpoint_every": 10**9},
        }
    )


def make_trainer(config: TrainConfig, folder: Path) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(config, folder, torch.device("cpu"), print)


def sampled(trainer: Trainer) -> Batch:
    """One more rollout, not trained on."""
    if not trainer._started:
        trainer.sampler.start()
        trainer._started = True
    trainer.sampler.collect()
    return prepare(trainer.team, trainer.buffer)


NETWORKS = {
    "one layer": {},
    "two layers, layer norm": {"recurrent_layers": 2, "layer_norm": True, "head_sizes": (6,)},
    "shared": {"share_parameters": True, "layer_norm": True},
}
CRITICS: dict[str, dict[str, Any]] = {
    "per agent": {},
    "one": {"critics": "one"},
    "shared": {"share_parameters": True},
    "observing": {"critic_input": "observation"},
    "shared, observing": {"share_parameters": True, "critic_input": "observation", "layer_norm": True},
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_training_asks_what_was_played(task: str, network: dict[str, Any], tmp_path: Path) -> None:
    """Memories and log-probabilities of the chunks equal those of every copy played alone, step by step, over three rounds."""
    trainer = make_trainer(config_for(task, "mappo", network=network), tmp_path / "run")
    team, buffer = trainer.team, trainer.buffer
    spec = team.spec
    memory = team.initial_state(COPIES)
    begins = 0
    for _ in range(3):
        batch = sampled(trainer)
        actor = team.actor(0, spec.num_agents)
        asked = evaluate(actor, batch)[0].view(spec.num_agents, LENGTH, COPIES)
        for t in range(LENGTH):
            if t % CHUNK == 0:
                torch.testing.assert_close(buffer.actor_memory[t // CHUNK], memory, rtol=1e-5, atol=1e-5)
                chunks = batch.actor_memory[:, t // CHUNK * COPIES : (t // CHUNK + 1) * COPIES]
                torch.testing.assert_close(chunks, memory, rtol=1e-5, atol=1e-5)
            for copy in range(COPIES):
                row = t * COPIES + copy
                masks = None if batch.action_mask is None else batch.action_mask[:, row : row + 1]
                with torch.no_grad():
                    parameters, after = actor(batch.obs[:, row : row + 1], masks, memory[:, copy : copy + 1])
                    log_prob = actor.distribution(parameters).log_prob(batch.samples[:, row : row + 1])[:, 0]
                torch.testing.assert_close(asked[:, t, copy], log_prob, rtol=1e-4, atol=1e-4)
                ended = bool(buffer.terminated[t, copy] | buffer.truncated[t, copy])
                begins += ended
                memory[:, copy] = 0.0 if ended else after[:, 0]
        trainer.learner.update(batch)
        trainer.sampler.advance()
        # The networks have changed, what is remembered has not.
        torch.testing.assert_close(buffer.actor_memory[0], memory, rtol=1e-5, atol=1e-5)
        memory = buffer.actor_memory[0].clone()
    assert begins > 3 and memory.any()


@pytest.mark.parametrize("network", CRITICS.values(), ids=CRITICS)
@pytest.mark.parametrize("task", TASKS)
def test_critics_remember_and_value_a_cut_episode_from_before_the_reset(task: str, network: dict[str, Any], tmp_path: Path) -> None:
    """Values and successors' values against every copy alone, step by step."""
    trainer = make_trainer(config_for(task, "mappo", network=network), tmp_path / "run")
    team, buffer = trainer.team, trainer.buffer
    memory = team.initial_memory(COPIES)
    cuts = 0
    for _ in range(2):
        batch = sampled(trainer)

        def value(state: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
            values, after = team.values(state[None], now)
            return team.denormalise_values(values).expand(team.num_critics, 1)[:, 0], after

        with torch.no_grad():
            for copy in range(COPIES):
                now = memory[:, copy : copy + 1]
                for t in range(LENGTH):
                    if t % CHUNK == 0:
                        stored = batch.critic_memory[:, t // CHUNK * COPIES + copy]
                        torch.testing.assert_close(stored, now[:, 0], rtol=1e-5, atol=1e-5)
                    own, after = value(buffer.state[t, copy], now)
                    torch.testing.assert_close(batch.values[t, copy], own.expand(team.spec.num_agents), rtol=1e-4, atol=1e-4)
                    if buffer.truncated[t, copy]:
                        cuts += 1
                        following, _ = value(buffer.final_state[t, copy], after)
                    now = torch.zeros_like(after) if buffer.ended()[t, copy] else after
                    if not buffer.ended()[t, copy]:
                        following, _ = value(buffer.state[t + 1, copy], now)
                    if not buffer.terminated[t, copy]:
                        expected = following.expand(team.spec.num_agents)
                        torch.testing.assert_close(batch.next_values[t, copy], expected, rtol=1e-4, atol=1e-4)
                torch.testing.assert_close(buffer.critic_memory[-1][:, copy], now[:, 0], rtol=1e-5, atol=1e-5)
        trainer.learner.update(batch)
        memory = buffer.critic_memory[-1].clone()
        trainer.sampler.advance()
        assert torch.equal(buffer.critic_memory[0], memory)
    assert cuts > 0 or task.startswith("matrix")


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("num_minibatches", [1, 3])
@pytest.mark.parametrize("task", TASKS)
def test_the_first_ratios_are_one(task: str, num_minibatches: int, algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(config_for(task, algorithm, num_minibatches=num_minibatches), tmp_path / "run")
    for _ in range(2):
        trainer.round()
    first: dict[int, Tensor] = {}
    genuine = learner_module.RoundMetrics.add_policy

    def add_policy(self: Any, agents: tuple[int, ...], surrogate: Tensor, ratio: Tensor, *rest: Any) -> None:
        for row, agent in enumerate(agents):
            first.setdefault(agent, ratio[row].clone())
        genuine(self, agents, surrogate, ratio, *rest)

    monkeypatch.setattr(learner_module.RoundMetrics, "add_policy", add_policy)
    trainer.round()
    assert sorted(first) == list(range(trainer.team.spec.num_agents))
    for ratio in first.values():
        assert len(ratio) == LENGTH * COPIES // num_minibatches and (ratio - 1.0).abs().max() <= 1e-6


@pytest.mark.parametrize("task", TASKS)
def test_the_gradient_of_chunks_is_that_of_a_step_loop(task: str, tmp_path: Path) -> None:
    trainer = make_trainer(config_for(task), tmp_path / "run")
    trainer.round()
    batch, team = sampled(trainer), trainer.team
    actor, part = team.actor(0, team.spec.num_agents), batch.select(torch.tensor([7, 2, 11, 14]))
    samples = pick(batch.samples, part.samples)
    fused = distribution_of(actor, batch, part).log_prob(samples)
    memory, keep, rows = pick(batch.actor_memory, part.chunks), batch.keep_of(part), part.samples.view(CHUNK, 4)
    looped = []
    for t in range(CHUNK):
        if t > 0:
            memory = memory * keep[t][None, :, None, None]
        masks = None if batch.action_mask is None else batch.action_mask[:, rows[t]]
        parameters, memory = actor(batch.obs[:, rows[t]], masks, memory)
        looped.append(actor.distribution(parameters).log_prob(batch.samples[:, rows[t]]))
    log_probs = torch.cat(looped, 1)
    torch.testing.assert_close(fused, log_probs, rtol=1e-6, atol=1e-6)
    leaves = [actor.weights[name] for name in team.actors.shapes]
    weight = torch.randn(fused.shape, generator=torch.Generator().manual_seed(0))
    for mine, theirs in zip(*(torch.autograd.grad((values * weight).mean(), leaves) for values in (fused, log_probs)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_chunks_cover_every_sample_once_in_the_order_of_time(tmp_path: Path) -> None:
    trainer = make_trainer(config_for("matrix/uneven"), tmp_path / "run")
    batch = sampled(trainer)
    assert (batch.num_chunks, batch.chunk_length) == (LENGTH // CHUNK * COPIES, CHUNK)
    rows = batch.everything().samples
    assert isinstance(rows, Tensor) and sorted(rows.tolist()) == list(range(LENGTH * COPIES))
    steps = rows.view(CHUNK, -1)
    assert (steps[1:] - steps[:-1] == COPIES).all()  # the next step of the same copy
    assert (steps[0] // COPIES % CHUNK == 0).all()


def test_what_a_broken_episode_left_in_memory_harms_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(config_for("mamujoco/HalfCheetah-2x3"), tmp_path / "run")
    trainer.sampler.start()
    trainer.sampler.collect()
    buffer = trainer.buffer
    end = int(buffer.truncated[:, 2].nonzero()[0])
    assert end >= CHUNK
    buffer.invalid[end, 2] = True
    buffer.obs[: end + 1, 2] = buffer.state[: end + 1, 2] = buffer.actor_memory[1, :, 2] = torch.nan
    batch = prepare(trainer.team, buffer)
    report = trainer.learner.update(batch)
    assert all(torch.tensor(values).isfinite().all() for values in report.per_agent.values())
    assert all(value.isfinite().all() for value in trainer.team.state_dict().values())
    assert batch.mask.view(2, LENGTH, COPIES)[:, : end + 1, 2].sum() == 0


class Recall(MatrixGame):
    """Who remembers what was shown in the first of four rounds is paid in the last."""

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        obs, state, legal = super().observe()
        shown = np.where(self.length == 0, np.where(self.noise > 0.5, 1.0, -1.0), 0.0)
        obs[..., 1], state[:, 1] = shown[:, None], shown
        return obs, state, legal

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, over = super().advance(actions)
        right = (actions == (self.noise > 0.5)[:, None]).all(1) & over
        return right.astype(np.float32), over


@pytest.mark.parametrize(("layers", "low", "high"), [(1, 0.97, 1.0), (0, 0.0, 0.75)])
def test_it_learns_what_only_memory_can(layers: int, low: float, high: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_env(config: TrainConfig, num_envs: int, seed: int, **changes: Any) -> Recall:
        return Recall("matrix/recall", ((0.0, 0.0), (0.0, 1.0)), num_envs, 4, seed=seed, device=torch.device("cpu"))

    monkeypatch.setattr(trainer_module, "make_env", make_env)
    config = config_for("matrix/recall", network={"recurrent_layers": layers, "recurrent_size": 16}, num_epochs=6, entropy_coefficient=0.01)
    config = config.model_copy(update={"env": config.env.model_copy(update={"num_envs": 32})})
    trainer = make_trainer(config, tmp_path / "run")
    for _ in range(120):
        status = trainer.round()
    assert status.return_mean is not None and low <= status.return_mean <= high


def test_a_team_without_memory_keeps_none() -> None:
    from a2po.envs.registry import make

    env = make("matrix/uneven", 1)
    team = TeamPolicy(env.spec, validate({}).network, seed=0)
    assert not team.recurrent and team.initial_state(3).shape == (2, 3, 0, 0) and team.initial_memory(3).shape == (2, 3, 0, 0)
