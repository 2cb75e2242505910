"""The example in JavaScript: the actions that Python recorded, out of the same files, inputs and noise, in onnxruntime-web."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "javascript"
MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 1, "recurrent_size": 12}
BUNDLES = {
    "masks, a shared GRU": ("smac/3m", {**MEMORY, "share_parameters": True}, True),
    "controls, a GRU each": ("mamujoco/HalfCheetah-2x3", MEMORY, True),
    "greedy, unequal agents": ("mamujoco/Humanoid-9|8", {"hidden_sizes": (16,)}, False),
}
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node and npm are not installed: apt-get install -y nodejs npm (as root, make test does)",
)


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """A copy of the example with what its lock file names."""
    folder = tmp_path_factory.mktemp("javascript") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    done = run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    assert done.returncode == 0, f"npm ci failed; is its registry within reach?\n{done.stderr}"
    return folder


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def recorded(bundle: Path, recording: Path) -> str:
    done = run(sys.executable, str(EXAMPLE / "record.py"), str(bundle), str(recording), folder=recording.parent)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_node
@pytest.mark.parametrize("what", BUNDLES)
def test_the_same_actions_in_javascript(example, make_policy, build, tmp_path, what):
    task, network, noise = BUNDLES[what]
    bundle, recording = build(make_policy(task, **network), noise=noise), tmp_path / "recording.safetensors"
    assert ("sampled" if noise else "greedy") in recorded(bundle, recording)
    tensors = load_file(recording)
    assert len(tensors["begun"]) >= 1000 and np.unique(tensors["action"]).size > 2
    done = run("node", "replay.mjs", str(bundle), str(recording), folder=example)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 1
    steps, agents = len(tensors["begun"]), tensors["obs"].shape[1]
    assert done.stdout.startswith(f"{steps} steps of {agents} agents, ") and ": all the same, largest difference " in done.stdout
    if noise:
        assert_every_input_matters(example, bundle, recording, {name: tensor[:200] for name, tensor in tensors.items()})


def assert_every_input_matters(example: Path, bundle: Path, recording: Path, tensors: dict[str, np.ndarray]) -> None:
    """A recording with one wrong action, other noise, other observations or without resets is not replayed."""
    last = tensors["action"].copy()
    last[-1, -1] += 1 if last.dtype == np.int64 else 1e-3
    others = {"action": last, "noise": tensors["noise"][::-1].copy(), "obs": tensors["obs"][::-1].copy()}
    if tensors["begun"].sum() > 1:
        others["begun"] = np.arange(len(tensors["begun"])) == 0
    for name, other in others.items():
        save_file({**tensors, name: other}, recording)
        done = run("node", "replay.mjs", str(bundle), str(recording), folder=example)
        found = re.search(r": (\d+) differ; the first: step (\d+), ", done.stdout)
        assert done.returncode == 1 and found and done.stdout.count("\n") == 1, name
        if name == "action":
            assert found.groups() == ("1", str(len(last) - 1))


@needs_node
def test_what_javascript_refuses(example, uneven, tmp_path):
    """Exit code 2 and one line, for a bundle that was altered or is not there, and for a recording of another team."""
    bundle = Path(shutil.copytree(uneven[1], tmp_path / "bundle"))
    recording = tmp_path / "recording.safetensors"
    recorded(bundle, recording)

    def refused(*arguments: str) -> str:
        done = run("node", "replay.mjs", *arguments, folder=example)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
        return done.stderr

    assert "usage: node replay.mjs BUNDLE RECORDING" in refused(str(bundle))
    assert "no such file" in refused(str(tmp_path / "nothing"), str(recording))
    tensors, other = load_file(recording), tmp_path / "other.safetensors"
    for wrong in (tensors["obs"][:, :, :-1].copy(), tensors["obs"][:, :-1].copy(), tensors["obs"][:0]):
        save_file({**tensors, "obs": wrong}, other)
        assert "it is not this team's" in refused(str(bundle), str(other))
    with next((bundle / "agents").iterdir()).open("ab") as file:
        file.write(b"\0")
    assert "was altered" in refused(str(bundle), str(recording))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    assert "bundle format 1" in refused(str(bundle), str(recording))


def test_the_lock_file_is_exact_and_names_no_registry():
    package, lock = (json.loads((EXAMPLE / name).read_text()) for name in ("package.json", "package-lock.json"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    installed = {name: entry for name, entry in lock["packages"].items() if name}
    assert installed["node_modules/onnxruntime-web"]["version"] == package["dependencies"]["onnxruntime-web"]
    assert not [name for name, entry in installed.items() if "resolved" in entry or not entry["integrity"].startswith("sha512-")]
    assert not [text for text in (EXAMPLE / "package-lock.json", EXAMPLE / ".npmrc") if "://" in text.read_text()]


def test_what_is_not_recorded(make_policy, build, tmp_path):
    bundle = build(make_policy("matrix/uneven"), agents=["row"], output=tmp_path / "part")
    for arguments, words in (
        ((str(bundle), "recording"), "holds row alone"),
        (("nothing", "recording"), "there is no bundle 'nothing'"),
        ((), "usage: python record.py BUNDLE RECORDING"),
    ):
        done = run(sys.executable, str(EXAMPLE / "record.py"), *arguments, folder=tmp_path)
        assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1
