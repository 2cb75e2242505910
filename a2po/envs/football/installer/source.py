"""The engine's source: fetched or given as a file; its hash is checked before anything is unpacked, and nothing leaves its folder."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from a2po.envs.football.installer.index import fetch
from a2po.envs.football.library import SDIST, SDIST_SHA256
from a2po.errors import UserError, WorkFailed
from a2po.files import complete_file, sha256


def get_source(folder: Path, given: Path | None, say: Callable[[str], None]) -> Path:
    """The source distribution as it is kept in ``folder``, for later builds, too: a copy of the file that was given, or fetched.

    Raises:
        UserError: the given file is missing or another one.
        WorkFailed: it could not be fetched.
    """
    kept = folder / SDIST
    if given is not None:
        if not given.is_file():
            raise UserError(f"--sdist: there is no file '{given}'")
        if (found := sha256(given)) != SDIST_SHA256:
            raise UserError(f"'{given}' is not {SDIST}: its SHA-256 is {found}, not {SDIST_SHA256}; nothing was unpacked")
        with complete_file(kept) as part:
            shutil.copyfile(given, part)
    elif not kept.is_file() or sha256(kept) != SDIST_SHA256:
        with complete_file(kept) as part:
            try:
                place = fetch("gfootball", SDIST, SDIST_SHA256, part, sha256)
            except WorkFailed as error:
                raise WorkFailed(f"{error}; without a network, give the file: a2po install football --sdist {SDIST}") from None
        say(f"fetched {place}, SHA-256 as pinned")
    return kept


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a source distribution; gives its one top folder.

    Raises:
        WorkFailed: an entry is a link or would lie outside of ``folder``.
    """
    home = folder.resolve()
    with tarfile.open(archive) as tar:
        for member in tar:
            target = (home / member.name).resolve()
            if not (member.isfile() or member.isdir()) or not target.is_relative_to(home):
                raise WorkFailed(f"'{archive}' has an entry that is no file of its own folder: '{member.name}'")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
    (top,) = home.iterdir()
    return top
