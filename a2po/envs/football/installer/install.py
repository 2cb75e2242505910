"""The steps of ``a2po install football``, one after the other, under a lock; what is in place is whole, or it is not there."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a2po.envs.football.installer.build import Progress, build, default_jobs
from a2po.envs.football.installer.selftest import EXPECTED, FACTS, OtherGame, accepted_game, facts, self_test
from a2po.envs.football.installer.source import get_source, unpack
from a2po.envs.football.installer.system import compiler_version, ensure_packages, require_linux
from a2po.envs.football.library import SDIST_SHA256, Installed, built_folder, engines_folder
from a2po.errors import UserError, WorkFailed
from a2po.files import complete_folder, leftovers, require_room, write_json

ROOM = 350_000_000
"""Bytes that source, object files and the engine take together."""
LICENCES = {"LICENSE": "LICENSE", "third_party/gfootball_engine/LICENSE": "data/LICENSE"}
"""What goes with the engine by its licence: where it lies in the source -> where here. ``fonts`` has its own."""
PARTS = ("libfootball.so", "data", "fonts", "python")
"""Without one of these an installation is not whole."""
_WORK = ".build-"

Say = Callable[[str], None]


def install_football(
    *,
    force: bool = False,
    sdist: Path | None = None,
    apt: bool = False,
    jobs: int | None = None,
    accept_difference: bool = False,
    say: Say = print,
    progress: Progress = lambda done, total, what: None,
) -> dict[str, Any]:
    """Build the football engine for this user, unless it is there and plays.

    Args:
        force: build it also then.
        sdist: the source distribution, where the package index cannot be reached.
        apt: install missing Debian packages with sudo; root does so anyway.
        jobs: compilers at once; by default as many as cores and memory allow.
        accept_difference: keep an engine whose game is not bit by bit the stored one.
        say: told each step in a line.
        progress: told the files compiled.

    Returns:
        ``folder``, ``built`` (False if it was there), ``game`` (the self-test's hash), ``as_stored``, ``seconds``, ``others`` (engines of
        other versions of a2po, in folders beside it).

    Raises:
        UserError: something that the user can mend is missing or wrong.
        WorkFailed: a step failed; what was installed before is untouched.
        OSError: the disk is full, for example.
    """
    require_linux()
    start, folder, built = time.monotonic(), built_folder(), False
    # Before the lock: what is in place is whole, and whoever finds it need neither write nor wait.
    result = None if force else _installed(folder, accept_difference, say)
    if result is None:
        with _locked(engines_folder(), say) as waited:
            result = _installed(folder, accept_difference, say) if waited and not force else None
            if built := result is None:
                ensure_packages(apt=apt, say=say)
                result = _make(folder, sdist, jobs or default_jobs(), accept_difference, say, progress)
    others = [str(path) for path in sorted(folder.parent.iterdir()) if path != folder and Installed(path).library.is_file()]
    return {"folder": str(folder), "built": built, **result, "seconds": round(time.monotonic() - start, 1), "others": others}


def _installed(folder: Path, accept_difference: bool, say: Say) -> dict[str, Any] | None:
    """The self-test of an engine that is there; None if it has to be built."""
    if not folder.exists():
        return None
    try:
        if lost := [part for part in PARTS if not (folder / part).exists()]:
            raise WorkFailed(f"{' and '.join(lost)} is gone")
        result = _prove(folder, accept_difference, say)
        if result["game"] not in (EXPECTED, accepted_game(folder)):  # accepted now
            write_json(folder / FACTS, {**facts(folder), **result})
        return result
    except OtherGame:
        raise
    except WorkFailed as error:
        say(f"what is installed does not work ({error}): building it anew")
        return None


def _make(folder: Path, sdist: Path | None, jobs: int, accept_difference: bool, say: Say, progress: Progress) -> dict[str, Any]:
    home, log = folder.parent, folder.with_name(f"{folder.name}.log")
    for old in (*home.glob(f"{_WORK}*"), *leftovers(home, folder.name)):  # of builds that were killed
        shutil.rmtree(old, ignore_errors=True)
    for old in home.glob("*.log"):
        old.unlink()
    require_room(home, ROOM)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=home, ignore_cleanup_errors=True) as work:
        source = unpack(get_source(home, sdist, say), Path(work) / "source")
        engine = source / "third_party" / "gfootball_engine"
        say(f"building with {jobs} compiler{'s' * (jobs > 1)} at once: about {6 / jobs:.0f} to {9 / jobs:.0f} minutes")
        library = build(engine, Path(work) / "build", log, jobs=jobs, progress=progress)
        with complete_folder(folder) as new:
            shutil.move(library, Installed(new).library)
            shutil.move(engine / "data", new / "data")
            shutil.move(source / "third_party" / "fonts", new / "fonts")
            shutil.copytree(source / "gfootball", new / "python" / "gfootball")  # for a2po.bots.football.stock
            for there, here in LICENCES.items():
                shutil.copy(source / there, new / here)
            result = _prove(new, accept_difference, say)
            build_facts = {"sdist_sha256": SDIST_SHA256, "compiler": compiler_version(), "system": platform.platform()}
            write_json(new / FACTS, {**build_facts, **result})
    log.unlink()
    return result


def _prove(folder: Path, accept_difference: bool, say: Say) -> dict[str, Any]:
    try:
        game = self_test(folder)
    except OtherGame as error:
        if not accept_difference:
            raise OtherGame(error.game, f"{error}; --accept-difference keeps the engine all the same") from None
        say(str(error))
        return {"game": error.game, "as_stored": False}
    as_stored = game == EXPECTED
    say(f"self-test passed: the game of 300 steps is the {'stored one' if as_stored else 'one that was accepted'}, bit by bit")
    return {"game": game, "as_stored": as_stored}


@contextmanager
def _locked(home: Path, say: Say) -> Iterator[bool]:
    """One installation at a time: a second one waits, is told so (True), and may find the work done."""
    import fcntl

    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"the cache folder '{home}' cannot be written ({error.strerror}); name another one: A2PO_CACHE=/path") from None
    waited = False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            say("another installation is at work: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield waited
    finally:
        os.close(descriptor)
