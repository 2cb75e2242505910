"""SMAC's 23 battles, with the numbers of its map archives."""

from __future__ import annotations

from typing import Any, Final

from a2po.envs.smac.battle_map import BattleMap, Groups, Point

# The order of the type bits, allies and enemies. The enemies of a map with stalkers and zealots are counted the other way round.
_TYPE_ORDERS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "stalkers_and_zealots": (("stalker", "zealot"), ("zealot", "stalker")),
    "colossi_stalkers_zealots": (("colossus", "stalker", "zealot"), ("colossus", "stalker", "zealot")),
    "MMM": (("marauder", "marine", "medivac"), ("marauder", "marine", "medivac")),
    "bane": (("baneling", "zergling"), ("baneling", "zergling")),
}

_WEST: Final = (9.0, 16.0)
_EAST: Final = (23.0, 16.0)
_FAR_CORNER: Final = (27.91, 28.24)  # north-east; of the two maps that run from corner to corner
_NEAR_CORNER: Final = (4.47, 4.3298)


def _groups(text: str) -> Groups:
    """Read groups: `2 stalker, 3 zealot` -> (("stalker", 2), ("zealot", 3))."""
    words = [group.split() for group in text.split(",")]
    return tuple((kind, int(count)) for count, kind in words)


def _map(
    name: str,
    allies: str,
    enemies: str,
    limit: int,
    map_type: str,
    ally_points: tuple[Point, ...] = (_WEST,),
    enemy_points: tuple[Point, ...] = (_EAST,),
    **other: Any,
) -> BattleMap:
    """A row of the table below: one point serves all groups of a side; if `other` does not say where the enemy goes, then to the allies."""
    ally_groups, enemy_groups = _groups(allies), _groups(enemies)
    ally_order, enemy_order = _TYPE_ORDERS.get(map_type, ((), ()))
    return BattleMap(
        name,
        ally_groups,
        enemy_groups,
        limit,
        map_type,
        ally_points=ally_points * (len(ally_groups) // len(ally_points)),
        enemy_points=enemy_points * (len(enemy_groups) // len(enemy_points)),
        order_segment=other.pop("order_segment", (ally_points[0], ally_points[0])),
        ally_type_order=ally_order,
        enemy_type_order=enemy_order,
        healers_end="one",
        **other,
    )


_MAPS = (
    _map("3m", "3 marine", "3 marine", 60, "marines"),
    _map("8m", "8 marine", "8 marine", 120, "marines"),
    _map("25m", "25 marine", "25 marine", 150, "marines"),
    _map("5m_vs_6m", "5 marine", "6 marine", 70, "marines"),
    _map("8m_vs_9m", "8 marine", "9 marine", 120, "marines"),
    _map("10m_vs_11m", "10 marine", "11 marine", 150, "marines"),
    _map("27m_vs_30m", "27 marine", "30 marine", 180, "marines"),
    _map("MMM", "2 marauder, 7 marine, 1 medivac", "7 marine, 2 marauder, 1 medivac", 150, "MMM"),
    _map("MMM2", "2 marauder, 7 marine, 1 medivac", "8 marine, 3 marauder, 1 medivac", 180, "MMM"),
    _map("2s3z", "2 stalker, 3 zealot", "2 stalker, 3 zealot", 120, "stalkers_and_zealots"),
    _map("3s5z", "3 stalker, 5 zealot", "3 stalker, 5 zealot", 150, "stalkers_and_zealots"),
    _map("3s5z_vs_3s6z", "3 stalker, 5 zealot", "3 stalker, 6 zealot", 170, "stalkers_and_zealots"),
    _map("3s_vs_3z", "3 stalker", "3 zealot", 150, "stalkers", terrain="flat_full"),
    _map("3s_vs_4z", "3 stalker", "4 zealot", 200, "stalkers", terrain="flat_full"),
    _map("3s_vs_5z", "3 stalker", "5 zealot", 250, "stalkers", terrain="flat_full"),
    _map("1c3s5z", "1 colossus, 3 stalker, 5 zealot", "1 colossus, 3 stalker, 5 zealot", 180, "colossi_stalkers_zealots"),
    _map(
        "2m_vs_1z", "1 marine, 1 marine", "1 zealot", 150, "marines", ((13, 12), (19, 12)), ((16, 19),),
        order_segment=((13, 12), (19, 12)), terrain="octagon",
    ),
    _map(
        "corridor", "6 zealot", "24 zergling", 400, "zealots", ((19.0397, 19.1198),), (_FAR_CORNER,),
        order_segment=(_NEAR_CORNER, _NEAR_CORNER), terrain="corridor",
    ),
    _map("6h_vs_8z", "6 hydralisk", "8 zealot", 150, "hydralisks", ((14.5998, 9.49),), ((14.41, 16.7597),), terrain="round_pit"),
    _map(
        "2s_vs_1sc", "1 stalker, 1 stalker", "1 spine_crawler", 300, "stalkers",
        ((11.1208, 10.338), (16.976, 10.3662)), ((13.92, 20.0397),),
        enemy_order="guard", order_segment=((13.92, 20.0397), (13.92, 20.0397)), terrain="pentagon_pit",
    ),
    _map(
        "so_many_baneling", "7 zealot", "32 baneling", 100, "zealots", ((11.469, 12.0234),), (_FAR_CORNER,),
        order_segment=(_NEAR_CORNER, _NEAR_CORNER), terrain="staircase",
    ),
    _map(
        "bane_vs_bane", "4 baneling, 20 zergling", "20 zergling, 4 baneling", 200, "bane", ((16, 8), (16, 11)), ((16, 21), (16, 24)),
        terrain="octagon",
    ),
    _map(
        "2c_vs_64zg", "1 colossus, 1 colossus", "64 zergling", 400, "colossus", ((16, 16), (16, 16)), ((16, 9),),
        enemy_order="hunt", terrain="two_level_ramps",
    ),
)  # fmt: skip

MAPS: Final[dict[str, BattleMap]] = {battle.name: battle for battle in _MAPS}
"""SMAC's maps by name."""
