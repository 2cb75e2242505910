"""QMIX and VDN in the real loop: exploration, training from the replay, resume, export, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import a2po
from a2po.algorithms.q_learner import EpisodeBatch, QLearner
from a2po.cli.app import main
from a2po.config import TrainConfig, override, validate
from a2po.errors import ConfigError
from a2po.networks.team_policy import TeamPolicy
from a2po.testing.broken import Broken
from a2po.testing.resume import _content, _first_difference, check_training
from a2po.testing.walk import Case
from a2po.training import memory as memory_module
from a2po.training.dashboard import Dashboard
from a2po.training.memory import free_memory, require_memory
from a2po.training.metrics import read_metrics
from a2po.training.off_policy import Explorer, OffPolicy
from a2po.training.on_policy import OnPolicy
from a2po.training.plan import plan
from a2po.training.replay import EpisodeReplay, replay_bytes
from a2po.training.runs import open_policy
from a2po.training.sinks.protocol import scalars
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView
from a2po.training.warm_start import start_from

pytestmark = pytest.mark.usefixtures("one_thread")

CASE = Case("matrix/climbing", {"length": 7})
PER_UPDATE = 4 * 8


def small(algorithm: str = "qmix", task: str = "matrix/uneven", *, updates: int = 12, **sections: dict[str, Any]) -> TrainConfig:
    """4 copies x 8 steps; episodes of 3 steps."""
    values: dict[str, dict[str, Any]] = {
        "env": {"num_envs": 4, "num_threads": 1, "options": {"length": 3}},
        "network": {"hidden_sizes": (8,)},
        "update": {"rollout_length": 8, "chunk_length": 8, "num_minibatches": 1},
        "qmix": {"replay_episodes": 40, "batch_episodes": 8, "warm_up_episodes": 25, "target_every": 30, "epsilon_steps": 200},
        "run": {"total_steps": updates * PER_UPDATE, "evaluate_every": 0, "checkpoint_every": 10**9, "track": ()},
    }
    merged = {name: {**values.get(name, {}), **sections.get(name, {})} for name in {*values, *sections}}
    return validate({"task": task, "algorithm": algorithm, "device": "cpu", **merged})


def play(config: TrainConfig, runs: Path, name: str = "run", **arguments: Any) -> Path:
    return a2po.train(config, name=name, runs=runs, view=SilentView(), **arguments).run


def updates_of(run: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(run / "metrics.jsonl") if row["kind"] == "update"]


# --- playing ---


def test_exploration_is_legal_and_of_the_wanted_share(make_policy: Any) -> None:
    team: TeamPolicy = make_policy("matrix/uneven").team
    obs, stream = torch.randn(4000, 2, 2), torch.Generator().manual_seed(0)
    legal = torch.tensor([[True, False, True], [True, True, True]]).expand(4000, -1, -1)
    memory = team.initial_state(4000)
    greedy = team.act(obs, legal, memory, None)
    for share in (0.0, 0.3, 1.0):
        samples = Explorer(team, share).act(obs, legal, memory, stream).samples
        assert legal.gather(-1, samples.unsqueeze(-1)).all()
        others = (samples != greedy.samples).float().mean(0)
        expected = torch.tensor([share / 2, share * 2 / 3])  # a random action is at times the greedy one
        torch.testing.assert_close(others, expected, rtol=0.0, atol=0.03)


def test_rounds_warm_up_then_train(tmp_path: Path) -> None:
    """32 steps are 10 whole episodes, or 11: training begins with the third round, at 26 or more."""
    rows = updates_of(play(small(), tmp_path))
    assert [row["team"]["epsilon"] for row in rows[:3]] == [1.0, 1.0, 1.0]
    schedule = [max(1.0 - 0.95 * index * PER_UPDATE / 200, 0.05) for index in range(len(rows))]
    assert [row["team"]["epsilon"] for row in rows[3:]] == pytest.approx(schedule[3:])
    assert [row["team"]["replay_episodes"] for row in rows[:5]] == [8.0, 20.0, 32.0, 40.0, 40.0]
    for index, row in enumerate(rows):
        assert ("loss" in row["team"]) == (index >= 2) and set(row["agents"]) == {"row", "column"}
        found = scalars(row)
        assert found["team/epsilon"] == row["team"]["epsilon"] and ("agent/row/q" in found) == (index >= 2)
    assert {"td_error", "q_mean", "target_mean", "mixer_grad_norm"} <= set(rows[-1]["team"])
    assert rows[-1]["agents"]["row"].keys() == {"q", "actor_grad_norm"}


def test_the_target_follows_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []
    genuine = QLearner.copy_to_target

    def copy_to_target(self: QLearner, episodes: int) -> None:
        copies.append(episodes)
        genuine(self, episodes)

    monkeypatch.setattr(QLearner, "copy_to_target", copy_to_target)
    play(small(updates=10), tmp_path)
    # 8, 12, 12, 8, 12, ... whole episodes per round
    assert copies == [0, 0, 32, 64, 96]  # when it is made, and when the run begins with whatever weights it got


@pytest.mark.parametrize(("limits", "ends"), [("bootstrap", False), ("terminal", True)])
def test_time_limits(limits: str, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    genuine = EpisodeReplay.sample

    def sample(self: EpisodeReplay, *rest: Any, truncation_ends: bool) -> EpisodeBatch:
        asked.append(truncation_ends)
        return genuine(self, *rest, truncation_ends=truncation_ends)

    monkeypatch.setattr(EpisodeReplay, "sample", sample)
    play(small(updates=4, update={"time_limits": limits}), tmp_path)
    assert set(asked) == {ends}


@pytest.mark.parametrize("algorithm", ["qmix", "vdn"])
@pytest.mark.parametrize("layers", [0, 1])
def test_it_learns_the_best_joint_action(algorithm: str, layers: int, tmp_path: Path) -> None:
    """Of a game whose sums of rows and columns point to it, as a monotone mix needs it; the observations say nothing."""
    config = small(
        algorithm,
        updates=150,
        env={"num_envs": 16, "options": {}},
        network={"hidden_sizes": (16,), "recurrent_layers": layers, "recurrent_size": 8},
        update={"actor_learning_rate": 0.005},
        qmix={"epsilon_steps": 8000, "replay_episodes": 500, "batch_episodes": 32, "updates_per_round": 4, "target_every": 200},
        run={"total_steps": 80 * 128, "evaluate_every": 80 * 128},
    )
    result = a2po.train(config, name="run", runs=tmp_path, view=SilentView())
    rows = updates_of(result.run)
    assert rows[0]["return_mean"] < 1.6 and result.evaluation == 3.0
    assert rows[-1]["team"]["td_error"] < 0.5 * rows[3]["team"]["td_error"]


# --- going on ---

FORGOTTEN = {
    "the replay": (EpisodeReplay, "data"),
    "how many episodes there were": (EpisodeReplay, "episodes"),
    "how they ended": (EpisodeReplay, "terminated"),
    "what training draws": (OffPolicy, "draws"),
    "the mixer": (QLearner, "mixer"),
    "the target networks": (QLearner, "target"),
    "the target mixer": (QLearner, "target_mixer"),
    "when they were copied": (QLearner, "copied_at"),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_what_is_forgotten_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, key = FORGOTTEN[what]
    genuine = owner.load_state_dict

    def forgetful(self: Any, state: dict[str, Any]) -> Any:
        fresh = self.state_dict()[key]
        if what == "the replay":
            fresh = {name: torch.zeros_like(value) for name, value in state[key].items()}
        if what == "how they ended":
            fresh = ~state[key]
        return genuine(self, {**state, key: fresh})

    monkeypatch.setattr(owner, "load_state_dict", forgetful)
    with pytest.raises(Broken, match=r"qmix, MLP: 20 updates and 10 \+ 10 resumed ones differ in /"):
        check_training(CASE, "qmix", 0)


@pytest.mark.resilience
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL somewhere behind the first checkpoint, in the middle of episodes."""
    mixer = {"mixer_size": 4, "hypernet_size": 8}  # the child has other torch threads, on which large initial weights depend
    config = small(updates=100, env={"options": {"length": 5}}, run={"checkpoint_every": 5 * PER_UPDATE}, qmix=mixer)
    whole = play(config, tmp_path, "whole")
    file = tmp_path / "config.toml"
    file.write_text((whole / "config.toml").read_text())
    command = [sys.executable, "-m", "a2po.cli", "train", "--config", str(file), "--name", "parts", "--runs", str(tmp_path), "--plain"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while not list((tmp_path / "parts" / "checkpoints").glob("step_*")) and child.poll() is None and time.monotonic() - began < 60:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    parts = play(config, tmp_path, "parts", resume=True)
    assert _first_difference(_content(whole), _content(parts)) is None


def test_a_warm_start_trains_against_the_weights_that_it_begins_with(tmp_path: Path) -> None:
    """Not against the random ones that were there before: they would pull it back until the first copy."""
    first = play(small(updates=2), tmp_path, "first")
    config = override(small(), values={"init_from": str(first), "seed": 9})
    trainer = Trainer(config, tmp_path / "second", torch.device("cpu"), print)
    learner = trainer.learner
    assert isinstance(learner, QLearner)
    with closing(trainer):
        message = start_from(trainer.team, str(first), tmp_path, pytest.fail, critics=False).message
        assert message.endswith("its actors alone")
        trainer.round()
        assert torch.equal(learner.target.actors.values, open_policy(first).team.actors.values)


# --- around it ---


def test_the_exported_team_plays_as_the_checkpoint(tmp_path: Path) -> None:
    """Greedy over Q, with the mask in the graph: the column player has one action more."""
    run = play(small(updates=20), tmp_path)
    exported = a2po.evaluate(a2po.export(run), episodes=20)
    trained = a2po.evaluate(run, episodes=20, policy="torch")
    assert (exported["policy"], trained["policy"]) == ("onnx", "torch") and exported["returns"] == trained["returns"]


def test_continuous_actions_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "qmix needs discrete actions; mamujoco/HalfCheetah-2x3 has continuous ones: use"
    for command in (["train", "--algorithm", "qmix"], ["sweep", "--algorithm", "a2po", "--algorithm", "qmix", "--seeds", "0"]):
        monkeypatch.setattr(sys, "argv", ["a2po", *command, "--task", "mamujoco/HalfCheetah-2x3"])
        with pytest.raises(SystemExit) as left:
            main()
        error = capsys.readouterr().err
        assert left.value.code == 2 and words in error and "a2po" in error.split(words)[1] and error.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def test_a_replay_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"the replay of 10,000,000,000 episodes .* takes [\d,]+ bytes on cpu, where [\d,]+ are free: lower"
    ):
        Trainer(small(qmix={"replay_episodes": 10**10}), tmp_path, torch.device("cpu"), print)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory(torch.device("cpu"))
    assert free is not None and 10**6 < free < 10**14
    monkeypatch.setattr(memory_module, "free_memory", lambda device: 2000)
    require_memory(2000, torch.device("cpu"), "the whale", "think smaller")
    with pytest.raises(ConfigError, match=r"the whale takes 2,001 bytes on cpu, where 2,000 are free: think smaller"):
        require_memory(2001, torch.device("cpu"), "the whale", "think smaller")


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("1500\n")
    assert free_memory(torch.device("cpu")) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert (free_memory(torch.device("cpu")) or 0) > 10**6


def test_its_size_is_said_before_training(tmp_path: Path) -> None:
    config = small()
    said: list[str] = []

    class Hearing(SilentView):
        def say(self, message: str) -> None:
            said.append(message)

    run = a2po.train(config, name="run", runs=tmp_path, view=Hearing()).run
    trainer = Trainer(config, tmp_path / "other", torch.device("cpu"), print)
    size = replay_bytes(trainer.env.spec, 40, 4)
    notice = f"the replay of 40 episodes of up to 3 steps takes {size:,} bytes on cpu"
    assert said[0].startswith("qmix on matrix/uneven") and said[1].startswith(notice)
    planned = plan(config, name="plan", runs=tmp_path, probe_s=0.0)
    assert any(text.startswith(notice) for text in planned.notices) and planned.memory.buffer >= size
    written = sum(file.stat().st_size for file in (run / "checkpoints").glob("step_*/*"))
    assert abs(planned.disk.checkpoint / written - 1) < 0.05
    assert planned.counts.gradient_steps_per_agent == planned.counts.updates


def test_the_dashboard_shows_it(tmp_path: Path) -> None:
    """While it warms up, and after."""
    trainer, dashboard = Trainer(small(), tmp_path, torch.device("cpu"), print), Dashboard(0, 12 * PER_UPDATE, [])
    for trained in (False, False, True):
        status = trainer.round()
        dashboard.update(status)
        text = "\n".join(line.plain for line in dashboard.lines(status, 80, 24))
        assert "epsilon 1.00 · replay" in text and "column" in text
        assert ("Q of what was played" in text) == ("TD error" in text) == trained


def test_statistics_of_the_observations_come_from_the_rollouts(tmp_path: Path) -> None:
    config = small(updates=5)
    trainer = Trainer(config, tmp_path, torch.device("cpu"), print)
    for _ in range(5):
        trainer.round()
    assert trainer.team.obs_norm.count.flatten().tolist() == [5 * PER_UPDATE] * 2
    still = Trainer(override(config, settings=["network.normalise_observations=false"]), tmp_path, torch.device("cpu"), print)
    still.round()
    assert not still.team.obs_norm.count.any()


def test_the_method_is_that_of_the_algorithm(tmp_path: Path) -> None:
    for algorithm, kind in (("qmix", OffPolicy), ("vdn", OffPolicy), ("mappo", OnPolicy)):
        assert type(Trainer(small(algorithm), tmp_path, torch.device("cpu"), print).method) is kind
