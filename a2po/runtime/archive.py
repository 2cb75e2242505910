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


def unpack(archive: zipfile.ZipFile, marker: str) -> dict[str, bytes]:
    """Name -> content, relative to the folder that holds the file ``marker``: people also zip a folder with its name in front."""
    names = {PurePosixPath(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    marked = sorted((name for name in names if name.name == marker), key=lambda name: len(name.parts))
    top = marked[0].parent if marked else PurePosixPath()
    return {str(name.relative_to(top) if name.is_relative_to(top) else name): archive.read(entry) for name, entry in names.items()}
