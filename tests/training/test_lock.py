"""One process trains a run: who holds it is said, a kill frees it, and two starters do not both get a folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from a2po.config import TrainConfig, validate
from a2po.errors import RunError
from a2po.training.lock import LOCK, RunLock, busy, holder
from a2po.training.loop import train
from a2po.training.runs import check_free, create_run, open_run
from a2po.training.view import SilentView

pytestmark = pytest.mark.resilience

HOLD = """
import sys, time
from pathlib import Path
from a2po.training.lock import RunLock
lock = RunLock(Path(sys.argv[1]), print)
lock.take()
print("held", flush=True)
time.sleep(60)
"""


def small() -> TrainConfig:
    return validate(
        {
            "task": "matrix/climbing",
            "device": "cpu",
            "env": {"num_envs": 4, "options": {"length": 5}},
            "network": {"hidden_sizes": (8,)},
            "update": {"rollout_length": 16, "num_epochs": 1},
            "run": {"total_steps": 128, "evaluate_every": 0},
        }
    )


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_holder_is_named_and_a_kill_frees_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with another_process(folder) as process:
        owner = holder(folder)
        assert owner is not None and owner["pid"] == process.pid and owner["since"].startswith("20") and owner["host"]
        with pytest.raises(RunError) as refused:
            RunLock(folder, pytest.fail).take()
        message = str(refused.value)
        assert f"process {process.pid}" in message and owner["since"] in message and f"kill {process.pid}" in message
        assert "\n" not in message
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(folder) is None
    lock = RunLock(folder, pytest.fail)
    lock.take()
    assert holder(folder)["pid"] == os.getpid()
    lock.release()
    lock.release()  # twice is once
    assert holder(folder) is None and holder(tmp_path / "none") is None


def test_the_same_process_cannot_train_a_run_twice(tmp_path: Path) -> None:
    lock = RunLock(tmp_path, pytest.fail)
    lock.take()
    with pytest.raises(RunError, match="being trained"):
        RunLock(tmp_path, pytest.fail).take()
    lock.release()


def test_a_look_at_the_lock_does_not_disturb_who_wants_it(tmp_path: Path) -> None:
    """``a2po runs`` holds the lock for an instant; a starter waits for that long."""
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.08, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        lock = RunLock(tmp_path, pytest.fail)
        lock.take()
        lock.release()


def test_training_and_resuming_a_held_run_are_refused(tmp_path: Path) -> None:
    """Nothing in the folder changes; reading it needs no lock."""
    train(small(), name="run", runs=tmp_path, view=SilentView())
    folder = tmp_path / "run"
    with another_process(folder):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        for resume in (True, False):
            with pytest.raises(RunError, match="being trained by process"):
                train(None if resume else small(), name="run", runs=tmp_path, resume=resume, view=SilentView())
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
        assert open_run(folder) == small()
    assert train(None, name="run", runs=tmp_path, resume=True, view=SilentView()).step == 128
    assert holder(folder) is None


def test_two_starters_of_one_name(tmp_path: Path) -> None:
    """Whatever the timing: one trains, the other gets one line, and the run is whole."""
    code = "from a2po.cli.app import main; main()"
    settings = ["--set", "env.num_envs=4", "--set", "run.evaluate_every=0", "--set", "network.hidden_sizes=[8]"]
    command = [sys.executable, "-c", code, "train", "--task", "matrix/climbing", "--name", "run", "--steps", "2048", *settings]
    starters = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100)[1] for process in starters]
    assert sorted(process.returncode for process in starters) == [0, 2], said
    refused = said[[process.returncode for process in starters].index(2)]
    assert "being trained" in refused or "exists already" in refused
    assert len(refused.splitlines()) == 1


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    lock = RunLock(tmp_path, said.append)
    lock.take()
    lock.release()
    assert len(said) == 1 and "no locks" in said[0] and str(tmp_path) in said[0]
    assert holder(tmp_path) is None


def test_an_owner_that_cannot_be_read(tmp_path: Path) -> None:
    with another_process(tmp_path):
        for text in ("", "[1", "[1]", "{}"):
            (tmp_path / LOCK).write_text(text)
            assert holder(tmp_path) == {} and "another process" in busy(tmp_path)


def test_a_folder_that_a_killed_starter_left_is_taken_over(tmp_path: Path) -> None:
    """Everything that a new run writes before its configuration makes it a run."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (LOCK, "log.txt", "provenance.json", ".provenance.json.tmp12", ".config.toml.tmp12"):
        (folder / name).write_text("{")
    result = train(small(), name="run", runs=tmp_path, view=SilentView())
    assert result.step == 128 and json.loads((folder / "provenance.json").read_text())["packages"]
    assert not [path for path in folder.glob(".*")]


@pytest.mark.parametrize("foreign", ["notes.txt", "checkpoints/step_000000000100", "checkpoints/notes.txt"])
def test_a_folder_of_something_else_is_not(foreign: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / foreign
    path.parent.mkdir(parents=True)
    path.touch()
    for refuse in (lambda: check_free(tmp_path / "run"), lambda: create_run(tmp_path / "run", small())):
        with pytest.raises(RunError, match="is no run"):
            refuse()
    with pytest.raises(RunError, match="is no run"):
        train(small(), name="run", runs=tmp_path, view=SilentView())
    assert [found for found in (tmp_path / "run").rglob("*") if found.is_file()] == [path]
