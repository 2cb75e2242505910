"""The training loop: resume is bit-exact, interrupts and faults lose nothing, and it learns."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po
from a2po.algorithms.learner import PolicyLearner
from a2po.config import TrainConfig, override, resolve, validate
from a2po.envs.protocol import Step, VectorEnv
from a2po.errors import CheckpointError, ConfigError, RunError, TaskError, UserError, WorkFailed
from a2po.networks.team_policy import TeamPolicy
from a2po.training import trainer as trainer_module
from a2po.training.checkpoints import Checkpoints
from a2po.training.greedy import GreedyEvaluator
from a2po.training.interrupt import Interrupt
from a2po.training.loop import TrainResult, train
from a2po.training.metrics import MetricsFile, read_metrics
from a2po.training.runs import list_runs, make_env, open_policy, open_run
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView, Status

TASKS: dict[str, dict[str, Any]] = {"matrix/climbing": {"length": 5}, "mamujoco/HalfCheetah-2x3": {"max_episode_steps": 25}}
PER_UPDATE = 8 * 16
TIMES = ("time_s", "sampling_s", "update_s", "save_s", "steps_per_s")


class Watcher:
    """A view that remembers what it is told, and calls back after every update."""

    def __init__(self, on_show: Callable[[int], None] | None = None) -> None:
        self.said: list[str] = []
        self.steps: list[int] = []
        self.stopped = 0
        self._on_show = on_show

    def start(self, step: int, total: int) -> None:
        """Nothing to draw."""

    def show(self, status: Status) -> None:
        self.steps.append(status.step)
        if self._on_show:
            self._on_show(len(self.steps))

    def say(self, message: str) -> None:
        self.said.append(message)

    def stop(self) -> None:
        self.stopped += 1


def small(task: str = "matrix/climbing", algorithm: str = "a2po", *, updates: int = 3, seed: int = 0, **run: Any) -> TrainConfig:
    """8 copies x 16 steps; evaluation and checkpoints every five updates."""
    return validate(
        {
            "task": task,
            "algorithm": algorithm,
            "seed": seed,
            "device": "cpu",
            "env": {"num_envs": 8, "num_threads": 1, "options": TASKS.get(task, {})},
            "network": {"hidden_sizes": (8, 8)},
            "update": {"rollout_length": 16, "num_epochs": 2, "num_minibatches": 2, "actor_learning_rate": 0.01},
            "run": {
                "total_steps": updates * PER_UPDATE,
                "evaluate_every": 5 * PER_UPDATE,
                "evaluation_episodes": 3,
                "checkpoint_every": 5 * PER_UPDATE,
                **run,
            },
        }
    )


def play(config: TrainConfig | None, runs: Path, name: str | None = "run", view: Watcher | None = None, **arguments: Any) -> TrainResult:
    return train(config, name=name, runs=runs, view=view or Watcher(), **arguments)


def without_times(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: without_times(value) for key, value in state.items() if key not in TIMES}
    return [without_times(value) for value in state] if isinstance(state, list) else state


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Bit for bit, whatever is nested."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, theirs, f"{path}/{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other), path
    else:
        assert one == other, path


def assert_same_run(one: Path, other: Path) -> None:
    """The last checkpoints hold the same bits, and the metrics the same rows, but for times."""
    states = [Checkpoints(run / "checkpoints").load(say=pytest.fail)[1] for run in (one, other)]
    assert {"team", "learner", "sampler", "env"} <= states[0].keys()
    assert any(name.startswith("actors.adam") for name in states[0]["team"])
    assert_same(*(without_times(state) for state in states))
    rows = [read_metrics(run / "metrics.jsonl") for run in (one, other)]
    assert rows[0] and all(row["kind"] != "update" or set(TIMES) <= row.keys() for row in rows[0])
    assert_same(*(without_times({"rows": own}) for own in rows))


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize("task", TASKS)
def test_ten_updates_and_ten_more_are_twenty(task: str, algorithm: str, tmp_path: Path) -> None:
    """Weights, optimisers, normalisers, streams, environment and metrics: bit for bit."""
    whole = play(small(task, algorithm, updates=20), tmp_path, "whole")
    play(small(task, algorithm, updates=10), tmp_path, "halves")
    resumed = play(small(task, algorithm, updates=20), tmp_path, "halves", resume=True)
    assert whole.step == resumed.step == 20 * PER_UPDATE
    assert (whole.return_mean, whole.evaluation) == (resumed.return_mean, resumed.evaluation)
    assert_same_run(tmp_path / "whole", tmp_path / "halves")
    kinds = [row["kind"] for row in read_metrics(tmp_path / "whole" / "metrics.jsonl")]
    assert kinds.count("update") == 20 and kinds.count("evaluation") == 4


SHARED = ["network.share_parameters=true", "network.recurrent_layers=1", "network.layer_norm=true", "update.chunk_length=8"]


@pytest.mark.parametrize(("algorithm", "settings"), [("mappo", SHARED), ("ippo", []), ("ippo", SHARED)])
@pytest.mark.parametrize("task", TASKS)
def test_networks_that_share_or_observe_go_on_bit_for_bit(task: str, algorithm: str, settings: list[str], tmp_path: Path) -> None:
    def config(updates: int) -> TrainConfig:
        return override(small(task, algorithm, updates=updates), settings=settings)

    play(config(10), tmp_path, "whole")
    play(config(5), tmp_path, "halves")
    play(config(10), tmp_path, "halves", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_leaves(number: signal.Signals, tmp_path: Path) -> None:
    """After the running update; the run goes on from there as if nothing had been."""
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    view = Watcher(lambda shown: signal.raise_signal(number) if shown == 7 else None)
    config = small(updates=10)
    result = play(config, tmp_path, "broken", view)
    assert result.interrupted_by == number and result.step == 7 * PER_UPDATE and len(view.steps) == 7
    assert view.stopped and any("interrupted" in message and "--resume" in message for message in view.said)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert Checkpoints(tmp_path / "broken" / "checkpoints").load()[1]["step"] == 7 * PER_UPDATE
    assert play(None, tmp_path, "broken", resume=True).interrupted_by is None
    play(config, tmp_path, "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("cut_at", [5, 10])
@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_that_was_cut_is_played_again(task: str, cut_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut twice, in the middle of the run or at its end: the metrics and all that is kept are those of a run that was left alone."""
    genuine = GreedyEvaluator.evaluate
    config = small(task, updates=10)

    def evaluate(self: GreedyEvaluator, step: int, progress: Callable[[int], None] | None = None) -> list[float]:
        played = []

        def interrupt_and_go_on(episodes: int) -> None:
            played.append(episodes)
            if len(played) == 3:
                signal.raise_signal(signal.SIGTERM)
            assert progress is not None
            progress(episodes)

        return genuine(self, step, interrupt_and_go_on if step == cut_at * PER_UPDATE else progress)

    monkeypatch.setattr(GreedyEvaluator, "evaluate", evaluate)
    for resume in (False, True):
        result = play(None if resume else config, tmp_path, "broken", resume=resume)
        assert result.interrupted_by == signal.SIGTERM and result.step == cut_at * PER_UPDATE
        rows = read_metrics(result.run / "metrics.jsonl")
        assert rows[-1]["kind"] == "update" and rows[-1]["step"] == result.step
    monkeypatch.undo()
    play(None, tmp_path, "broken", resume=True)
    play(config, tmp_path, "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    kept = [Checkpoints(tmp_path / name / "checkpoints") for name in ("whole", "broken")]
    assert kept[0].pointer("best") == kept[1].pointer("best") is not None


def test_a_row_of_an_evaluation_that_is_due_again_is_forgotten(tmp_path: Path) -> None:
    """Killed after the row of the repeated evaluation was written and before its checkpoint was."""
    file = MetricsFile(tmp_path / "metrics.jsonl")
    rows = [{"kind": "evaluation", "step": 10}, {"kind": "update", "step": 20}, {"kind": "evaluation", "step": 20}]
    for row in rows:
        file.write(row)
    MetricsFile(file.path, resumed_step=20)
    assert read_metrics(file.path) == rows
    MetricsFile(file.path, resumed_step=20, evaluation_due=True)
    assert read_metrics(file.path) == rows[:2]


def test_milestones_are_saved_and_kept(tmp_path: Path) -> None:
    """Every time a multiple is passed, also where no other checkpoint is due; a resumed run keeps those of before."""
    config = small(updates=9, evaluate_every=0, checkpoint_every=10**9, keep_checkpoints=2, milestone_every=320)
    play(override(config, settings=[f"run.total_steps={6 * PER_UPDATE}"]), tmp_path, "run")
    play(config, tmp_path, "run", resume=True)
    steps = [int(name.removeprefix("step_")) for name in Checkpoints(tmp_path / "run" / "checkpoints").names()]
    assert steps == [updates * PER_UPDATE for updates in (9, 8, 5, 3)]  # past 960, 640 and 320; the last one is no milestone
    play(override(config, settings=["run.milestone_every=0", f"run.total_steps={12 * PER_UPDATE}"]), tmp_path, "run", resume=True)
    assert f"step_{3 * PER_UPDATE:012d}" in Checkpoints(tmp_path / "run" / "checkpoints").names()


def test_an_interrupt_before_the_first_update_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = Interrupt.__enter__

    def enter(self: Interrupt) -> Interrupt:
        genuine(self)
        signal.raise_signal(signal.SIGINT)
        return self

    config = small("mamujoco/HalfCheetah-2x3", updates=2)
    monkeypatch.setattr(Interrupt, "__enter__", enter)
    early = play(config, tmp_path, "broken")
    monkeypatch.undo()
    assert early.step == 0 and early.interrupted_by == signal.SIGINT
    play(None, tmp_path, "broken", resume=True)
    play(config, tmp_path, "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_an_interrupt_while_resuming_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(small(updates=3), tmp_path, "broken")
    genuine = Trainer.restore

    def restore(self: Trainer) -> None:
        signal.raise_signal(signal.SIGINT)
        genuine(self)

    monkeypatch.setattr(Trainer, "restore", restore)
    longer = small(updates=6)
    result = play(longer, tmp_path, "broken", resume=True)
    monkeypatch.undo()
    assert result.step == 3 * PER_UPDATE and result.interrupted_by == signal.SIGINT
    play(longer, tmp_path, "broken", resume=True)
    play(longer, tmp_path, "whole")
    assert len(Checkpoints(tmp_path / "broken" / "checkpoints").names()) == 3
    rows = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "broken")]
    assert_same(*(without_times({"rows": [row for row in own if row["kind"] == "update"]}) for own in rows))


@pytest.mark.resilience
def test_metrics_that_stay_refused_cost_no_checkpoint(tmp_path: Path) -> None:
    """A folder stands in the file's place: everything else is saved, and what is lost is said."""

    def block(shown: int) -> None:
        if shown == 2:
            (tmp_path / "run" / "metrics.jsonl").unlink()
            (tmp_path / "run" / "metrics.jsonl").mkdir()

    view = Watcher(block)
    result = play(small(updates=6, evaluate_every=0), tmp_path, view=view)
    assert Checkpoints(result.run / "checkpoints").names() == [f"step_{updates * PER_UPDATE:012d}" for updates in (6, 5)]
    about = [message for message in view.said if "metrics.jsonl" in message]
    assert len(about) == 2 and "cannot be written" in about[0] and "4 rows" in about[1] and "lost" in about[1]


@pytest.mark.resilience
def test_after_a_crash_the_run_goes_back_to_its_last_checkpoint(tmp_path: Path) -> None:
    """Killed at update 8 with a checkpoint of update 5: the metrics since then are forgotten and played again."""

    def crash(shown: int) -> None:
        if shown == 8:
            raise RuntimeError("power cut")

    view = Watcher(crash)
    with pytest.raises(RuntimeError, match="power cut"):
        play(small(updates=10), tmp_path, "broken", view)
    assert view.stopped
    metrics = tmp_path / "broken" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"kind": "update", "st')  # a line cut short
    assert read_metrics(metrics)[-1]["update"] == 8
    again = Watcher()
    play(None, tmp_path, "broken", again, resume=True)
    assert again.steps[0] == 6 * PER_UPDATE and any("step_000000000640" in message for message in again.said)
    play(small(updates=10), tmp_path, "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.resilience
def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(tmp_path: Path) -> None:
    config = small(updates=10)
    play(config, tmp_path, "broken")
    newest = tmp_path / "broken" / "checkpoints" / f"step_{10 * PER_UPDATE:012d}" / "tensors.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    view = Watcher()
    result = play(None, tmp_path, "broken", view, resume=True)
    assert result.step == 10 * PER_UPDATE and view.steps[0] == 6 * PER_UPDATE
    assert any("damaged" in message for message in view.said)
    play(config, tmp_path, "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    config = small("mamujoco/HalfCheetah-2x3")
    for name, one in (("a", config), ("b", config), ("c", config.model_copy(update={"seed": 1}))):
        play(one, tmp_path, name)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    one, other = (Checkpoints(tmp_path / name / "checkpoints").load()[1] for name in ("a", "c"))
    for name in ("actors.weights.linear0_weight", "critics.weights.linear0_weight", "obs_norm.exact_mean"):
        assert not torch.equal(one["team"][name], other["team"][name])


def test_evaluation_does_not_disturb_training(tmp_path: Path) -> None:
    play(small("mamujoco/HalfCheetah-2x3", evaluate_every=PER_UPDATE), tmp_path, "watched")
    play(small("mamujoco/HalfCheetah-2x3", evaluate_every=0), tmp_path, "alone")
    one, other = (Checkpoints(tmp_path / name / "checkpoints").load()[1] for name in ("watched", "alone"))
    assert one["evaluation"] is not None and other["evaluation"] is None
    for part in ("team", "learner", "sampler", "env"):
        assert_same(one[part], other[part])


# --- names, folders and what a resumed run may change ---


def test_an_existing_name_needs_resume(tmp_path: Path) -> None:
    play(small(updates=1), tmp_path)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"exists already.*--resume"):
        play(small(updates=1), tmp_path)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["task=matrix/penalty"], ["task", "matrix/climbing", "matrix/penalty"]),
        (["seed=1", "update.clip=0.1"], ["seed was 0, now 1", "update.clip was 0.2, now 0.1"]),
        (["algorithm=mappo"], ["algorithm"]),
        (["env.options.length=2"], ["env.options.length"]),
        (["env.num_envs=4"], ["env.num_envs"]),
    ],
)
def test_resume_refuses_what_changes_the_learning(settings: list[str], named: list[str], tmp_path: Path) -> None:
    play(small(updates=1), tmp_path)
    with pytest.raises(RunError) as caught:
        play(override(small(updates=1), settings=settings), tmp_path, resume=True)
    assert all(part in str(caught.value) for part in named)


def test_resume_may_change_how_and_how_long(tmp_path: Path) -> None:
    play(small(updates=2), tmp_path)
    longer = override(
        small(updates=2), settings=[f"run.total_steps={4 * PER_UPDATE}", "run.keep_checkpoints=5", "env.num_threads=2", "device=auto"]
    )
    view = Watcher()
    assert play(longer, tmp_path, view=view, resume=True).step == 4 * PER_UPDATE
    assert view.steps == [3 * PER_UPDATE, 4 * PER_UPDATE]
    assert play(longer, tmp_path, view=(done := Watcher()), resume=True).step == 4 * PER_UPDATE and not done.steps
    shorter = override(longer, settings=["run.total_steps=1"])
    assert play(shorter, tmp_path, resume=True).step == 4 * PER_UPDATE  # nothing left to do, nothing lost


def test_resume_takes_the_newest_run_by_default(tmp_path: Path) -> None:
    play(small(updates=1), tmp_path, "old")
    play(small("matrix/penalty", updates=1), tmp_path, "new")
    view = Watcher()
    result = train(None, resume=True, runs=tmp_path, view=view)
    assert result.run == tmp_path / "new" == list_runs(tmp_path)[0]


def test_resume_needs_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        train(None, resume=True, runs=tmp_path, view=Watcher())
    play(small(updates=1), tmp_path, "climbing-1")
    with pytest.raises(RunError, match="did you mean 'climbing-1'"):
        play(None, tmp_path, "climbing-2", resume=True)
    for path in (tmp_path / "climbing-1" / "checkpoints").glob("step_*"):
        (path / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        play(None, tmp_path, "climbing-1", resume=True)
    (tmp_path / "climbing-1" / "config.toml").write_text("[")
    with pytest.raises(UserError, match=r"config.toml"):
        play(None, tmp_path, "climbing-1", resume=True)


@pytest.mark.parametrize("name", ["a/b", "../x", "", " ", "..", "."])
def test_a_name_is_a_plain_folder_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="plain folder name"):
        play(small(updates=1), tmp_path / "runs", name)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("settings", "kind", "hint"),
    [
        (["task=matrix/climbin"], TaskError, "did you mean 'matrix/climbing'"),
        (["task=no_such_module:make"], TaskError, "no_such_module"),
        (["env.options.lenght=5"], TaskError, "did you mean 'length'"),
        (["env.options.seed=3"], TaskError, "seed"),
        (["algorithm=a2pp"], ConfigError, "did you mean 'a2po'"),
    ],
)
def test_a_refused_configuration_leaves_no_folder(settings: list[str], kind: type[UserError], hint: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=hint):
        play(resolve(values={"task": "matrix/climbing"}, settings=settings), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        play(small(updates=1), tmp_path / "file")


def test_what_a_run_folder_holds(tmp_path: Path) -> None:
    config = small(updates=5)
    result = play(config, tmp_path)
    assert open_run(result.run) == config and a2po.train is train
    assert {path.name for path in result.run.iterdir()} >= {"config.toml", "provenance.json", "metrics.jsonl", "checkpoints"}
    policy = open_policy(result.run)
    assert policy.step == result.step and policy.provenance["packages"]["torch"]
    update, *_, evaluation = read_metrics(result.run / "metrics.jsonl")
    assert update["kind"] == "update" and set(update["agents"]) == {"row", "column"} and sorted(update["order"]) == [0, 1]
    assert {"kl", "clip_fraction", "value_loss", "objective", "actor_grad_norm"} <= update["agents"]["row"].keys()
    assert evaluation["kind"] == "evaluation" and evaluation["return_mean"] == result.evaluation == np.mean(evaluation["returns"])
    assert Checkpoints(result.run / "checkpoints").pointer("best") is not None


def test_old_metrics_are_kept_up_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    for step in (10, 20, 30):
        file.write({"step": step})
    with path.open("a") as torn:
        torn.write('{"step": 4')
    MetricsFile(path, resumed_step=20).write({"step": 25})
    assert [row["step"] for row in read_metrics(path)] == [10, 20, 25]
    assert read_metrics(tmp_path / "none.jsonl") == []


# --- faults ---


class Spoilt:
    """An environment whose steps are changed on the way."""

    def __init__(self, inner: VectorEnv, change: Callable[[int, Step], Step]) -> None:
        self._inner, self._change, self._steps = inner, change, 0

    def step(self, actions: torch.Tensor, out: Any = None) -> Step:
        self._steps += 1
        return self._change(self._steps, self._inner.step(actions, out))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Step], Step]) -> None:
    monkeypatch.setattr(trainer_module, "make_env", lambda *arguments, **options: Spoilt(make_env(*arguments, **options), change))


@pytest.mark.parametrize("task", TASKS)
def test_the_team_acts_on_what_the_last_step_showed(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a rollout and across its edge, for every round."""
    shown: list[torch.Tensor] = []
    acted: list[torch.Tensor] = []

    def change(count: int, step: Step) -> Step:
        shown.append(step.observations.obs.clone())
        return step

    spoil(monkeypatch, change)
    (tmp_path / "run").mkdir()
    trainer = Trainer(small(task, evaluate_every=0), tmp_path / "run", torch.device("cpu"), print)
    genuine = trainer.team.act

    def act(obs: torch.Tensor, *rest: Any) -> Any:
        acted.append(obs.clone())
        return genuine(obs, *rest)

    monkeypatch.setattr(trainer.team, "act", act)
    for _ in range(3):
        trainer.round()
        assert torch.equal(trainer.buffer.obs[0], shown[-1])
    trainer.close()
    assert len(acted) == len(shown) == 3 * 16
    assert all(torch.equal(now, before) for now, before in zip(acted[1:], shown, strict=False))


@pytest.mark.resilience
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_fails_the_run_but_not_its_checkpoints(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(count: int, step: Step) -> Step:
        if count == 7 * 16 + 3:
            step.reward[1] = value
        return step

    spoil(monkeypatch, change)
    view = Watcher()
    with pytest.raises(WorkFailed, match=r"reward that is not finite \(copy 1, step 2 of the rollout\)"):
        play(small(updates=10, evaluate_every=0), tmp_path, view=view)
    assert len(view.steps) == 7 and view.stopped
    name, state = Checkpoints(tmp_path / "run" / "checkpoints").load(say=pytest.fail)
    assert state["step"] == 5 * PER_UPDATE and name == f"step_{5 * PER_UPDATE:012d}"
    assert all(torch.isfinite(value).all() for value in state["team"].values())
    monkeypatch.undo()
    assert play(None, tmp_path, resume=True).step == 10 * PER_UPDATE


@pytest.mark.resilience
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_an_invalid_episode_holds_does_not_matter(value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(count: int, step: Step) -> Step:
        if count == 20:
            step.reward[1] = value
            step.terminated[1] = step.invalid[1] = True
        return step

    spoil(monkeypatch, change)
    result = play(small(updates=4, evaluate_every=0), tmp_path)
    _, state = Checkpoints(result.run / "checkpoints").load(say=pytest.fail)
    assert all(torch.isfinite(tensor).all() for tensor in state["team"].values())


@pytest.mark.resilience
def test_a_run_killed_before_its_first_checkpoint_starts_over(tmp_path: Path) -> None:
    straight = play(small(updates=2), tmp_path, "straight")
    play(small(updates=2), tmp_path, "killed")
    for path in (tmp_path / "killed" / "checkpoints").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    view = Watcher()
    again = play(None, tmp_path, "killed", resume=True, view=view)
    assert any("from the beginning" in message for message in view.said)
    rows = [len((result.run / "metrics.jsonl").read_text().splitlines()) for result in (straight, again)]
    assert rows[0] == rows[1]


@pytest.mark.resilience
def test_a_fall_back_is_not_lost_again(tmp_path: Path) -> None:
    """Damaged checkpoints are newer by name, so they must not push out the ones that a resumed run writes."""
    play(small(updates=6, evaluate_every=0, checkpoint_every=PER_UPDATE), tmp_path, "run")
    folder = tmp_path / "run" / "checkpoints"
    names = Checkpoints(folder).names()
    for name in names[:-1]:
        (folder / name / "state.json").write_text("{}")
    played: list[int] = []

    def interrupt(shown: int) -> None:
        played.append(shown)
        signal.raise_signal(signal.SIGINT)

    result = play(None, tmp_path, "run", resume=True, view=Watcher(interrupt))
    assert played == [1]
    assert Checkpoints(folder).load(say=pytest.fail)[1]["step"] == result.step
    assert all((folder / f"damaged_{name}").is_dir() for name in names[:-1])


@pytest.mark.resilience
def test_a_checkpoint_put_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    result = play(small(updates=1), tmp_path, "run")
    folder = result.run / "checkpoints"
    (name,) = Checkpoints(folder).names()
    (folder / name).rename(folder / f".{name}.old123")
    assert Checkpoints(folder).load(say=pytest.fail)[0] == name


def test_what_a_resume_changes_is_kept(tmp_path: Path) -> None:
    play(small(updates=1), tmp_path, "run")
    longer = override(small(updates=1), settings=[f"run.total_steps={2 * PER_UPDATE}"])
    play(longer, tmp_path, "run", resume=True)
    assert open_run(tmp_path / "run").run.total_steps == 2 * PER_UPDATE
    linear = override(small(updates=1), settings=["update.learning_rate_schedule=linear"])
    play(linear, tmp_path, "linear")
    with pytest.raises(RunError, match=r"run.total_steps"):
        play(override(linear, settings=[f"run.total_steps={2 * PER_UPDATE}"]), tmp_path, "linear", resume=True)


@pytest.mark.resilience
def test_a_full_disk_is_said_and_training_goes_on(tmp_path: Path) -> None:
    """The operating system itself refuses the tensors of the second checkpoint (and of that one alone)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(shown: int) -> None:
        size = {3: 16_384, 4: soft}.get(shown)
        if size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    view, folder = Watcher(limit), tmp_path / "run" / "checkpoints"
    try:
        result = play(small(updates=6, evaluate_every=0, checkpoint_every=2 * PER_UPDATE), tmp_path, view=view)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.step == 6 * PER_UPDATE and result.interrupted_by is None
    complaints = [message for message in view.said if "not written" in message]
    assert len(complaints) == 1 and f"{4 * PER_UPDATE:,}" in complaints[0] and "too large" in complaints[0]
    assert Checkpoints(folder).names() == [f"step_{updates * PER_UPDATE:012d}" for updates in (6, 2)]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.resilience
def test_rows_that_a_full_disk_refused_come_later(tmp_path: Path) -> None:
    """The operating system takes a part of a line and refuses the rest: no torn line, no lost row, and two messages."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = tmp_path / "run" / "metrics.jsonl"

    def limit(shown: int) -> None:
        size = {3: metrics.stat().st_size + 300, 6: soft}.get(shown)
        if size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    view = Watcher(limit)
    try:
        play(small(updates=8, evaluate_every=0, checkpoint_every=10**9), tmp_path, view=view)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [row["update"] for row in read_metrics(metrics)] == list(range(1, 9)) and len(metrics.read_text().splitlines()) == 8
    about = [message for message in view.said if message.startswith("metrics.jsonl")]
    assert len(about) == 2 and "cannot be written (File too large)" in about[0] and "written again" in about[1]


@pytest.mark.resilience
def test_a_whole_checkpoint_of_something_else_is_one_message(tmp_path: Path) -> None:
    play(small(updates=1), tmp_path, "run")
    folder = Checkpoints(tmp_path / "run" / "checkpoints")
    _, state = folder.load()
    for key in ("evaluation_due", "learner", "env"):
        folder.save(10**6, {name: value for name, value in state.items() if name != key})
        with pytest.raises(CheckpointError, match=f"whole, but not of this task or this version of a2po.*{key}"):
            play(None, tmp_path, "run", resume=True)


@pytest.mark.resilience
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_last_checkpoint_that_cannot_be_written_is_failed_work(
    interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may read "saved", or get exit code 0, when what was learned last is lost."""

    def fail(self: Checkpoints, *arguments: Any, **options: Any) -> Path:
        raise OSError(28, "No space left on device")

    def show(shown: int) -> None:
        if shown == 6:
            monkeypatch.setattr(Checkpoints, "save", fail)
        if shown == 7 and interrupted:
            signal.raise_signal(signal.SIGINT)

    view = Watcher(show)
    with pytest.raises(WorkFailed, match=r"not written|could not be written"):
        play(small(updates=8, evaluate_every=0), tmp_path, view=view)
    assert view.stopped and not any("saved at step" in message for message in view.said)
    assert Checkpoints(tmp_path / "run" / "checkpoints").load(say=pytest.fail)[1]["step"] == 5 * PER_UPDATE


@pytest.mark.resilience
def test_invalid_episodes_stay_out_of_the_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy 0 faults at its fifth step: what it saw until then does not count, what it sees after does."""

    def change(count: int, step: Step) -> Step:
        if count == 5:
            step.terminated[0] = step.invalid[0] = True
        return step

    spoil(monkeypatch, change)
    (tmp_path / "run").mkdir()
    trainer = Trainer(small("mamujoco/HalfCheetah-2x3", evaluate_every=0), tmp_path / "run", torch.device("cpu"), print)
    trainer.round()
    trainer.close()
    seen = [trainer.team.obs_norm.count.flatten().tolist(), trainer.team.state_norm.count.flatten().tolist()]
    assert seen == [[PER_UPDATE - 5.0] * 2, [PER_UPDATE - 5.0]]


def test_invalid_episodes_are_counted_and_not_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda count, step: step)
    (tmp_path / "run").mkdir()
    trainer = Trainer(small(evaluate_every=0), tmp_path / "run", torch.device("cpu"), print)
    records = [
        {"return": 100.0, "length": 5, "best_rounds": 0.0, "invalid": True},
        {"return": 3.0, "length": 5, "best_rounds": 1.0, "invalid": False},
    ]
    monkeypatch.setattr(trainer.env, "drain_episodes", lambda: records, raising=False)
    trainer.round()
    trainer.round()
    trainer.close()
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["invalid_episodes"] for row in rows] == [1, 2] and all(row["episodes"] == 1 and row["return_mean"] == 3.0 for row in rows)
    assert trainer.journal.return_mean == 3.0


def test_a_second_signal_is_not_swallowed() -> None:
    """The first is remembered, the second does what it would have done without us."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.received == signal.SIGINT and not received
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]  # the handler from before is back
    finally:
        signal.signal(signal.SIGINT, before)


# --- does it learn? ---


@pytest.mark.parametrize("algorithm", ["a2po", "mappo"])
@pytest.mark.parametrize(("task", "optimum"), [("matrix/penalty", 10.0), ("matrix/uneven", 3.0)])
def test_it_learns_the_best_joint_action(task: str, optimum: float, algorithm: str, tmp_path: Path) -> None:
    """From near-uniform play; each game has a worse equilibrium to be stuck in."""
    update = {"rollout_length": 4, "num_epochs": 5, "num_minibatches": 1, "actor_learning_rate": 0.03, "critic_learning_rate": 0.03}
    config = validate(
        {
            "task": task,
            "algorithm": algorithm,
            "seed": 1,
            "env": {"num_envs": 64},
            "network": {"hidden_sizes": (16,)},
            "update": {**update, "entropy_coefficient": 0.03},
            "run": {"total_steps": 50 * 256, "evaluate_every": 50 * 256, "checkpoint_every": 10**9},
        }
    )
    result = play(config, tmp_path)
    first = read_metrics(result.run / "metrics.jsonl")[0]["return_mean"]
    assert first < 0.6 * optimum
    assert result.evaluation == optimum
    assert result.return_mean is not None and result.return_mean > 0.85 * optimum


def test_the_learning_rate_can_fall_to_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales: list[float] = []
    genuine = PolicyLearner.update

    def update(self: Any, batch: Any, *, learning_rate_scale: float) -> Any:
        scales.append(learning_rate_scale)
        return genuine(self, batch, learning_rate_scale=learning_rate_scale)

    monkeypatch.setattr(PolicyLearner, "update", update)
    play(override(small(updates=4), settings=["update.learning_rate_schedule=linear"]), tmp_path)
    assert scales == [1.0, 0.75, 0.5, 0.25]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_runs_without_a_name_never_meet(tmp_path: Path) -> None:
    """Three in one second, as a script starts them."""
    config = small(updates=1, evaluate_every=0)
    folders = [train(config, runs=tmp_path, view=SilentView()).run for _ in range(3)]
    assert len(set(folders)) == 3 and all((folder / "config.toml").is_file() for folder in folders)


def test_more_episodes_than_copies_are_played_in_turns() -> None:
    """A copy may take much memory, so an evaluation opens no more of them than training does, and plays the same episodes."""
    found, told = [], []
    for copies in (3, 7):
        config = override(small("mamujoco/HalfCheetah-2x3", evaluation_episodes=7), settings=[f"env.num_envs={copies}"])
        with (
            closing(make_env(config, 1, 0)) as env,
            closing(GreedyEvaluator(config, TeamPolicy(env.spec, config.network, seed=0))) as greedy,
        ):
            found.append(greedy.evaluate(40, told.append))
            assert greedy._env is not None and greedy._env.num_envs == copies
    assert [record["seed"] for record in found[0]] == [record["seed"] for record in found[1]]
    np.testing.assert_allclose(*[[record["return"] for record in records] for records in found], rtol=1e-4)
    assert max(told) == told[-1] == 7
