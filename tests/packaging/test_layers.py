"""Imports point one way, and what promises to do without torch does without torch."""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"a2po": ROOT / "a2po", "a2po.cli": ROOT / "cli", "a2po.exporters": ROOT / "exporters", "a2po.evaluation": ROOT / "evaluation"}
APPLICATIONS = ("a2po.cli", "a2po.exporters", "a2po.evaluation")
CORE = ("a2po.algorithms", "a2po.envs", "a2po.networks", "a2po.runtime", "a2po.training")

# Who (and everything below) must not import what (and everything below), but for the exceptions.
FORBIDDEN: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("a2po.exporters", ("a2po.cli", "a2po.evaluation"), ()),
    ("a2po.evaluation", ("a2po.cli", "a2po.exporters"), ()),
    ("a2po.training", APPLICATIONS, ()),
    ("a2po.algorithms", (*APPLICATIONS, "a2po.training", "a2po.envs"), ("a2po.envs.protocol",)),
    ("a2po.networks", (*APPLICATIONS, "a2po.training", "a2po.algorithms", "a2po.envs"), ("a2po.envs.protocol",)),
    ("a2po.envs", (*APPLICATIONS, "a2po.training", "a2po.algorithms", "a2po.networks"), ()),
    ("a2po.config", (*APPLICATIONS, "a2po.training"), ()),
    ("a2po.presets", (*APPLICATIONS, "a2po.training"), ()),
    ("a2po.errors", ("a2po",), ()),
    ("a2po.lazy", ("a2po",), ()),
    ("a2po", APPLICATIONS, ()),  # every other module of the library; the three applications are exempt from this row
]
# What runs beside a game: these modules import the standard library, these packages and these modules of ours.
LIGHT = ("a2po", "a2po.envs", "a2po.lazy", "a2po.runtime", "a2po.runtime.*", "a2po.bots", "a2po.bots.*", "a2po.envs.*.encoder")
LIGHT += ("a2po.files",)
LIGHT += tuple(f"a2po.envs.football.{module}" for module in ("engine", "frames", "library", "options", "scenarios"))
LIGHT += tuple(
    f"a2po.envs.smac.{module}"
    for module in ("battle_map", "columns", "fields", "layout", "maps", "opponents", "options", "terrain", "units")
)
LIGHT_PACKAGES = {"numpy", "onnxruntime"}
# Not on a bot's way: only who verifies a bundle comes there.
LIGHT_EXCEPTIONS = {("a2po.runtime.signature", "cryptography"), ("a2po.runtime.reference", "safetensors")}
# These modules are loaded by gfootball itself, or load it: it is a source build that nobody declares.
HOSTED = {(f"a2po.bots.football.{module}", "gfootball") for module in ("play_game", "players", "players.a2po", "stock")}
HOSTED.add(("a2po.bots.football.play_game", "absl"))
LIGHT_MODULES = ("a2po", "a2po.errors", "a2po.envs", *LIGHT[2:])


class Import(NamedTuple):
    """One import statement, resolved to module names as far as our own modules go."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        path = module_paths()[self.importer].relative_to(ROOT)
        return f"{path}:{self.line}: {self.importer} imports {self.imported}"


@cache
def module_paths() -> dict[str, Path]:
    """Import name -> file, for every module of the project."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def inside(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """Every import, wherever in the file it stands, also ``importlib.import_module("a literal")``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield Import(module, submodule if submodule in module_paths() else base, node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(module, argument.value, node.lineno)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module, path in module_paths().items() for found in imports_of(module, path))


def fail_with(wrong: list[Import]) -> None:
    assert not wrong, "\n" + "\n".join(str(found) for found in wrong)


@pytest.mark.parametrize("package", [*FOLDERS, *CORE])
def test_package_exists(package: str) -> None:
    assert package in module_paths(), f"{package} has no __init__.py"


@pytest.mark.parametrize(("importer", "targets", "exceptions"), FORBIDDEN, ids=[row[0] for row in FORBIDDEN])
def test_imports_point_one_way(importer: str, targets: tuple[str, ...], exceptions: tuple[str, ...]) -> None:
    assert any(inside(module, importer) for module in module_paths()), f"there is no module {importer}: mend the table or the layout"
    fail_with(
        [
            found
            for found in all_imports()
            if inside(found.importer, importer)
            and not (importer == "a2po" and any(inside(found.importer, application) for application in APPLICATIONS))
            and any(inside(found.imported, target) for target in targets)
            and not any(inside(found.imported, exception) for exception in exceptions)
        ]
    )


def test_bot_code_imports_numpy_and_onnxruntime_only() -> None:
    light = [module for module in module_paths() if any(fnmatch.fnmatch(module, pattern) for pattern in LIGHT)]
    assert any(inside(module, "a2po.runtime") for module in light)

    def allowed(name: str) -> bool:
        if inside(name, "a2po"):
            return any(fnmatch.fnmatch(name, pattern) for pattern in LIGHT_MODULES)
        top = name.partition(".")[0]
        return top in LIGHT_PACKAGES or top in sys.stdlib_module_names

    def excepted(found: Import) -> bool:
        return (found.importer, found.imported.partition(".")[0]) in LIGHT_EXCEPTIONS | HOSTED

    fail_with([found for found in all_imports() if found.importer in light and not allowed(found.imported) and not excepted(found)])


def test_imported_modules_of_ours_exist() -> None:
    fail_with([found for found in all_imports() if inside(found.imported, "a2po") and found.imported not in module_paths()])


def lazy_names() -> list[tuple[str, str, str]]:
    """(package, public name, module) for every row of the string tables that packages load from on first use."""
    rows = []
    for module, path in module_paths().items():
        if path.name != "__init__.py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["_PUBLIC"]:
                rows += [(module, name, source) for name, source in ast.literal_eval(node.value).items()]
    return rows


@pytest.mark.parametrize(("package", "name", "source"), lazy_names(), ids=lambda value: value)
def test_lazy_names_point_at_modules_that_define_them(package: str, name: str, source: str) -> None:
    assert source in module_paths(), f"{package}.{name} comes from {source}, which does not exist"
    text = module_paths()[source].read_text(encoding="utf-8")
    defined = rf"^(def|class|async def) {name}\b|^{name}\b.*=|^\s*(from|import)\b.*\b{name}\b"
    assert re.search(defined, text, re.MULTILINE), f"{source} has no {name}"


def test_third_party_imports_are_declared() -> None:
    """A package that only happens to be installed here is missing at the user's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra, listed in project["optional-dependencies"].items():
        requirements += listed if extra != "dev" else []
    declared = {normal(re.split(r"[<>=!~;\[ ]", requirement)[0]) for requirement in requirements}
    distributions = packages_distributions()

    def known(name: str) -> bool:
        top = name.partition(".")[0]
        names = {normal(distribution) for distribution in distributions.get(top, [top])}
        return top == "a2po" or top in sys.stdlib_module_names or bool(names & declared)

    hosted = [found for found in all_imports() if (found.importer, found.imported.partition(".")[0]) in HOSTED]
    fail_with([found for found in all_imports() if not known(found.imported) and found not in hosted])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def modules_loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    code += "\nimport sys\nprint('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTHON"))}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


HEAVY = {"torch", "numba", "llvmlite", "mujoco", "gymnasium", "onnx", "onnxscript", "matplotlib"}
RUN_HELP = """
import sys
sys.argv = ["a2po", "--help"]
from a2po.cli.app import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
assert not code, code
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import a2po", HEAVY | {"typer", "rich", "pydantic", "onnxruntime", "numpy"}),
        ("import a2po.envs", HEAVY | {"typer", "rich", "pydantic"}),
        ("import a2po.runtime", HEAVY | {"typer", "rich", "pydantic"}),
        ("from a2po.runtime import Team", HEAVY | {"typer", "rich", "pydantic", "safetensors", "cryptography"}),
        ("from a2po.envs.smac.encoder import Encoder", HEAVY | {"typer", "rich", "pydantic", "onnxruntime"}),
        ("from a2po.cli.app import main", HEAVY | {"onnxruntime"}),
        (RUN_HELP, HEAVY | {"onnxruntime"}),
    ],
    ids=["a2po", "envs", "runtime", "team", "encoder", "cli", "help"],
)
def test_light_entry_points_load_nothing_heavy(code: str, unwanted: set[str]) -> None:
    assert sorted(modules_loaded_by(code) & unwanted) == []
