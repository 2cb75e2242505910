"""Where the units stand when a battle begins.

The game packs a group around the point where it creates it; how is not in SMAC's map archives. Here each unit takes the nearest
free place of a hexagonal lattice around its group's point, one body wide: a large group becomes a disc.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.battle_map import Area, BattleMap, Groups, Point
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.terrain import Terrain, load_terrain
from a2po.envs.smac.units import Unit
from a2po.errors import TaskError

_TOUCHING: Final = 1e-6  # bodies that touch do not overlap

Placed = list[tuple[float, float, Unit]]
Spot = tuple[float, float, float, float]
"""A place, and how far the area that it is the corner of goes east and north."""


class NoRoom(TaskError):
    """The terrain has no room for a unit of a group around its point."""

    def __init__(self, battle: BattleMap, kind: str, point: Point) -> None:
        where = f"terrain {battle.terrain}" if "\n" not in battle.terrain else "the terrain"
        super().__init__(f"{battle.name}: {where} has no room for a {kind} near {point}")
        self.kind, self.point = kind, point


def layout(battle: BattleMap, terrain: Terrain | None = None, *, mirrored: bool = False) -> NDArray[np.float32]:
    """The units' positions before any noise, [allies + enemies, 2]; see `spots`."""
    return spots(battle, terrain, mirrored=mirrored)[:, :2]


def spots(battle: BattleMap, terrain: Terrain | None = None, *, mirrored: bool = False) -> NDArray[np.float32]:
    """The units' places before any noise, [allies + enemies, 4]: allies in agent order, enemies in creation order.

    The last two numbers say how far the area goes east and north of the place; 0 where the place is a point.

    Within a type SMAC numbers its agents from west to east, then from south to north. Bodies that share a collision layer do not
    overlap. Units that walk stand where both readings of the terrain are walkable. ``mirrored``: the enemies' groups are packed as
    in a mirror, east for west; else both sides' are packed alike.

    Raises:
        NoRoom: the terrain has no room for a unit.
    """
    blocked = np.argwhere(~(terrain or load_terrain(battle.terrain)).walkable.all(axis=0))
    placed: Placed = []
    allies = _place_groups(battle, battle.allies, battle.ally_points, placed, blocked)
    enemies = _place_groups(battle, battle.enemies, battle.enemy_points, placed, blocked, -1 if mirrored else 1)
    allies = {kind: sorted(points) for kind, points in allies.items()}
    in_agent_order = [allies[kind].pop(0) for kind in battle.ally_kinds]
    in_creation_order = [enemies[kind].pop(0) for kind in battle.enemy_kinds]
    return np.array(in_agent_order + in_creation_order, np.float32)


def _place_groups(
    battle: BattleMap, groups: Groups, points: tuple[Point | Area, ...], placed: Placed, blocked: NDArray[np.int64], sense: int = 1
) -> dict[str, list[Spot]]:
    """Each type's places in creation order. Both sides create their types in the order of the enemy's groups."""
    creation = [kind for kind, _ in battle.enemies]
    order = sorted(range(len(groups)), key=lambda group: creation.index(groups[group][0]) if groups[group][0] in creation else group)
    positions: dict[str, list[Spot]] = {kind: [] for kind, _ in groups}
    for group in order:
        kind, count = groups[group]
        west, south, *area = points[group]
        if area:  # drawn anew in each battle: from its corner
            positions[kind] += [(west, south, area[0] - west, area[1] - south)] * count
            continue
        unit = max(map(battle.unit, battle.types_of(kind)), key=lambda unit: ("ground" in unit.layers, unit.separation_radius))
        for _ in range(count):
            place = _free_place(unit, (west, south), placed, blocked, sense)
            if place is None:
                raise NoRoom(battle, kind, (west, south))
            placed.append((*place, unit))
            positions[kind].append((*place, 0.0, 0.0))
    return positions


def _free_place(unit: Unit, point: Point, placed: Placed, blocked: NDArray[np.int64], sense: int) -> Point | None:
    """The nearest place of the lattice, whose x axis points east (``sense`` 1) or west (-1)."""
    neighbours = [(x, y, unit.separation_radius + other.separation_radius) for x, y, other in placed if unit.layers & other.layers]
    for east, north in lattice(2 * unit.separation_radius):
        x, y = point[0] + sense * east, point[1] + north
        if all(math.hypot(x - other_x, y - other_y) > apart - _TOUCHING for other_x, other_y, apart in neighbours) and (
            _inside(x, y, unit.wall_radius) and (unit.flies or _on_ground(x, y, unit.wall_radius, blocked))
        ):
            return x, y
    return None


def _inside(x: float, y: float, radius: float) -> bool:
    return radius <= min(x, y) and max(x, y) <= SIZE - radius


def _on_ground(x: float, y: float, radius: float, blocked: NDArray[np.int64]) -> bool:
    """Whether no blocked cell is nearer to the centre than `radius`."""
    nearest = np.clip((x, y), blocked, blocked + 1)
    return bool((np.hypot(*(nearest - (x, y)).T) > radius - _TOUCHING).all())


@cache
def lattice(pitch: float) -> tuple[Point, ...]:
    """The places of a hexagonal lattice, nearest to the origin first; opposite ones follow each other, so that no half ring leans over."""
    column, steps = pitch * math.sqrt(3) / 2, math.ceil(SIZE / pitch)
    places = [(i * column, (j + (i % 2) / 2) * pitch) for i in range(-steps, steps + 1) for j in range(-steps, steps + 1)]

    def rank(place: Point) -> tuple[float, float, bool]:
        x, y = place
        angle = round(math.atan2(y, x), 6)
        # From north on, each direction with its opposite.
        return round(math.hypot(x, y), 6), round((angle - math.pi / 2) % math.pi, 5) % round(math.pi, 5), angle < 0

    return tuple(sorted(places, key=rank))
