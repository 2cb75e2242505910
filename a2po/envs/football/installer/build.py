"""Compiling: CMake and make with as many jobs as cores and memory allow, what they say in a log, the first error out of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from a2po.envs.football.library import NATIVE
from a2po.errors import WorkFailed

MEMORY_PER_JOB = 800e6
"""Bytes that a compiler takes at most."""
COMMANDS = "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"
"""Makes CMake write down every compiler call, which tells how many there will be."""
Progress = Callable[[int, int, str], None]
"""Told the files compiled, their number, and what goes on."""

_ERROR = re.compile(r"\berror\b|undefined reference|cannot find|\bKilled\b|No space left|Could NOT find", re.IGNORECASE)


def default_jobs() -> int:
    """As many compilers as this process has cores, and the machine or the container has memory for."""
    memory = _available_memory()
    return max(1, min(len(os.sched_getaffinity(0)), int(memory / MEMORY_PER_JOB) if memory else 1))


def _available_memory() -> float:
    """Bytes; of the machine, or of the control group if that has fewer."""
    found = []
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            found.append(float(line.split()[1]) * 1024)
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            found.append(float((Path("/sys/fs/cgroup") / limit).read_text()) - float((Path("/sys/fs/cgroup") / used).read_text()))
        except (OSError, ValueError):  # no such control group, or the word "max"
            continue
    return min(found, default=0.0)


def build(engine: Path, folder: Path, log: Path, *, jobs: int, progress: Progress) -> Path:
    """Compile the engine's sources and our C functions in ``folder``; gives the shared library.

    Raises:
        WorkFailed: with the first error of the log.
    """
    with log.open("w", encoding="utf-8", buffering=1) as file:
        configure: list[str | Path] = ["cmake", "-S", NATIVE, "-B", folder, "-G", "Unix Makefiles", f"-DENGINE={engine}", COMMANDS]
        _run(configure, file.write, log)
        total = len(json.loads((folder / "compile_commands.json").read_text()))
        done = 0

        def told(line: str) -> None:
            nonlocal done
            file.write(line)
            done += "Building CXX object" in line
            linking = "Linking CXX shared library" in line
            if linking or "Building CXX object" in line:
                progress(total if linking else min(done - 1, total), total, "linking" if linking else "compiling")

        _run(["make", "-C", folder, f"-j{jobs}"], told, log)
    return folder / "libfootball.so"


def _run(command: list[str | Path], told: Callable[[str], object], log: Path) -> None:
    words = [str(part) for part in command]
    environment = {**os.environ, "LC_ALL": "C", "VERBOSE": ""}
    environment.pop("MAKEFLAGS", None)  # of a make that runs us: its jobs are not ours
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise WorkFailed(f"the football engine was not built: {first_error(log, words[0])} (the whole log: {log})")


def first_error(log: Path, program: str) -> str:
    """The log's first line that tells an error, and what to do where that is known."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = next((number for number, line in enumerate(lines) if _ERROR.search(line)), None)
    if found is None:
        return f"{program} ended without a word"
    text = lines[found].strip()
    if text.startswith("CMake Error") and found + 1 < len(lines):  # the reason is indented below
        text += " " + " ".join(line.strip() for line in lines[found + 1 : found + 4] if line.strip())
    if "Killed" in text:
        text += "; the memory was not enough, fewer compilers at once need less: --jobs 1"
    return text
