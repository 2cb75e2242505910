"""Checkpoints: what is saved comes back, what is damaged is found out and passed over, nothing is pickled."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po
from a2po.errors import CheckpointError
from a2po.training import checkpoints as checkpoints_module
from a2po.training.checkpoints import Checkpoints, checkpoint_name, read_checkpoint

FILES = ("manifest.json", "state.json", "tensors.safetensors")


def state_of(step: int) -> dict[str, Any]:
    return {"step": step, "team": {"weights": torch.arange(6.0).view(2, 3) + step, "empty": torch.zeros(2, 4, 0, 0)}, "best": None}


@pytest.fixture
def folder(tmp_path: Path) -> Checkpoints:
    """Three whole checkpoints."""
    saved = Checkpoints(tmp_path / "checkpoints")
    for step in (100, 200, 300):
        saved.save(step, state_of(step))
    return saved


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def test_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "numbers": [0, -3, 2**62, 2**100, 0.1, 1e-300, float("inf"), True, False, None, "text – ünï \n"],
        "tensors": {
            "float": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
            "double": torch.tensor([np.pi], dtype=torch.float64),
            "int": torch.arange(-2, 3),
            "bool": torch.tensor([True, False]),
            "scalar": torch.tensor(5.0),
            "empty": torch.zeros(2, 4, 0, 0),
            "view": torch.arange(12.0).view(3, 4).T[1:3],
            "stream": torch.Generator().manual_seed(3).get_state(),
        },
        "arrays": [np.arange(4, dtype=np.int64), np.zeros((0, 3), np.float32), np.array([True]), np.eye(3)[:, ::-1], np.array(2.5)],
        "deep": {"a": {"b": {"c": [{"d": torch.ones(1)}, {}, []]}}, "": {}},
        "records": [{"copy": 1, "return": 2.5}],
    }
    folder = Checkpoints(tmp_path / "checkpoints")
    path = folder.save(7, state)
    name, loaded = folder.load()
    assert name == path.name == "step_000000000007"
    for key in state:
        assert equal(state[key], loaded[key]), key


def test_similar_paths_do_not_overwrite_each_other(tmp_path: Path) -> None:
    state = {"a/b": torch.ones(1), "a": {"b": torch.zeros(2)}, "l": [torch.ones(3)], "l/0": torch.ones(4)}
    folder = Checkpoints(tmp_path)
    folder.save(1, state)
    assert equal(folder.load()[1], state)


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    folder = Checkpoints(tmp_path)
    folder.save(1, {"whole": whole, "part": whole[2:4], "again": whole})
    loaded = folder.load()[1]
    assert torch.equal(loaded["part"], whole[2:4]) and torch.equal(loaded["again"], whole)


def test_what_cannot_be_saved_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path)
    with pytest.raises(TypeError, match=r"Path.*/env/x"):
        folder.save(1, {"env": {"x": tmp_path}})
    assert folder.names() == [] and not list(tmp_path.iterdir())


def test_pointers_names_and_steps(folder: Checkpoints) -> None:
    assert folder.names() == [checkpoint_name(step) for step in (300, 200, 100)]
    assert folder.pointer("latest") == checkpoint_name(300) and folder.pointer("best") is None
    for which in ("200", checkpoint_name(200)):
        assert folder.load(which)[1]["step"] == 200
    folder.save(400, state_of(400), best=True)
    folder.save(500, state_of(500))
    assert (folder.pointer("latest"), folder.pointer("best")) == (checkpoint_name(500), checkpoint_name(400))
    assert folder.load("best")[1]["step"] == 400 and folder.load()[1]["step"] == 500
    with pytest.raises(CheckpointError, match=r"no checkpoint '250' .*\(there are: latest, best, step_.*step_000000000500"):
        folder.load("250")


def test_the_newest_are_kept_and_the_best_besides(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path, keep=2)
    for step in range(1, 8):
        folder.save(step, state_of(step), best=step in (1, 3))
    assert folder.names() == [checkpoint_name(step) for step in (7, 6, 3)]
    assert folder.load("best")[1]["step"] == 3
    folder.save(8, state_of(8), best=True)
    assert folder.names() == [checkpoint_name(step) for step in (8, 7)]
    assert {path.name for path in tmp_path.iterdir()} == {checkpoint_name(7), checkpoint_name(8), "latest", "best"}


def test_saving_a_step_again_replaces_it(folder: Checkpoints) -> None:
    folder.save(300, {"step": 300, "new": True})
    assert folder.load()[1] == {"step": 300, "new": True} and len(folder.names()) == 3


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoints(tmp_path / "none").load()
    with pytest.raises(CheckpointError, match="best"):
        saved = Checkpoints(tmp_path)
        saved.save(1, state_of(1))
        saved.load("best")


@pytest.mark.resilience
@pytest.mark.parametrize("file", FILES)
def test_one_flipped_bit_is_found_out(folder: Checkpoints, file: str) -> None:
    """Anywhere in any file: the checkpoint before is used, and that is said."""
    path = folder.folder / checkpoint_name(300) / file
    whole = path.read_bytes()
    stream = np.random.default_rng(0)
    positions = range(len(whole)) if file == "manifest.json" else stream.choice(len(whole), 40, replace=False).tolist()
    for position in positions:
        bit = int(stream.integers(8))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        said: list[str] = []
        name, state = folder.load(say=said.append)
        assert name == checkpoint_name(200) and equal(state, state_of(200)), (position, bit, damaged)
        assert len(said) == 1 and checkpoint_name(300) in said[0] and "damaged" in said[0]
    path.write_bytes(whole)
    assert folder.load()[0] == checkpoint_name(300)


@pytest.mark.resilience
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "foreign"])
def test_torn_files_are_found_out(folder: Checkpoints, file: str, damage: str) -> None:
    path = folder.folder / checkpoint_name(300) / file
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "foreign": b"[1, 2]\n"}[damage])
    said: list[str] = []
    assert folder.load(say=said.append)[0] == checkpoint_name(200) and len(said) == 1
    assert checkpoint_name(300) in said[0] and file in said[0] and (damage != "missing" or "is missing" in said[0])
    with pytest.raises(CheckpointError):
        read_checkpoint(path.parent)


@pytest.mark.resilience
@pytest.mark.parametrize("files", [("state.json",), ("tensors.safetensors",), ("state.json", "tensors.safetensors"), FILES])
def test_files_of_two_checkpoints_do_not_mix(folder: Checkpoints, files: tuple[str, ...]) -> None:
    """Each file is whole, but they are not of this step."""
    for file in files:
        shutil.copy(folder.folder / checkpoint_name(100) / file, folder.folder / checkpoint_name(300) / file)
    said: list[str] = []
    assert folder.load(say=said.append)[0] == checkpoint_name(200) and len(said) == 1
    named = "manifest.json" if files == FILES else "tensors.safetensors" if "tensors.safetensors" in files else "state.json"
    assert named in said[0] and ("that of step 100" in said[0] if files == FILES else "SHA-256" in said[0])


@pytest.mark.resilience
def test_a_manifest_must_vouch_for_every_file(folder: Checkpoints) -> None:
    path = folder.folder / checkpoint_name(300) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"].pop("state.json")
    path.write_text(json.dumps(manifest))
    assert folder.load(say=lambda message: None)[0] == checkpoint_name(200)


@pytest.mark.resilience
def test_a_newer_format_is_named(folder: Checkpoints) -> None:
    path = folder.folder / checkpoint_name(300) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match=r"99.*reads"):
        read_checkpoint(path.parent)


@pytest.mark.resilience
def test_if_none_is_whole_it_says_so(folder: Checkpoints) -> None:
    for name in folder.names():
        (folder.folder / name / "state.json").write_text("{}")
    said: list[str] = []
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        folder.load(say=said.append)
    assert len(said) == 3 and [message.endswith("; trying the one before") for message in said] == [True, True, False]


@pytest.mark.resilience
def test_only_older_ones_stand_in(folder: Checkpoints) -> None:
    """Asked for a damaged 200, one gets 100, not 300."""
    (folder.folder / checkpoint_name(200) / "state.json").write_text("{}")
    assert folder.load("200", say=lambda message: None)[0] == checkpoint_name(100)


@pytest.mark.resilience
def test_leftovers_of_a_killed_writer_are_ignored(folder: Checkpoints) -> None:
    half = folder.folder / f".{checkpoint_name(400)}.tmp123"
    shutil.copytree(folder.folder / checkpoint_name(300), half)
    (folder.folder / ".latest.tmp123").write_text("rubb")
    (folder.folder / "step_000000000999").write_text("a file, not a folder")
    assert folder.load()[0] == checkpoint_name(300)
    # The same process writes the same step after a failed attempt.
    (folder.folder / f".{checkpoint_name(400)}.tmp{os.getpid()}").mkdir()
    folder.save(400, state_of(400))
    assert folder.load()[0] == checkpoint_name(400)
    assert sorted(path.name for path in (folder.folder / checkpoint_name(400)).iterdir()) == sorted(FILES)


@pytest.mark.resilience
def test_a_pointer_that_is_lost_or_wrong_costs_nothing(folder: Checkpoints) -> None:
    (folder.folder / "latest").unlink()
    assert folder.load()[0] == checkpoint_name(300)
    (folder.folder / "latest").write_text("step_000000000777\n")
    assert folder.load()[0] == checkpoint_name(300)


@pytest.mark.resilience
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"step_000000000777\n", b"../elsewhere\n"])
def test_a_best_that_is_lost_or_wrong_is_no_best(folder: Checkpoints, content: bytes | None) -> None:
    """Neither is one promised, nor does the next checkpoint fail."""
    if content is not None:
        (folder.folder / "best").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"no checkpoint 'best' .*\(there are: latest, step_0"):
        folder.load("best")
    folder.save(400, state_of(400))
    folder.save(500, state_of(500), best=True)
    assert folder.load("best")[0] == checkpoint_name(500)


@pytest.mark.resilience
def test_somebodys_copy_of_a_checkpoint_counts_for_nothing(tmp_path: Path) -> None:
    """It neither stands in the way of a resume nor pushes out one of ours."""
    folder = Checkpoints(tmp_path, keep=2)
    for step in (100, 200):
        folder.save(step, state_of(step))
    copy = Path(shutil.copytree(tmp_path / checkpoint_name(200), tmp_path / f"{checkpoint_name(200)}_copy"))
    assert folder.load(say=pytest.fail)[0] == checkpoint_name(200)
    folder.save(300, state_of(300))
    folder.clean()
    assert folder.names() == [checkpoint_name(step) for step in (300, 200)] and copy.is_dir()


@pytest.mark.resilience
@pytest.mark.parametrize("function", ["save", "to_json", "sha256", "replace_text", "sync"])
def test_a_failed_write_leaves_what_was_there(folder: Checkpoints, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints_module, function, fail)
    with pytest.raises(OSError, match="No space"):
        folder.save(400, state_of(400))
    monkeypatch.undo()
    assert folder.load()[1]["step"] in ((300, 400) if function in ("replace_text", "sync") else (300,))
    assert not [path for path in folder.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.resilience
def test_a_full_disk_is_an_os_error_whoever_writes(folder: Checkpoints) -> None:
    """The operating system refuses the tensors' file itself: the writer is Rust code with errors of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"(?i)large|27"):
            folder.save(400, {"weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.load()[0] == checkpoint_name(300) and not list(folder.folder.glob(".*"))


def test_milestones_are_never_forgotten(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path, keep=2)
    for step in range(1, 10):
        folder.save(step, state_of(step), best=step == 2, milestone=step in (3, 4))
    assert folder.names() == [checkpoint_name(step) for step in (9, 8, 4, 3, 2)]
    Checkpoints(tmp_path, keep=2).save(10, state_of(10), best=True)  # another process, which knows nothing of them
    assert folder.names() == [checkpoint_name(step) for step in (10, 9, 4, 3)]
    assert folder.load("3")[1]["step"] == 3


@pytest.mark.resilience
def test_what_killed_writers_left_is_cleaned(folder: Checkpoints) -> None:
    place = folder.folder
    for orphan in (f".{checkpoint_name(400)}.tmp12", f".{checkpoint_name(100)}.pruned", f".{checkpoint_name(200)}.old12"):
        shutil.copytree(place / checkpoint_name(300), place / orphan)
    for orphan in (".latest.tmp12", ".best.tmp12"):
        (place / orphan).write_text("rubb")
    folder.clean()
    assert not list(place.glob(".*")) and folder.names() == [checkpoint_name(step) for step in (300, 200, 100)]
    assert folder.load("200")[1]["step"] == 200  # that which was there, not what was put aside


@pytest.mark.resilience
def test_a_reader_changes_nothing(folder: Checkpoints) -> None:
    """A checkpoint that lies aside while it is replaced is read where it lies; the training process puts it back."""
    aside = folder.folder / f".{checkpoint_name(300)}.old12"
    (folder.folder / checkpoint_name(300)).rename(aside)
    assert folder.load(say=pytest.fail)[0] == checkpoint_name(300) and aside.is_dir()
    folder.clean()
    assert not aside.exists() and folder.load(say=pytest.fail)[0] == checkpoint_name(300)


@pytest.mark.resilience
def test_a_nearly_full_disk_is_left_alone(folder: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun that cannot end."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000))
    before = {path: path.stat().st_mtime_ns for path in folder.folder.rglob("*")}
    with pytest.raises(OSError, match=r"No space left on device: 0.0 MB to write, 0.0 MB free") as failed:
        folder.save(400, {"weights": torch.zeros(10_000)})
    assert failed.value.errno == 28
    assert {path: path.stat().st_mtime_ns for path in folder.folder.rglob("*")} == before
    folder.save(400, {"weights": torch.zeros(100)})


def test_nothing_is_pickled(folder: Checkpoints) -> None:
    for name in folder.names():
        assert sorted(path.name for path in (folder.folder / name).iterdir()) == sorted(FILES)
        assert not (folder.folder / name / "tensors.safetensors").read_bytes().startswith((b"PK", b"\x80"))
    root = Path(a2po.__file__).parent
    folders = [root, *(root.parent / extra for extra in ("cli", "exporters", "evaluation"))]
    sources = [path for one in folders for path in one.rglob("*.py")]
    assert len(sources) > 40
    forbidden = re.compile(
        r"\bimport pickle|\bpickle\.\w|\btorch\.(load|save)\(|\bjoblib\b|\ballow_pickle\s*=\s*True|\bshelve\b|\bmarshal\b"
    )
    assert not [f"{path}: {match[0]}" for path in sources if (match := forbidden.search(path.read_text(encoding="utf-8")))]
