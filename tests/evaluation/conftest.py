"""Runs without training, as training and exporting leave them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from a2po.cli.app import main
from a2po.exporters.build import build_bundle
from a2po.training.checkpoints import Checkpoints
from a2po.training.runs import create_run, make_env

CHEETAH = "mamujoco/HalfCheetah-2x3"
UNEVEN = "matrix/uneven"


@pytest.fixture
def command(monkeypatch, capsys):
    """``command("plot", "runs")`` -> exit code, standard output and standard error of the command line."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["a2po", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def original(tmp_path_factory, policy_at) -> Path:
    """A run folder with a configuration, a checkpoint, metrics and a bundle, as training and exporting leave it."""
    return write_run(policy_at, tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="session")
def original_cheetah(tmp_path_factory, policy_at) -> Path:
    return write_run(policy_at, tmp_path_factory.mktemp("runs") / "cheetah", CHEETAH)


@pytest.fixture(scope="session")
def original_marines(tmp_path_factory, policy_at) -> Path:
    """A run on three marines against three, whose agents go east and attack the first enemy in range: it wins nearly always."""
    folder = tmp_path_factory.mktemp("runs") / "marines"
    policy = policy_at(folder, "smac/3m", hidden_sizes=[4])
    actors = policy.team.actors
    actors.values.zero_()
    bias = actors.views(actors.values)[f"{policy.team.actor_shape.network.output_layer}_bias"]
    bias.copy_(torch.tensor([0.0, 0.0, -1.0, -1.0, 1.0, -1.0, 4.0, 3.0, 2.0]).expand_as(bias))
    return save_run(policy, folder)


@pytest.fixture
def marines(original_marines, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original_marines, tmp_path / "runs" / "marines")
    return Path("runs/marines")


@pytest.fixture
def run(original, tmp_path, monkeypatch) -> Path:
    """The run ``runs/first`` in an own working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, tmp_path / "runs" / "first")
    return Path("runs/first")


@pytest.fixture
def cheetah(original_cheetah, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original_cheetah, tmp_path / "runs" / "cheetah")
    return Path("runs/cheetah")


def write_run(policy_at, folder: Path, task: str = UNEVEN) -> Path:
    return save_run(policy_at(folder, task), folder)


def save_run(policy, folder: Path) -> Path:
    create_run(folder, policy.config)
    Checkpoints(folder / "checkpoints").save(4096, {"step": 4096, "team": policy.team.state_dict()}, best=True)
    rows = [
        {"kind": "update", "step": 2048, "update": 1, "time_s": 1.0, "episodes": 0},
        {"kind": "update", "step": 4096, "update": 2, "time_s": 2.0, "episodes": 3, "return_mean": 1.5, "length_mean": 3.0,
         "steps_per_s": 2048.0, "order": [1, 0],
         "agents": {"row": {"kl": 0.01, "clip_fraction": 0.1}, "column": {"kl": 0.02, "clip_fraction": 0.2}}},
        {"kind": "evaluation", "step": 4096, "return_mean": 2.5, "episodes": 2, "returns": [2.0, 3.0]},
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "upd')
    build_bundle(policy, lambda copies: make_env(policy.config, copies, seed=1))
    return folder
