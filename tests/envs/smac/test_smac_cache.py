"""What battles keep on disk, machine code and path tables: torn, foreign, or with no place to be kept, they play all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numba
import numpy as np
import pytest

from a2po.envs.smac import codecache, specialise
from a2po.envs.smac.terrain import load_terrain

pytestmark = pytest.mark.resilience


def twice(number):
    return 2 * number


@pytest.fixture
def kept(tmp_path):
    """Make the function anew, as the next process would, with its files in a folder."""
    return lambda: codecache.keep(numba.njit(nogil=True)(twice), tmp_path / "smac" / "form")


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc"))


def hits(function):
    return sum(function.stats.cache_hits.values())


def test_machine_code_is_found_again(kept, tmp_path):
    first = kept()
    assert first(3) == 6 and hits(first) == 0 and len(files(tmp_path)) == 2
    again = kept()
    assert again(3) == 6 and hits(again) == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", None, b"not what Numba wrote", b"\x80\x05K\x05."], ids=["empty", "half", "foreign", "a number"])
def test_torn_machine_code_is_made_anew(kept, tmp_path, suffix, content):
    kept()(3)
    (file,) = (path for path in files(tmp_path) if path.suffix == suffix)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    torn = kept()
    assert torn(3) == 6 and hits(torn) == 0
    again = kept()
    assert again(3) == 6 and hits(again) == 1  # mended


def test_a_disk_without_room_keeps_nothing(kept, tmp_path, monkeypatch):
    function = kept()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert function(3) == 6 and not files(tmp_path)


def test_without_a_place_nothing_is_kept_and_it_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    made = [codecache.keep(numba.njit(nogil=True)(twice), tmp_path / "file" / "smac" / form) for form in ("16", "32")]
    assert [function(3) for function in made] == [6, 6] and not any(hits(function) for function in made)
    (message,) = caplog.messages
    assert str(tmp_path / "file" / "smac") in message and "Not a directory" in message and "A2PO_CACHE" in message


def test_the_rules_are_kept_by_size(monkeypatch, tmp_path):
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path))
    assert len({specialise._code_folder(size) for size in (16, 32)}) == 2
    assert specialise._code_folder(16).is_relative_to(tmp_path / "smac")
    monkeypatch.delenv("A2PO_CACHE")
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert not codecache.writable(specialise._code_folder(16))


@pytest.mark.slow
def test_battles_are_played_without_a_place_for_machine_code():
    code = "import a2po.envs; env = a2po.envs.make('smac/3m', 2); print(env.reset().obs.shape); env.close(); a2po.envs.make('smac/3m', 1)"
    environment = {**os.environ, "A2PO_CACHE": "/dev/null"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stdout) == (0, "torch.Size([2, 3, 30])\n"), done.stderr
    assert len(done.stderr.splitlines()) == 1 and "/dev/null/smac cannot be written to" in done.stderr


def test_torn_paths_are_found_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path))
    terrain = load_terrain("flat_full")  # all its paths are straight: the search takes no time
    bends = specialise.bends.__wrapped__
    wanted = bends(terrain)
    (file,) = (tmp_path / "smac").glob("paths-*.npy")
    whole = file.read_bytes()
    for torn in (b"", whole[:-1], whole[:40], b"PK\x03\x04 a zip archive", b"nonsense"):
        file.write_bytes(torn)
        assert np.array_equal(bends(terrain), wanted) and file.read_bytes() == whole
    for foreign in (np.zeros(7, np.int16), np.zeros(wanted.shape), np.array([{}], object)):
        np.save(file, foreign, allow_pickle=True)
        assert bends(terrain).dtype == np.int16 and file.read_bytes() == whole
    shutil.rmtree(tmp_path / "smac")
    (tmp_path / "smac").write_text("in the way")
    assert np.array_equal(bends(terrain), wanted)
