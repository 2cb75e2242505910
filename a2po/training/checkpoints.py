"""Checkpoints: folders of safetensors and JSON with a manifest of hashes. Never pickle.

A checkpoint is written beside its final place, flushed and renamed, so what has the final name is whole. On loading
every hash is checked; a damaged checkpoint is skipped and the one before is used, which is said.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from a2po.errors import CheckpointError
from a2po.files import complete_folder, leftovers, replace_text, require_room, sha256, sync, to_json
from a2po.training.checkpoint_files import FORMAT, MANIFEST, STEP, TENSORS, TREE, foreign
from a2po.training.state_tree import join_state, split_state

Say = Callable[[str], None]


def checkpoint_name(step: int) -> str:
    """The folder name of a step's checkpoint."""
    return f"step_{step:012d}"


class Checkpoints:
    """The ``checkpoints`` folder of a run."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: dict[str, Any], *, best: bool = False, milestone: bool = False) -> Path:
        """Write one checkpoint, point ``latest`` (and ``best``) at it, then forget the oldest. A milestone is never forgotten.

        ``latest`` is for people and scripts; ``load`` looks at the folders themselves.

        Raises:
            OSError: it could not be written; what was there before is untouched.
        """
        path = self.folder / checkpoint_name(step)
        tensors: dict[str, Tensor] = {}
        tree = split_state(state, "", tensors)
        content = save(tensors)
        self.folder.mkdir(parents=True, exist_ok=True)
        require_room(self.folder, len(content))
        with complete_folder(path) as temporary:  # which waits for the disk, once for each file
            (temporary / TENSORS).write_bytes(content)  # written here, so that a full disk is a plain OSError
            (temporary / TREE).write_text(to_json(tree), encoding="utf-8")
            hashes = {name: sha256(temporary / name) for name in (TENSORS, TREE)}
            manifest = {"format": FORMAT, "step": step, "milestone": milestone, "sha256": hashes}
            (temporary / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
        replace_text(self.folder / "latest", path.name + "\n")
        if best:
            replace_text(self.folder / "best", path.name + "\n")
        sync(self.folder)  # what is forgotten now must not be what a pointer names after a power cut
        self._prune(path.name)
        return path

    def names(self) -> list[str]:
        """All checkpoints, newest first."""
        return sorted(self._places(), reverse=True)

    def _places(self) -> dict[str, Path]:
        """Name -> folder. A process that is killed while it replaces a checkpoint leaves the old one aside, whole."""
        aside = {_name_of(path): path for path in self.folder.glob(f".{STEP}.old*")}
        return {**aside, **{path.name: path for path in self.folder.glob(STEP) if path.is_dir()}}

    def pointer(self, name: str) -> str | None:
        """What ``latest`` or ``best`` points at."""
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None

    def load(self, which: str = "latest", say: Say = print) -> tuple[str, dict[str, Any]]:
        """Read a checkpoint and its name: ``latest``, ``best``, a step number or a folder name.

        A damaged one is skipped for the newest whole one before it, and ``say`` is told.

        Raises:
            CheckpointError: there is none, or none is whole.
        """
        places = self._places()
        names = sorted(places, reverse=True)
        if not names:
            raise CheckpointError(f"no checkpoint in '{self.folder}': the run has not saved one yet")
        wanted = self._resolve(which, names)
        candidates = [name for name in names if name <= wanted]
        for name in candidates:
            try:
                return name, read_checkpoint(places[name])
            except CheckpointError as error:
                say(f"checkpoint {name} is damaged ({error})" + ("; trying the one before" if name != candidates[-1] else ""))
        raise CheckpointError(f"no whole checkpoint up to {wanted} in '{self.folder}'")

    def _resolve(self, which: str, names: list[str]) -> str:
        if which == "latest":
            return names[0]
        name = self.pointer(which) if which == "best" else which
        if name is not None and name.isascii() and name.isdecimal():
            name = checkpoint_name(int(name))
        if name is None or name not in names:
            known = ["latest", *(["best"] if self.pointer("best") in names else []), *reversed(names)]
            raise CheckpointError(f"no checkpoint '{which}' in '{self.folder}' (there are: {', '.join(known)})")
        return name

    def set_aside_after(self, name: str) -> None:
        """Rename the checkpoints newer than ``name``, which proved damaged, so that they neither count nor are mistaken again."""
        for damaged in [other for other in self.names() if other > name]:
            shutil.rmtree(self.folder / f"damaged_{damaged}", ignore_errors=True)
            os.replace(self.folder / damaged, self.folder / f"damaged_{damaged}")

    def clean(self) -> None:
        """Put back, or remove, what killed writers left. Only for the process that trains the run: nobody else writes here."""
        for name, path in self._places().items():
            if path.name != name:
                os.replace(path, self.folder / name)
        for orphan in [*self.folder.glob(f".{STEP}.*"), *leftovers(self.folder, "latest", "best")]:
            _remove(orphan)

    def _prune(self, newest: str) -> None:
        names = self.names()
        kept = {newest, *names[: self.keep], self.pointer("best")}
        for name in names:
            if name not in kept and not self._is_milestone(name):
                pruned = self.folder / f".{name}.pruned"  # a half-removed folder must not have a checkpoint's name
                with suppress(OSError):
                    os.replace(self.folder / name, pruned)
                    shutil.rmtree(pruned)

    def _is_milestone(self, name: str) -> bool:
        try:
            return json.loads((self.folder / name / MANIFEST).read_text(encoding="utf-8")).get("milestone") is True
        except (OSError, ValueError, AttributeError, RecursionError):
            return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _name_of(path: Path) -> str:
    """The checkpoint that a folder holds, which lies aside as ``.step_….old<process>`` while it is replaced."""
    return path.name.removeprefix(".").partition(".")[0]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in one checkpoint folder.

    Raises:
        CheckpointError: a file is missing, altered or unreadable, or the format is not ours. The message names the file.
    """
    manifest = _read_json(path / MANIFEST)
    if isinstance(manifest, dict) and manifest.get("format", FORMAT) != FORMAT:
        raise CheckpointError(foreign(manifest["format"]))
    kinds = {"format": int, "step": int, "milestone": bool, "sha256": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items()):
        raise CheckpointError(f"{MANIFEST} is not that of a checkpoint")
    if checkpoint_name(manifest["step"]) != _name_of(path):
        raise CheckpointError(f"{MANIFEST} is that of step {manifest['step']}")
    for file in (TENSORS, TREE):
        expected, actual = str(manifest["sha256"].get(file)), _hash(path / file)
        if actual != expected:
            raise CheckpointError(f"{file} has SHA-256 {actual[:12]}…, its manifest says {expected[:12]}…")
    try:
        state: dict[str, Any] = join_state(_read_json(path / TREE), load_file(path / TENSORS))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{TENSORS} and {TREE} cannot be put together: {type(error).__name__}: {error}") from error
    return state


def serialised_size(state: dict[str, Any]) -> int:
    """The bytes that a checkpoint of this state takes, but for the few of its manifest. Nothing is written."""
    tensors: dict[str, Tensor] = {}
    tree = split_state(state, "", tensors)
    return len(save(tensors)) + len(to_json(tree).encode())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(_unreadable(path, error)) from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}") from None


def _hash(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise CheckpointError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path.name} is missing" if isinstance(error, FileNotFoundError) else f"{path.name} cannot be read: {error.strerror or error}"
