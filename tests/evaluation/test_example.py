"""The example bot plays an exported team as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import a2po

BOT = Path(__file__).parents[2] / "examples" / "half_cheetah_bot.py"
SMALL = ["run.total_steps=32", "run.evaluate_every=0", "env.num_envs=2", "update.rollout_length=16", "update.num_epochs=1"]


def test_the_bot_plays_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = a2po.train(a2po.resolve(values={"device": "cpu"}, settings=SMALL), name="small").run
    bundle = a2po.export(run)
    done = subprocess.run([sys.executable, str(BOT), str(bundle)], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith("return ")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
