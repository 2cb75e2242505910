"""Files that are either whole or absent: hashes, atomic replacement and folders that appear complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing(path: Path | str, folder: Path) -> Path:
    """``path``, or what has this name in ``folder`` where that alone is there: ``runs/first`` for ``first``."""
    return folder / path if not os.path.exists(path) and os.path.exists(folder / path) else Path(path)


def cache_folder(name: str) -> Path:
    """Where this user's machine keeps what can be made anew: in A2PO_CACHE, else in XDG_CACHE_HOME/a2po, else in ~/.cache/a2po.

    For a user without a home it is a folder that cannot be made.
    """
    named, shared = os.environ.get("A2PO_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(named) if named else (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / "a2po"
    except RuntimeError:
        home = Path(os.devnull)
    return home / name


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    replace_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Indented JSON, as it stands in our files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def replace_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Append to a file, or leave it as it was.

    Raises:
        OSError: it could not be written.
    """
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        left = memoryview(text.encode("utf-8"))
        try:
            while left:  # a disk that is nearly full takes a part and refuses the rest
                left = left[file.write(left) :]
        except OSError:
            file.truncate(size)
            raise


def require_room(folder: Path, size: int) -> None:
    """Look before a large write: a disk that is filled to the last byte troubles everybody on it.

    Raises:
        OSError: fewer than ``size`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"No space left on device: {size / 1e6:,.1f} MB to write, {free / 1e6:,.1f} MB free", str(folder))


def leftovers(folder: Path, *names: str) -> list[Path]:
    """Temporary files and folders that a killed writer of ``names`` left in ``folder``."""
    return [path for name in names for path in folder.glob(f".{name}.tmp*")]


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give a temporary path with the same suffix to write; on success the file is flushed and takes its final name, else it vanishes."""
    temporary = path.with_name(f".{path.stem}.tmp{os.getpid()}{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it is flushed to disk and takes its final name, else it vanishes."""
    temporary, aside = (path.with_name(f".{path.name}.{kind}{os.getpid()}") for kind in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        _replace_folder(path, temporary, aside)
        sync(path.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(path: Path, new: Path, aside: Path) -> None:
    """A folder cannot replace a full one, so the old one steps aside for a moment; it comes back if the new one does not come."""
    try:
        if path.exists():
            os.replace(path, aside)
        os.replace(new, path)
    except BaseException:
        if aside.exists() and not path.exists():
            os.replace(aside, path)
        raise


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
