"""Sizes, names and offsets of one battle's observations and states, for the numpy encoder and for the compiled writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from a2po.envs.smac.battle_map import ACTIONS_BEFORE_TARGETS, BattleMap
from a2po.envs.smac.columns import AROUND, OBS_FORMS, STATE_FORMS, Blocks, ColumnNames, action_names

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
L_AROUND = 44  # 2 * place + L_AROUND: how far east and north lies each cell of AROUND; the ninth is the own one
L_KIND = 62  # 3 * kind + L_KIND: the bit of its type among allies, among enemies (-1: none); 1 if its target actions heal

STATE_SMAC, STATE_SHARED, STATE_AGENT = 0, 1, 2

# Entries of `Layout.scales`.
S_SIGHT_SQUARED, S_SHOOT_SQUARED = 0, 1  # of the ranges, centre to centre
S_PER_SIGHT, S_PER_STEP = 2, 3  # 1 / sight range, 1 / step limit
S_KIND = 4  # 3 * kind + S_KIND: 1 / hp, 1 / shield (0: none), 1 / SMAC's largest cooldown (of a healer: energy)

HALF_MAP: Final = 16.0
PER_MAP: Final = 1 / 32


class Flags(Protocol):
    """The options that decide what agents and critic see; a2po.envs.smac.options has their meaning and defaults."""

    @property
    def observation(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def obs_pathing_grid(self) -> bool: ...  # noqa: D102
    @property
    def obs_terrain_height(self) -> bool: ...  # noqa: D102
    @property
    def obs_last_action(self) -> bool: ...  # noqa: D102
    @property
    def obs_timestep_number(self) -> bool: ...  # noqa: D102
    @property
    def state_timestep_number(self) -> bool: ...  # noqa: D102
    @property
    def sight_range(self) -> float: ...  # noqa: D102
    @property
    def shoot_range(self) -> float: ...  # noqa: D102
    @property
    def max_episode_steps(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Layout:
    """What one battle's agents and critic see under given flags. Built by `Layout.of`."""

    num_agents: int
    num_enemies: int
    num_actions: int
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
    def of(cls, battle: BattleMap, flags: Flags) -> Layout:
        """What `flags` show of `battle`."""
        on_policy = flags.observation == "on_policy"
        state_form = flags.state if on_policy else "smac"
        obs_blocks = _present(battle, OBS_FORMS[flags.observation], flags.obs_timestep_number, on_policy or flags.obs_last_action)
        state_blocks = _present(battle, STATE_FORMS[state_form], flags.state_timestep_number, True)
        names = ColumnNames(battle, pathing=flags.obs_pathing_grid, height=flags.obs_terrain_height)
        per_agent = state_form == "agent"
        obs = [_named(names, obs_blocks, agent, skip_self=True) for agent in range(battle.num_agents)]
        state = _named(names, state_blocks, 0, skip_self=per_agent)
        return cls(
            num_agents=battle.num_agents,
            num_enemies=battle.num_enemies,
            num_actions=battle.num_actions,
            obs_blocks=obs_blocks,
            state_blocks=state_blocks,
            state_per_agent=per_agent,
            feature_names=tuple(_joined(columns) for columns in obs),
            state_feature_names=_joined(state),
            action_names=action_names(battle),
            table=_table(battle, flags, obs[0], state, "last" in obs_blocks["ally"], list(STATE_FORMS).index(state_form)),
            scales=_scales(battle, flags),
        )


Named = dict[str, tuple[str, ...]]


def _present(battle: BattleMap, form: Blocks, timestep: bool, last: bool) -> Blocks:
    """The form without what is switched off, and without the shields of sides where nobody has any."""
    enemy = () if _has_shield(battle, battle.enemy_types) else ("shield",)
    ally = (*(() if _has_shield(battle, battle.ally_types) else ("shield",)), *(() if last else ("last",)))
    return {
        block: tuple(feature for feature in features if feature not in (enemy if block == "enemy" else ally))
        for block, features in form.items()
        if timestep or block != "time"
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


def _table(battle: BattleMap, flags: Flags, obs: Named, state: Named, obs_last: bool, state_form: int) -> NDArray[np.int32]:
    table = np.full(L_KIND + 3 * len(battle.units), -1, np.int32)
    table[[L_AGENTS, L_ENEMIES, L_ACTIONS]] = battle.num_agents, battle.num_enemies, battle.num_actions
    table[L_TYPES] = battle.unit_type_bits
    table[[L_ALLY_SHIELD, L_ENEMY_SHIELD]] = _has_shield(battle, battle.ally_types), _has_shield(battle, battle.enemy_types)
    table[[L_OBS_LAST, L_ON_POLICY, L_STATE_FORM]] = obs_last, flags.observation == "on_policy", state_form
    table[[L_PATHING, L_HEIGHT]] = flags.obs_pathing_grid, flags.obs_terrain_height
    table[[L_OBS_SIZE, L_STATE_SIZE]] = len(_joined(obs)), len(_joined(state))
    table[[L_FIRST_TARGET, L_OPEN_TARGETS]] = ACTIONS_BEFORE_TARGETS, 0
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


def _scales(battle: BattleMap, flags: Flags) -> NDArray[np.float32]:
    sight, shoot = flags.sight_range, flags.shoot_range
    scales = [sight**2, shoot**2, 1 / sight, 1 / (flags.max_episode_steps or battle.limit)]
    for unit in battle.units:
        scales += [1 / unit.hp, 1 / unit.shield if unit.shield else 0.0, 1 / unit.cooldown_max]
    return np.array(scales, np.float32)
