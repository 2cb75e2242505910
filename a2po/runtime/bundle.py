"""Reading a bundle: every byte is checked against the manifest, and the manifest against its schema, before anything is played."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2po.errors import BundleError, did_you_mean
from a2po.runtime import schema
from a2po.runtime.archive import unpack

FORMAT = 2
"""The version of the manifest that this a2po writes and reads."""
MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"
MAX_BYTES = 1 << 30
"""A bundle that unpacks to more than this is refused."""
MAX_MANIFEST = 1 << 25
PROBLEMS_SHOWN = 8
UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, LookupError, struct.error, zipfile.BadZipFile, zlib.error)
"""What reading a damaged folder or archive raises."""


class NoBundle(BundleError):
    """There is no bundle where one was looked for."""


@dataclass(frozen=True)
class AgentSpec:
    """What the manifest says about one agent."""

    name: str
    file: str
    """Of its ONNX actor; empty where the bundle holds weights only."""
    weights: str
    """The file of its numbers; empty where the bundle holds ONNX actors only."""
    row: int
    """Its place among the agents that share its files."""
    inputs: tuple[str, ...]
    """The ports of its graph."""
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
    clip: float | None
    """Largest absolute observation in units of its statistics; None where observations are not normalised."""

    @classmethod
    def from_manifest(cls, name: str, entry: Mapping[str, Any]) -> AgentSpec:
        """Read one entry. Raises: KeyError, OverflowError, TypeError or ValueError where it is not as it should be."""
        observation, action, state = entry["observation"], entry["action"], entry["state"]
        if action["kind"] not in ("discrete", "continuous"):
            raise ValueError(f"action kind {action['kind']!r:.60}")
        spec = cls(
            name,
            str(entry["file"] or ""),
            str(entry["weights"] or ""),
            schema.whole(entry["row"], f"agent '{name}': row"),
            schema.names(entry["inputs"], f"agent '{name}': inputs"),
            schema.whole(observation["size"], f"agent '{name}': observation.size"),
            schema.names(observation["features"], f"agent '{name}': observation.features"),
            action["kind"] == "discrete",
            schema.whole(action["size"], f"agent '{name}': action.size"),
            schema.names(action["names"], f"agent '{name}': action.names"),
            schema.numbers(action.get("low", []), f"agent '{name}': action.low"),
            schema.numbers(action.get("high", []), f"agent '{name}': action.high"),
            schema.whole(state["num_layers"], f"agent '{name}': state.num_layers"),
            schema.whole(state["hidden_size"], f"agent '{name}': state.hidden_size"),
            next(iter(schema.numbers([clip], f"agent '{name}': observation.clip")))
            if (clip := observation.get("clip")) is not None
            else None,
        )
        bounds = 0 if spec.discrete else spec.action_size
        sizes = (len(spec.features), len(spec.action_names), len(spec.low), len(spec.high))
        if sizes != (spec.obs_size, spec.action_size, bounds, bounds):
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
        """SHA-256 over the names and hashes of the files but the card: the same for a folder, a zip, and after an evaluation is noted."""
        lines = sorted(f"{name} {entry['sha256']}\n" for name, entry in self.manifest["files"].items() if name != CARD)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_bundle(path: Path | str) -> Bundle:
    """Read and check a bundle: a folder, a .zip of it, or a run folder that holds one.

    Raises:
        BundleError: there is none, its format is not ours, or a file is missing, altered or unknown.
    """
    return _checked(read_source(path))


def bundle_of(path: Path, files: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files by name, which are to go to ``path``, read as they will be read.

    Raises:
        BundleError: as ``read_bundle``.
    """
    return _checked(_source(path, files))


def _checked(source: Source) -> Bundle:
    check_files(source)
    return parse_source(source)


@dataclass(frozen=True)
class Source:
    """A bundle as it was found: the manifest is JSON of our format, nothing else is known to be as it should."""

    path: Path
    text: bytes
    """Of the manifest."""
    manifest: dict[str, Any]
    files: dict[str, bytes]
    """All others."""


def read_source(path: Path | str) -> Source:
    """The bytes of a bundle.

    Raises:
        NoBundle: there is none.
        BundleError: it cannot be read, or its manifest is not of our format.
    """
    path = Path(path)
    if os.path.isfile(path / "bundle" / MANIFEST):  # unlike Path.is_file, it says no to a name that is too long
        path = path / "bundle"
    return _source(path, _read_files(path))


def _source(path: Path, files: Mapping[str, bytes]) -> Source:
    if MANIFEST not in files:
        raise NoBundle(f"'{path}' is no bundle: it has no {MANIFEST} ('a2po export' writes bundles)")
    files = dict(files)
    text = files.pop(MANIFEST)
    return Source(path, text, _read_manifest(path, text), files)


def check_files(source: Source) -> None:
    """Every listed file is there with its hash, nothing else is, and all of them are of the kinds that a bundle holds.

    Raises:
        BundleError: saying which are not.
    """
    listed, files = source.manifest["files"], source.files
    missing, unknown = sorted(set(listed) - set(files)), sorted(set(files) - set(listed))
    problems = [f"{name:.200} is missing" for name in missing]
    problems += [f"{name:.200} is no file of a bundle" for name in listed if not schema.FILE.fullmatch(name)]
    few = missing[:PROBLEMS_SHOWN]  # thousands of names would be compared for minutes
    problems += [f"{name:.200} is not in the manifest{did_you_mean(name[:200], few)}" for name in unknown[:PROBLEMS_SHOWN]]
    problems += [f"{len(unknown) - PROBLEMS_SHOWN} more are not in the manifest"] if len(unknown) > PROBLEMS_SHOWN else []
    for name, content in files.items():
        if name in listed:
            expected = str(listed[name].get("sha256")) if isinstance(listed[name], dict) else "nothing"
            actual = hashlib.sha256(content).hexdigest()
            replaced = name == CARD and isinstance(listed[name], dict) and actual == listed[name].get("replaced_sha256")
            if actual != expected and not replaced:  # whoever died between manifest and card left the card of before
                problems.append(f"{name:.200} was altered (SHA-256 {actual[:12]}…, the manifest says {expected[:12]}…)")
    if problems:
        more = f"; and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise BundleError(
            f"the bundle '{source.path}' cannot be trusted: {'; '.join(sorted(problems)[:PROBLEMS_SHOWN])}{more}. "
            "Export the run again, or copy it again"
        )


def parse_source(source: Source) -> Bundle:
    """The bundle, when its files are checked.

    Raises:
        BundleError: a part of the manifest is not as it should be.
    """
    try:
        schema.check_parts(source.manifest)
        agents = _read_agents(source.manifest, source.files)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(f"'{source.path}': {MANIFEST} is malformed ({type(error).__name__}: {error}); export the run again") from None
    return Bundle(source.path, source.manifest, source.files, agents, hashlib.sha256(source.text).hexdigest())


def _read_agents(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[AgentSpec, ...]:
    """The agents in the task's order. Raises: as ``AgentSpec.from_manifest``."""
    task, entries = manifest["task"], schema.mapping(manifest["agents"], "agents")
    moved = [name for name, entry in entries.items() if name not in task["agents"] or task["agents"].index(name) != entry["index"]]
    if moved:
        raise ValueError(f"agent '{moved[0]}' has another index than in task.agents")
    agents = tuple(AgentSpec.from_manifest(name, entries[name]) for name in task["agents"] if name in entries)
    unlisted = {name for agent in agents for name in (agent.file, agent.weights) if name} - set(files)
    if not agents or unlisted:
        raise ValueError(f"no agents, or files that are not in the bundle: {sorted(unlisted)}")
    for file in {agent.file for agent in agents if agent.file}:
        if [agent.row for agent in agents if agent.file == file] != list(range(sum(agent.file == file for agent in agents))):
            raise ValueError(f"the agents of {file} have other rows than their order")
    if any(not agent.file and not agent.weights for agent in agents) or len({bool(agent.file) for agent in agents}) > 1:
        raise ValueError("some agents have no file")
    if len({agent.discrete for agent in agents}) > 1:
        raise ValueError("some agents are discrete, others continuous")
    widths = [schema.whole(task[key], f"task.{key}") for key in ("obs_width", "action_width")]
    if widths[0] < max(agent.obs_size for agent in agents) or widths[1] < max(agent.action_size for agent in agents):
        raise ValueError("the padded widths are smaller than an agent's own")
    return agents


def _read_manifest(path: Path, text: bytes) -> dict[str, Any]:
    if len(text) > MAX_MANIFEST:  # as objects it would need ten times as much memory, and no hash speaks for it
        raise BundleError(f"'{path}': {MANIFEST} has {len(text) / 1e6:.0f} MB, at most {MAX_MANIFEST / 1e6:.0f} MB are read")
    try:
        manifest = schema.parse(text)
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


def _read_files(path: Path) -> dict[str, bytes]:
    """Relative name -> content, of a folder or a zip. Hidden files at the top (.gitattributes, .DS_Store) are no part of a bundle."""
    try:
        if path.is_dir():
            return _printable(_read_folder(path))
        if not path.exists():
            siblings = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise NoBundle(f"there is no bundle '{path}'{did_you_mean(str(path), siblings)}")
        if not path.is_file():
            raise NoBundle(f"'{path}' is neither a folder nor a .zip")
        with zipfile.ZipFile(path) as archive:
            _check_size(path, (entry.file_size for entry in archive.infolist()))
            return _printable({name: content for name, content in unpack(archive, MANIFEST).items() if not name.startswith(".")})
    except UNREADABLE as error:
        raise BundleError(f"the bundle '{path}' cannot be read: {error}") from None


def _printable(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, whose names stand in messages. Raises: ValueError: one would steer the terminal."""
    for name in files:
        if not name.isprintable():
            raise ValueError(f"the name {name!a:.60} cannot be printed")
    return files


def _read_folder(path: Path) -> dict[str, bytes]:
    if not (path / MANIFEST).is_file():
        return {}
    tops = [top for top in path.iterdir() if not top.name.startswith(".")]
    linked = [top for top in tops if top.is_dir() and top.is_symlink()]
    if linked:  # to the root of a disk, it would be walked for hours
        raise ValueError(f"{linked[0].name!a} is a link to a folder")
    found = [file for top in sorted(tops) for file in (sorted(top.rglob("*")) if top.is_dir() else [top]) if not file.is_dir()]
    special = [file for file in found if not file.is_file()]
    if special:  # a named pipe would wait for ever, a device never end
        raise BundleError(f"the bundle '{path}' cannot be read: {special[0].relative_to(path)} is no regular file")
    _check_size(path, (file.stat().st_size for file in found))
    files: dict[str, bytes] = {}
    for file in found:
        with file.open("rb") as opened:
            files[file.relative_to(path).as_posix()] = opened.read(MAX_BYTES + 1)
    return files


def _check_size(path: Path, sizes: Iterable[int]) -> None:
    total = sum(sizes)
    if total > MAX_BYTES:
        raise BundleError(f"'{path}' holds {total / 1e9:.1f} GB; a bundle is at most {MAX_BYTES / 1e9:.1f} GB")
