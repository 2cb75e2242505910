"""Checkpoints: folders of safetensors and JSON with a manifest of hashes. Never pickle.

A checkpoint is written beside its final place, flushed and renamed, so what has the final name is whole. On loading
every hash is checked; a damaged checkpoint is skipped and the one before is used, which is said.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from a2po.errors import CheckpointError
from a2po.files import complete_folder, replace_text, sha256, write_json

FORMAT = 2
TENSORS, TREE = "tensors.safetensors", "state.json"
Say = Callable[[str], None]


def checkpoint_name(step: int) -> str:
    """The folder name of a step's checkpoint."""
    return f"step_{step:012d}"


class Checkpoints:
    """The ``checkpoints`` folder of a run."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: dict[str, Any], *, best: bool = False) -> Path:
        """Write one checkpoint, point ``latest`` (and ``best``) at it, then forget the oldest.

        ``latest`` is for people and scripts; ``load`` looks at the folders themselves.

        Raises:
            OSError: it could not be written; what was there before is untouched.
        """
        path = self.folder / checkpoint_name(step)
        tensors: dict[str, Tensor] = {}
        tree = _split(state, "", tensors)
        with complete_folder(path) as temporary:
            (temporary / TENSORS).write_bytes(save(tensors))  # written here, so that a full disk is a plain OSError
            write_json(temporary / TREE, tree)
            hashes = {name: sha256(temporary / name) for name in (TENSORS, TREE)}
            write_json(temporary / "manifest.json", {"format": FORMAT, "step": step, "sha256": hashes})
        replace_text(self.folder / "latest", path.name + "\n")
        if best:
            replace_text(self.folder / "best", path.name + "\n")
        self._prune(path.name)
        return path

    def names(self) -> list[str]:
        """All checkpoints, newest first."""
        return sorted((path.name for path in self.folder.glob("step_*") if path.is_dir()), reverse=True)

    def pointer(self, name: str) -> str | None:
        """What ``latest`` or ``best`` points at."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    def load(self, which: str = "latest", say: Say = print) -> tuple[str, dict[str, Any]]:
        """Read a checkpoint and its name: ``latest``, ``best``, a step number or a folder name.

        A damaged one is skipped for the newest whole one before it, and ``say`` is told.

        Raises:
            CheckpointError: there is none, or none is whole.
        """
        self._put_back()
        names = self.names()
        if not names:
            raise CheckpointError(f"no checkpoint in '{self.folder}': the run has not saved one yet")
        wanted = self._resolve(which, names)
        for name in [name for name in names if name <= wanted]:
            try:
                return name, read_checkpoint(self.folder / name)
            except CheckpointError as error:
                say(f"checkpoint {name} is damaged ({error}); trying the one before")
        raise CheckpointError(f"no whole checkpoint up to {wanted} in '{self.folder}'")

    def _resolve(self, which: str, names: list[str]) -> str:
        if which == "latest":
            return names[0]
        name = self.pointer(which) if which == "best" else which
        if name is not None and name.isascii() and name.isdecimal():
            name = checkpoint_name(int(name))
        if name is None or name not in names:
            raise CheckpointError(f"no checkpoint '{which}' in '{self.folder}' (there are: latest, best, {', '.join(reversed(names))})")
        return name

    def set_aside_after(self, name: str) -> None:
        """Rename the checkpoints newer than ``name``, which proved damaged, so that they neither count nor are mistaken again."""
        for damaged in [other for other in self.names() if other > name]:
            shutil.rmtree(self.folder / f"damaged_{damaged}", ignore_errors=True)
            os.replace(self.folder / damaged, self.folder / f"damaged_{damaged}")

    def _put_back(self) -> None:
        """A process killed while it replaced a checkpoint leaves the old one aside, whole."""
        for aside in self.folder.glob(".step_*.old*"):
            path = self.folder / aside.name[1:].partition(".")[0]
            if not path.exists():
                os.replace(aside, path)

    def _prune(self, newest: str) -> None:
        kept = {newest, *self.names()[: self.keep], self.pointer("best")}
        leftovers = [path.name for path in self.folder.glob(".step_*")]  # of processes that were killed while writing
        for name in [*leftovers, *self.names()]:
            if name not in kept:
                shutil.rmtree(self.folder / name, ignore_errors=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in one checkpoint folder.

    Raises:
        CheckpointError: a file is missing, altered or unreadable, or the format is not ours.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise CheckpointError(f"format {manifest['format']}, this a2po reads {FORMAT}")
        if checkpoint_name(manifest["step"]) != path.name:
            raise CheckpointError(f"its manifest is that of step {manifest['step']}")
        for name in (TENSORS, TREE):
            expected, actual = manifest["sha256"][name], sha256(path / name)
            if actual != expected:
                raise CheckpointError(f"{name} has SHA-256 {actual[:12]}…, its manifest says {expected[:12]}…")
        tensors = load_file(path / TENSORS)
        tree = json.loads((path / TREE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{type(error).__name__}: {error}") from error
    state: dict[str, Any] = _join(tree, tensors)
    return state


def serialised_size(state: dict[str, Any]) -> int:
    """The bytes that a checkpoint of this state takes, but for the few of its manifest. Nothing is written."""
    tensors: dict[str, Tensor] = {}
    tree = _split(state, "", tensors)
    return len(save(tensors)) + len(json.dumps(tree, indent=2, ensure_ascii=False).encode())


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors and arrays by references into ``tensors``; everything else must be plain JSON."""
    if isinstance(value, dict):
        return {str(key): _split(item, f"{path}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    key = f"{len(tensors)}:{path}"  # numbered, so that no two paths can meet
    if isinstance(value, Tensor):
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"$tensor": key}
    if isinstance(value, np.ndarray):
        tensors[key] = torch.from_numpy(value.copy(order="C"))
        return {"$array": key}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__} at '{path}'")


def _join(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_join(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"$tensor"}:
        return tensors[tree["$tensor"]]
    if set(tree) == {"$array"}:
        return tensors[tree["$array"]].numpy()
    return {key: _join(item, tensors) for key, item in tree.items()}
