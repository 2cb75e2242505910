"""A picture whose unit is the map's cell, drawn large and made smaller, which smooths every edge."""

from __future__ import annotations

from functools import cache
from math import hypot
from typing import TYPE_CHECKING

import numpy as np

from a2po.envs.smac.chronicle import Point
from a2po.envs.smac.framing import Frame
from a2po.envs.smac.terrain import HIGH, LOW, RAMP, VOID, Terrain
from a2po.errors import require

if TYPE_CHECKING:
    from PIL import ImageFont

Colour = tuple[int, int, int]

OVERSIZE = 3
"""Pixels per pixel and axis while drawing."""

NOWHERE: Colour = (14, 16, 20)
BLOCKED: Colour = (34, 37, 40)
GROUND: dict[int, Colour] = {LOW: (62, 70, 66), HIGH: (96, 100, 84), RAMP: (79, 85, 75)}
EDGE: Colour = (136, 138, 122)
GRID: Colour = (255, 255, 255)
GRID_CELLS = 4


@cache
def font(pixels: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font that Pillow brings along."""
    from PIL import ImageFont

    return ImageFont.load_default(pixels)


class Canvas:
    """Shows a part of a map in ``size`` (width, height) pixels, which have its aspect.

    Raises:
        DependencyError: Pillow is missing.
    """

    def __init__(self, size: tuple[int, int], frame: Frame) -> None:
        require("the picture of a battle", PIL="report")
        from PIL import Image, ImageDraw

        width, height = size[0] * OVERSIZE, size[1] * OVERSIZE
        self.scale = width / frame.width
        self._left, self._top = width / 2 - self.scale * frame.x, height / 2 + self.scale * frame.y
        self._image = Image.new("RGB", (width, height), NOWHERE)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def picture(self) -> np.ndarray:
        """uint8 [H, W, 3]."""
        return np.asarray(self._image.reduce(OVERSIZE))

    def at(self, x: float, y: float) -> Point:
        """Pixels of a place on the map."""
        return self._left + self.scale * x, self._top - self.scale * y

    def pixels(self, cells: float) -> int:
        """A length, at least one pixel of the picture."""
        return max(OVERSIZE, round(cells * self.scale))

    def disc(
        self, x: float, y: float, radius: float, fill: Colour, alpha: int = 255, rim: Colour | None = None, width: float = 0.06
    ) -> None:
        """A filled circle."""
        left, bottom = self.at(x - radius, y - radius)
        right, top = self.at(x + radius, y + radius)
        self._draw.ellipse((left, top, right, bottom), (*fill, alpha), rim and (*rim, alpha), self.pixels(width) if rim else 0)

    def line(self, points: list[Point], colour: Colour, alpha: int = 255, width: float = 0.08) -> None:
        """A line through places on the map."""
        self._draw.line([self.at(*point) for point in points], (*colour, alpha), self.pixels(width), joint="curve")

    def shape(self, points: list[Point], colour: Colour, alpha: int = 255) -> None:
        """A filled polygon."""
        self._draw.polygon([self.at(*point) for point in points], (*colour, alpha))

    def box(self, west: float, south: float, east: float, north: float, colour: Colour, alpha: int = 255) -> None:
        """A filled rectangle."""
        left, bottom = self.at(west, south)
        right, top = self.at(east, north)
        self._draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), (*colour, alpha))

    def text(self, x: float, y: float, words: str, height: float, colour: Colour, rim: Colour | None = None) -> None:
        """Words around a place, ``height`` cells high."""
        size = max(7 * OVERSIZE, round(height * self.scale))
        self._draw.text(self.at(x, y), words, colour, font(size), "mm", stroke_width=OVERSIZE if rim else 0, stroke_fill=rim)


def draw_ground(canvas: Canvas, terrain: Terrain, variant: int) -> None:
    """The bare terrain."""
    level, walkable = terrain.level, terrain.walkable[variant]
    for x, y in np.argwhere(level != VOID):
        canvas.box(x, y, x + 1, y + 1, GROUND[int(level[x, y])] if walkable[x, y] else BLOCKED)
        if walkable[x, y] and level[x, y] == RAMP:
            for step in (0.25, 0.75):
                canvas.line([(x, y + step), (x + 1, y + step)], GROUND[HIGH], 140, 0.08)
    for line in range(0, level.shape[0] + 1, GRID_CELLS):
        canvas.line([(line, 0), (line, level.shape[1])], GRID, 18, 0.03)
        canvas.line([(0, line), (level.shape[0], line)], GRID, 18, 0.03)
    _draw_edges(canvas, walkable)


def _draw_edges(canvas: Canvas, walkable: np.ndarray) -> None:
    """Lines between what can be walked on and what cannot."""
    ringed = np.pad(walkable, 1)
    for x, y in np.argwhere(ringed[1:] != ringed[:-1]):
        canvas.line([(x, y - 1), (x, y)], EDGE, 255, 0.07)
    for x, y in np.argwhere(ringed[:, 1:] != ringed[:, :-1]):
        canvas.line([(x - 1, y), (x, y)], EDGE, 255, 0.07)


def toward(start: Point, end: Point) -> tuple[float, Point]:
    """The distance, and the unit vector from start to end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    distance = hypot(dx, dy)
    return distance, ((dx / distance, dy / distance) if distance > 0 else (1.0, 0.0))
