"""A picture whose unit is chosen by the drawer (a cell, a metre), drawn large and made smaller, which smooths every edge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSIZE = 3
"""Pixels per pixel and axis while drawing."""

NOWHERE: Colour = (14, 16, 20)


@dataclass(frozen=True)
class Frame:
    """The rectangle that a picture shows, in its units; y goes upwards."""

    x: float  # of the centre
    y: float
    width: float
    height: float

    def nearer(self, goal: Frame, share: float) -> Frame:
        """This one, brought nearer to ``goal`` by a share of the difference."""
        here, there = (self.x, self.y, self.width, self.height), (goal.x, goal.y, goal.width, goal.height)
        return Frame(*(own + share * (other - own) for own, other in zip(here, there, strict=True)))


@cache
def font(pixels: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font that Pillow brings along."""
    from PIL import ImageFont

    return ImageFont.load_default(pixels)


class Canvas:
    """Shows the part of the world in ``frame`` in ``size`` (width, height) pixels, which have its aspect.

    ``ground`` is what another canvas of the same size and frame has drawn, and this one begins with. Callers ``require`` Pillow.
    """

    def __init__(self, size: tuple[int, int], frame: Frame, ground: Image.Image | None = None) -> None:
        from PIL import Image, ImageDraw

        width, height = size[0] * OVERSIZE, size[1] * OVERSIZE
        self.scale = width / frame.width
        self._left, self._top = width / 2 - self.scale * frame.x, height / 2 + self.scale * frame.y
        self.image = Image.new("RGB", (width, height), NOWHERE) if ground is None else ground.copy()
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def picture(self) -> np.ndarray:
        """uint8 [H, W, 3]."""
        return np.asarray(self.image.reduce(OVERSIZE))

    def at(self, x: float, y: float) -> Point:
        """Pixels of a place in the world."""
        return self._left + self.scale * x, self._top - self.scale * y

    def pixels(self, length: float) -> int:
        """A length, at least one pixel of the picture."""
        return max(OVERSIZE, round(length * self.scale))

    def disc(
        self, x: float, y: float, radius: float, fill: Colour, alpha: int = 255, rim: Colour | None = None, width: float = 0.06
    ) -> None:
        """A filled circle."""
        left, bottom = self.at(x - radius, y - radius)
        right, top = self.at(x + radius, y + radius)
        self._draw.ellipse((left, top, right, bottom), (*fill, alpha), rim and (*rim, alpha), self.pixels(width) if rim else 0)

    def ring(self, x: float, y: float, radius: float, colour: Colour, alpha: int = 255, width: float = 0.08) -> None:
        """A circle."""
        left, bottom = self.at(x - radius, y - radius)
        right, top = self.at(x + radius, y + radius)
        self._draw.ellipse((left, top, right, bottom), None, (*colour, alpha), self.pixels(width))

    def line(self, points: list[Point], colour: Colour, alpha: int = 255, width: float = 0.08) -> None:
        """A line through places in the world."""
        self._draw.line([self.at(*point) for point in points], (*colour, alpha), self.pixels(width), joint="curve")

    def shape(self, points: list[Point], colour: Colour, alpha: int = 255) -> None:
        """A filled polygon."""
        self._draw.polygon([self.at(*point) for point in points], (*colour, alpha))

    def box(self, west: float, south: float, east: float, north: float, colour: Colour, alpha: int = 255) -> None:
        """A filled rectangle."""
        left, bottom = self.at(west, south)
        right, top = self.at(east, north)
        self._draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), (*colour, alpha))

    def text(self, x: float, y: float, words: str, height: float, colour: Colour, rim: Colour | None = None, anchor: str = "mm") -> None:
        """Words around a place, ``height`` units high, or as ``anchor`` says in Pillow's letters."""
        size = max(7 * OVERSIZE, round(height * self.scale))
        self._draw.text(self.at(x, y), words, colour, font(size), anchor, stroke_width=OVERSIZE if rim else 0, stroke_fill=rim)
