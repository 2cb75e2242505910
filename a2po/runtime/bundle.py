"""Reading a bundle: every byte is checked against the manifest before anything is parsed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2po.errors import BundleError, did_you_mean
from a2po.runtime.archive import unpack

FORMAT = 1
"""The version of the manifest that this a2po writes and reads."""
MANIFEST = "manifest.json"
MAX_BYTES = 1 << 30
"""A bundle that unpacks to more than this is refused."""


@dataclass(frozen=True)
class AgentSpec:
    """What the manifest says about one agent."""

    name: str
    file: str
    obs_size: int
    features: tuple[str, ...]
    discrete: bool
    action_size: int
    action_names: tuple[str, ...]
    low: tuple[float, ...]
    """Bounds of the Box, empty for discrete actions."""
    high: tuple[float, ...]
    num_layers: int
    """L of the recurrent state [L, H]; 0 for an actor without one."""
    hidden_size: int

    @classmethod
    def from_manifest(cls, name: str, entry: Mapping[str, Any]) -> AgentSpec:
        """Read one entry. Raises: KeyError, TypeError or ValueError where it is not as it should be."""
        observation, action, state = entry["observation"], entry["action"], entry["state"]
        if action["kind"] not in ("discrete", "continuous"):
            raise ValueError(f"action kind {action['kind']!r}")
        spec = cls(
            name, str(entry["file"]), int(observation["size"]), tuple(observation["features"]), action["kind"] == "discrete",
            int(action["size"]), tuple(action["names"]), tuple(action.get("low", ())), tuple(action.get("high", ())),
            int(state["num_layers"]), int(state["hidden_size"]),
        )  # fmt: skip
        bounds = 0 if spec.discrete else spec.action_size
        if len(spec.features) != spec.obs_size or len(spec.low) != bounds or len(spec.high) != bounds:
            raise ValueError(f"agent '{name}' lists other sizes than it has names or bounds")
        return spec


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are all there and unaltered."""

    path: Path
    manifest: dict[str, Any]
    files: dict[str, bytes]
    agents: tuple[AgentSpec, ...]
    manifest_sha256: str

    @property
    def task(self) -> str:
        """The task that the team was trained on."""
        return str(self.manifest["task"]["name"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and hashes of all files: the same for a folder, a zip, and after an evaluation is noted."""
        lines = sorted(f"{name} {entry['sha256']}\n" for name, entry in self.manifest["files"].items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle: a folder, a .zip of it, or a run folder that holds one.

    Raises:
        BundleError: there is none, its format is not ours, or a file is missing, altered or unknown.
    """
    path = Path(path)
    if (path / "bundle" / MANIFEST).is_file():
        path = path / "bundle"
    files = _read_files(path)
    if MANIFEST not in files:
        raise BundleError(f"'{path}' is no bundle: it has no {MANIFEST} ('a2po export' writes bundles)")
    text = files.pop(MANIFEST)
    manifest = _read_manifest(path, text)
    _check_files(path, manifest["files"], files)
    try:
        entries = sorted(manifest["agents"].items(), key=lambda item: int(item[1]["index"]))
        agents = tuple(AgentSpec.from_manifest(name, entry) for name, entry in entries)
        widths = [int(manifest["task"][key]) for key in ("obs_width", "action_width")]
        unlisted = {agent.file for agent in agents} - set(files)
        if not agents or unlisted or not isinstance(manifest["task"]["name"], str):
            raise ValueError(f"no agents, no task, or files that are not in the bundle: {sorted(unlisted)}")
        if widths[0] < max(agent.obs_size for agent in agents) or widths[1] < max(agent.action_size for agent in agents):
            raise ValueError("the padded widths are smaller than an agent's own")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"'{path}': {MANIFEST} is malformed ({type(error).__name__}: {error}); export the run again") from None
    return Bundle(path, manifest, files, agents, hashlib.sha256(text).hexdigest())


def _read_manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        version = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"'{path}': {MANIFEST} cannot be read ({type(error).__name__}: {error}); export the run again") from None
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        mend = "update a2po" if newer else "export the run again with this a2po"
        raise BundleError(f"'{path}' has bundle format {version!r}, this a2po reads {FORMAT}: {mend}")
    if not isinstance(manifest.get("files"), dict):
        raise BundleError(f"'{path}': {MANIFEST} lists no files; export the run again")
    result: dict[str, Any] = manifest
    return result


def _check_files(path: Path, listed: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Every listed file is there with its hash, and nothing else is."""
    problems = [f"{name} is missing" for name in listed if name not in files]
    problems += [f"{name} is not in the manifest{did_you_mean(name, set(listed) - set(files))}" for name in files if name not in listed]
    for name, content in files.items():
        if name in listed:
            expected = str(listed[name].get("sha256")) if isinstance(listed[name], dict) else "nothing"
            actual = hashlib.sha256(content).hexdigest()
            if actual != expected:
                problems.append(f"{name} was altered (SHA-256 {actual[:12]}…, the manifest says {expected[:12]}…)")
    if problems:
        raise BundleError(f"the bundle '{path}' cannot be trusted: {'; '.join(sorted(problems))}. Export the run again, or copy it again")


def _read_files(path: Path) -> dict[str, bytes]:
    """Relative name -> content, of a folder or a zip."""
    try:
        if path.is_dir():
            found = [file for file in sorted(path.rglob("*")) if not file.is_dir()]
            _check_size(path, (file.stat().st_size for file in found))
            return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}
        if not path.exists():
            siblings = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise BundleError(f"there is no bundle '{path}'{did_you_mean(str(path), siblings)}")
        with zipfile.ZipFile(path) as archive:
            _check_size(path, (entry.file_size for entry in archive.infolist()))
            return unpack(archive, MANIFEST)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise BundleError(f"the bundle '{path}' cannot be read: {error}") from None


def _check_size(path: Path, sizes: Iterable[int]) -> None:
    total = sum(sizes)
    if total > MAX_BYTES:
        raise BundleError(f"'{path}' holds {total / 1e9:.1f} GB; a bundle is at most {MAX_BYTES / 1e9:.1f} GB")
