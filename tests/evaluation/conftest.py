"""Runs without training: random weights with biases, and observation statistics that are not trivial."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from a2po.config import EnvConfig, NetworkConfig, TrainConfig
from a2po.exporters.build import build_bundle
from a2po.networks.team_policy import TeamPolicy
from a2po.training.checkpoints import Checkpoints
from a2po.training.runs import TrainedPolicy, create_run, make_env

CHEETAH = "mamujoco/HalfCheetah-2x3"
UNEVEN = "matrix/uneven"


def random_policy(run: Path, task: str = UNEVEN, **network) -> TrainedPolicy:
    options = {"length": 3} if task.startswith("matrix") else {}
    config = TrainConfig(task=task, network=NetworkConfig(**network), env=EnvConfig(num_threads=1, options=options))
    env = make_env(config, 1, seed=0)
    env.close()
    team = TeamPolicy(env.spec, config.network, seed=0)
    stream = torch.Generator().manual_seed(7)
    team.actors.values.copy_(torch.randn(team.actors.values.shape, generator=stream) * 0.3)
    mask_padding(team)
    team.obs_norm.update(torch.randn(64, *team.obs_norm.shape, generator=stream) * 3.0 + 1.0)
    return TrainedPolicy(run, config, team, 4096, "step_000000004096", {"a2po": "0.1.0", "commit": "c0ffee"})


def mask_padding(team: TeamPolicy) -> None:
    """Zero what no agent has, as training leaves it."""
    fresh = TeamPolicy(team.spec, team.network, seed=1).actors
    first, last = "linear0_weight", f"linear{len(team.actor_shape.mlp.layer_sizes) - 1}_weight"
    views, kept = team.actors.views(team.actors.values), fresh.views(fresh.values)
    for name in (first, last):
        views[name].mul_(kept[name] != 0)


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """A run folder with a configuration, a checkpoint, metrics and a bundle, as training and exporting leave it."""
    return write_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="session")
def original_cheetah(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cheetah", CHEETAH)


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


def write_run(folder: Path, task: str = UNEVEN) -> Path:
    policy = random_policy(folder, task)
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
