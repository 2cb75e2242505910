"""The family ``smacv2``: SMACv2's fifteen battles, with teams and starts that are drawn for each episode, and an enemy that chases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from a2po.envs.smac import make_battle, opponent_names, perturbations, scripted_players
from a2po.envs.smac.battle_map import BattleMap, Draw
from a2po.errors import TaskError, did_you_mean

if TYPE_CHECKING:
    from a2po.envs.protocol import VectorEnv

__all__ = ["SMACV2", "make", "opponent_names", "perturbations", "scripted_players", "task_names"]

_SIZES: Final = ((5, 5), (10, 10), (20, 20), (10, 11), (20, 23))
# The types in the order of their bits, the last one rare; and what a side cannot consist of.
_RACES: Final = {
    "terran": (("marine", "marauder", "medivac"), frozenset({"medivac"})),
    "protoss": (("stalker", "zealot", "colossus"), frozenset[str]()),
    "zerg": (("zergling", "hydralisk", "baneling"), frozenset({"baneling"})),
}
_DEFAULTS: Final[dict[str, Any]] = {
    "obs_own_pos": True,
    "use_unit_ranges": True,
    "smacv2_head_bug": True,
    "smacv2_cone_bug": True,
    "spawn_jitter": 0.0,  # the places are drawn anyway
    "head_start": 1,
}


def _battle(race: str, agents: int, enemies: int) -> BattleMap:
    types, never_alone = _RACES[race]
    weights = tuple(zip(types, (0.45, 0.45, 0.1), strict=True))
    return BattleMap(
        f"{race}_{agents}_vs_{enemies}",
        allies=((race, agents),),
        enemies=((race, enemies),),
        limit=200,
        map_type=f"{race}_gen",
        ally_points=((0.0, 0.0, 15.0, 32.0),),
        enemy_points=((16.0, 0.0, 32.0, 32.0),),  # of those beyond the allies' number
        order_segment=((16.0, 16.0), (16.0, 16.0)),
        enemy_order="chase",
        terrain="flat_full",
        ally_type_order=types,
        enemy_type_order=types,
        draws={race: Draw(weights, never_alone)},
        enemies_copy=True,
        starts="reflect_or_surrounded",
        reward_regrowth=False,
        defaults=_DEFAULTS,
    )


SMACV2: Final[dict[str, BattleMap]] = {battle.name: battle for battle in (_battle(race, *size) for race in _RACES for size in _SIZES)}
"""SMACv2's battles by name."""


def task_names() -> list[str]:
    """All task names of the family, with the family prefix."""
    return [f"smacv2/{name}" for name in SMACV2]


def make(task: str, num_envs: int, **arguments: Any) -> VectorEnv:
    """Build B copies of ``smacv2/<race>_<agents>_vs_<enemies>``; see ``a2po.envs.smac.make``."""
    if task not in task_names():
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, task_names())}")
    return make_battle(task, SMACV2[task.removeprefix("smacv2/")], num_envs, **arguments)
