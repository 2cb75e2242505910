"""The commands: JSON alone on standard output, one clear message and code 2 for what the user can mend."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from a2po.cli import show
from a2po.envs.smac.environment import StarCraftBattles
from a2po.exporters import parity
from a2po.runtime import read_bundle


def test_chain_without_arguments(run, command):
    assert command("export")[0] == 0
    code, out, _ = command("evaluate", "--episodes", "4", "--report")
    assert code == 0
    assert "95 % interval" in out and "4 by quota over 4 copies" in out
    assert (run / "report.html").is_file()
    code, out, _ = command("inspect")
    assert code == 0
    assert "rounds_played" in out and "mean return" in out


def test_json_alone_on_standard_output(run, command):
    code, out, err = command("export", "--json", "--agents", "row, column")
    assert (code, err) == (0, "")
    assert json.loads(out)["parity"]["passed"]
    code, out, err = command("evaluate", "--episodes", "3", "--json", "--sampled")
    assert (code, err) == (0, "")
    assert json.loads(out)["actions"] == "sampled"
    code, out, err = command("inspect", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["evaluation"] is not None
    code, out, err = command("inspect", str(run), "--json")
    assert json.loads(out)["run"]["checkpoints"] == ["step_000000004096"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "runs/frist"), "did you mean 'runs/first'"),
        (("inspect", "runs/frist"), "did you mean 'runs/first'"),
        (("export", "runs/frist"), "first"),
        (("export", "--checkpoint", "17"), "no checkpoint '17'"),
        (("export", "--agents", "rwo"), "did you mean 'row'"),
        (("export", "--opset", "3"), "--opset 3"),
        (("evaluate", "--task", "matrix/climbing"), "number of actions is 2, the task has 3"),
        (("evaluate", "--task", "matrix/climbign"), "did you mean 'matrix/climbing'"),
    ],
)
def test_what_the_user_can_mend(run, command, arguments, message):
    code, out, err = command(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_failed_parity_exits_with_1(run, command, monkeypatch):
    for limit in ("TOLERANCE", "WIDEST"):
        monkeypatch.setattr(parity, limit, -1.0)
    before = (run / "bundle" / "manifest.json").read_bytes()
    code, out, err = command("export")
    assert (code, out) == (1, "")
    assert "is not the trained one" in err
    assert (run / "bundle" / "manifest.json").read_bytes() == before


def test_inspect_loads_nothing_heavy(run):
    code = f"""
import sys
sys.argv = ["a2po", "inspect", {str(run)!r}]
from a2po.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
heavy = {{"torch", "onnx", "onnxruntime", "gymnasium", "mujoco", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "row" in done.stdout


def test_inspect_shows_a_run_without_a_bundle(run, command):
    shutil.rmtree(run / "bundle")
    code, out, _ = command("inspect", str(run))
    assert code == 0
    assert "a2po export runs/first" in out


def change_manifest(run, **changes):
    path = run / "bundle" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"parity": {"a": 1}},
        {"parity": {"passed": True, "max_error": 10**400, "batches": 3, "agents": {"row": {"max_error": {"logits": "x"}}}}},
        {"training": {"step": "many"}, "evaluation": {"mean": "x", "interval": [1]}},
        {"training": {"provenance": {"packages": [1]}}, "export": {"packages": 5}},
        {"training": None, "evaluation": {"interval": [None, 10**400]}, "parity": None, "export": 3},
    ],
)
def test_an_odd_manifest_is_shown_or_refused(run, command, changes):
    change_manifest(run, **changes)
    code, _, err = command("inspect")
    assert code in (0, 2)
    assert "Traceback" not in err


def test_a_size_that_the_manifest_does_not_say(run, command):
    files = json.loads((run / "bundle" / "manifest.json").read_text())["files"]
    change_manifest(run, files={name: {"sha256": entry["sha256"]} for name, entry in files.items()})
    assert command("inspect")[0] in (0, 2)


@pytest.mark.parametrize("content", [b"{bad", b"[1]", b"\xff", b"[" * 100_000])
def test_damaged_provenance_stops_nothing(run, command, content):
    (run / "provenance.json").write_bytes(content)
    assert command("inspect", str(run))[0] == 0
    assert command("export", str(run))[0] == 0


def test_values_are_no_markup(run, command, monkeypatch):
    """A run's name and a result's file are shown as they are, and a command can be pasted."""
    monkeypatch.setenv("COLUMNS", "200")
    odd = run.rename(run.with_name("[red]x [y] :smile:"))
    code, out, _ = command("evaluate", str(odd), "--episodes", "2")
    assert code == 0 and f"{odd}/results/" in out
    code, out, _ = command("inspect", str(odd))
    assert code == 0 and f"{odd}/bundle" in out and re.search(r"mean return \S+ \[\S+, \S+\]", out)
    shutil.rmtree(odd / "bundle")
    assert f"a2po export '{odd}'" in command("inspect", str(odd))[1]
    code, _, err = command("evaluate", str(odd))
    assert code == 2 and f"a2po export '{odd}'" in err


def test_notices_are_no_markup(run, command):
    """What ``say`` is told is printed as it is."""
    training = json.loads((run / "bundle" / "manifest.json").read_text())["training"]
    change_manifest(run, training={**training, "checkpoint": "[/red]"})
    code, _, err = command("evaluate", str(run), "--episodes", "2", "--policy", "torch")
    assert code == 0 and "the bundle's checkpoint [/red] is gone" in err


def test_a_narrow_terminal_keeps_mean_and_interval(run, command, monkeypatch, capsys):
    result = json.loads(command("evaluate", "--episodes", "2", "--json")[1])
    big = {"mean": -1234.5, "std": 1.0, "median": -1234.5, "min": -1235.0, "max": -1233.0, "interval": [-1243.5, -1224.5]}
    for width, shown in ((40, False), (100, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        show.show_evaluation({**result, **big})
        out = capsys.readouterr().out
        assert "-1,234.5" in out and "[-1,243.5, -1,224.5]" in out
        assert ("median" in out) == shown and "…" not in out


def test_another_process_writes_the_same_actors(run, command):
    assert command("export", "--output", "here")[0] == 0
    code = "import sys; sys.argv = ['a2po', 'export', '--output', 'there']; from a2po.cli.app import main; main()"
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    here, there = read_bundle("here"), read_bundle("there")
    assert here.fingerprint == there.fingerprint
    assert here.files.keys() == there.files.keys()
    assert {name for name in here.files if here.files[name] != there.files[name]} <= {"MODEL_CARD.md"}  # which tells the latency


@pytest.mark.parametrize("arguments", [("evaluate",), ("bench-policy",), ("play", "--bundle", "runs/marines", "--steps", "1")])
def test_an_interrupt_is_one_line_and_no_result(marines, command, monkeypatch, arguments):
    """While battles are played."""
    begun = StarCraftBattles.reset

    def reset(env, *given):
        begun(env, *given)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StarCraftBattles, "reset", reset)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever tests in the background is deaf to it
    try:
        assert command(*arguments) == (130, "", "a2po: interrupted\n")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (marines / "results").exists()
