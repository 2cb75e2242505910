"""What a person sees while a sweep runs, from metrics files as training writes them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from a2po.sweeps import view as views
from a2po.sweeps.children import Progress, progress
from a2po.sweeps.plan import SweepPlan, planned_runs
from a2po.sweeps.states import RunState, total_remaining_s
from a2po.sweeps.view import TerminalSweepView


def write_metrics(run, *rows, rest=""):
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + rest)


def update(step, **values):
    return {"kind": "update", "step": step, **values}


@pytest.fixture
def states(tmp_path):
    """30 runs with long names, a third of the way."""
    plan = SweepPlan(tasks=("mamujoco/HalfCheetah-2x3",), seeds=tuple(range(10)), vary={"update.clip": (0.1, 0.2, 0.3)})
    found = [RunState(run, tmp_path / run.name, 3_000_000) for run in planned_runs(plan)]
    for state in found:
        state.status = "running"
        write_metrics(state.folder, update(500_000))
        state.look()
    for state in found:
        state._first_look = state._first_look[0] - 100, state._first_look[1]
        write_metrics(state.folder, update(1_000_000, return_mean=-1234.5), {"kind": "evaluation", "step": 1, "return_mean": 2345.6})
        state.look()
    return found


def test_progress_of_a_metrics_file(tmp_path):
    assert progress(tmp_path) == Progress()
    write_metrics(
        tmp_path, update(10, return_mean=1.5), {"kind": "evaluation", "step": 10, "return_mean": 2.5}, update(20), rest='{"kind": "upd'
    )
    assert progress(tmp_path) == Progress(20, 1.5, 2.5)


def test_a_long_metrics_file_is_read_at_its_end(tmp_path):
    write_metrics(tmp_path, *(update(step, agents="x" * 1000) for step in range(1, 1001)))
    assert progress(tmp_path).step == 1000


def test_a_live_picture_fits_a_small_terminal(states):
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(TerminalSweepView(console)._picture(states))
    lines = captured.get().rstrip("\n").splitlines()
    assert len(lines) <= 23 and max(map(len, lines)) <= 80
    assert all(word in lines[1] for word in ("clip=0.1-s0", "1,000,000", "33%", "-1,234.5", "2,345.6", "min"))
    assert lines[0].startswith("HalfCheetah-2x3-a2po-…")
    assert lines[-1].startswith("0 of 30 runs done, 30 running · 33% of the steps")


def test_plain_lines(states, monkeypatch):
    monkeypatch.setattr(views, "LINE_INTERVAL_S", 0.0)
    output = io.StringIO()
    view = TerminalSweepView(Console(file=output, width=80))
    view.show(states[:2])
    states[0].status, states[0].message = "failed", "training [red]diverged"
    view.ended(states[0], states[:2])
    view.stop()
    first, second, total, ended = output.getvalue().splitlines()
    assert "HalfCheetah-2x3-a2po-clip=0.1-s0: 1,000,000 (33%) · return -1,234.5 · greedy 2,345.6 ·" in first
    assert "clip=0.2-s0" in second and "of the steps" in total
    assert ended == "[1/2] HalfCheetah-2x3-a2po-clip=0.1-s0 failed: training [red]diverged"


def test_time_left_counts_the_waiting_runs(states):
    alone = total_remaining_s(states[:1])
    assert alone == pytest.approx(states[0].remaining_s)
    states[1].status = "waiting"
    states[1].progress = Progress()
    assert total_remaining_s(states[:2]) == pytest.approx(alone * 5 / 2, rel=0.01)
    states[0].status = "done"
    assert total_remaining_s(states[:2]) is None
