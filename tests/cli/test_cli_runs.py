"""`a2po runs`: what a person sees and what a script reads; nothing heavy is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from a2po.cli.app import app
from a2po.config import validate
from a2po.errors import RunError
from a2po.evaluation.run_list import run_summary, runs_in
from a2po.training.lock import RunLock
from a2po.training.loop import train
from a2po.training.runs import list_runs
from a2po.training.view import SilentView

PER_UPDATE = 64


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four updates."""
    config = validate(
        {
            "task": "matrix/climbing",
            "device": "cpu",
            "env": {"num_envs": 4, "options": {"length": 5}},
            "network": {"hidden_sizes": (8,)},
            "update": {"rollout_length": 16, "num_epochs": 1},
            "run": {
                "total_steps": 4 * PER_UPDATE,
                "evaluate_every": 2 * PER_UPDATE,
                "evaluation_episodes": 2,
                "checkpoint_every": PER_UPDATE,
            },
        }
    )
    return train(config, name="whole", runs=tmp_path_factory.mktemp("runs"), view=SilentView()).run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "runs" / "whole"))


def shown(folder: Path, columns: int = 80) -> str:
    done = CliRunner().invoke(app, ["runs", str(folder)], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.output


def test_everything_is_in_the_json(run: Path) -> None:
    done = CliRunner().invoke(app, ["runs", str(run.parent), "--json"])
    (facts,) = json.loads(done.output)
    assert (facts["name"], facts["task"], facts["algorithm"], facts["seed"]) == ("whole", "matrix/climbing", "a2po", 0)
    assert facts["step"] == facts["total_steps"] == facts["saved_step"] == 4 * PER_UPDATE and facts["state"] == "done"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluations = [row["return_mean"] for row in rows if row["kind"] == "evaluation"]
    returns = [row["return_mean"] for row in rows if row["kind"] == "update" and "return_mean" in row]
    assert (facts["evaluation"], facts["best_evaluation"], facts["return_mean"]) == (evaluations[-1], max(evaluations), returns[-1])
    assert facts["checkpoints"] == sorted(path.name for path in (run / "checkpoints").glob("step_*")) and len(facts["checkpoints"]) >= 3
    assert facts["bytes"] == sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert (facts["bundle"], facts["holder"], facts["damage"]) == (False, None, None) and facts["age_s"] >= 0


def test_the_states(run: Path) -> None:
    def state() -> str:
        return str(run_summary(run)["state"])

    lock = RunLock(run, pytest.fail)
    lock.take()
    assert state() == "training" and run_summary(run)["holder"]["pid"] == os.getpid()
    lock.release()
    newest, *older = sorted((run / "checkpoints").glob("step_*"), reverse=True)
    (newest / "state.json").unlink()
    assert state() == "stopped" and f"{newest.name}: state.json missing" in run_summary(run)["damage"]
    manifest = json.loads((older[0] / "manifest.json").read_text())
    (older[0] / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    assert f"{older[0].name}: manifest.json has format 1" in run_summary(run)["damage"]
    for checkpoint in older:
        (checkpoint / "manifest.json").write_text("[]")
    assert state() == "damaged"
    shutil.rmtree(run / "checkpoints")
    assert state() == "stopped" and run_summary(run)["damage"] is None  # starts from the beginning
    (run / "metrics.jsonl").unlink()
    assert run_summary(run)["step"] == 0 and run_summary(run)["return_mean"] is None
    (run / "config.toml").write_text("[")
    assert state() == "damaged" and "cannot be read" in run_summary(run)["damage"]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_list_fits_the_terminal(run: Path, columns: int) -> None:
    other = Path(shutil.copytree(run, run.with_name("HalfCheetah-2x3-a2po-s0-20260131-120000")))
    shutil.rmtree(other / "checkpoints")
    text = shown(run.parent, columns)
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split()[0] == "run" and any(line.startswith("whole ") and " done " in line and "256/256" in line for line in lines)
    assert "a2po train --resume --name" in text and any("stopped" in line for line in lines)
    assert ("matrix/climbing" in text) == (columns == 200) and ("MB" in text) == (columns == 200)


def test_the_newest_is_first_and_the_one_that_resume_takes(run: Path) -> None:
    for index, name in enumerate(("b", "a", "c")):
        config = Path(shutil.copytree(run, run.with_name(name))) / "config.toml"
        os.utime(config, ns=(0, (2_000_000_000 + index) * 10**9))
    assert [found.name for found in runs_in(run.parent)] == ["c", "a", "b", "whole"] == [found.name for found in list_runs(run.parent)]
    assert runs_in(run) == [run]


def test_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run in 'runs' yet: 'a2po train'"):
        runs_in(Path("runs"))
    (tmp_path / "runs").mkdir()
    with pytest.raises(RunError, match=r"there is no folder 'rums'; did you mean 'runs'"):
        runs_in(Path("rums"))
    with pytest.raises(RunError, match="no run in"):
        runs_in(tmp_path)


def test_what_a_list_survives(run: Path) -> None:
    """Files of anything else, and configurations of anybody."""
    (run / "metrics.jsonl").write_text('[1]\n{"kind": "update"}\n{"kind": "evaluation", "step": 1, "return_mean": "x"}\n{"kind"')
    for name, value in (("words", '"x"'), ("nothing", "null"), ("endless", "Infinity"), ("deep", "[" * 10**5)):
        other = Path(shutil.copytree(run, run.with_name(name)))
        (other / "metrics.jsonl").write_text(f'{{"kind": "update", "step": 3, "return_mean": {value}}}\n')
        assert run_summary(other)["return_mean"] is None
    (run / "checkpoints" / "step_foo").mkdir()
    (run / "provenance.json").write_text('{"created": 3}')
    values: list[dict[str, Any]] = [run_summary(run)]
    (run / "config.toml").write_text("run = 3\ntask = 4")
    values.append(run_summary(run))
    assert [value["total_steps"] for value in values] == [4 * PER_UPDATE, None] and values[0]["step"] == 0
    assert shown(run.parent)


def test_nothing_heavy_is_loaded(run: Path) -> None:
    code = "import sys; from typer.testing import CliRunner; from a2po.cli.app import app\n"
    code += f"done = CliRunner().invoke(app, ['runs', {str(run.parent)!r}])\nassert done.exit_code == 0, done.output\n"
    code += "assert not {'torch', 'onnxruntime', 'mujoco', 'gymnasium'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
