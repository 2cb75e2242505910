"""What a battle must be beyond its single keys: room for everybody on ground that carries them, and something to fight for."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.battle_teams import Group
from a2po.envs.smac.battle_toml import Document
from a2po.envs.smac.battle_values import dotted
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.spawn import NoRoom, spots
from a2po.envs.smac.terrain import Terrain, load_terrain
from a2po.envs.smac.units import Unit


def check_sense(document: Document, battle: BattleMap, allies: Sequence[Group], enemies: Sequence[Group]) -> None:
    """Note what makes a battle of good values a bad one."""
    terrain = load_terrain(battle.terrain)
    walkable = np.asarray(terrain.walkable.all(axis=0))
    if not walkable.any():
        document.problem(("terrain",), "nothing of the terrain can be walked on in both readings, 'plateau' and 'cliff'")
        return
    _check_fight(document, battle)
    mirrored = "reflect" in battle.starts
    if "surrounded" in battle.starts and not walkable.all() and not all(unit.flies for unit in _units(battle, *battle.ally_types)):
        document.problem(("starts",), f"starts = '{battle.starts}' needs a terrain that can be walked on everywhere: 'flat_full'")
    for group in (*allies, *enemies):
        if group.used and any(not unit.flies for unit in _units(battle, battle.types_of(group.kind))):
            _check_ground(document, group, walkable, mirrored and group in allies)
    document.check()
    _check_room(document, battle, terrain, (*allies, *enemies))


def _check_fight(document: Document, battle: BattleMap) -> None:
    """Somebody must be able to win."""
    own, foes = _units(battle, *battle.ally_types), _units(battle, *battle.enemy_types)
    if not any(_can_hurt(unit, foe) for unit in own for foe in foes):
        document.problem(("allies",), "no ally can hurt an enemy: nobody has a weapon that reaches one of them")
    if all(foe.heal is not None for foe in foes) and (battle.healers_end == "any" or battle.num_enemies == 1):
        document.problem(("enemies",), "the enemies are healers alone, and so beaten before the battle begins")


def _can_hurt(unit: Unit, foe: Unit) -> bool:
    weapon = unit.weapon
    return weapon is not None and weapon.damage + weapon.bonus > 0 and bool(weapon.targets & foe.planes)


def _units(battle: BattleMap, *types: Sequence[str]) -> list[Unit]:
    return [battle.unit(kind) for kind in dict.fromkeys(kind for each in types for kind in each)]


def _check_ground(document: Document, group: Group, walkable: np.ndarray, mirrored: bool) -> None:
    """Who walks begins on ground that can be walked on in both readings of the terrain."""
    for number, (west, south, *end) in enumerate(group.places):
        east, north = end or (west, south)
        cells = _cells(walkable, west, south, east, north)
        if mirrored:
            cells = cells & _cells(walkable, SIZE - east, south, SIZE - west, north)[::-1]
        if cells.all():
            continue
        x, y = np.argwhere(~cells)[0]
        what = f"cell [{int(west) + x}, {int(south) + y}]{', or its mirror image,' if mirrored else ''}"
        path = group.place_path(number)
        missing = "" if group.place_key else f": its place is not given, and in the usual one, {[*group.places[0]]}"
        document.problem(
            path, f"{dotted(path)}{missing}: {what} cannot be walked on in both readings of the terrain, 'plateau' and 'cliff'"
        )


def _cells(walkable: np.ndarray, west: float, south: float, east: float, north: float) -> np.ndarray:
    """Of all cells that an area, or a point, touches."""
    first_x, first_y = min(int(west), SIZE - 1), min(int(south), SIZE - 1)
    return walkable[first_x : max(first_x + 1, ceil(east)), first_y : max(first_y + 1, ceil(north))]


def _check_room(document: Document, battle: BattleMap, terrain: Terrain, groups: Sequence[Group]) -> None:
    for mirrored in (False, True):
        try:
            places = spots(battle, terrain, mirrored=mirrored)
        except NoRoom as full:
            group = next(group for group in groups if any(tuple(place) == full.point and group.kind == full.kind for place in group.places))
            where = f"[{full.point[0]:g}, {full.point[1]:g}]"
            document.problem(group.place_path(), f"{dotted(group.path)}: the terrain has no room for all of them around {where}")
            return
        if "reflect" in battle.starts:
            twins = places[: min(battle.num_agents, battle.num_enemies)]
            fixed = [(x, y) for x, y, east, _ in twins if not east and not terrain.walkable[:, int(SIZE - x), int(y)].all()]
            if fixed and any(not unit.flies for unit in _units(battle, *battle.ally_types)):
                document.problem(("starts",), f"starts = '{battle.starts}': an enemy at the mirror image of {fixed[0]} stands on no ground")
                return
