"""The arrays from which the rules assemble the two sides of a battle: see ``a2po.envs.smac.rules.muster``."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.options import Options
from a2po.envs.smac.rules import muster as m
from a2po.envs.smac.spawn import lattice, spots
from a2po.envs.smac.terrain import Terrain

ENEMY_ORDERS = {"attack_move": f.ATTACK_MOVE, "hunt": f.HUNT, "guard": f.GUARD, "chase": f.GUARD}
SURROUNDED = {"points": 0.0, "reflect": 0.0, "surrounded": 1.0, "reflect_or_surrounded": 0.5}

Muster = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def muster(battle: BattleMap, terrain: Terrain, options: Options, size: int, standing: np.ndarray | None) -> Muster:
    """Who takes part in a battle of ``size`` columns, and where; ``standing`` [allies + enemies, 2]: not at the battle's places."""
    return (
        _roster(battle, size),
        _drafts(battle),
        np.argsort(np.argsort([unit.name for unit in battle.units])).astype(np.int32),
        _places(battle, terrain, size, standing),
        _odds(battle, options),
        _spots(battle, size),
    )


def _roster(battle: BattleMap, size: int) -> np.ndarray:
    """int32 [ROSTER_ROWS, P]: allies wait for their agents' orders, enemies have the map's."""
    roster = np.full((m.ROSTER_ROWS, size), -1, np.int32)
    names, agents = list(battle.draws), battle.num_agents
    for column, group in enumerate((*battle.ally_kinds, *battle.enemy_kinds)):
        enemy = column - agents
        twin = enemy if 0 <= enemy < agents else -1
        if battle.enemies_copy and twin >= 0:
            roster[m.R_COPY, column] = twin
        elif group in battle.draws:
            roster[m.R_DRAFT, column] = names.index(group)
        roster[m.R_KIND, column] = m.DRAWN if group in battle.draws else battle.row(group)
        roster[m.R_SIDE, column] = int(enemy >= 0)
        if "reflect" in battle.starts:
            roster[m.R_MIRROR, column] = twin
    roster[m.R_ORDER] = f.STOP
    roster[m.R_ORDER, agents : agents + battle.num_enemies] = ENEMY_ORDERS[battle.enemy_order]
    return roster


def _drafts(battle: BattleMap) -> np.ndarray:
    """float32 [drafts, types, 2]; at least one, so that there is an array."""
    drafts = np.zeros((max(1, len(battle.draws)), len(battle.units), 2), np.float32)
    for draft, draw in zip(drafts, battle.draws.values(), strict=False):
        shares = np.zeros(len(battle.units))
        for kind, weight in draw.weights:
            shares[battle.row(kind)] += weight
        last = np.flatnonzero(shares)[-1]
        draft[:, 0] = np.cumsum(shares) / shares.sum()
        draft[last:, 0] = 1.0  # no rounding leaves a gap behind the last type
        draft[[battle.row(kind) for kind in draw.never_alone], 1] = 1.0
    return drafts


def _places(battle: BattleMap, terrain: Terrain, size: int, standing: np.ndarray | None) -> np.ndarray:
    """float32 [2, P + 2, 4], in both packings."""
    places = np.zeros((2, size + 2, 4), np.float32)
    everybody = battle.num_agents + battle.num_enemies
    for packing, mirrored in zip(places, (False, True), strict=True):
        if standing is None:
            packing[:everybody] = spots(battle, terrain, mirrored=mirrored)
        else:
            packing[:everybody, :2] = standing
        packing[size:, :2] = battle.order_segment
    return places


def _odds(battle: BattleMap, options: Options) -> np.ndarray:
    """float32 [ODDS_COLUMNS]."""
    odds = np.zeros(m.ODDS_COLUMNS, np.float32)
    odds[m.O_SURROUNDED], odds[m.O_SORTED] = SURROUNDED[battle.starts], battle.drawn
    odds[m.O_CHASE] = battle.enemy_order == "chase"
    odds[m.O_ACCURACY_LOW], odds[m.O_ACCURACY_HIGH] = options.attack_probability
    odds[m.O_FRAILTY_LOW], odds[m.O_FRAILTY_HIGH] = options.health_level
    odds[m.O_MASKED] = options.enemy_mask
    odds[m.O_OPPONENT :] = options.opponent.thresholds
    return odds


def _spots(battle: BattleMap, size: int) -> np.ndarray:
    """float32 [P, 2]: a lattice as wide as the widest body on the ground."""
    units = [battle.unit(kind) for types in (*battle.ally_types, *battle.enemy_types) for kind in types]
    pitch = 2 * max((unit.separation_radius for unit in units if "ground" in unit.layers), default=0.5)
    return np.array(lattice(pitch)[:size], np.float32)
