"""From training a battle to a video of what was exported, by the commands a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import pytest

from a2po.envs.smac.maps import MAPS
from a2po.runtime import Team

A2PO = [sys.executable, "-c", "from a2po.cli.app import main; main()"]
SMALL = ["run.total_steps=640", "run.evaluate_every=320", "run.evaluation_episodes=4", "run.track=[]", "env.num_envs=8",
         "update.rollout_length=40", "update.num_epochs=1", "network.hidden_sizes=[16]", "network.recurrent_size=8",
         "network.head_sizes=[]"]  # fmt: skip
OPTIONS = {"observation": "on_policy", "action_delay": [0, 1]}


def a2po(folder: Path, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*A2PO, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=100, check=False,
                          env={**os.environ, "COLUMNS": "200"})  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trained network with memory for all three marines, and the bundle of it."""
    folder = tmp_path_factory.mktemp("battles")
    settings = [*SMALL, "network.share_parameters=true", "network.recurrent_layers=1", 'env.options.observation="on_policy"']
    settings.append("env.options.action_delay=[0, 1]")
    given = [part for setting in settings for part in ("--set", setting)]
    a2po(folder, "train", "--task", "smac/3m", "--preset", "fast", "--device", "cpu", "--name", "marines", *given)
    a2po(folder, "export", "runs/marines")
    return folder / "runs" / "marines"


def test_the_bundle_knows_how_the_battle_was_set_up(run: Path) -> None:
    manifest = json.loads((run / "bundle" / "manifest.json").read_text())
    text = json.dumps(manifest)
    assert '"on_policy"' in text and '"action_delay": [0, 1]' in text and "smac/3m" in text
    team = Team.load(run / "bundle")
    assert list(team.agents) == ["marine_0", "marine_1", "marine_2"] and len(list((run / "bundle" / "agents").glob("*.onnx"))) == 1


def test_what_was_exported_is_evaluated_in_battles(run: Path) -> None:
    done = a2po(run.parents[1], "evaluate", "runs/marines/bundle", "--episodes", "6", "--json")
    result = json.loads(done.stdout)
    assert result["task"] == "smac/3m" and result["episodes"] == 6 and result["task_options"] == OPTIONS
    assert 0 <= result["metrics"]["won"]["mean"] <= 1 and {"dead_allies", "dead_enemies"} <= set(result["metrics"])


def test_what_was_exported_is_filmed(run: Path, tmp_path: Path) -> None:
    a2po(run.parents[1], "play", "smac/3m", "--bundle", "runs/marines/bundle", "--steps", "5", "--video", tmp_path / "film.gif")
    assert len(imageio.imread(tmp_path / "film.gif")) >= 10


def test_all_battles_are_listed(tmp_path: Path) -> None:
    listed = a2po(tmp_path, "tasks").stdout
    assert all(f"smac/{name}" in listed for name in MAPS)


def test_a_battle_that_there_is_not(tmp_path: Path) -> None:
    done = a2po(tmp_path, "train", "--task", "smac/3m5z", code=2)
    assert len(done.stderr.strip().splitlines()) == 1 and "smac/3s5z" in done.stderr and "did you mean" in done.stderr
    done = a2po(tmp_path, "train", "--task", "smac/3m", "--set", 'env.options.terrain="clif"', code=2)
    assert len(done.stderr.strip().splitlines()) == 1 and "did you mean 'cliff'" in done.stderr
