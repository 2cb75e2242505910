"""``--plan``: its counts are those of the run, its sizes those of the files, and it leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import a2po
from a2po.config import TrainConfig, override, resolve
from a2po.envs.protocol import VectorEnv
from a2po.errors import ConfigError, RunError, TaskError, UserError
from a2po.training import plan as plan_module
from a2po.training import probe
from a2po.training.checkpoints import Checkpoints
from a2po.training.counts import Counts, count
from a2po.training.metrics import read_metrics
from a2po.training.plan import Plan, plan
from a2po.training.probe import Evaluation, Measured, Round
from a2po.training.runs import open_policy
from a2po.training.view import SilentView

PER_UPDATE = 8 * 8
SETTINGS = ("device=cpu", "env.num_envs=8", "network.hidden_sizes=[8]", "update.rollout_length=8", "update.num_epochs=1")


def small(*settings: str) -> TrainConfig:
    evaluation = ("run.evaluation_episodes=2", "run.evaluate_every=128", "run.total_steps=640")
    return resolve(values={"task": "matrix/uneven"}, settings=[*SETTINGS, *evaluation, *settings])


def play(config: TrainConfig, runs: Path, name: str, **arguments: Any) -> Path:
    return a2po.train(config, name=name, runs=runs, view=SilentView(), **arguments).run


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize(("evaluate", "save", "total"), [(128, 200, 640), (64, 64, 192), (10, 1000, 500), (0, 256, 129), (640, 640, 640)])
def test_the_counts_are_those_of_the_run(evaluate: int, save: int, total: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(f"run.evaluate_every={evaluate}", f"run.checkpoint_every={save}", f"run.total_steps={total}", "update.num_minibatches=2")
    counts, saved, genuine = count(config), [], Checkpoints.save

    def spy(self: Checkpoints, step: int, state: dict[str, Any], **options: Any) -> Path:
        saved.append(step)
        return genuine(self, step, state, **options)

    monkeypatch.setattr(Checkpoints, "save", spy)
    run = play(config, tmp_path, "run")
    rows = read_metrics(run / "metrics.jsonl")
    assert counts.updates == sum(row["kind"] == "update" for row in rows) and counts.end == rows[-1]["step"]
    assert counts.evaluations == sum(row["kind"] == "evaluation" for row in rows)
    regular = [step for step in saved if step // save > (step - PER_UPDATE) // save or step == counts.end]
    assert counts.checkpoints == len(set(regular))
    assert len(Checkpoints(run / "checkpoints").names()) <= counts.kept_checkpoints
    assert counts.gradient_steps_per_agent == counts.updates * 2 and counts.samples_per_update == PER_UPDATE
    half = count(config, PER_UPDATE)
    assert half.updates == counts.updates - 1 and half.end == counts.end


def test_milestones_and_warm_starts_count() -> None:
    plain = count(small("run.keep_checkpoints=2"))
    assert count(small("run.keep_checkpoints=2", "run.milestone_every=256")).kept_checkpoints == plain.kept_checkpoints + 2
    warm = count(small("init_from=old"))
    assert (warm.evaluations, warm.checkpoints) == (plain.evaluations + 1, plain.checkpoints + 1)
    assert count(small("init_from=old"), PER_UPDATE).evaluations == plain.evaluations
    nothing = count(small(), 10**6)
    assert (nothing.updates, nothing.evaluations, nothing.checkpoints, nothing.end) == (0, 0, 0, 10**6)


@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/HalfCheetah-2x3", "recurrent", "shared", "observing"])
def test_a_plan_writes_nothing_and_its_sizes_are_real(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [] if not task.startswith("mamujoco") else ["env.options.max_episode_steps=20", "env.num_threads=1"]
    if task == "recurrent":
        task, settings = "matrix/uneven", ["network.recurrent_layers=1", "network.recurrent_size=8", "update.chunk_length=4"]
    if task in ("shared", "observing"):
        settings = ["algorithm=mappo", f"network.{'share_parameters=true' if task == 'shared' else 'critic_input=observation'}"]
        task = "matrix/uneven"
    config = override(small(), settings=settings, values={"task": task})
    threads = torch.get_num_threads()
    planned = plan(config, name="run", probe_s=0.2)
    assert list(tmp_path.iterdir()) == [] and torch.get_num_threads() == threads
    run = play(config, Path("runs"), "run")
    written = sum(file.stat().st_size for file in (run / "checkpoints" / "step_000000000640").iterdir())
    assert abs(planned.disk.checkpoint / written - 1) < 0.1
    rows = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"update"' in line]
    assert abs(planned.disk.metrics_per_update / (sum(map(len, rows)) / len(rows)) - 1) < 0.15
    folders = [sum(file.stat().st_size for file in path.iterdir()) for path in (run / "checkpoints").glob("step_*")]
    assert planned.disk.total > 0.9 * (sum(folders) + (run / "metrics.jsonl").stat().st_size)
    team = open_policy(run).team
    assert (planned.actor_parameters, planned.critic_parameters) == (team.actors.values[0].numel(), team.critics.values[0].numel())
    assert (planned.num_actors, planned.num_critics) == (team.actors.num_networks, team.critics.num_networks)
    time, memory = planned.time, planned.memory
    assert 0 < time.shortest_s <= time.expected_s <= time.longest_s and time.cpu_s > 0 and time.rounds > 1
    assert memory.peak >= memory.now > 10**7 and memory.buffer > 0 and memory.estimate > memory.now


def test_what_is_left_of_a_run(tmp_path: Path) -> None:
    """Planned from its newest whole checkpoint; not even a damaged one is put aside."""
    run = play(small(f"run.checkpoint_every={PER_UPDATE}"), tmp_path, "run")
    (run / "checkpoints" / "step_000000000640" / "state.json").write_text("{}")
    before = everything(tmp_path)
    planned = plan(small(f"run.checkpoint_every={PER_UPDATE}", "run.total_steps=1280"), name="run", resume=True, runs=tmp_path, probe_s=0.0)
    assert everything(tmp_path) == before
    assert (planned.counts.start, planned.counts.updates, planned.counts.end) == (576, 11, 1280)
    assert any("step_000000000640 is damaged" in notice for notice in planned.notices)
    done = plan(None, name="run", resume=True, runs=tmp_path, probe_s=0.0)
    assert done.counts.updates == 1 and done.time.expected_s < planned.time.longest_s


def test_a_warm_start_is_planned_from_its_source(tmp_path: Path) -> None:
    play(small(), tmp_path, "old")
    before = everything(tmp_path)
    planned = plan(small("init_from=old"), name="new", runs=tmp_path, probe_s=0.0)
    assert planned.counts.evaluations == count(small()).evaluations + 1 and everything(tmp_path) == before
    with pytest.raises(RunError, match="does not fit"):
        plan(override(small("init_from=old"), settings=["network.hidden_sizes=[4]"]), name="new", runs=tmp_path)


@pytest.mark.parametrize(
    ("settings", "name", "kind"),
    [(["task=matrix/none"], "new", TaskError), (["algorithm=none"], "new", ConfigError), ([], "old", RunError), ([], "a/b", RunError)],
)
def test_it_refuses_what_training_refuses(settings: list[str], name: str, kind: type[UserError], tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("not a run")
    with pytest.raises(kind):
        plan(override(small(), settings=settings), name=name, runs=tmp_path)


def test_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round alone gives no range; a disk that is too small is told before the run begins."""
    planned = plan(small(), runs=tmp_path / "deep" / "runs", probe_s=0.0)
    assert planned.time.rounds == 1 and any("takes longer" in notice and "--probe-seconds" in notice for notice in planned.notices)
    assert planned.disk.free > 0 and not any("short" in notice for notice in planned.notices)

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda path: Usage(planned.disk.needed - 1))
    assert any(" is short" in notice for notice in plan(small(), runs=tmp_path, probe_s=0.0).notices)


def test_the_time_is_that_of_the_parts() -> None:
    counts = Counts(0, 640, 10, 64, 10, evaluations=3, checkpoints=2, kept_checkpoints=4)
    rounds = [Round(1.0, 2.0, 4.0, 700), Round(2.0, 3.0, 6.0, 700)]
    measured = Measured(9.0, rounds, Evaluation(100.0, 0.5, expected_s=20.0, longest_s=30.0), 1000, 0.1, 0, 0)
    time = plan_module._time(counts, measured)
    assert time.expected_s == pytest.approx(10 * 4 + 3 * 20 + 2 * 0.1)
    assert time.shortest_s == pytest.approx(10 * 3 + 3 * 20 + 2 * 0.1)
    assert time.longest_s == pytest.approx(10 * 5 + 3 * 30 + 5 * 0.1)
    assert time.cpu_s == pytest.approx(10 * 5 + 3 * 10 + 2 * 0.1)
    assert (time.sampling_s, time.update_s, time.rounds) == (1.5, 2.5, 2)


def test_an_evaluation_that_is_cut_short_is_taken_for_its_longest(tmp_path: Path) -> None:
    config = override(small(), settings=["env.options.length=100000"])
    planned: Plan = plan(config, runs=tmp_path, probe_s=0.1)
    assert planned.time.evaluation_s is not None and planned.time.evaluation_s > 1.0


def test_an_evaluation_is_measured_with_as_many_copies_as_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    measured: list[Evaluation] = []
    make_env, evaluation = probe.make_env, probe._evaluation

    def opening(config: TrainConfig, copies: int, seed: int) -> VectorEnv:
        opened.append(copies)
        return make_env(config, copies, seed)

    def measuring(*arguments: Any) -> Evaluation:
        measured.append(evaluation(*arguments))
        return measured[-1]

    monkeypatch.setattr(probe, "make_env", opening)
    monkeypatch.setattr(probe, "_evaluation", measuring)
    plan(override(small(), settings=["run.evaluation_episodes=20", "env.options.length=5"]), runs=tmp_path, probe_s=0.1)
    assert opened == [8]  # three times eight copies play five steps
    assert measured[0].expected_s * measured[0].steps_per_s == pytest.approx(3 * 8 * 5)


def test_short_times_are_not_nothing() -> None:
    from a2po.cli.show_plan import duration

    told = [duration(amount) for amount in (0.0, 0.37, 42.4, 119, 150, 7200, 300_000)]
    assert told == ["0 s", "0.37 s", "42 s", "119 s", "2.5 min", "2.0 h", "3.5 days"]
