"""What a check finds, and how it asks for a package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from a2po.errors import foreign

State = Literal["works", "missing", "doubtful", "broken"]


@dataclass(frozen=True)
class Finding:
    """The result of one check. What is missing is optional; what is doubtful works, but not as it could."""

    state: State
    detail: str
    mend: str = ""
    """One command, or what to do."""


class Found(Exception):
    """Ends a check early."""

    def __init__(self, state: State, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.finding = Finding(state, detail, mend)


def works(detail: str) -> Finding:
    """All is well."""
    return Finding("works", detail)


def versions(*distributions: str) -> dict[str, str]:
    """Those that are installed, with their versions."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load(package: str, extra: str = "", purpose: str = "") -> Any:
    """Import a package for real.

    Args:
        package: its import name, which is its distribution's name, too.
        extra: what installs it; without one it is required.
        purpose: what it is for.

    Raises:
        Found: it is not there, or cannot be imported.
    """
    if find_spec(package) is None:
        if extra:
            raise Found("missing", f"not installed: needed for {purpose}", f'pip install "a2po[{extra}]"')
        raise Found("broken", f"the package '{package}' is not installed", "pip install --force-reinstall a2po")
    try:
        return import_module(package)
    except Exception as error:  # noqa: BLE001 - what a broken package raises can be anything
        raise Found("broken", f"importing {package} fails: {foreign(error)}", _remedy(package)) from None


def _remedy(package: str) -> str:
    """A package of the same name may stand in front of the installed one; else what was installed is damaged."""
    spec = find_spec(package)
    home = Path(spec.origin).parent if spec and spec.origin else None
    try:
        installed = Path(str(distribution(package).locate_file(package)))
    except PackageNotFoundError:
        installed = None
    if home is None or (installed is not None and home.resolve() == installed.resolve()):
        return f"pip install --force-reinstall {package}"
    by_variable = any(Path(part).resolve() == home.parent.resolve() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)
    real = f"hides the installed {package}" if installed is not None else "is nothing that pip installed"
    return f"'{home}' {real}: " + ("unset PYTHONPATH" if by_variable else f"mv '{home}' '{home}.away'")
