"""Putting a bundle into its place: a folder or a .zip that is whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from a2po.errors import BundleError
from a2po.exporters.card import model_card
from a2po.files import complete_folder
from a2po.runtime.archive import pack
from a2po.runtime.bundle import MANIFEST


def check_target(path: Path) -> Path:
    """The path, if a bundle may be written there.

    Raises:
        BundleError: something that is not a bundle stands there; it is left alone.
    """
    zipped = path.suffix == ".zip"
    if path.is_dir() and (zipped or (any(path.iterdir()) and not (path / MANIFEST).is_file())):
        raise BundleError(f"'{path}' is a folder that holds something else: name one that does not exist, or a new .zip")
    if path.is_file() and not (zipped and zipfile.is_zipfile(path)):
        raise BundleError(f"'{path}' is a file and no bundle: name a folder or a .zip")
    return path


def write_bundle(path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Add the card, the hashes and the manifest, and write everything.

    Raises:
        BundleError: the place cannot be written.
    """
    files = {**files, "MODEL_CARD.md": model_card(manifest).encode()}
    manifest["files"] = {name: {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])} for name in sorted(files)}
    files[MANIFEST] = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_zip if path.suffix == ".zip" else _write_folder)(path, files)
    except OSError as error:
        raise BundleError(f"the bundle '{path}' cannot be written: {error.strerror or error}") from error


def _write_folder(path: Path, files: dict[str, bytes]) -> None:
    with complete_folder(path) as temporary:
        for name, content in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(content)


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    temporary = path.with_name(f".{path.name}.tmp{os.getpid()}")
    try:
        temporary.write_bytes(pack(files))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
