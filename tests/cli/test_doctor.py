"""``a2po doctor`` in environments that are really broken: the first cause, its mend, and no check takes the others down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch

from a2po.doctor import examine
from a2po.doctor.examine import CHECKS, in_a_child
from a2po.doctor.report import report, verdict
from a2po.envs.football.library import built_folder

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # twelve processes at once, each with a large package, beside other work


@pytest.fixture
def in_front(tmp_path, monkeypatch):
    """Put a package in front of all others, as a forgotten PYTHONPATH does."""

    def put(package, code):
        folder = tmp_path / "in front"
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return folder / package

    return put


@pytest.fixture
def distributions(tmp_path, monkeypatch):
    """Pretend to pip that these are installed, too."""

    def add(**versions):
        for name, version in versions.items():
            folder = tmp_path / "more" / f"{name}-{version}.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))

    return add


def test_here_all_is_well():
    done = subprocess.run([sys.executable, "-m", "a2po.cli", "doctor", "--json"], capture_output=True, text=True, timeout=200, check=False)
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["passed"] and result["first"] is None, done.stdout
    assert [check["name"] for check in result["checks"]] == list(CHECKS)
    states = {check["name"]: check["state"] for check in result["checks"]}
    assert {states[name] for name in ("Python", "a2po", "numpy", "torch", "onnx", "onnxruntime", "Numba", "MuJoCo")} == {"works"}
    assert all(check["mend"] for check in result["checks"] if check["state"] != "works")


def test_in_an_environment_with_numpy_alone(tmp_path):
    """Not even the command line starts there."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "a2po.pth").write_text(f"{ROOT}\n")
    for name in ("numpy", "numpy.libs"):
        (packages / name).symlink_to(Path(np.__file__).parents[1] / name)
    command = [tmp_path / "venv" / "bin" / "python", "-m", "a2po.doctor"]
    environment = {**os.environ, "A2PO_FOOTBALL": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1 and not done.stderr
    lines = done.stdout.splitlines()
    assert "-      onnxruntime not installed: needed for playing and proving exported actors" in lines
    assert lines[lines.index("-      onnxruntime not installed: needed for playing and proving exported actors") + 1].endswith(
        '-> pip install "a2po[cpu]"'
    )
    assert any(line.startswith("ok     numpy") for line in lines)
    assert any(line.startswith("-      football") for line in lines) and any(line.endswith("-> unset A2PO_FOOTBALL") for line in lines)
    assert lines[-1] == "Begin with a2po: pip install --force-reinstall a2po"


def test_a_package_in_front_that_raises(in_front):
    folder = in_front("onnxruntime", "raise OSError('no such thing')\n")
    finding = in_a_child("onnxruntime")
    assert finding.state == "broken" and "OSError: no such thing (__init__.py:1)" in finding.detail
    assert finding.mend == f"'{folder}' hides the installed onnxruntime: unset PYTHONPATH"


def test_a_crash_in_native_code(in_front):
    in_front("mujoco", "import ctypes\nctypes.string_at(0)\n")
    finding = in_a_child("MuJoCo")
    assert finding.state == "broken" and "ended with SIGSEGV" in finding.detail and finding.mend == "pip install --force-reinstall mujoco"


def test_a_check_that_hangs(in_front, monkeypatch):
    in_front("numba", "import time\ntime.sleep(1000)\n")
    monkeypatch.setattr(examine, "_TIMEOUT", 5.0)
    finding = in_a_child("Numba")
    assert finding.state == "broken" and "no answer in 5 s" in finding.detail and "a2po.doctor.examine 'Numba'" in finding.mend


def test_the_first_cause(in_front):
    """What stands on numpy fails with it, and is not to be mended."""
    in_front("numpy", "raise ImportError('torn')\n")
    result = examine.examine()
    states = {check["name"]: check["state"] for check in result["checks"]}
    assert result["first"] == "numpy" and not result["passed"]
    assert states["onnxruntime"] == states["MuJoCo"] == "broken" and states["Python"] == states["disk"] == "works"
    assert verdict(result).startswith("Begin with numpy (") and "numpy' hides the installed numpy: unset PYTHONPATH" in verdict(result)
    assert "BROKEN numpy" in report(result)


@pytest.mark.parametrize("code", ["__version__ = '1.26.4'\n", "__version__ = '2.4.6'\n"], ids=["old", "empty"])
def test_a_numpy_that_will_not_do(in_front, code):
    in_front("numpy", code)
    assert in_a_child("numpy").state == "broken"


@pytest.mark.parametrize(
    ("check", "installed", "words", "mend"),
    [
        ("onnxruntime", {"onnxruntime_gpu": "1.31.1"}, "both installed", "pip uninstall -y onnxruntime onnxruntime-gpu && pip install "),
        (
            "clashes",
            {"pys2clientprotocol": "1.0.2", "s2clientprotocol": "5.0"},
            "both installed and share the same files",
            "pip uninstall -y pys2clientprotocol s2clientprotocol && pip install pys2clientprotocol",
        ),
        ("clashes", {"opencv_python": "4.9", "opencv_contrib_python": "4.9"}, "the import name cv2", "pip install opencv-python-headless"),
        ("clashes", {"pys2clientprotocol": "1.0.2", "protobuf": "3.20.3"}, "protobuf 3.20.3 is too old", 'pip install "protobuf>=6.31"'),
    ],
)
def test_packages_that_clash(distributions, check, installed, words, mend):
    distributions(**installed)
    finding = in_a_child(check)
    assert finding.state == "broken" and words in finding.detail and mend in finding.mend


def test_the_dead_gym(distributions):
    distributions(gym="0.26.2")
    finding = in_a_child("clashes")
    assert finding.state == "doubtful" and finding.mend == "pip uninstall -y gym"


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path / "file"))
    finding = in_a_child("disk")
    assert finding.state == "broken" and "file' cannot be written" in finding.detail and finding.mend.startswith("export A2PO_CACHE=")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("size", "state"), [("64k", "broken"), ("8m", "doubtful")])
def test_a_full_disk(tmp_path, monkeypatch, size, state):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        monkeypatch.setenv("A2PO_CACHE", str(tmp_path / "cache"))
        finding = in_a_child("disk")
        assert finding.state == state and finding.mend == f"df -h '{tmp_path / 'cache'}'  # and make room"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_football_engine_that_does_not_load(tmp_path, monkeypatch):
    (tmp_path / "libfootball.so").write_bytes(b"torn")
    monkeypatch.setenv("A2PO_FOOTBALL", str(tmp_path))
    finding = in_a_child("football")
    assert finding.state == "broken" and "does not load" in finding.detail and finding.mend == "unset A2PO_FOOTBALL"
    monkeypatch.delenv("A2PO_FOOTBALL")
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path / "cache"))
    assert in_a_child("football").mend == "a2po install football"
    shutil.copytree(tmp_path, built_folder(), ignore=shutil.ignore_patterns("cache"))
    assert in_a_child("football").mend == "a2po install football --force"


@pytest.mark.parametrize(("visible", "state"), [("", "works"), ("-1", "works"), ("0", "doubtful or broken")])
def test_a_gpu_that_is_hidden_on_purpose(tmp_path, monkeypatch, visible, state):
    if torch.cuda.device_count():
        pytest.skip("there is a GPU that works")
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert in_a_child("torch").state in state


def test_without_opengl(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere.json")  # no driver, as without the Mesa packages
    monkeypatch.delenv("DISPLAY", raising=False)
    finding = in_a_child("OpenGL")
    assert finding.state == "missing" and finding.mend == "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri"
