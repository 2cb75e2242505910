"""Sizes, names and offsets of one battle's observations and states, for the numpy encoder and for the compiled writer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.battle_map import ACTIONS_BEFORE_TARGETS, BattleMap
from a2po.envs.smac.columns import AROUND, OBS_FORMS, POSITION, SKILLS, STATE_FORMS, VIEW, Blocks, ColumnNames, action_names
from a2po.errors import TaskError

if TYPE_CHECKING:
    from a2po.envs.smac.options import Options

# Entries of `Layout.table`. Offsets are columns of an observation or state; -1: that part is missing.
L_AGENTS, L_ENEMIES, L_ACTIONS = 0, 1, 2
L_TYPES = 3  # length of the one-hot of a type
L_ALLY_SHIELD, L_ENEMY_SHIELD = 4, 5  # 1: a column for the shield
L_OBS_LAST = 6  # 1: the other allies' last actions are seen
L_ON_POLICY = 7  # 1: the own block begins with 1, 0, 0, 0 and ends with the own last action
L_STATE_FORM = 8  # STATE_SMAC, STATE_SHARED or STATE_AGENT
L_PATHING, L_HEIGHT = 9, 10  # 1: part of the move block
L_OBS_SIZE, L_STATE_SIZE = 11, 12
L_MOVE, L_ENEMY, L_ALLY, L_OWN, L_ID, L_TIME = 13, 14, 15, 16, 17, 18  # offsets in an observation
L_STATE_MOVE, L_STATE_ENEMY, L_STATE_ALLY, L_STATE_OWN, L_STATE_ID, L_STATE_TIME, L_STATE_LAST = 19, 20, 21, 22, 23, 24, 25
L_ENEMY_WIDTH, L_ALLY_WIDTH, L_STATE_ENEMY_WIDTH, L_STATE_ALLY_WIDTH = 26, 27, 28, 29  # columns per unit
L_FIRST_TARGET = 30  # number of the first action on a target
L_OPEN_TARGETS = 31  # 1: the mask shows all living targets
L_POSITION = 32  # 1: agents know where on the map they are
L_SIGHTINGS = 33  # 1: who saw an enemy first matters: see a2po.envs.smac.rules.sightings
L_HEAD_BUG = 34  # 1: enemies that an agent may not see blank those before them
L_CONE, L_CONE_BUG = 35, 36  # 1: sight is a cone; 1: which is tested as SMACv2 does it
L_ATTACK, L_HEALTH = 37, 38  # 1: a column for the attack probability, for the health level
L_TEAMMATES = 39  # 1: agents see these of their allies, too
L_MASKED = 40  # 1: agents cannot make out some enemies
L_EXTRAS = 41  # 1: any of these but the position
L_AROUND = 44  # 2 * place + L_AROUND: how far east and north lies each cell of AROUND; the ninth is the own one
L_KIND = 62  # 3 * kind + L_KIND: the bit of its type among allies, among enemies (-1: none); 1 if its target actions heal

STATE_SMAC, STATE_SHARED, STATE_AGENT = 0, 1, 2

# Entries of `Layout.scales`.
S_PER_STEP = 0  # 1 / step limit
S_SHARING = 1  # chance to see an enemy that another agent saw first
S_CONE = 2  # cosine of half the cone's angle
S_KIND = 3  # S_COLUMNS * kind + S_KIND: the first of a type's columns, which are
# 1 / hp, 1 / shield (0: none), 1 / SMAC's largest cooldown (of a healer: energy),
S_SIGHT_SQUARED, S_SHOOT_SQUARED, S_PER_SIGHT = 6, 7, 8  # and, for the first type, the ranges, centre to centre, and 1 / sight range
S_COLUMNS = 6

HALF_MAP: Final = 16.0
PER_MAP: Final = 1 / 32


ROUNDING: Final = 1e-5
"""By so much the cosine of a cone's edge is smaller than it should be, so that what stands on the edge is inside however one computes."""
MOST_AGENTS: Final = 32
"""That bits of an int32 can stand for."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What one battle's agents and critic see under given flags. Built by `Layout.of`."""

    num_agents: int
    num_enemies: int
    num_actions: int
    first_target: int
    """Number of the first action on a target; those that turn a cone of sight come before it."""
    obs_blocks: Blocks
    state_blocks: Blocks
    state_per_agent: bool
    """True: states are [B, N, S]; False: [B, S]."""
    feature_names: tuple[tuple[str, ...], ...]
    """Per agent the names of its observation's columns."""
    state_feature_names: tuple[str, ...]
    """The state's columns; where each agent has its own, those of the first."""
    action_names: tuple[tuple[str, ...], ...]
    table: NDArray[np.int32]
    """Flags, offsets and type bits by L_*."""
    scales: NDArray[np.float32]
    """By S_*."""

    @property
    def obs_size(self) -> int:
        """O, the same for all agents."""
        return len(self.feature_names[0])

    @property
    def state_size(self) -> int:
        """S."""
        return len(self.state_feature_names)

    @classmethod
    def of(cls, battle: BattleMap, options: Options) -> Layout:
        """What `options` show of `battle`.

        Raises:
            TaskError: there are too many agents for what the options ask.
        """
        check_size(battle, options)
        on_policy = options.observation == "on_policy"
        state_form = options.state if on_policy else "smac"
        last = on_policy or options.obs_last_action
        obs_blocks = _present(battle, options, OBS_FORMS[options.observation], time=options.obs_timestep_number, last=last)
        state_blocks = _present(battle, options, STATE_FORMS[state_form], time=options.state_timestep_number, last=True)
        actions = action_names(battle, options.turns)
        names = ColumnNames(battle, actions, pathing=options.obs_pathing_grid, height=options.obs_terrain_height)
        per_agent = state_form == "agent"
        obs = [_named(names, obs_blocks, agent, skip_self=True) for agent in range(battle.num_agents)]
        state = _named(names, state_blocks, 0, skip_self=per_agent)
        return cls(
            num_agents=battle.num_agents,
            num_enemies=battle.num_enemies,
            num_actions=battle.num_actions + options.turns,
            first_target=ACTIONS_BEFORE_TARGETS + options.turns,
            obs_blocks=obs_blocks,
            state_blocks=state_blocks,
            state_per_agent=per_agent,
            feature_names=tuple(_joined(columns) for columns in obs),
            state_feature_names=_joined(state),
            action_names=actions,
            table=_table(battle, options, obs[0], state, "last" in obs_blocks["ally"], list(STATE_FORMS).index(state_form)),
            scales=_scales(battle, options),
        )


def check_size(battle: BattleMap, options: Options) -> None:
    """Raises: TaskError, the battle has more agents than an option can be for."""
    if battle.num_agents > MOST_AGENTS and (options.keeps_sightings or options.enemy_mask > 0):
        what = "'prob_obs_enemy' below 1, 'smacv2_head_bug' and 'enemy_mask' are"
        raise TaskError(f"{battle.name}: options {what} for at most {MOST_AGENTS} agents, and here are {battle.num_agents}: leave them out")


Named = dict[str, tuple[str, ...]]


def _present(battle: BattleMap, options: Options, form: Blocks, *, time: bool, last: bool) -> Blocks:
    """The form without what is switched off, and without the shields of sides where nobody has any."""
    shields = {block: _has_shield(battle, battle.enemy_types if block == "enemy" else battle.ally_types) for block in form}
    shown = {
        **dict(zip(SKILLS, (options.draws_attack, options.draws_health), strict=True)),
        **dict.fromkeys(POSITION, options.obs_own_pos),
        **dict.fromkeys(VIEW, options.conic_fov),
        "last": last,
    }
    return {
        block: tuple(feature for feature in features if (shields[block] if feature == "shield" else shown.get(feature, True)))
        for block, features in form.items()
        if time or block != "time"
    }


def _has_shield(battle: BattleMap, types: tuple[tuple[str, ...], ...]) -> bool:
    return any(battle.unit(kind).shield > 0 for each in types for kind in each)


def _named(names: ColumnNames, blocks: Blocks, agent: int, *, skip_self: bool) -> Named:
    return {block: names.block(block, features, agent, skip_self=skip_self) for block, features in blocks.items()}


def _joined(named: Named) -> tuple[str, ...]:
    return tuple(name for names in named.values() for name in names)


def _offsets(named: Named) -> dict[str, int]:
    """Where each block begins."""
    lengths = [len(names) for names in named.values()]
    return {block: sum(lengths[:position]) for position, block in enumerate(named)}


def _table(battle: BattleMap, options: Options, obs: Named, state: Named, obs_last: bool, state_form: int) -> NDArray[np.int32]:
    table = np.full(L_KIND + 3 * len(battle.units), -1, np.int32)
    table[[L_AGENTS, L_ENEMIES, L_ACTIONS]] = battle.num_agents, battle.num_enemies, battle.num_actions + options.turns
    table[L_TYPES] = battle.unit_type_bits
    table[[L_ALLY_SHIELD, L_ENEMY_SHIELD]] = _has_shield(battle, battle.ally_types), _has_shield(battle, battle.enemy_types)
    table[[L_OBS_LAST, L_ON_POLICY, L_STATE_FORM]] = obs_last, options.observation == "on_policy", state_form
    table[[L_PATHING, L_HEIGHT]] = options.obs_pathing_grid, options.obs_terrain_height
    table[[L_OBS_SIZE, L_STATE_SIZE]] = len(_joined(obs)), len(_joined(state))
    table[[L_FIRST_TARGET, L_OPEN_TARGETS]] = ACTIONS_BEFORE_TARGETS + options.turns, not options.action_mask
    table[[L_POSITION, L_SIGHTINGS, L_HEAD_BUG]] = options.obs_own_pos, options.keeps_sightings, options.smacv2_head_bug
    table[[L_CONE, L_CONE_BUG]] = options.conic_fov, options.smacv2_cone_bug
    table[[L_ATTACK, L_HEALTH, L_TEAMMATES]] = options.draws_attack, options.draws_health, options.observe_teammates
    table[L_MASKED] = options.enemy_mask > 0
    table[L_EXTRAS] = np.any(table[[L_SIGHTINGS, L_CONE, L_ATTACK, L_HEALTH, L_MASKED, L_OPEN_TARGETS]] == 1)
    table[L_AROUND:L_KIND] = np.ravel((*AROUND, (0, 0)))
    blocks = ("move", "enemy", "ally", "own", "id", "time", "last")
    for first, offsets in ((L_MOVE, _offsets(obs)), (L_STATE_MOVE, _offsets(state))):
        for entry, block in enumerate(blocks, first):
            if block in offsets:
                table[entry] = offsets[block]
    others = battle.num_agents - 1
    table[L_ENEMY_WIDTH] = len(obs["enemy"]) // battle.num_enemies
    table[L_ALLY_WIDTH] = len(obs["ally"]) // max(others, 1)
    table[L_STATE_ENEMY_WIDTH] = len(state["enemy"]) // battle.num_enemies
    table[L_STATE_ALLY_WIDTH] = len(state["ally"]) // (max(others, 1) if state_form == STATE_AGENT else battle.num_agents)
    for kind, unit in enumerate(battle.units):
        bits = [order.index(unit.name) if unit.name in order else -1 for order in (battle.ally_type_order, battle.enemy_type_order)]
        table[L_KIND + 3 * kind : L_KIND + 3 * kind + 3] = *bits, unit.heal is not None
    return table


def _scales(battle: BattleMap, options: Options) -> NDArray[np.float32]:
    cone = math.cos(math.pi / options.num_fov_actions) - ROUNDING
    scales = [1 / (options.max_episode_steps or battle.limit), options.prob_obs_enemy, cone]
    for unit in battle.units:
        sight, shoot = options.sight_range, options.shoot_range
        if options.use_unit_ranges:
            sight, shoot = unit.sight_range, max(unit.reach, options.min_attack_range)
        # What stands exactly at the end of its sight an agent does not see; in a cone it does.
        seen: float = np.nextafter(np.float32(sight**2), np.float32(np.inf)) if options.conic_fov else sight**2
        scales += [1 / unit.hp, 1 / unit.shield if unit.shield else 0.0, 1 / unit.cooldown_max, seen, shoot**2, 1 / sight]
    return np.array(scales, np.float32)
