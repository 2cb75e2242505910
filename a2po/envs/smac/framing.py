"""Which part of the map a picture shows: where the units are, followed smoothly."""

from __future__ import annotations

from math import exp

import numpy as np

from a2po.envs.canvas import Frame
from a2po.envs.smac import fields as f
from a2po.envs.smac.chronicle import Moment
from a2po.envs.smac.terrain import VOID, Terrain

MARGIN = 2.5
"""Cells around the outermost units."""

SMALLEST = 15.0
"""Cells that are shown at least, from west to east."""

INERTIA_LOOPS = 12.0
"""After so many game loops the view has come most of the way to where it should be."""


def whole(terrain: Terrain, aspect: float) -> Frame:
    """All that is not void, with a little room around it, widened to ``aspect`` (width by height)."""
    columns, rows = np.flatnonzero((terrain.level != VOID).any(1)), np.flatnonzero((terrain.level != VOID).any(0))
    return _of_aspect(columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 1.5, rows[-1] + 1.5, 0.0, aspect)


def around(now: Moment, limit: Frame) -> Frame:
    """The living units within ``limit``, of the same aspect; all of ``limit`` where nobody lives."""
    living = now.living
    if not living:
        return limit
    x, y = now.W[f.X, living], now.W[f.Y, living]
    box = (float(x.min()) - MARGIN, float(y.min()) - MARGIN, float(x.max()) + MARGIN, float(y.max()) + MARGIN)
    frame = _of_aspect(*box, SMALLEST, limit.width / limit.height)
    if frame.width >= limit.width:
        return limit
    across, along = (limit.width - frame.width) / 2, (limit.height - frame.height) / 2
    centre = (min(max(frame.x, limit.x - across), limit.x + across), min(max(frame.y, limit.y - along), limit.y + along))
    return Frame(*centre, frame.width, frame.height)


def follow(frame: Frame, goal: Frame, loops: int) -> Frame:
    """The view after ``loops`` game loops on its way to ``goal``."""
    return frame.nearer(goal, 1 - exp(-loops / INERTIA_LOOPS))


def _of_aspect(west: float, south: float, east: float, north: float, least: float, aspect: float) -> Frame:
    width = max(east - west, (north - south) * aspect, least)
    return Frame((west + east) / 2, (south + north) / 2, width, width / aspect)
