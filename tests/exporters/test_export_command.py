"""``a2po export``: what it says next is right, and can be pasted into a shell."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from a2po.cli.app import main
from a2po.runtime import read_bundle
from a2po.training.checkpoints import Checkpoints
from a2po.training.runs import create_run


@pytest.fixture
def run(tmp_path, policy_at, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    policy = policy_at(tmp_path / "runs" / "[red] a run")
    create_run(policy.run, policy.config)
    for step in (2048, 4096):
        Checkpoints(policy.run / "checkpoints").save(step, {"step": step, "team": policy.team.state_dict()})
    return "runs/[red] a run"


def call(monkeypatch, capsys, *arguments: str) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", ["a2po", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
        raise SystemExit(0)
    captured = capsys.readouterr()
    assert not stop.value.code, captured.err
    return captured.out, captured.err


def test_next_command_is_quoted(run, monkeypatch, capsys):
    out, _ = call(monkeypatch, capsys, "export", run)
    assert shlex.split(out.splitlines()[-1]) == ["Next:", "a2po", "evaluate", f"{run}/bundle"]


def test_weights_alone_are_for_training(run, monkeypatch, capsys):
    out, _ = call(monkeypatch, capsys, "export", run, "--format", "safetensors")
    assert shlex.split(out.splitlines()[-1]) == ["Next:", "a2po", "train", "--task", "matrix/uneven", "--init-from", f"{run}/bundle"]


def test_the_options_of_the_command_reach_the_manifest(run, monkeypatch, capsys):
    flags = ["--profile", "plain", "--opset", "14", "--noise", "--quantize", "int8", "--json"]
    out, _ = call(monkeypatch, capsys, "export", run, *flags)
    manifest = json.loads(out)
    assert manifest["onnx"] == {"opset": 14, "batch": "dynamic", "profile": "plain", "noise": True, "quantize": "int8"}
    assert manifest["quantization"]["return"]["episodes"] == 32
    assert manifest["latency"]["p50_us"] <= manifest["latency"]["p99_us"]


def test_a_part_of_a_team_cannot_be_evaluated(run, monkeypatch, capsys):
    out, _ = call(monkeypatch, capsys, "export", run, "--agents", "column", "--output", "column.zip")
    assert "Next" not in out
    assert len(read_bundle("column.zip").agents) == 1


def test_notices_are_printed_as_they_are(run, monkeypatch, capsys):
    from a2po.training import checkpoints

    def damaged(path):
        if path.name.endswith("4096"):
            raise checkpoints.CheckpointError(f"'{path}' [/b] is torn")
        return read(path)

    read = checkpoints.read_checkpoint
    monkeypatch.setattr(checkpoints, "read_checkpoint", damaged)
    _, err = call(monkeypatch, capsys, "export", run)
    assert f"'{run}/checkpoints/step_000000004096' [/b] is torn" in err
