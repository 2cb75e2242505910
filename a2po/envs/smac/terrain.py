"""Terrains: text grids with one character per cell, and what is read off them.

A file has 32 lines of 32 characters, north on top. The game's own walkable grid at cliff edges is not in SMAC's map archives,
so there are two readings of them: A, a cell is walkable that lies on the plateau; C, and that no cliff tile touches.

    cliff level      walkable in A and C   in A only   in neither
    1                         1                a           -
    2                         2                b           =
    ramp between              R                r           x
    void                                                   .
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.fields import SIZE
from a2po.errors import TaskError, did_you_mean

VOID, LOW, HIGH, RAMP = 0, 1, 2, 3
"""What `Terrain.level` holds."""

VARIANTS: Final = ("plateau", "cliff")
"""The readings A and C, in the order of `Terrain.walkable`."""

LEGEND: Final[dict[str, tuple[int, bool, bool]]] = {
    ".": (VOID, False, False),
    "1": (LOW, True, True),
    "a": (LOW, True, False),
    "-": (LOW, False, False),
    "2": (HIGH, True, True),
    "b": (HIGH, True, False),
    "=": (HIGH, False, False),
    "R": (RAMP, True, True),
    "r": (RAMP, True, False),
    "x": (RAMP, False, False),
}

# By level. An approximation: the game's grid holds 8 per unit of height, cliff levels are two units apart, and that level 1 lies
# at 191 of 255 is how usual maps are built; the archives do not say.
_HEIGHTS: Final = np.array([175, 191, 207, 199], np.float32) / 255

_FOLDER: Final = resources.files("a2po.envs.smac") / "terrains"
TERRAIN_NAMES: Final = tuple(sorted(entry.name.removesuffix(".txt") for entry in _FOLDER.iterdir() if entry.name.endswith(".txt")))


@dataclass(frozen=True, eq=False)
class Terrain:
    """The ground of a battle; all grids have the index [x, y]."""

    name: str
    walkable: NDArray[np.bool_]
    """[2, 32, 32]: the variants."""
    level: NDArray[np.int8]
    """[32, 32]: VOID, LOW, HIGH or RAMP."""
    height: NDArray[np.float32]
    """[32, 32] in [0, 1]: SMAC's `terrain_height`, approximated from the level."""


@cache
def load_terrain(name: str) -> Terrain:
    """A terrain of the package by its name, or the one that a text grid shows.

    Raises:
        TaskError: there is none of that name, or the grid is none.
    """
    if "\n" in name:
        return parse_terrain("grid", name)
    if name not in TERRAIN_NAMES:
        raise TaskError(f"there is no terrain {name!r}{did_you_mean(name, TERRAIN_NAMES)} (there are: {', '.join(TERRAIN_NAMES)})")
    return parse_terrain(name, (_FOLDER / f"{name}.txt").read_text(encoding="utf-8"))


def parse_terrain(name: str, text: str) -> Terrain:
    """Read a text grid.

    Raises:
        TaskError: it is not 32 lines of 32 characters of the legend; says which line and column.
    """
    lines = text.splitlines()
    if len(lines) != SIZE:
        raise TaskError(f"terrain {name}: {len(lines)} lines; a terrain has {SIZE}, north on top")
    for number, line in enumerate(lines, start=1):
        if len(line) != SIZE:
            raise TaskError(f"terrain {name}, line {number}: {len(line)} characters; a line has {SIZE}, west on the left")
        for column, character in enumerate(line, start=1):
            if character not in LEGEND:
                raise TaskError(f"terrain {name}, line {number}, column {column}: {character!r} is none of {' '.join(LEGEND)}")
    cells = np.array([[LEGEND[character] for character in line] for line in reversed(lines)]).transpose(2, 1, 0)
    level = cells[0].astype(np.int8)
    terrain = Terrain(name, cells[1:].astype(np.bool_), level, _HEIGHTS[level])
    for grid in (terrain.walkable, terrain.level, terrain.height):
        grid.flags.writeable = False  # load_terrain gives everyone the same arrays
    return terrain
