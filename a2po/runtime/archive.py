"""Bundles as .zip files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by name. Entries carry no times, so equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The archive's files.

    Raises:
        NotImplementedError: one is compressed in a way that not every Python reads.
    """
    found = [entry for entry in archive.infolist() if not entry.is_dir()]
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in found):
        raise NotImplementedError("its compression is not deflate")
    return found


def top_of(archive: zipfile.ZipFile, marker: str) -> PurePosixPath:
    """The folder that holds the uppermost file ``marker``."""
    marked = [name for entry in files_in(archive) if (name := PurePosixPath(entry.filename)).name == marker]
    return min(marked, key=lambda name: len(name.parts)).parent if marked else PurePosixPath()


def unpack(archive: zipfile.ZipFile, marker: str) -> dict[str, bytes]:
    """Name -> content, relative to the folder that holds the file ``marker``: people also zip a folder with its name in front.

    Raises:
        ValueError: a name stands twice or leads out of the archive.
    """
    entries = files_in(archive)
    strange = [entry.filename for entry in entries if _leads_out(entry.filename)]
    if strange:
        raise ValueError(f"the name {strange[0]!r:.60} leads out of it")
    top, names = top_of(archive, marker), [PurePosixPath(entry.filename) for entry in entries]
    inside = [str(name.relative_to(top) if name.is_relative_to(top) else name) for name in names]
    if len(set(inside)) < len(inside):
        raise ValueError("it holds two files of one name")
    return {name: _content(archive, entry) for name, entry in zip(inside, entries, strict=True)}


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry's bytes. Reading a number of bytes unpacks no more than these, whatever the archive expands to.

    Raises:
        ValueError: it has another size than the archive says.
    """
    with archive.open(entry) as opened:
        content = opened.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise ValueError(f"{entry.filename!r:.60} is not as large as it claims")
    return content
