"""A real disk that is really full: training goes on, says so once, and writes what it held back when there is room again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a2po.training.checkpoints import Checkpoints
from a2po.training.metrics import read_metrics

pytestmark = pytest.mark.resilience

MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m full "$1" && shift && exec "$@"', "sh"]
# Fills the disk after update 3 and makes room after update 6; checkpoints are due after every second one.
TRAIN = """
import json, shutil, sys
from pathlib import Path
from a2po.config import validate
from a2po.training.loop import train
from a2po.training.view import SilentView

disk, kept = Path(sys.argv[1]), Path(sys.argv[2])

class View(SilentView):
    said, shown = [], 0

    def show(self, status):
        self.shown += 1
        if self.shown == 3:
            with (disk / "filler").open("wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(512))
                except OSError:
                    pass
        if self.shown == 6:
            (disk / "filler").unlink()

    def say(self, message):
        self.said.append(message)

config = validate({
    "task": "matrix/climbing", "device": "cpu", "env": {"num_envs": 8, "options": {"length": 5}}, "network": {"hidden_sizes": (8,)},
    "update": {"rollout_length": 16, "num_epochs": 1},
    "run": {"total_steps": 8 * 128, "evaluate_every": 0, "checkpoint_every": 2 * 128},
})
view = View()
train(config, name="run", runs=disk, view=view)
shutil.copytree(disk / "run", kept)
print(json.dumps(view.said))
"""


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    if shutil.which("unshare") is None or subprocess.run([*MOUNT, str(disk), "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    command = [*MOUNT, str(disk), sys.executable, "-c", TRAIN, str(disk), str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    full = [message for message in said if "No space left" in message]
    assert len([message for message in full if message.startswith("metrics.jsonl cannot be written")]) == 1
    assert [message[:30] for message in full if message.startswith("checkpoint")] == [
        "checkpoint at step 512 not wri",
        "checkpoint at step 768 not wri",
    ]
    assert len([message for message in said if message == "metrics.jsonl can be written again"]) == 1
    assert [row["update"] for row in read_metrics(kept / "metrics.jsonl")] == list(range(1, 9))
    assert Checkpoints(kept / "checkpoints").names() == ["step_000000001024", "step_000000000256"]
    assert Checkpoints(kept / "checkpoints").load(say=pytest.fail)[1]["step"] == 1024
    assert not [path for path in kept.rglob(".*")]
    lines = (kept / "log.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("20") for line in lines) and "a2po on matrix/climbing" in lines[0]
