"""All checks, in the order of what depends on what, each in a child process; several at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from a2po.doctor.finding import Finding, Found
from a2po.errors import foreign

CHECKS = {
    "Python": "base:python",
    "a2po": "base:a2po_itself",
    "disk": "base:disk",
    "numpy": "base:numpy",
    "clashes": "base:clashes",
    "torch": "learning:torch",
    "onnx": "learning:onnx",
    "onnxruntime": "learning:onnxruntime",
    "Numba": "learning:numba",
    "MuJoCo": "simulators:mujoco",
    "OpenGL": "simulators:opengl",
    "football": "simulators:football",
}
"""Name -> module of this package and function. What comes first may be the cause of what follows."""
_MARK = "finding "
_TIMEOUT = 120.0


def examine() -> dict[str, Any]:
    """Run every check.

    Returns:
        ``passed`` (nothing is broken), ``first`` (the name of the first that is, or None) and ``checks``: a list with ``name``, ``state``
        ("works", "missing", "doubtful" or "broken"), ``detail`` and ``mend``.
    """
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        findings = list(pool.map(in_a_child, CHECKS))
    checks = [{"name": name, **vars(finding)} for name, finding in zip(CHECKS, findings, strict=True)]
    first = next((check["name"] for check in checks if check["state"] == "broken"), None)
    return {"passed": first is None, "first": first, "checks": checks}


def in_a_child(name: str) -> Finding:
    """The finding of one check; a crash and a hang are findings, too."""
    command = [sys.executable, "-P", "-m", __name__, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Finding("broken", f"no answer in {_TIMEOUT:.0f} s", f"{sys.executable} -m {__name__} '{name}'  # shows where it hangs")
    answers = [line.removeprefix(_MARK) for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if answers:
        return Finding(**json.loads(answers[-1]))
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    last = next((line.strip() for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "without a word")
    return Finding("broken", f"the check ended with {how}: {last}", f"pip install --force-reinstall {_package(name)}")


def _package(name: str) -> str:
    return {"Python": "a2po", "disk": "a2po", "clashes": "a2po", "football": "numpy", "OpenGL": "mujoco"}.get(name, name.lower())


def check(name: str) -> Finding:
    """Run one check in this process."""
    module, _, function = CHECKS[name].partition(":")
    try:
        finding = getattr(import_module(f"a2po.doctor.{module}"), function)()
    except Found as found:
        return found.finding
    except Exception as error:  # noqa: BLE001 - whatever happens in a check is what was found
        return Finding("broken", foreign(error), f"pip install --force-reinstall {_package(name)}")
    assert isinstance(finding, Finding)
    return finding


if __name__ == "__main__":
    print(_MARK + json.dumps(vars(check(sys.argv[1]))), flush=True)
    os._exit(0)  # the finding is out: what a library does on its way out is not the question
