"""Putting a bundle into its place: a folder or a .zip that is whole or absent."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from a2po.errors import BundleError
from a2po.files import complete_file, complete_folder, to_json
from a2po.runtime.archive import files_in, pack, top_of
from a2po.runtime.bundle import CARD, MANIFEST, UNREADABLE
from a2po.runtime.card import with_card
from a2po.runtime.schema import FILE, is_manifest

LITTER = (".DS_Store", ".manifest.", ".MODEL_CARD.")
"""What a file manager and a killed ``evaluate`` leave behind."""


def check_target(path: Path, *, own: bool = False) -> Path:
    """The path, if a bundle may be written there.

    Args:
        path: a folder or a .zip.
        own: it is the run's own ``bundle`` folder, which is replaced even if its manifest is damaged.

    Raises:
        BundleError: something that is not a bundle stands there; it is left alone.
    """
    try:
        place, here = path.resolve(), Path.cwd()
        if place == here or place in here.parents:
            raise BundleError(f"'{path}' holds the working folder, which cannot be replaced: name a folder that does not exist, or a .zip")
        if path.suffix == ".zip":
            if path.exists() and not _is_zipped_bundle(path):
                raise BundleError(f"'{path}' is no bundle and stays as it is: name a .zip that does not exist")
        elif path.is_dir():
            _check_folder(path, own)
        elif path.exists():
            raise BundleError(f"'{path}' is a file and no bundle: name a folder or a .zip")
    except UNREADABLE as error:
        raise BundleError(f"the bundle '{path}' cannot be written: {error}") from None
    return path


def _check_folder(path: Path, own: bool) -> None:
    """An empty folder or a bundle, without anything that ``export`` does not write."""
    if any(path.iterdir()) and not own and not is_manifest((path / MANIFEST).read_bytes() if (path / MANIFEST).is_file() else b""):
        raise BundleError(f"'{path}' is a folder that holds something else: name one that does not exist, or a new .zip")
    foreign = _foreign(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    if foreign:
        raise BundleError(f"'{path}' is a bundle that holds something else too ({foreign[0]}): move that away, or name another folder")


def _is_zipped_bundle(path: Path) -> bool:
    """A readable .zip with a bundle's manifest and nothing that ``export`` does not write."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        top = top_of(archive, MANIFEST)
        prefix = "" if top == PurePosixPath() else f"{top}/"
        names = [entry.filename.removeprefix(prefix) for entry in files_in(archive)]
        return MANIFEST in names and is_manifest(archive.read(prefix + MANIFEST)) and not _foreign(names)


def _foreign(names: Iterable[str]) -> list[str]:
    kept = [name for name in names if not name.rsplit("/", 1)[-1].startswith(LITTER)]
    return sorted(name for name in kept if name != MANIFEST and not FILE.fullmatch(name))


def complete(manifest: dict[str, Any], files: Mapping[str, bytes], sign: Path | None = None) -> dict[str, bytes]:
    """All files of a bundle by name: ``files``, the card, and the manifest with the hashes of these, signed with a key where one is given.

    Raises:
        UserError: the key cannot sign.
    """
    listed = {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()}
    manifest, card = with_card({**manifest, "files": listed})
    if sign is not None:
        from a2po.runtime import signature

        manifest["signature"] = signature.sign(manifest, sign)
    return {**files, CARD: card, MANIFEST: to_json(manifest).encode()}


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write all files of a bundle.

    Raises:
        BundleError: the place cannot be written.
    """
    zipped = path.suffix == ".zip"
    try:
        path = path.resolve()  # through links, and with a name to give to the new folder
        path.parent.mkdir(parents=True, exist_ok=True)
        (_write_zip if zipped else _write_folder)(path, files)
    except OSError as error:
        raise BundleError(f"the bundle '{path}' cannot be written: {error.strerror or error}") from error


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    with complete_folder(path) as temporary:
        for name, content in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(content)


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with complete_file(path) as temporary:
        temporary.write_bytes(pack(files))
