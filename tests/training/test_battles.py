"""Training where agents die, on a stand-in for battles, in the paper's configuration of StarCraft: what the dead do counts for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import a2po
from a2po.algorithms import objectives, ordering
from a2po.algorithms import turn as turn_module
from a2po.algorithms.batch import Batch
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.turn import evaluate
from a2po.algorithms.update_rules import rule
from a2po.config import TrainConfig, resolve
from a2po.evaluation.curves import group_curves, plot_runs
from a2po.evaluation.run_list import run_summary
from a2po.networks.group import Group
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime import read_bundle
from a2po.training.metrics import rank, read_metrics
from a2po.training.prepare import prepare
from a2po.training.runs import open_policy
from a2po.training.sinks.protocol import scalars
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView, Status, describe

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ["env.num_envs=6", "update.rollout_length=40", "network.hidden_sizes=[16]", "network.recurrent_size=8", "network.head_sizes=[]",
         "run.evaluate_every=0", "run.track=[]"]  # fmt: skip
PAPER = ["update.num_blocks=2", "update.num_minibatches=2", "update.num_epochs=4", "update.two_stage=true", "update.chunk_length=10",
         "update.actor_learning_rate=0.02", "update.entropy_coefficient=0.01", "network.share_parameters=true",
         "update.time_limits=terminal"]  # fmt: skip


def config_for(*settings: str, algorithm: str = "a2po", **options: Any) -> TrainConfig:
    blocks = [] if algorithm == "a2po" else ["update.num_blocks=null", "update.two_stage=false"]
    given = {"task": "skirmish:make", "algorithm": algorithm, "env": {"options": {"ids": True, **options}}}
    return resolve(preset="paper", values=given, settings=[*SMALL, *PAPER, *blocks, *settings])


def round_of(folder: Path, config: TrainConfig) -> tuple[Trainer, Batch]:
    """A trainer after one round, and the batch of its next rollout."""
    folder.mkdir(exist_ok=True)
    trainer = Trainer(config, folder, torch.device("cpu"), print)
    trainer.round()
    trainer.sampler.collect()
    return trainer, prepare(trainer.team, trainer.buffer, config.update.time_limits)


def updated(trainer: Trainer, batch: Batch) -> dict[str, Any]:
    """What a copy of the team and the learner become by one update."""
    config = trainer.config
    team = TeamPolicy(trainer.team.spec, config.network, seed=5)
    team.load_state_dict({name: value.clone() for name, value in trainer.team.state_dict().items()})
    learner = PolicyLearner(team, rule(config.algorithm), config.update, seed=3)
    report = learner.update(batch)
    return {"team": team, "report": report}


@pytest.mark.parametrize("algorithm", ["mappo", "coppo", "happo", "a2po"])
@pytest.mark.parametrize("share", ["true", "false"])
def test_what_the_dead_see_and_do_changes_no_actor(algorithm: str, share: str, tmp_path: Path) -> None:
    """Observations, legal actions and actions of dead agents are replaced: their ratios would leave 1, everything else would follow."""
    trainer, batch = round_of(tmp_path / "run", config_for(f"network.share_parameters={share}", algorithm=algorithm))
    dead = batch.mask == 0
    assert 0.05 < dead.float().mean() < 0.95 and batch.action_mask is not None
    stream = torch.Generator().manual_seed(1)
    other = replace(
        batch,
        obs=torch.where(dead.unsqueeze(-1), torch.randn(batch.obs.shape, generator=stream), batch.obs),
        action_mask=batch.action_mask | dead.unsqueeze(-1),
        samples=torch.where(dead, torch.randint(0, 9, batch.samples.shape, generator=stream), batch.samples),
    )
    first, second = updated(trainer, batch), updated(trainer, other)
    torch.testing.assert_close(first["team"].actors.values, second["team"].actors.values, rtol=0, atol=1e-6)
    torch.testing.assert_close(first["team"].critics.values, second["team"].critics.values, rtol=0, atol=1e-6)
    assert first["report"].order == second["report"].order and first["report"].scores == second["report"].scores
    for name, values in first["report"].per_agent.items():
        assert values == pytest.approx(second["report"].per_agent[name], abs=1e-5), name
    trainer.close()


def test_who_can_do_nothing_but_one_thing_has_no_entropy_and_a_ratio_of_one(tmp_path: Path) -> None:
    trainer, batch = round_of(tmp_path / "run", config_for())
    dead, everyone = batch.mask == 0, tuple(range(3))
    assert batch.action_mask is not None and bool(batch.action_mask.any(-1).all())  # nobody is without any action
    assert torch.equal(batch.action_mask.sum(-1) == 1, dead) and bool((batch.samples[dead] == 0).all())
    group, log_probs = Group(trainer.team, everyone), []
    for _ in range(2):
        log_probs.append(evaluate(group.actor, batch)[0])
        distribution = turn_module.distribution_of(group.actor, batch, batch.everything())
        order = batch.everything().samples
        assert bool((distribution.entropy()[dead[:, order]] == 0).all()) and bool((log_probs[-1][dead] == 0).all())
        trainer.learner.update(batch)
    assert not torch.equal(*log_probs)
    trainer.close()


def test_values_are_learned_of_the_dead_too(tmp_path: Path) -> None:
    """As the public code does: the team's reward goes on. What their critics see is in the state: zeros and the id, from the task."""
    trainer, batch = round_of(tmp_path / "run", config_for())
    dead = batch.mask == 0
    assert batch.state.shape[0] == 3 and bool((batch.state[dead][:, :-3] == 0).all())
    assert torch.equal(batch.state[:, :, -3:], torch.eye(3).unsqueeze(1).expand(-1, batch.num_samples, -1))
    other = replace(batch, state=torch.where(dead.unsqueeze(-1), torch.randn(batch.state.shape), batch.state))
    first, second = updated(trainer, batch), updated(trainer, other)
    assert torch.equal(first["team"].actors.values, second["team"].actors.values)
    assert (first["team"].critics.values - second["team"].critics.values).abs().max() > 1e-4
    assert bool((batch.value_mask == 1).all())
    trainer.close()


def test_scores_and_normalisation_are_those_of_the_living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against slow loops over the living alone."""
    trainer, batch = round_of(tmp_path / "run", config_for("update.rescore=once", "update.num_minibatches=1"))
    seen: dict[str, Tensor] = {}
    genuine = objectives.surrogate

    def surrogate(own_rule: Any, ratio: Tensor, others: Tensor | None, advantages: Tensor, **ranges: Any) -> Tensor:
        seen.setdefault("advantages", advantages)
        return genuine(own_rule, ratio, others, advantages, **ranges)

    monkeypatch.setattr(objectives, "surrogate", surrogate)
    learner = PolicyLearner(trainer.team, rule("a2po"), trainer.config.update, seed=3)
    plain = batch.agent_major(learner._estimate(batch, None, slice(None)))
    living = batch.mask != 0
    report = learner.update(batch)
    assert report.scores[0] == pytest.approx([float(plain[agent][living[agent]].abs().mean()) for agent in range(3)], rel=1e-5)
    assert report.order[0] == max(range(3), key=lambda agent: report.scores[0][agent])
    mean, std = plain[living].mean(), plain[living].std(unbiased=False)
    first = sorted(report.order[: ordering.block_sizes(3, 2)[0]])
    wanted = ((plain - mean) / (std + 1e-5))[first]
    torch.testing.assert_close(seen["advantages"], wanted[:, batch.everything().samples], rtol=1e-5, atol=1e-5)
    trainer.close()


def test_memories_forget_where_episodes_end_and_not_where_agents_die(tmp_path: Path) -> None:
    """What the networks remembered when the actions were chosen is what training goes through again, death or not."""
    trainer, batch = round_of(tmp_path / "run", config_for("env.options.limit=8"))
    buffer, team = trainer.buffer, trainer.team
    ended = buffer.ended()
    died = buffer.alive[:-1] & ~buffer.alive[1:] & ~ended.unsqueeze(-1)
    assert int(died.sum()) > 10 and bool(buffer.truncated.any()) and torch.equal(batch.keep.view(40, 6)[1:] == 0, ended[:-1])
    memory = buffer.actor_memory[0].clone()
    for t in range(40):
        if t % 10 == 0:
            torch.testing.assert_close(memory, batch.actor_memory.view(3, 4, 6, 1, 8)[:, t // 10], rtol=1e-5, atol=1e-6)
        assert buffer.action_mask is not None
        memory = team.act(buffer.obs[t], buffer.action_mask[t], memory, None).state_out
        memory[:, ended[t]] = 0.0
    assert bool((buffer.actor_memory[-1].abs().amax(-1) > 0)[~ended[-1].expand(3, 6).unsqueeze(-1)].all())
    trainer.close()


def test_an_episode_at_the_limit_is_lost_and_ends_the_papers_returns(tmp_path: Path) -> None:
    """The step limit is a truncation; with time_limits = "terminal" nothing is expected after it."""
    config = config_for("env.options.limit=3")
    trainer, batch = round_of(tmp_path / "run", config)
    cut = trainer.buffer.truncated
    assert int(cut.sum()) > 20 and not (cut & trainer.buffer.terminated).any()
    ends = cut.flatten() | trainer.buffer.terminated.flatten()
    assert torch.equal(batch.terminated[..., 0].flatten(), ends) and not batch.truncated.any()
    advantages = batch.agent_major(trainer.learner._estimate(batch, None, slice(None)))
    deltas = batch.agent_major(batch.rewards - batch.values)
    torch.testing.assert_close(advantages[:, ends], deltas[:, ends])
    kept = prepare(trainer.team, trainer.buffer)
    assert torch.equal(kept.truncated[..., 0], cut) and not torch.equal(kept.terminated[..., 0].flatten(), ends)
    trainer.close()


@pytest.mark.parametrize("ids", [True, False])
def test_a_team_with_states_per_agent_is_saved_exported_and_begins_another_run(ids: bool, tmp_path: Path) -> None:
    config = config_for("run.total_steps=480", "run.evaluate_every=480", "run.evaluation_episodes=4", ids=ids)
    run = a2po.train(config, name="first", runs=tmp_path, view=SilentView()).run
    longer = config.model_copy(update={"run": config.run.model_copy(update={"total_steps": 720})})
    assert a2po.train(longer, name="first", resume=True, runs=tmp_path, view=SilentView()).step == 720
    bundle = a2po.export(run, say=lambda message: None)
    policy = open_policy(run)
    inputs = {kind: stack.shapes["linear0_weight"][0] for kind, stack in (("actor", policy.team.actors), ("critic", policy.team.critics))}
    assert inputs == {"actor": 19, "critic": 19}  # the 16 features and the id once, whoever says it
    assert policy.team.actors_need_ids is policy.team.critics_need_ids is not ids
    assert len(list(bundle.glob("agents/*.onnx"))) == 1
    told = {"agent" in agent.inputs for agent in read_bundle(bundle).agents}
    assert told == {not ids}  # what tells agents apart is in the observation, or the graph is told whose observation it gets
    for name, start in (("run", run), ("bundle", bundle)):
        warm = config.model_copy(update={"init_from": str(start)})
        began = a2po.train(warm, name=f"from-{name}", runs=tmp_path, view=SilentView())
        assert began.step == 480


class Watching(SilentView):
    """Keeps every status."""

    def __init__(self) -> None:
        self.seen: list[Status] = []

    def show(self, status: Status) -> None:
        self.seen.append(status)


def test_games_won_are_written_shown_drawn_and_listed(tmp_path: Path) -> None:
    """The share of greedy games won, over the run: in the metrics, the view, the trackers, the plots and the list of runs."""
    config = config_for("run.total_steps=1200", "run.evaluate_every=240", "run.evaluation_episodes=32", enemies=2)
    view = Watching()
    run = a2po.train(config, name="won", runs=tmp_path, view=view).run
    rows = [row for row in read_metrics(run / "metrics.jsonl") if row["kind"] == "evaluation"]
    shares = [row["won_mean"] for row in rows]
    assert len(rows) == 5 and all(share * 32 == round(share * 32) for share in shares) and 0 < max(shares) <= 1
    assert all(0 <= row["dead_allies_mean"] <= 3 and 1 <= row["length_mean"] <= 12 for row in rows)
    last = view.seen[-1]
    assert last.evaluation_rates == {"won": shares[-1]} and 0 <= last.rates["won"] <= 1
    assert f"return {last.return_mean:,.1f}, won {last.rates['won']:.0%} · greedy {last.evaluation:,.1f}, won {shares[-1]:.0%}" in describe(
        last
    )
    assert scalars(rows[-1]) == {"return/greedy": rows[-1]["return_mean"]} | {
        f"greedy/{name}": rows[-1][f"{name}_mean"] for name in ("length", "won", "dead_allies", "dead_enemies")
    }
    [curve] = group_curves([run], metric="won")
    assert curve.mean.tolist() == shares and curve.x.tolist() == [240, 480, 720, 960, 1200]
    [training] = group_curves([run], metric="won_mean", x="time")
    assert len(training.mean) == 5 and training.x[-1] == rows[-1]["time_s"]
    assert plot_runs([run], tmp_path / "won.png", metric="won", x="both").is_file()
    summary = run_summary(run)
    assert summary["won"] == shares[-1]
    best = max(rows, key=rank)
    assert summary["best_evaluation"] == best["return_mean"]
    assert (run / "checkpoints" / "best").read_text().strip() == f"step_{best['step']:012d}"


def test_the_best_team_wins_most_and_then_has_the_highest_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a resume."""
    games = iter([(5.0, False), (9.0, False), (1.0, True), (8.0, False), (2.0, True), (1.5, True)])
    config = config_for("run.evaluate_every=240", "run.evaluation_episodes=2", "run.total_steps=960")

    def evaluate(self: Any, step: int, progress: Any = None) -> list[dict[str, Any]]:
        value, won = next(games)
        return [{"return": value, "length": 3, "won": won, "dead_allies": 0.0, "dead_enemies": 1.0}] * 2

    monkeypatch.setattr("a2po.training.greedy.GreedyEvaluator.evaluate", evaluate)
    run = a2po.train(config, name="best", runs=tmp_path, view=SilentView()).run
    best = run / "checkpoints" / "best"
    assert best.read_text().strip() == "step_000000000720"
    longer = config.model_copy(update={"run": config.run.model_copy(update={"total_steps": 1440})})
    a2po.train(longer, name="best", resume=True, runs=tmp_path, view=SilentView())
    assert best.read_text().strip() == "step_000000001200"
