"""The wheel holds everything, and works in a clean environment next to a user's own ``cli`` and ``evaluation``.

An editable install hides a subpackage or a data file that pyproject.toml does not list; a wheel does not.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"a2po": "a2po", "cli": "a2po/cli", "exporters": "a2po/exporters", "evaluation": "a2po/evaluation"}
REQUIRED = ("numpy", "pydantic", "rich", "safetensors", "typer")
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc", "*.egg-info")

pytestmark = pytest.mark.timeout(600)


def run(command: Sequence[str | Path], *, cwd: Path, expected: int = 0) -> str:
    """Run without the parent's Python settings; return what was printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == expected, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is built from: no stale ``build/`` can slip in, and nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=IGNORED)
    for path in ROOT.glob("*"):
        if path.is_file() and path.name in {"pyproject.toml", "LICENSE", "README.md"}:
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder], cwd=source)
    (built,) = folder.glob("a2po-*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the wheel, and the third-party packages of this environment.

    They come in through a path file. Path files inside the added folder are not read, so the editable a2po stays out.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
    python = folder / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel], cwd=folder.parent)
    third_party = {str(Path(str(importlib.import_module(name).__file__)).parents[1]) for name in REQUIRED}
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "third_party.pth").write_text("\n".join(sorted(third_party)) + "\n", encoding="utf-8")
    return python


@pytest.fixture
def foreign_folder(tmp_path: Path) -> Path:
    """A user's folder whose own packages have our top-level folders' names and break whoever imports them."""
    for name in ("cli", "evaluation", "exporters"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the foreign package was imported')\n", encoding="utf-8")
    return tmp_path


def test_wheel_holds_the_tree_and_nothing_else(source: Path, wheel: Path) -> None:
    expected = {
        f"{target}/{path.relative_to(source / folder).as_posix()}"
        for folder, target in FOLDERS.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    modules = {f"{target}/__init__.py" for target in FOLDERS.values()}
    for needed in ("a2po/py.typed", "a2po/cli/app.py", "a2po/runtime/__init__.py", *modules):
        assert needed in expected
    assert any(name.startswith("a2po/presets/") and name.endswith(".toml") for name in expected)
    assert any(name.startswith("a2po/evaluation/") and name.endswith(".html.j2") for name in expected)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert sorted(expected - packed) == [], "missing from the wheel: add it to pyproject.toml"
    assert sorted(packed - expected) == []


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
        assert any(name.endswith("/LICENSE") for name in archive.namelist())
    import a2po

    assert metadata["Version"] == a2po.__version__
    assert metadata["License-Expression"] == "MIT"
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.split(">")[0] for line in required) == sorted(REQUIRED)
    extras = {"cpu", "gpu", "train", "report", "tracking", "starcraft", "football", "cluster", "pettingzoo", "sign", "dev"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras


def test_help_from_a_folder_with_foreign_packages(clean_python: Path, foreign_folder: Path) -> None:
    text = run([clean_python.parent / "a2po", "--help"], cwd=foreign_folder)
    for command in ("train", "export", "evaluate"):
        assert command in text


@pytest.mark.parametrize(
    "name", ["a2po", "a2po.cli.app", "a2po.exporters", "a2po.evaluation", "a2po.runtime", "a2po.envs.matrix", "a2po.presets"]
)
def test_modules_come_from_the_clean_environment(clean_python: Path, foreign_folder: Path, name: str) -> None:
    """Run as a program from the user's folder, whose modules therefore come first on the path."""
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}).origin)"
    origin = run([clean_python, "-c", code], cwd=foreign_folder).strip()
    assert Path(origin).is_relative_to(clean_python.parents[1]), origin


@pytest.fixture(scope="module")
def cpu_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a player's environment: the wheel with the extra ``cpu``, and what that brings, from the package index."""
    folder = tmp_path_factory.mktemp("cpu") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "-c", ROOT / "constraints.txt", f"{wheel}[cpu]"]
    run(command, cwd=folder.parent)
    return python


@pytest.mark.slow
def test_a_bot_needs_the_extra_cpu_alone(cpu_python: Path, foreign_folder: Path, uneven: tuple[object, Path]) -> None:
    """From the user's folder, beside modules of our folders' names: look, verify, play; and there is no torch."""
    shutil.copytree(uneven[1], foreign_folder / "team")
    shutil.copy(ROOT / "examples" / "bot.py", foreign_folder)
    command = cpu_python.parent / "a2po"
    assert "2 agents for matrix/uneven" in run([command, "inspect", "team"], cwd=foreign_folder)
    assert "team: verified" in run([command, "verify", "team"], cwd=foreign_folder)
    assert "100 steps of 2 agents" in run([cpu_python, "bot.py", "team"], cwd=foreign_folder)
    missing = "import importlib.util as u; print([name for name in ('torch', 'onnx', 'numba', 'mujoco', 'gymnasium') if u.find_spec(name)])"
    assert run([cpu_python, "-c", missing], cwd=foreign_folder).strip() == "[]"
    size = sum(path.stat().st_size for path in cpu_python.parents[1].rglob("*") if path.is_file() and not path.is_symlink())
    print(f"the environment of a bot: {size / 1e6:.0f} MB")


@pytest.mark.slow
def test_what_is_missing_there_is_told(cpu_python: Path, foreign_folder: Path) -> None:
    done = run([cpu_python.parent / "a2po", "train"], cwd=foreign_folder, expected=2)
    assert not done
