"""Kill -9 at random moments, as `benchmarks/kill.py` does it fifty times; here less often."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "kill.py"


@pytest.mark.resilience
@pytest.mark.parametrize(("task", "kills"), [("mamujoco/HalfCheetah-2x3", 6), ("matrix/climbing", 2)])
def test_killed_runs_end_with_the_same_bits(task: str, kills: int, tmp_path: Path) -> None:
    result = tmp_path / "kill.json"
    command = [sys.executable, str(BENCHMARK), "--kills", str(kills), "--task", task, "--json", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lives = json.loads(result.read_text())["lives"]
    found = [kill for life in lives for kill in life["kills"]]
    assert len(found) == kills and {kill["kind"] for kill in found} == {"any time", "while writing"}
    assert all(life["differences"] == [] and life["orphans_left"] == [] for life in lives)
