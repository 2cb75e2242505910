"""`a2po sweep` with real child processes: to the end, through a kill, with a cell that fails, stopped by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from a2po.cli.app import main
from a2po.errors import RunError
from a2po.evaluation.seed_statistics import mean_over_seeds
from a2po.evaluation.sweep import Sweep
from a2po.sweeps.folder import SweepFolder
from a2po.sweeps.parse import make_plan
from a2po.sweeps.view import TerminalSweepView
from a2po.training.lock import RunLock
from a2po.training.loop import train
from a2po.training.runs import open_run
from a2po.training.view import SilentView

SMALL = [
    *("--task", "matrix/climbing", "--set", "env.num_envs=16", "--set", "update.rollout_length=16", "--set", "network.hidden_sizes=[8]"),
    *("--set", "update.num_epochs=1", "--set", "update.num_minibatches=1", "--set", "run.evaluation_episodes=2"),
    *("--set", "run.evaluate_every=8192", "--set", "run.track=[]"),
]
STEPS = 32768
PLAN = [*SMALL, "--seeds", "0-1", "--steps", str(STEPS), "--set", "run.checkpoint_every=2048"]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "a2po.cli", "sweep", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sweep(folder: Path, *arguments: str) -> Outcome:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=110)
    assert "Traceback" not in err, err
    return Outcome(process.returncode, out, err)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command in this process: quick, for what starts no child."""

    def call(folder: Path, *arguments: str) -> Outcome:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["a2po", "sweep", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def wait_for_step(folder: Path, process: subprocess.Popen[str], step: int) -> None:
    """Until some run of the sweep is that far."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for path in folder.glob("runs/*/metrics.jsonl"):
            lines = path.read_text().splitlines()
            if len(lines) > 1 and json.loads(lines[-2])["step"] >= step:
                return
        time.sleep(0.01)
    raise AssertionError(f"no run came to step {step}")


def weights(run: Path) -> bytes:
    return (run / "checkpoints" / f"step_{STEPS:012d}" / "tensors.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a sweep that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    done = sweep(folder, *PLAN, "--name", "mine", "--json")
    assert done.code == 0, done.err
    assert "climbing-a2po-s0 done: return " in done.err
    return folder, json.loads(done.out)


@pytest.mark.slow
def test_results_are_those_of_the_runs(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, results = whole
    sweep_folder = folder / "sweeps" / "mine"
    written = json.loads((sweep_folder / "results.json").read_text())
    assert written.items() <= results.items()
    (row,) = results["cells"]
    assert (row["seeds"], row["missing"], row["steps"], row["times_complete"]) == ([0, 1], {}, STEPS, True)
    means = {}
    for seed in (0, 1):
        run = sweep_folder / "runs" / f"climbing-a2po-s{seed}"
        (file,) = (run / "results").glob("*-onnx.json")
        result = json.loads(file.read_text())
        assert (result["seed"], result["episodes"], result["step"]) == (seed, 32, STEPS)
        assert row["runs"][str(seed)]["evaluation"]["returns"] == result["returns"]
        means[seed] = sum(result["returns"]) / 32
    summary = mean_over_seeds(means)
    assert row["return"]["value"] == summary.value and tuple(row["return"]["interval"]) == summary.interval
    assert row["cpu_s"] > 0 and row["wall_s"] > 0
    text = (sweep_folder / "table.md").read_text()
    assert "matrix/climbing" in text and "32 episodes per seed" in text


@pytest.mark.slow
def test_a_run_of_a_sweep_is_an_ordinary_run(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """`a2po train` with its configuration gives the same weights."""
    run = whole[0] / "sweeps" / "mine" / "runs" / "climbing-a2po-s1"
    result = train(open_run(run), name="alone", runs=tmp_path, view=SilentView())
    assert weights(result.run) == weights(run)


@pytest.mark.slow
def test_a_finished_sweep_starts_nothing(whole: tuple[Path, dict[str, Any]], inside: Callable[..., Outcome]) -> None:
    folder, results = whole
    logs = {path: path.read_bytes() for path in folder.glob("sweeps/mine/logs/*")}
    again = inside(folder, "--resume", "mine", "--json")
    assert again.code == 0 and "2 done already" in again.err
    assert json.loads(again.out)["cells"] == results["cells"]
    assert logs == {path: path.read_bytes() for path in folder.glob("sweeps/mine/logs/*")}


@pytest.mark.slow
def test_seeds_and_steps_may_be_added_and_nothing_else(whole: tuple[Path, dict[str, Any]], inside: Callable[..., Outcome]) -> None:
    folder, _ = whole
    longer = [*SMALL, "--seeds", "0-2", "--steps", str(2 * STEPS), "--set", "run.checkpoint_every=2048", "--name", "mine"]
    planned = inside(folder, *longer, "--dry-run", "--json")
    runs = json.loads(planned.out)["runs"]
    assert [(run["status"], run["step"]) for run in runs] == [("waiting", STEPS), ("waiting", STEPS), ("waiting", 0)]
    other = inside(folder, *PLAN, "--algorithm", "mappo", "--name", "mine")
    assert other.code == 2 and "algorithms was 'a2po', now 'mappo'" in other.err and other.out == ""
    assert SweepFolder(folder / "sweeps" / "mine").read_plan().seeds == (0, 1)


@pytest.mark.slow
@pytest.mark.resilience
def test_killed_and_continued(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """No child outlives the sweep, and what it comes to in the end has the same bits."""
    process = start(tmp_path, *PLAN, "--name", "mine")
    folder = tmp_path / "sweeps" / "mine"
    wait_for_step(folder, process, 6000)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert children and psutil.wait_procs(children, timeout=20)[1] == []
    assert not list(folder.glob("runs/*/outcome.json"))
    done = sweep(tmp_path, "--resume", "mine", "--json")
    assert done.code == 0, done.err
    results = json.loads(done.out)
    for seed in ("0", "1"):
        run = f"climbing-a2po-s{seed}"
        log = (folder / "logs" / f"{run}.txt").read_text()
        assert "resumed from step_" in log
        expected, found = (cells[0]["runs"][seed]["evaluation"]["returns"] for cells in (whole[1]["cells"], results["cells"]))
        assert found == expected
        assert weights(folder / "runs" / run) == weights(whole[0] / "sweeps" / "mine" / "runs" / run)
    assert results["cells"][0]["return"] == whole[1]["cells"][0]["return"]
    assert not results["cells"][0]["times_complete"] and "≥ " in (folder / "table.md").read_text()


@pytest.mark.slow
def test_a_cell_that_fails_leaves_a_gap(tmp_path: Path, inside: Callable[..., Outcome]) -> None:
    plan = [*SMALL, "--seeds", "0", "--steps", "512", "--vary", "update.critic_learning_rate=1e-3,1e38", "--evaluate", "4"]
    done = sweep(tmp_path, *plan, "--name", "mine")
    assert done.code == 1, done.err
    assert "1 of 2 runs failed" in done.err and "critic_learning_rate=1e+38-s0 failed: training diverged" in done.err
    assert "Missing: climbing-a2po-critic_learning_rate=1e+38-s0: training diverged" in done.out
    good, bad = json.loads((tmp_path / "sweeps" / "mine" / "results.json").read_text())["cells"]
    assert good["seeds"] == [0] and good["return"]["interval"] is None
    assert bad["return"] is None and "training diverged" in bad["missing"]["0"]
    again = inside(tmp_path, "--resume", "mine", "--dry-run")
    assert again.code == 0 and "1 done already" in again.err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process = start(tmp_path, *SMALL, "--seeds", "0-1", "--steps", "100000000", "--name", "mine", "--jobs", "1")
    folder = tmp_path / "sweeps" / "mine"
    wait_for_step(folder, process, 512)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "saved at step" in (folder / "logs" / "climbing-a2po-s0.txt").read_text()
    assert "go on with: a2po sweep --resume mine" in err and "climbing-a2po-s0 stopped: at step" in err
    assert list(folder.glob("runs/climbing-a2po-s0/checkpoints/step_*/manifest.json"))
    assert not list(folder.glob("runs/climbing-a2po-s1")) and not (folder / "table.md").exists()
    assert psutil.wait_procs(children, timeout=20)[1] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "matrix/climbin", "--algorithm", "mapo"], ["did you mean 'matrix/climbing'", "did you mean 'mappo'"]),
        (["--seeds", "2-1"], ["--seeds 2-1"]),
        (["--resume", "none"], ["no sweep in 'sweeps/none'"]),
        (["--resume", "none", "--seeds", "0"], ["--resume takes the plan as it is"]),
        (["--name", "a/b"], ["plain folder name"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--config", "none.toml"], ["none.toml", "does not exist"]),
    ],
)
def test_what_a_person_gets_wrong(arguments: list[str], words: list[str], tmp_path: Path, inside: Callable[..., Outcome]) -> None:
    outcome = inside(tmp_path, *arguments)
    assert outcome.code == 2 and outcome.out == "" and all(word in outcome.err for word in words), outcome.err
    assert list(tmp_path.iterdir()) == []


def test_one_process_runs_a_sweep_at_a_time(tmp_path: Path, inside: Callable[..., Outcome]) -> None:
    """The other one is refused, and so is a plan that was read before the folder's was changed."""
    outdated = Sweep(make_plan(values={"tasks": ["matrix/climbing"]}, seeds="0"), name="s", sweeps=tmp_path / "sweeps")
    other = Sweep(make_plan(values={"tasks": ["matrix/climbing"]}, seeds="0-1"), name="s", sweeps=tmp_path / "sweeps")
    lock = RunLock(other.folder.path, print, "sweep")
    lock.take()
    refused = inside(tmp_path, "--task", "matrix/climbing", "--seeds", "0", "--name", "s")
    assert refused.code == 2 and f"the sweep 'sweeps/s' is being trained by process {os.getpid()}" in refused.err
    assert sorted(path.name for path in other.folder.path.iterdir()) == ["lock"]
    other.folder.make(other.plan)
    lock.release()
    with pytest.raises(RunError, match="made for another plan: seeds 1 are left out"):
        outdated.run(TerminalSweepView())
    assert other.folder.read_plan() == other.plan


def test_dry_run(tmp_path: Path, inside: Callable[..., Outcome]) -> None:
    shown = inside(tmp_path, *SMALL, "--algorithm", "a2po", "--algorithm", "mappo", "--seeds", "0-2", "--steps", "1000", "--dry-run")
    assert shown.code == 0 and len(shown.out.splitlines()) == 6 and "climbing-mappo-s2" in shown.out
    assert "2 cells x 3 seeds = 6 runs; 6,000 steps to train" in shown.err
    assert list(tmp_path.iterdir()) == []
