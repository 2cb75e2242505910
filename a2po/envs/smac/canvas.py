"""The ground of a battle's picture, whose unit is the map's cell."""

from __future__ import annotations

from math import hypot

import numpy as np

from a2po.envs.canvas import Canvas, Colour, Point
from a2po.envs.smac.terrain import HIGH, LOW, RAMP, VOID, Terrain

BLOCKED: Colour = (34, 37, 40)
GROUND: dict[int, Colour] = {LOW: (62, 70, 66), HIGH: (96, 100, 84), RAMP: (79, 85, 75)}
EDGE: Colour = (136, 138, 122)
GRID: Colour = (255, 255, 255)
GRID_CELLS = 4


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
