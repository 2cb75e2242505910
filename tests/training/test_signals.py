"""Signals to real processes, at every kind of moment: saved and left, or left at once, and nothing half-written remains."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from a2po.training.checkpoints import Checkpoints
from a2po.training.metrics import read_metrics

pytestmark = pytest.mark.resilience

PER_UPDATE = 128
SETTINGS = {
    "env.num_envs": 8,
    "env.options.length": 5,
    "update.rollout_length": 16,
    "update.num_epochs": 1,
    "network.hidden_sizes": [8],
    "run.total_steps": 10**9,
    "run.evaluate_every": 0,
    "run.checkpoint_every": 10**9,
}
# What a slow disk, a long evaluation and a long restore do to a process: it stays there, and says so.
STAY = "import time\ndef stay():\n    print('here', flush=True)\n    time.sleep({seconds})\n"
MOMENTS = {
    "writing": "import a2po.training.checkpoints as c\ngenuine = c.to_json\n"
    "def slow(value):\n    stay()\n    return genuine(value)\nc.to_json = slow\n",
    "evaluating": "import a2po.envs.matrix.game as g\ngenuine = g.MatrixGame.step\ndef slow(self, *rest, **more):\n"
    "    if self.num_envs == 2 and not slow.told:\n        slow.told = True\n        print('here', flush=True)\n"
    "    if self.num_envs == 2:\n        time.sleep(0.01)\n    return genuine(self, *rest, **more)\n"
    "slow.told = False\ng.MatrixGame.step = slow\n",
    "before the first round": "import a2po.training.trainer as t\nt.Trainer.catch_up = lambda self: stay()\n",
    "resuming": "import a2po.training.trainer as t\ngenuine = t.Trainer.restore\n"
    "def slow(self):\n    genuine(self)\n    stay()\nt.Trainer.restore = slow\n",
    "sampling": "import a2po.training.rollout as r\ngenuine = r.Sampler.collect\n"
    "def slow(self):\n    if self.team.obs_norm.count.sum() > 0:\n        stay()\n    genuine(self)\nr.Sampler.collect = slow\n",
}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``a2po train`` in an empty folder, staying at a moment. What is still alive at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(moment: str = "", *arguments: str, stay_s: float = 30.0, **settings: object) -> subprocess.Popen[str]:
        code = STAY.format(seconds=stay_s) + MOMENTS.get(moment, "") + "from a2po.cli.app import main\nmain()\n"
        values = {**SETTINGS, **{key.replace("__", "."): value for key, value in settings.items()}}
        changes = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        task = () if "--resume" in arguments else ("--task", "matrix/climbing", "--device", "cpu")
        command = [sys.executable, "-c", code, "train", "--name", "run", *task, *arguments, *changes]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def await_moment(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "here\n", process.communicate()


def await_training(run: Path) -> None:
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def leave(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said."""
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, err


def half_written(run: Path) -> list[str]:
    return [path.name for folder in (run, run / "checkpoints") for path in folder.glob(".*")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_saves_and_leaves(number: signal.Signals, code: int, start: Start, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    process = start()
    await_training(run)
    process.send_signal(number)
    left, said = leave(process)
    rows = read_metrics(run / "metrics.jsonl")
    assert left == code and f"interrupted: saved at step {rows[-1]['step']:,}" in said and half_written(run) == []
    assert Checkpoints(run / "checkpoints").load(say=pytest.fail)[1]["step"] == rows[-1]["step"]


@pytest.mark.parametrize(
    ("moment", "numbers", "code"),
    [
        ("writing", (signal.SIGINT, signal.SIGTERM), 143),
        ("sampling", (signal.SIGTERM, signal.SIGINT), 130),
        ("resuming", (signal.SIGINT, signal.SIGINT), 130),
    ],
)
def test_the_second_signal_leaves_at_once(
    moment: str, numbers: tuple[signal.Signals, ...], code: int, start: Start, tmp_path: Path
) -> None:
    """Wherever the process is: nothing new is saved, what was being written is cleared away."""
    run = tmp_path / "runs" / "run"
    if moment == "resuming":
        process = start()
        await_training(run)
        process.send_signal(signal.SIGINT)
        assert leave(process)[0] == 130
        saved = Checkpoints(run / "checkpoints").names()
        process = start(moment, "--resume")
    else:
        saved = []
        process = start(moment, run__checkpoint_every=PER_UPDATE)
        if moment == "sampling":
            saved = [f"step_{PER_UPDATE:012d}"]
    await_moment(process)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    begin = time.monotonic()
    left, said = leave(process)
    assert left == code and "saved at" not in said, said
    assert time.monotonic() - begin < 20  # it would have stayed for 30 seconds
    assert Checkpoints(run / "checkpoints").names() == saved and half_written(run) == []


def test_a_signal_during_a_write_lets_it_end(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    process = start("writing", stay_s=0.5, run__checkpoint_every=PER_UPDATE)
    await_moment(process)
    process.send_signal(signal.SIGTERM)
    left, said = leave(process)
    assert left == 143 and f"saved at step {PER_UPDATE}" in said and half_written(run) == []
    assert Checkpoints(run / "checkpoints").load(say=pytest.fail)[1]["step"] == PER_UPDATE


def test_a_signal_cuts_a_long_evaluation_short(start: Start, tmp_path: Path) -> None:
    """An evaluation of 100 seconds: it is left, and played again by the resumed run, so that no metrics are missing."""
    run = tmp_path / "runs" / "run"
    every = {"run__evaluate_every": PER_UPDATE, "run__total_steps": PER_UPDATE, "run__evaluation_episodes": 2}
    process = start("evaluating", env__options__length=10_000, **every)
    await_moment(process)
    process.send_signal(signal.SIGTERM)
    left, said = leave(process)
    assert left == 143 and f"saved at step {PER_UPDATE}" in said and half_written(run) == []
    assert [row["kind"] for row in read_metrics(run / "metrics.jsonl")] == ["update"]
    assert Checkpoints(run / "checkpoints").load()[1]["evaluation_due"] is True


def test_a_signal_before_the_first_round(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    process = start("before the first round", stay_s=0.5)
    await_moment(process)
    process.send_signal(signal.SIGINT)
    left, said = leave(process)
    assert left == 130 and "saved at step 0" in said and half_written(run) == []
    assert Checkpoints(run / "checkpoints").load(say=pytest.fail)[1]["step"] == 0


def test_a_signal_while_the_process_starts(start: Start, tmp_path: Path) -> None:
    """Before anything is on disk there is nothing to save."""
    process = start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGTERM, 143)
    run = tmp_path / "runs" / "run"
    assert not run.exists() or half_written(run) == []
