"""`a2po train` and `a2po tasks` as a person meets them: exit codes and messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from a2po.cli.app import main
from a2po.envs.registry import task_names
from a2po.errors import WorkFailed
from a2po.training import loop
from a2po.training.runs import open_run
from a2po.training.view import Status, TerminalView


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]
SMALL = [
    *("--task", "matrix/uneven", "--device", "cpu", "--steps", "128", "--set", "env.num_envs=8", "--set", "update.rollout_length=8"),
    *("--set", "network.hidden_sizes=[8]", "--set", "update.num_epochs=1", "--set", "run.evaluation_episodes=2"),
]


@pytest.fixture
def a2po(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["a2po", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        code = left.value.code
        return Outcome(0 if code is None else int(code), captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_train_then_resume(a2po: Run, tmp_path: Path) -> None:
    first = a2po("train", *SMALL, "--name", "mine", "--seed", "3")
    assert first.code == 0 and "mine" in first.out and "128 steps" in first.out and "a2po export" in first.out
    config = open_run(tmp_path / "runs" / "mine")
    assert (config.task, config.seed, config.algorithm, config.update.rollout_length) == ("matrix/uneven", 3, "a2po", 8)
    more = a2po("train", "--resume", "--name", "mine", "--steps", "256", "--json")
    result = json.loads(more.out)
    assert more.code == 0 and result["step"] == 256 and result["run"] == "runs/mine" and result["interrupted_by"] is None
    assert "resumed from step_000000000128" in more.err
    newest = a2po("train", "--resume", "--steps", "320", "--json")
    assert json.loads(newest.out)["step"] == 320


def test_the_task_may_stand_alone(a2po: Run, tmp_path: Path) -> None:
    done = a2po("train", "matrix/uneven", *SMALL[2:], "--algo", "mappo", "--name", "x")
    assert done.code == 0, done.err
    config = open_run(tmp_path / "runs" / "x")
    assert (config.task, config.algorithm) == ("matrix/uneven", "mappo")
    assert a2po("train", "matrix/uneven", *SMALL, "--name", "y").code == 0  # twice the same


def test_a_file_a_preset_and_other_places(a2po: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('task = "matrix/penalty"\n[run]\ntotal_steps = 64\nevaluate_every = 0\n[env]\nnum_envs = 8\n')
    (tmp_path / "mine.toml").write_text("[update]\nrollout_length = 8\nnum_epochs = 1\nclip = 0.07\n")
    done = a2po("train", "--config", "own.toml", "--preset", "mine.toml", "--runs", "elsewhere", "--name", "x", "--algorithm", "mappo")
    assert done.code == 0, done.err
    config = open_run(tmp_path / "elsewhere" / "x")
    assert (config.task, config.update.clip, config.algorithm, config.preset) == ("matrix/penalty", 0.07, "mappo", "mine.toml")
    assert not (tmp_path / "runs").exists()


WRONG: list[tuple[list[str], list[str]]] = [
    (["matrix/climbing", "--task", "matrix/penalty"], ["given twice, as 'matrix/climbing' and as --task 'matrix/penalty'"]),
    (["--task", "matrix/climbin"], ["unknown task 'matrix/climbin'", "did you mean 'matrix/climbing'"]),
    (["--task", "mamujoco/HalfCheetah-2x4"], ["did you mean 'mamujoco/HalfCheetah-2x3'"]),
    (["--task", "nonsense"], ["unknown task 'nonsense'", "a2po tasks"]),
    (["--task", "no_such_module:make"], ["no_such_module", "cannot be imported"]),
    (["--task", ":"], ["module:factory"]),
    (["--task", ".x:y"], ["module:factory"]),
    (["--task", "os:system"], ["'system' is no factory"]),
    (["--task", "os:sep"], ["'sep' is no factory"]),
    (["--task", "a2po.envs.matrix:mak"], ["has no 'mak'"]),
    (["--algorithm", "mapo"], ["did you mean 'mappo'"]),
    (["--preset", "fats"], ["unknown preset 'fats'", "did you mean 'fast'"]),
    (["--preset", "none.toml"], ["none.toml", "does not exist"]),
    (["--config", "none.toml"], ["none.toml", "does not exist"]),
    (["--set", "update.clp=0.1"], ["unknown key 'update.clp'", "did you mean 'clip'"]),
    (["--set", "clip=0.1"], ["did you mean 'update.clip'"]),
    (["--set", "update.clip"], ["section.key=value"]),
    (["--set", "update.clip=wide"], ["update.clip", "number", "'wide'"]),
    (["--set", "update.num_epochs=1.5"], ["update.num_epochs", "1.5"]),
    (["--set", "update.order=gredy"], ["update.order", "'greedy'"]),
    (["--set", "network.hidden_sizes=[0]"], ["network.hidden_sizes"]),
    (["--set", "env.options.lenght=3"], ["lenght", "did you mean 'length'"]),
    (["--set", "env.options.seed=3"], ["seed"]),
    (["--set", "run.evaluation_episodes=0", "--set", "update.clip=2"], ["run.evaluation_episodes", "update.clip"]),
    (["--steps", "0"], ["run.total_steps", "got 0"]),
    (["--seed", "-1"], ["seed", "got -1"]),
    (["--device", "gpu"], ["device", "'cuda'", "'gpu'"]),
    (["--init-from", "none"], ["--init-from 'none'", "no such run or bundle"]),
    (["--name", "a/b"], ["plain folder name"]),
    (["--name", ".."], ["plain folder name"]),
    (["--config", "/dev"], ["/dev", "cannot be read"]),
    (["--runs", "/dev/null"], ["cannot be made"]),
    (["--resume"], ["no run in 'runs'"]),
    (["--resume", "--name", "none"], ["no run in 'runs/none'"]),
]


@pytest.mark.parametrize(("arguments", "hints"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_what_a_person_gets_wrong(arguments: list[str], hints: list[str], a2po: Run, tmp_path: Path) -> None:
    """One clear message, exit code 2, no traceback, nothing left behind."""
    given = SMALL if "--task" not in arguments else SMALL[2:]
    outcome = a2po("train", *given, *arguments)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err.startswith("a2po: ") and "Traceback" not in outcome.err and len(outcome.err.splitlines()) <= 2
    for hint in hints:
        assert hint in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--stepz", "3"], ["--steps", "many"], ["one", "two"]])
def test_usage_errors_are_typers(arguments: list[str], a2po: Run, tmp_path: Path) -> None:
    outcome = a2po("train", *arguments)
    assert outcome.code == 2 and "Usage" in outcome.err and "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_gpu_here(a2po: Run, tmp_path: Path) -> None:
    outcome = a2po("train", *SMALL, "--device", "cuda")
    assert outcome.code == 2 and "--device cpu" in outcome.err and list(tmp_path.iterdir()) == []


def test_a_run_that_exists_and_a_run_of_something_else(a2po: Run, tmp_path: Path) -> None:
    assert a2po("train", *SMALL, "--name", "mine").code == 0
    metrics = (tmp_path / "runs" / "mine" / "metrics.jsonl").read_bytes()
    again = a2po("train", *SMALL, "--name", "mine")
    assert again.code == 2 and "exists already" in again.err and "--resume" in again.err
    other = a2po("train", "--resume", "--name", "mine", "--task", "matrix/climbing")
    assert other.code == 2 and "matrix/uneven" in other.err and "matrix/climbing" in other.err
    close = a2po("train", "--resume", "--name", "mina")
    assert close.code == 2 and "did you mean 'mine'" in close.err
    assert (tmp_path / "runs" / "mine" / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_after_saving(number: signal.Signals, code: int, a2po: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(self: TerminalView, status: Status) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(TerminalView, "show", show)
    outcome = a2po("train", *SMALL, "--name", "mine")
    assert outcome.code == code and "saved at step 64" in outcome.err and "Traceback" not in outcome.err
    assert (tmp_path / "runs" / "mine" / "checkpoints" / "step_000000000064" / "manifest.json").is_file()


def test_failed_work_and_a_hasty_interrupt(a2po: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise WorkFailed("training diverged at step 1")

    monkeypatch.setattr(loop, "train", fail)
    outcome = a2po("train", *SMALL)
    assert outcome.code == 1 and outcome.err == "a2po: training diverged at step 1\n"

    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupt)
    outcome = a2po("train", *SMALL)
    assert outcome.code == 130 and "Traceback" not in outcome.err


def test_progress_goes_to_stderr_and_json_alone_to_stdout(a2po: Run) -> None:
    outcome = a2po("train", *SMALL, "--name", "mine", "--json")
    assert json.loads(outcome.out).keys() == {"run", "step", "return_mean", "evaluation", "interrupted_by", "stopped"}
    assert "a2po on matrix/uneven" in outcome.err and "100%" in outcome.err and "\x1b" not in outcome.err


def test_a_plan_is_printed_and_nothing_is_there(a2po: Run, tmp_path: Path) -> None:
    shown = a2po("train", *SMALL, "--plan", "--probe-seconds", "0.2")
    assert shown.code == 0 and shown.err == ""
    for words in ("128 in 2 updates of 64 samples", "8 per agent", "1, greedy", "time ", "memory ", "disk ", "free"):
        assert words in shown.out, shown.out
    found = json.loads(a2po("train", *SMALL, "--plan", "--probe-seconds", "0", "--json").out)
    assert found["counts"]["updates"] == 2 and found["task"] == "matrix/uneven" and found["notices"]
    assert a2po("train", *SMALL, "--plan", "--probe-seconds", "-1").code == 2
    assert list(tmp_path.iterdir()) == []


def test_fine_tuning(a2po: Run, tmp_path: Path) -> None:
    assert a2po("train", *SMALL, "--name", "old").code == 0
    done = a2po("train", *SMALL, "--name", "new", "--init-from", "old:best", "--seed", "4")
    assert done.code == 0 and "begins with the weights of the run 'runs/old' at step" in done.err
    assert open_run(tmp_path / "runs" / "new").init_from == "old:best"
    assert "began with" in a2po("inspect", "runs/new").out and "the run old: matrix/uneven" in a2po("inspect", "runs/new").out
    assert "began with" not in a2po("inspect", "runs/old").out
    other = a2po("train", *SMALL, "--name", "other", "--init-from", "old", "--set", "network.hidden_sizes=[4]")
    assert other.code == 2 and "--set network.hidden_sizes=[8]" in other.err and not (tmp_path / "runs" / "other").exists()


def test_tasks(a2po: Run) -> None:
    everything = a2po("tasks")
    assert everything.code == 0 and everything.out.split() == task_names()
    found = a2po("tasks", "HUMANOID", "--json")
    names = json.loads(found.out)
    assert found.code == 0 and "mamujoco/Humanoid-9|8" in names and all("Humanoid" in name for name in names)
    none = a2po("tasks", "matrx")
    assert none.code == 2 and "no task contains 'matrx'" in none.err and none.out == ""


def test_help_and_version(a2po: Run) -> None:
    shown = a2po("train", "--help")
    assert shown.code == 0
    for option in (
        "--task",
        "--algorithm",
        "--preset",
        "--config",
        "--set",
        "--steps",
        "--seed",
        "--device",
        "--name",
        "--resume",
        "--json",
    ):
        assert option in shown.out
    overview = a2po("--help")
    assert overview.code == 0 and all(command in overview.out for command in ("train", "export", "evaluate", "inspect", "tasks"))
    assert a2po("--version").out.startswith("a2po 0.")
    unknown = a2po("trian")
    assert unknown.code == 2 and "train" in unknown.err


def test_the_next_command_can_be_pasted(a2po: Run) -> None:
    done = a2po("train", *SMALL, "--name", "my run")
    assert done.code == 0 and done.out.rstrip().endswith("Next: a2po export 'runs/my run'")


def test_the_system_refuses(a2po: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operating system says becomes one line."""
    for command in (("train", *SMALL, "--name"), ("inspect",), ("evaluate",), ("export",), ("evaluate", "--policy", "torch")):
        outcome = a2po(*command, "n" * 300)
        assert outcome.code in (1, 2) and outcome.out == ""
        assert outcome.err.startswith("a2po: ") and len(outcome.err.splitlines()) == 1
    failures = [
        ("'runs/mine': No space left on device", OSError(28, "No space left on device", "runs/mine")),
        ("not enough memory", MemoryError("std::bad_alloc")),
        ("not enough memory", RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 104000000000 bytes")),
    ]
    for words, failure in failures:

        def fail(*arguments: Any, failure: Exception = failure, **options: Any) -> None:
            raise failure

        monkeypatch.setattr(loop, "train", fail)
        outcome = a2po("train", *SMALL)
        assert outcome.code == 1 and outcome.err.startswith(f"a2po: {words}") and len(outcome.err.splitlines()) == 1


def test_a_terminal_without_our_letters() -> None:
    code = "from a2po.cli.app import app, main\n@app.command('dash')\ndef dash() -> None:\n    print('–')\n"
    code += "import sys; sys.argv = ['a2po', 'dash']; main()"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "?\n"), done.stderr


def test_a_digit_that_is_no_number(a2po: Run) -> None:
    assert a2po("train", *SMALL, "--name", "mine").code == 0
    outcome = a2po("export", "runs/mine", "--checkpoint", "²")
    assert outcome.code == 2 and "no checkpoint '²'" in outcome.err


def test_the_command_and_python_build_the_same_configuration() -> None:
    import a2po

    config = a2po.resolve(values={"task": "matrix/penalty"}, settings=["update.clip=0.07"])
    assert (config.task, config.update.clip, config.preset) == ("matrix/penalty", 0.07, "fast")
    assert "resolve" in a2po.__all__
