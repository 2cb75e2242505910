"""Pictures to a video file: ``.mp4`` through ffmpeg, ``.gif`` through Pillow. Every frame is written as it comes.

The file takes its name when it is complete: a film that is broken off leaves nothing under that name.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from a2po.errors import DependencyError, WorkFailed
from a2po.files import complete_file


class Unwritable(Exception):
    """Why a film's file cannot be written."""


class Film(Protocol):
    """A video that is being written."""

    fps: float
    size: tuple[int, int]
    """Width and height of what is written, once there is a frame."""

    def add(self, picture: np.ndarray) -> None:
        """Write one frame: uint8 [H, W, 3], the same size for all."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def abandon(self) -> None:
        """Stop writing it."""
        ...


@contextmanager
def open_film(path: Path, fps: float) -> Iterator[Film]:
    """A film that appears at ``path`` when the block ends without an error.

    Raises:
        WorkFailed: the file cannot be written, for example because the disk is full.
    """
    with complete_file(path) as temporary:
        film: Film = (Mp4 if path.suffix.lower() == ".mp4" else Gif)(temporary, fps)
        try:
            yield film
            film.close()
        except Unwritable as error:
            film.abandon()
            raise WorkFailed(f"'{path}' could not be written: {error}") from None
        except BaseException:
            film.abandon()
            raise


class Mp4:
    """H.264 in an mp4, by the ffmpeg that the package imageio-ffmpeg brings. Sides are padded to even numbers, which H.264 needs."""

    def __init__(self, path: Path, fps: float) -> None:
        self.fps, self._path = fps, path
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the film
        self._program = _ffmpeg()

    def add(self, picture: np.ndarray) -> None:
        """See ``Film``."""
        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._process is None:
            self.size = even.shape[1], even.shape[0]
            self._process = self._start(*self.size)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(even.tobytes())
        except OSError:
            self._process.wait()
            raise self._failure() from None

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", repr(self.fps), "-i", "-"]
        # yuv420p is what every player takes; with faststart a browser shows the beginning before it has the end.
        target = ["-an", "-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(self._path)]
        command = [self._program, "-y", "-v", "error", *source, *target]
        # In a session of its own, so that Ctrl-C reaches us alone.
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, start_new_session=True)

    def close(self) -> None:
        """See ``Film``."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # ffmpeg is gone: its exit status says so
                self._process.stdin.close()
            if self._process.wait() != 0:
                raise self._failure()
        self._errors.close()

    def abandon(self) -> None:
        """See ``Film``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _failure(self) -> Unwritable:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.split("] ", 1)[-1].strip() for line in lines if line.strip()]
        status = self._process.returncode if self._process is not None else None
        return Unwritable(said[0] if said else f"ffmpeg ended with status {status}")


def _ffmpeg() -> str:
    """The path of the program."""
    import imageio_ffmpeg

    try:
        program: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise DependencyError("imageio-ffmpeg brings no ffmpeg for this machine: install ffmpeg, or write a .gif") from error
    return program


class Gif:
    """A looping gif. Pillow compresses each frame; the frames are chained here, because Pillow keeps all of them until the end.

    Source: "Graphics Interchange Format, Version 89a", CompuServe 1990.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._delay = max(2, round(100 / fps))  # in 1/100 s; browsers slow anything faster down
        self.fps = 100 / self._delay
        self._file = path.open("wb")
        self._begun = False

    def add(self, picture: np.ndarray) -> None:
        """See ``Film``."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(picture).quantize(256).save(buffer, "GIF", interlace=0)
        still = buffer.getvalue()
        height, width = picture.shape[:2]
        self.size = width, height
        blocks = [] if self._begun else [self._header(width, height)]
        blocks += [b"\x21\xf9\x04\x00", self._delay.to_bytes(2, "little"), b"\x00\x00", _frame(still)]
        self._write(b"".join(blocks))
        self._begun = True

    @staticmethod
    def _header(width: int, height: int) -> bytes:
        """Signature, screen without a colour table of its own, and the extension that says: for ever."""
        size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
        return b"GIF89a" + size + b"\x70\x00\x00" + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"

    def _write(self, block: bytes) -> None:
        try:
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from None

    def close(self) -> None:
        """See ``Film``."""
        self._write(b"\x3b")
        self._file.close()

    def abandon(self) -> None:
        """See ``Film``."""
        with suppress(OSError):
            self._file.close()


def _frame(still: bytes) -> bytes:
    """The picture of a one-picture gif, with the file's colour table as its own."""
    table_size, position = still[10] & 7, 13 + (6 << (still[10] & 7))
    table = still[13:position]
    while still[position] == 0x21:  # extensions: a label, then blocks that begin with their length
        position += 2
        while still[position]:
            position += still[position] + 1
        position += 1
    assert still[10] & 0x80 and not still[position + 9] & 0x80, "Pillow writes the table of a single picture for the whole file"
    return still[position : position + 9] + bytes([0x80 | table_size]) + table + still[position + 10 : -1]
