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
    """Name -> content, relative to the folder that holds the file ``marker``: people also zip a folder with its name in front."""
    names = {PurePosixPath(entry.filename): entry for entry in files_in(archive)}
    top = top_of(archive, marker)
    return {str(name.relative_to(top) if name.is_relative_to(top) else name): archive.read(entry) for name, entry in names.items()}
