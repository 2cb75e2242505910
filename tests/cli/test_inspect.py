"""``a2po inspect``: who plays by which file, what is seen and done by name; a file of many agents is shown once."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from base64 import b64encode

import pytest

from a2po.cli.app import main


@pytest.fixture
def inspect(monkeypatch, capsys):
    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["a2po", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
            raise SystemExit(0)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def marines(policy_at, tmp_path_factory):
    """27 agents with one file."""
    from a2po.exporters.build import build_bundle
    from a2po.training.runs import make_env

    policy = policy_at(tmp_path_factory.mktemp("marines") / "run", "smac/27m_vs_30m", share_parameters=True, hidden_sizes=(8,))
    return build_bundle(policy, lambda copies: make_env(policy.config, copies, seed=1))


def test_27_agents_of_one_file_are_one_entry(marines, inspect):
    code, out, err = inspect(marines)
    lines = out.splitlines()
    assert (code, err) == (0, "") and len(lines) <= 24 and max(map(len, lines)) <= 80
    assert sum(".onnx" in line for line in lines) == 1
    flat = " ".join(out.split())
    assert "27 agents" in flat and "285 features" in flat and "36 choices" in flat and "… 279 more" in flat
    assert "evaluation none yet" in flat and "signature none" in flat and "parity passed" in flat


def test_all_names_of_an_agent(marines, inspect):
    entry = json.loads((marines / "manifest.json").read_text())["agents"]
    name = list(entry)[3]
    code, out, _ = inspect(marines, "--agent", name)
    words = out.split()
    assert code == 0 and out.startswith(f"{name}: agents/")
    assert all(feature in words for feature in entry[name]["observation"]["features"])
    assert all(action in words for action in entry[name]["action"]["names"])
    assert "inputs obs, action_mask, agent" in " ".join(words)
    shown = json.loads(inspect(marines, "--agent", name, "--json")[1])
    assert shown["agents"] == {name: entry[name]}


def test_agents_by_pattern_and_misspelled(exported, inspect):
    first, second = json.loads((exported[1] / "manifest.json").read_text())["agents"]
    _, out, _ = inspect(exported[1], "--agent", "*")
    assert f"{first}: agents/" in out and f"{second}: agents/" in out
    _, out, _ = inspect(exported[1], "--agent", f"{second}, {first}")
    assert f"{first}: agents/" in out and f"{second}: agents/" in out
    code, out, err = inspect(exported[1], "--agent", f"{first}x")
    assert (code, out) == (2, "") and f"--agent: no agent '{first}x'; did you mean '{first}'" in err


def test_what_is_known_is_shown(uneven, inspect, tmp_path):
    bundle = shutil.copytree(uneven[1], tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["latency"] = {"p50_us": 31.4, "p99_us": 55.0, "steps": 1000, "threads": 1, "processor": "Some CPU", "onnxruntime": "1.31"}
    change = {"float": 9.0, "int8": 8.5, "difference": -0.5, "interval": [-1.0, 0.1], "episodes": 100, "seed": 0}
    manifest["quantization"] = {"action_agreement": 0.987, "max_error": 0.05, "drawn_error": 0.05, "return": change}
    manifest["evaluation"] = {"mean": 8.25, "interval": [8.0, 8.5], "episodes": 100, "actions": "greedy", "created": "today"}
    manifest["signature"] = {
        "algorithm": "ed25519",
        "public_key": b64encode(b"k" * 32).decode(),
        "signature": b64encode(bytes(64)).decode(),
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    flat = " ".join(inspect(bundle)[1].split())
    assert "31 us p50, 55 us p99 on Some CPU" in flat
    assert "int8 98.70% of the greedy actions stay, outputs change by up to 5.0e-02, the return moves from 9 by -0.5 [-1, 0.1]" in flat
    assert "evaluation mean return 8.25 [8, 8.5], 100 episodes, greedy" in flat
    assert f"signature by the key {hashlib.sha256(b'k' * 32).hexdigest()[:16]}; a2po verify checks it" in flat
    manifest["signature"] = {"algorithm": "ed25519"}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert "its signature is malformed" in inspect(bundle)[1]


def test_a_team_without_graphs(make_policy, build, inspect):
    bundle = build(make_policy(), format="safetensors")
    code, out, _ = inspect(bundle)
    assert code == 0 and "weights/row.safetensors" in out
