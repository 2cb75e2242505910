"""``a2po install football``: what stops it is named first and leaves nothing behind; what is installed is whole and proven."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from a2po.envs.football import library
from a2po.envs.football.installer import install, selftest, system
from a2po.envs.football.installer.build import build, first_error
from a2po.envs.football.installer.index import fetch, pip_settings
from a2po.envs.football.installer.source import get_source, unpack
from a2po.envs.football.library import SDIST, SDIST_SHA256, Installed, built_folder, find_library
from a2po.errors import DependencyError, UserError, WorkFailed
from a2po.files import sha256

# Compilers and engines on a machine that does other work, too.
pytestmark = [pytest.mark.resilience, pytest.mark.timeout(300)]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own; the engine that is installed stays where it is."""
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("A2PO_FOOTBALL", raising=False)
    return tmp_path / "cache" / "football"


@pytest.fixture
def command(home):
    """Run ``a2po install football`` as a user would; gives the process."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "a2po.cli", "install", "football", *map(str, arguments)],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip

    return run


def message(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


# What the system lacks.


def folder_of(tmp_path, *programs):
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program))
    return str(folder)


def test_without_a_compiler(command, tmp_path):
    said = message(command(PATH=folder_of(tmp_path, "make", "cmake") if shutil.which("cmake") else folder_of(tmp_path)), 2)
    assert "g++, " in said and "libsdl2-gfx-dev" in said and "has no apt-get" in said


needs_compiler = pytest.mark.skipif(not system.compiler(), reason="needs a C++ compiler")


@needs_compiler
@pytest.mark.football
def test_a_missing_library_is_named_by_its_package(monkeypatch, tmp_path):
    monkeypatch.setattr(
        system, "LIBRARIES", {"libopengl-dev": ("EGL/egl.h", "EGL"), "libnothing-dev": ("EGL/egl.h", "nothing"), "x-dev": ("x.h", "EGL")}
    )
    assert system.missing_packages() == ["libnothing-dev", "x-dev"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "apt-get").touch(mode=0o755)
    (tmp_path / "sudo").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path}")
    with pytest.raises(DependencyError, match=r"sudo apt-get install -y --no-install-recommends libnothing-dev x-dev$"):
        system.ensure_packages(apt=False, say=print)
    (tmp_path / "sudo").unlink()
    monkeypatch.setenv("PATH", os.pathsep.join((folder_of(tmp_path, "c++", "make", "cmake", "as", "ld"), str(tmp_path))))
    with pytest.raises(DependencyError, match=r": apt-get install .* libnothing-dev x-dev \(as root\)$"):
        system.ensure_packages(apt=True, say=print)


@needs_compiler
def test_a_compiler_behind_another_program(monkeypatch, tmp_path):
    (tmp_path / "ccache").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "ccache").chmod(0o755)
    monkeypatch.setattr(system, "LIBRARIES", {"libc6-dev": ("math.h", "m")})
    monkeypatch.setenv("CXX", f"{tmp_path / 'ccache'} {' '.join(system.compiler())}")
    assert "libc6-dev" not in system.missing_packages()


@pytest.mark.parametrize(("platform", "name"), [("darwin", "macOS"), ("win32", "Windows")])
def test_other_systems(home, monkeypatch, platform, name):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(DependencyError, match=f"Linux only, and this is {name}"):
        install.install_football()
    assert not home.exists()


@as_root
def test_a_disk_without_room(command, tmp_path):
    (tmp_path / "full").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path / "full"], check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        said = message(command(A2PO_CACHE=str(tmp_path / "full")), 1)
        assert f"'{tmp_path / 'full' / 'football'}'" in said and "350.0 MB to write, 8." in said
        assert [path.name for path in (tmp_path / "full" / "football").iterdir()] == [".lock"]
    finally:
        subprocess.run(["umount", tmp_path / "full"], check=True)


def test_a_cache_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").touch()
    assert "A2PO_CACHE=/path" in message(command(A2PO_CACHE=str(tmp_path / "file")), 2)


def test_what_there_is_to_install():
    done = subprocess.run(
        [sys.executable, "-m", "a2po.cli", "install", "fotball"], capture_output=True, text=True, timeout=200, check=False
    )
    assert "did you mean 'football'?" in message(done, 2)


# The source.


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of one file, and pip told of it alone."""
    page = tmp_path / "served" / "simple" / "gfootball"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f'<a href="../../files/{SDIST}#sha256=0">{SDIST}</a><a>nothing</a>')
    (tmp_path / "served" / "files").mkdir()
    (tmp_path / "served" / "files" / SDIST).write_bytes(b"the source")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append((self.path, self.headers.get("Authorization")))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://us%40er:secret@127.0.0.1:{server.server_port}/simple/")
    yield server
    server.shutdown()
    server.server_close()


def test_the_index_that_pip_was_told(index, tmp_path):
    expected = sha256(tmp_path / "served" / "files" / SDIST)
    place = fetch("gfootball", SDIST, expected, tmp_path / "got", sha256)
    assert (tmp_path / "got").read_bytes() == b"the source"
    assert place == f"http://127.0.0.1:{index.server_port}/files/{SDIST}"  # and no login
    login = "Basic dXNAZXI6c2VjcmV0"
    assert index.asked == [("/simple/gfootball/", login), (f"/files/{SDIST}", login)]


def test_a_folder_that_pip_was_told(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", f"/nowhere {tmp_path / 'served' / 'files'}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    fetch("gfootball", SDIST, sha256(tmp_path / "served" / "files" / SDIST), tmp_path / "got", sha256)
    assert (tmp_path / "got").read_bytes() == b"the source" and not index.asked


def test_another_file_is_not_unpacked(index, home, tmp_path):
    home.mkdir(parents=True)
    with pytest.raises(WorkFailed, match=r"SHA-256 .* instead of 1b0fdcfa78b7fadc.*--sdist"):
        get_source(home, None, print)
    with pytest.raises(UserError, match=f"is not {SDIST}: its SHA-256 is .* not {SDIST_SHA256}; nothing was unpacked"):
        get_source(home, tmp_path / "served" / "files" / SDIST, print)
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/simple", "Connection refused"),
        ("http://127.0.0.1:{port}/none", "404"),
        ("http://no.invalid/x", ""),
        ("127.0.0.1:{port}/simple", "unknown url type"),
        ("http://127.0.0.1:{port}x/simple", "nonnumeric port"),
    ],
)
def test_without_an_index(index, home, monkeypatch, address, reason):
    home.mkdir(parents=True)
    monkeypatch.setenv("PIP_INDEX_URL", address.format(port=index.server_port))
    with pytest.raises(WorkFailed, match=rf"could not be fetched \(.*{reason}.*give the file: a2po install football --sdist {SDIST}"):
        get_source(home, None, print)
    assert not list(home.iterdir())


def test_a_certificate_that_is_gone(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "gone.pem"))
    with pytest.raises(UserError, match=r"certificate '.*gone\.pem', which is not there"):
        fetch("gfootball", SDIST, "0", tmp_path / "got", sha256)


def test_a_variable_of_pip_that_is_empty(monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "")
    assert "index-url" not in pip_settings()


def test_pip_is_asked_for_its_files(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nproxy = http://proxy:1\n[download]\ncert = /a b\n[list]\ncert = /c\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.delenv("PIP_CERT", raising=False)
    told = pip_settings()
    if "proxy" not in told:
        pytest.skip("this environment has no pip")
    assert (told["proxy"], told["cert"]) == ("http://proxy:1", "/a b")


@pytest.mark.parametrize("kind", ["above", "absolute", "link"])
def test_nothing_is_unpacked_elsewhere(tmp_path, kind):
    entry = tarfile.TarInfo({"above": "top/../../evil", "absolute": f"{tmp_path}/evil", "link": "top/evil"}[kind])
    if kind == "link":
        entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(entry, BytesIO())
    with pytest.raises(WorkFailed, match=r"no file of its own folder: .*evil"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "to")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "to" / "top").exists()


# The build.


@pytest.fixture
def sdist():
    kept = library.engines_folder() / SDIST
    if not kept.is_file():
        pytest.skip(f"needs '{kept}', which a2po install football keeps")
    return kept


@needs_compiler
@pytest.mark.football
def test_the_first_error_is_told(sdist, tmp_path):
    if system.missing_packages():
        pytest.skip("the Debian packages are not installed")
    engine = unpack(sdist, tmp_path / "source") / "third_party" / "gfootball_engine"
    with (engine / "src" / "defines.hpp").open("a") as header:
        header.write("#error broken on purpose\n#error and a second time\n")
    with pytest.raises(WorkFailed, match=r"was not built: .*defines.hpp.*error.* broken on purpose \(the whole log: .*build.log\)$"):
        build(engine, tmp_path / "build", tmp_path / "build.log", jobs=1, progress=lambda *told: None)
    assert "and a second time" in (tmp_path / "build.log").read_text()


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "-- ok\nCMake Error at x:1 (find_library):\n  Could not find\n  SDL2\n\nmore",
            "CMake Error at x:1 (find_library): Could not find SDL2",
        ),
        ("c++: fatal error: Killed signal terminated program cc1plus\n", "fewer compilers at once need less: --jobs 1"),
        ("/usr/bin/ld: final link failed: No space left on device\nmake: *** Error 1", "No space left on device"),
        ("a.cpp: warning: terror\n", "make ended without a word"),
    ],
)
def test_errors_in_a_log(tmp_path, log, told):
    (tmp_path / "log").write_text(log)
    assert told in first_error(tmp_path / "log", "make")


# From the build on, with an engine that has been built before.


WITH_A_READY_ENGINE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background has it ignored
import shutil, sys, time
from a2po.envs.football.installer import install
from a2po.envs.football.library import find_library
ready, seconds = find_library(), float(sys.argv.pop(1))
def build(engine, folder, log, **rest):
    log.touch()
    folder.mkdir()
    print("building", flush=True)
    time.sleep(seconds)
    return shutil.copy(ready.library, folder)
install.build, install.ensure_packages = build, lambda **rest: None
import os
os.environ["A2PO_CACHE"] = os.environ["NEW_CACHE"]
os.environ.pop("A2PO_FOOTBALL", None)
from a2po.cli.app import main
main()
"""


@pytest.fixture
def installing(sdist, tmp_path):
    """Start the command with an engine that is ready in so many seconds; gives the process."""

    def start(seconds=0.0, *arguments):
        return subprocess.Popen(
            [sys.executable, "-c", WITH_A_READY_ENGINE, str(seconds), "install", "football", f"--sdist={sdist}", *arguments],
            env={**os.environ, "NEW_CACHE": str(tmp_path / "cache")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def names(home):
    return sorted(path.name for path in home.iterdir())


@pytest.mark.football
def test_install_then_nothing_then_mend(installing, tmp_path):
    home = tmp_path / "cache" / "football"
    output, errors = installing(0, "--json").communicate(timeout=200)
    first = json.loads(output.splitlines()[-1])
    assert first["built"] and first["as_stored"] and not first["others"], errors
    folder = Path(first["folder"])
    assert names(home) == [".lock", folder.name, SDIST] and folder.name == built_folder().name
    assert names(folder) == ["LICENSE", "data", "fonts", "installed.json", "libfootball.so", "python"]
    (home / "of-another-version").mkdir()
    (home / "of-another-version" / "libfootball.so").touch()
    output, errors = installing().communicate(timeout=200)
    assert "building" not in output and f"was installed already: {folder}\n" in output and "of-another-version" in output
    for part in (folder / "data" / "media" / "animations", folder / "python"):
        shutil.rmtree(part)
        output, errors = installing(0, "--json").communicate(timeout=200)
        assert "building it anew" in errors and json.loads(output.splitlines()[-1])["built"]
        assert part.is_dir()


@pytest.mark.football
def test_two_at_once(installing, tmp_path):
    both = [installing(1, "--json") for _ in range(2)]
    said = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(json.loads(output.splitlines()[-1])["built"] for output, _ in said) == [False, True]
    assert sum("another installation is at work" in errors for _, errors in said) == 1


@pytest.mark.football
@pytest.mark.parametrize(("cut", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_cut_short(installing, tmp_path, cut, code):
    home, process = tmp_path / "cache" / "football", installing(60)
    assert process.stdout.readline() == "building\n"
    process.send_signal(cut)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in errors
    left = [name for name in names(home) if name.startswith(".build-")]
    assert bool(left) == (cut == signal.SIGKILL)
    output, errors = installing(0).communicate(timeout=200)
    assert "football is installed in" in output and not [name for name in names(home) if name.startswith(".build-")], errors


# The proof.


@pytest.fixture
def linked(tmp_path):
    """The engine that is installed, in a folder where nothing is noted."""
    (tmp_path / "linked").mkdir()
    for part in install.PARTS:
        (tmp_path / "linked" / part).symlink_to(find_library().folder / part)
    return tmp_path / "linked"


@pytest.mark.football
def test_another_game(linked, monkeypatch):
    """It is refused, unless it is accepted; and accepted once is enough."""
    for module in (selftest, install):
        monkeypatch.setattr(module, "EXPECTED", "0" * 40)
    for prove in (install._prove, install._installed):
        with pytest.raises(selftest.OtherGame, match=r"300 steps gave the game \w{12}, not 000000000000: .*rounds.*--accept-difference"):
            prove(linked, False, print)
    said = []
    first, later = install._installed(linked, True, said.append), install._installed(linked, False, said.append)
    assert first == later and first["as_stored"] is False
    assert (
        "300 steps gave the game" in said[0]
        and said[1] == "self-test passed: the game of 300 steps is the one that was accepted, bit by bit"
    )


@pytest.mark.football
def test_what_is_in_place_is_only_read(linked, home):
    """A cache that others wrote, or in which another version is being built."""
    (home / ".lock").mkdir(parents=True)
    built_folder().symlink_to(linked)
    assert install.install_football()["built"] is False
    with pytest.raises(UserError, match="cannot be written"):
        install.install_football(force=True)


@pytest.mark.football
def test_an_engine_that_ends_its_process(tmp_path):
    (tmp_path / "libfootball.so").symlink_to(find_library().library)
    with pytest.raises(WorkFailed, match=r"self-test: the engine ended with (SIG|exit code)"):
        selftest.self_test(tmp_path)


def test_a_library_that_does_not_load(tmp_path):
    (tmp_path / "libfootball.so").write_bytes(b"no library")
    with pytest.raises(WorkFailed, match=r"exit code 1: .*does not load .*a2po install football --force"):
        selftest.self_test(tmp_path)
    with pytest.raises(DependencyError, match="does not load"):
        Installed(tmp_path).load()


def test_no_engine(home, monkeypatch, tmp_path):
    with pytest.raises(DependencyError, match=r"not installed; build it with: a2po install football$"):
        find_library()
    monkeypatch.setenv("A2PO_FOOTBALL", str(tmp_path / "empty"))
    with pytest.raises(
        DependencyError, match=r"not installed in '.*empty', which A2PO_FOOTBALL names; unset A2PO_FOOTBALL and .*: a2po install football$"
    ):
        find_library()


def test_the_cache(monkeypatch, tmp_path):
    for name in ("A2PO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert library.engines_folder() == tmp_path / ".cache" / "a2po" / "football"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert library.engines_folder() == tmp_path / "xdg" / "a2po" / "football"
    monkeypatch.setenv("A2PO_CACHE", str(tmp_path / "own"))
    assert library.engines_folder() == tmp_path / "own" / "football"
