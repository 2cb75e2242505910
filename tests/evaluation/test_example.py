"""The examples and the Python guide, run as a user would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import a2po

ROOT = Path(__file__).parents[2]
BOT, API, GUIDE = ROOT / "examples" / "half_cheetah_bot.py", ROOT / "examples" / "python_api.py", ROOT / "docs" / "python.md"
ANY_BOT = ROOT / "examples" / "bot.py"
SMALL = ["run.total_steps=32", "run.evaluate_every=0", "env.num_envs=2", "update.rollout_length=16", "update.num_epochs=1"]


def test_the_bot_plays_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = a2po.train(a2po.resolve(values={"device": "cpu"}, settings=SMALL), name="small").run
    bundle = a2po.export(run)
    done = subprocess.run([sys.executable, str(BOT), str(bundle)], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith("return ")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("task", ["smac/3m", "mamujoco/HalfCheetah-2x3"])
def test_the_bot_to_copy_plays_around_what_is_broken(make_policy, build, task):
    """With masks and memory, and with controls: every tenth observation of the first agent is NaN, and nothing else is."""
    bundle = build(make_policy(task, hidden_sizes=(8,), recurrent_layers=1, recurrent_size=6))
    done = subprocess.run([sys.executable, str(ANY_BOT), str(bundle)], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, agents = ("marine_0", 3) if task == "smac/3m" else ("agent_0", 2)
    assert done.stdout == f"100 steps of {agents} agents; faults: observation of {first}: 10\n"


def test_the_python_example_stops_at_the_optimum_and_plays_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, str(API)], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("step 2,560") and lines[-3].startswith("stopped: True")
    assert float(re.findall(r"mean return ([-\d.]+) over 100", lines[-2])[0]) > 9 and lines[-1].endswith(": 10")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_guide_runs(tmp_path, monkeypatch):
    """Every block of code in docs/python.md, one after the other, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    code = "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "mean return" in done.stdout and "stopped early" in done.stdout
