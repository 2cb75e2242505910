"""Ways round obstacles: for every pair of cells the next cell to walk to in a straight line.

A shortest way bends only at the outer corners of obstacles, so the ways are those of the graph of the cells that lie diagonally
at such a corner. Plain loops over arrays: compiled code calls them; without a compiler they are slow.
A cell is 32 * x + y; cells outside the map are blocked. Distances are between centres of cells.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.fields import SIZE

BODY = 0.375  # radius of what must have room on a straight line
CELLS = SIZE * SIZE
TIE = 1e-6


def waypoints(walkable: NDArray[np.bool_]) -> NDArray[np.int16]:
    """For `walkable` [32, 32] the table [1024, 1024]: from a cell to a goal, the cell to walk to in a straight line.

    The goal itself if the straight line to it has room for a body, else the first bend of the shortest way (of equally long ways the
    one that goes straight the farthest); -1 if there is no way. A cell that is not walkable counts as the walkable one nearest to it.
    """
    blocked = blocked_below(walkable)
    seen = sight(walkable, blocked)
    corners = outer_corners(walkable)
    lengths = corner_lengths(corners, seen)
    table = np.full((CELLS, CELLS), np.int16(-1), np.int16)
    stand = nearest_walkable(walkable)
    first_bends(walkable, seen, corners, lengths, table)
    for start in range(CELLS):
        if stand[start] != start and stand[start] >= 0:
            table[start] = table[stand[start]]
    for goal in range(CELLS):
        if stand[goal] != goal and stand[goal] >= 0:
            for start in range(CELLS):
                table[start, goal] = table[start, stand[goal]]
    return table


def straight_everywhere(walkable: NDArray[np.bool_]) -> bool:
    """Whether no walkable cell is hidden from another: who walks straight there slides along a wall at most, and needs no table.

    Asked of the cells at the border only: a line between two inner ones that leaves the ground does so between two of these.
    """
    blocked = blocked_below(walkable)
    padded = np.pad(walkable, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border = np.flatnonzero((walkable & ~inner).ravel()).tolist()
    return all(straight(blocked, start, goal, 0.0) for start in border for goal in border if start < goal)


def blocked_below(walkable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """[32, 33]: how many of the cells below a row are blocked, per column."""
    count = np.zeros((SIZE, SIZE + 1), np.int32)
    for x in range(SIZE):
        for y in range(SIZE):
            count[x, y + 1] = count[x, y] + (0 if walkable[x, y] else 1)
    return count


def straight(blocked: NDArray[np.int32], start: int, goal: int, body: float) -> bool:
    """Whether a body of that radius goes straight from one cell's centre to another's without entering a blocked cell. Exact.

    Column by column: the rows that the body sweeps there, never beyond the rows of the two ends.
    """
    first, last = min(start, goal), max(start, goal)
    x, y = first // SIZE, first % SIZE
    end_x, end_y = last // SIZE, last % SIZE
    bottom, top = min(y, end_y), max(y, end_y)
    if x == end_x:
        return bool(blocked[x, top + 1] == blocked[x, bottom])
    slope = (end_y - y) / (end_x - x)
    half = body * math.sqrt(1.0 + slope * slope) - TIE
    for column in range(x, end_x + 1):
        west = y + slope * (max(column - 0.5, x) - x)
        east = y + slope * (min(column + 0.5, end_x) - x)
        low = math.floor(max(min(west, east) - half, bottom) + 0.5)
        high = math.ceil(min(max(west, east) + half, top) - 0.5)
        if blocked[column, high + 1] != blocked[column, low]:
            return False
    return True


def sight(walkable: NDArray[np.bool_], blocked: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[1024, 1024]: which pairs of walkable cells are on a straight line."""
    seen = np.zeros((CELLS, CELLS), np.bool_)
    for start in range(CELLS):
        if walkable[start // SIZE, start % SIZE]:
            for goal in range(start, CELLS):
                if walkable[goal // SIZE, goal % SIZE] and straight(blocked, start, goal, BODY):
                    seen[start, goal] = seen[goal, start] = True
    return seen


def outer_corners(walkable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The walkable cells with a blocked cell at a diagonal and free ones beside it."""
    corners = np.empty(CELLS, np.int32)
    count = 0
    for x in range(SIZE):
        for y in range(SIZE):
            if walkable[x, y] and is_outer_corner(walkable, x, y):
                corners[count] = SIZE * x + y
                count += 1
    return corners[:count]


def is_outer_corner(walkable: NDArray[np.bool_], x: int, y: int) -> bool:
    """Whether a way may bend in this cell."""
    for dx in (-1, 1):
        for dy in (-1, 1):
            inside = 0 <= x + dx < SIZE and 0 <= y + dy < SIZE
            if inside and not walkable[x + dx, y + dy] and walkable[x + dx, y] and walkable[x, y + dy]:
                return True
    return False


def apart(one: int, other: int) -> float:
    """Between the centres of two cells."""
    dx, dy = one // SIZE - other // SIZE, one % SIZE - other % SIZE
    return math.sqrt(dx * dx + dy * dy)


def corner_lengths(corners: NDArray[np.int32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[corners, 1024]: how long the shortest way from each corner to each cell is, infinite if there is none."""
    count = len(corners)
    between = np.full((count, count), np.inf)
    for one in range(count):
        for other in range(count):
            if seen[corners[one], corners[other]]:
                between[one, other] = apart(corners[one], corners[other])
    for middle in range(count):
        for one in range(count):
            for other in range(count):
                between[one, other] = min(between[one, other], between[one, middle] + between[middle, other])
    lengths = np.full((count, CELLS), np.inf)
    for goal in range(CELLS):
        for last in range(count):
            if seen[corners[last], goal]:
                rest = apart(corners[last], goal)
                for one in range(count):
                    lengths[one, goal] = min(lengths[one, goal], between[one, last] + rest)
    return lengths


def first_bends(
    walkable: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    corners: NDArray[np.int32],
    lengths: NDArray[np.float64],
    table: NDArray[np.int16],
) -> None:
    """Fill the table for walkable cells."""
    near = np.empty(len(corners), np.int64)
    for start in range(CELLS):
        count = 0
        for corner in range(len(corners)):
            if seen[start, corners[corner]]:
                near[count] = corner
                count += 1
        for goal in range(CELLS):
            if seen[start, goal]:
                table[start, goal] = goal
                continue
            shortest, farthest = np.inf, 0.0
            for candidate in range(count):
                leg = apart(start, corners[near[candidate]])
                length = leg + lengths[near[candidate], goal]
                if length < shortest - TIE or (length < shortest + TIE and leg > farthest):
                    shortest, farthest = length, leg
                    table[start, goal] = corners[near[candidate]]


def nearest_walkable(walkable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """[1024]: each cell's nearest walkable one, which is itself where it can; -1 if there is none at all."""
    nearest = np.full(CELLS, np.int32(-1), np.int32)
    for cell in range(CELLS):
        shortest = np.inf
        for other in range(CELLS):
            if walkable[other // SIZE, other % SIZE] and apart(cell, other) < shortest:
                shortest = apart(cell, other)
                nearest[cell] = other
    return nearest
