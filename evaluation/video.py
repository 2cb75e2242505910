"""What a video of a task shows and how fast: its file, its size, its tempo and its caption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2po.errors import UserError, did_you_mean, require
from a2po.evaluation.outputs import check_output

SUFFIXES = (".mp4", ".gif")
MAX_FPS = {".mp4": 30.0, ".gif": 12.5}
"""By default no film shows more pictures per second: what plays on every machine, and what keeps a gif small."""

RENDERS = ("top", "engine")
"""Who draws, in tasks that leave the choice: a view from above, or the game itself."""

FPS_WITHOUT_TIME = 4.0
"""Pictures per second where a task's steps stand for no time."""

GIF_SHARE = 2
"""A gif's sides are by default the task's own by this: its pictures are large files."""

LARGEST = 4096
SMALLEST = 16
READABLE = 240
"""Smaller pictures are enlarged by a whole factor, so that the caption can be read."""


@dataclass(frozen=True)
class VideoOptions:
    """How a video looks. What is None follows from the task and the format.

    Raises:
        UserError: there is no such ``render``.
    """

    size: tuple[int, int] | None = None  # width, height
    every: int | None = None  # steps from one picture to the next
    fps: float | None = None
    caption: bool = True
    force: bool = False  # replace a file that is there
    render: str = "top"  # one of RENDERS

    def __post_init__(self) -> None:
        if self.render not in RENDERS:
            raise UserError(f"render: '{self.render}' is unknown{did_you_mean(self.render, RENDERS)} (there are: {', '.join(RENDERS)})")


def check_video(path: Path, *, force: bool) -> None:
    """The video can be written: known format, packages there, a folder, nothing in the way unless ``force``.

    Raises:
        UserError: it cannot.
    """
    check_output(path, SUFFIXES, replace=force)
    require("the video", PIL="report", **({"imageio_ffmpeg": "report"} if path.suffix.lower() == ".mp4" else {}))


def parse_size(text: str) -> tuple[int, int]:
    """``"640x480"`` -> (640, 480); ``"240"`` is a square.

    Raises:
        UserError: it is no size.
    """
    width, _, height = text.lower().partition("x")
    try:
        size = int(width), int(height or width)
    except ValueError:
        raise UserError(f"--size {text}: expected WIDTHxHEIGHT in pixels, for example 640x480, or one number for a square") from None
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise UserError(f"--size {text}: width and height must be {SMALLEST} to {LARGEST} pixels")
    return size


def tempo(suffix: str, step_seconds: float | None, *, every: int | None = None, fps: float | None = None) -> tuple[int, float]:
    """(every how many steps a picture is taken, pictures per second): real time where the steps' time is known.

    Args:
        suffix: of the file.
        step_seconds: what one step stands for, or None.
        every: of the user; by default as small as ``MAX_FPS`` allows in real time.
        fps: of the user.
    """
    if not step_seconds:
        return every or 1, fps or FPS_WITHOUT_TIME
    every = every or max(1, int(np.ceil(1.0 / (step_seconds * MAX_FPS[suffix]) - 1e-9)))
    return every, fps or 1.0 / (step_seconds * every)


def pictures_per_step(suffix: str, step_seconds: float | None, most: int) -> int:
    """How many pictures are taken in one step of an environment that offers up to ``most``: evenly spaced, as ``MAX_FPS`` allows."""
    allowed = MAX_FPS[suffix] * (step_seconds or 0.0)
    return max((count for count in range(1, most + 1) if most % count == 0 and count <= allowed), default=1)


def readable(picture: np.ndarray) -> np.ndarray:
    """[H, W, 3], enlarged by a whole factor where it is small."""
    factor = -(-READABLE // picture.shape[0])
    return picture.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else picture


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """[H, W, 3] with one line of text in the upper left corner."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw, height = ImageDraw.Draw(image), max(11, picture.shape[0] // 28)
    font, margin = ImageFont.load_default(height), height // 2
    _, _, right, bottom = draw.textbbox((margin, margin), text, font=font)
    draw.rectangle((0, 0, right + margin, bottom + margin), fill=(40, 40, 40))
    draw.text((margin, margin), text, fill=(255, 255, 255), font=font)
    return np.asarray(image)
