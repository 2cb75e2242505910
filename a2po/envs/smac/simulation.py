"""The battles of a batch on the processor: their memory, what they share, and the compiled rules that play them, in threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.mustering import muster
from a2po.envs.smac.options import Options
from a2po.envs.smac.rules.battle import BEGIN_BATTLES, LOOP_BATTLES, ORDER_BATTLES, SHOW_BATTLES, STEP_BATTLES
from a2po.envs.smac.rules.scoring import (
    REGROWTH_COSTS,
    REGROWTH_IGNORED,
    REGROWTH_PAYS,
    S_DEATH,
    S_DEFEAT,
    S_HEALERS_LOSE,
    S_NEGATIVE,
    S_REGROWTH,
    S_SCALE,
    S_SPARSE,
    S_WIN,
    SCORE_COLUMNS,
)
from a2po.envs.smac.specialise import bends, compiled
from a2po.envs.smac.terrain import Terrain
from a2po.envs.smac.units import unit_table

SMALLEST_SHARE = 32  # battles; with less than that for each thread, waking it costs more than it does


class Shown(NamedTuple):
    """What is written for every battle."""

    obs: np.ndarray  # float32 [B, N, O]
    state: np.ndarray  # float32 [B, 1 or N, S]
    mask: np.ndarray  # bool [B, N, A]
    alive: np.ndarray  # bool [B, N]


class Simulation:
    """B battles of one map.

    Args:
        battle: the map.
        terrain: its ground.
        options: of the family.
        layout: what is seen.
        num_envs: B.
        num_threads: how many threads share the battles; None: one per core.
        standing: where the units stand at first, [allies + enemies, 2], if not at the map's places.
    """

    def __init__(
        self,
        battle: BattleMap,
        terrain: Terrain,
        options: Options,
        layout: Layout,
        num_envs: int,
        num_threads: int | None,
        standing: np.ndarray | None = None,
    ) -> None:
        size = battle_size(battle)
        self.units = np.zeros((num_envs, f.FLOATS, size), np.float32)
        self.marks = np.zeros((num_envs, f.INTS, size), np.int32)
        self.rewards = np.zeros(num_envs, np.float32)
        self.results = np.zeros(num_envs, np.int32)
        self._all = np.arange(num_envs)
        self._play: Callable[..., None] = compiled(size).play_battles
        ground = np.ascontiguousarray(np.concatenate([terrain.walkable, terrain.level[None]]), np.int8)
        table = unit_table(battle.units)
        scores = score_parameters(battle, options)
        gathering = muster(battle, terrain, options, size, standing)
        self._shared = (table, ground, terrain.height, bends(terrain), scores, gathering, options.ranges)
        self.layout = (layout.table, layout.scales)
        self._no_actions = np.zeros((num_envs, battle.num_agents), np.int64)
        self._no_rivals = np.zeros((num_envs, battle.num_enemies), np.int64)
        self._no_seeds = np.zeros((num_envs, 2), np.int32)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = min(num_threads or cores, max(1, num_envs // SMALLEST_SHARE))
        self._executor = ThreadPoolExecutor(self._threads - 1, "a2po-battles") if self._threads > 1 else None

    def begin(self, copies: np.ndarray, seeds: np.ndarray, shown: Shown) -> None:
        """Begin the battles ``copies`` [K] with ``seeds`` [K] int64, and show them."""
        halves = np.ascontiguousarray(seeds, np.int64).view(np.int32).reshape(-1, 2)
        self._share(BEGIN_BATTLES, np.asarray(copies, np.int64), halves, self._no_actions, self._no_rivals, shown)

    def step(self, actions: np.ndarray, shown: Shown, rivals: np.ndarray | None = None) -> None:
        """Play one step of all battles with ``actions`` [B, N] int64: sets ``rewards`` [B] and ``results`` [B], and shows them.

        ``rivals`` [B, E] int64 are the actions of the enemies, in battles that another team leads them in.
        """
        self._share(STEP_BATTLES, self._all, self._no_seeds, actions, self._no_rivals if rivals is None else rivals, shown)

    def order(self, copies: np.ndarray, actions: np.ndarray, shown: Shown, rivals: np.ndarray | None = None) -> None:
        """Give the battles ``copies`` [K] the orders of a step, as in ``step``, and play nothing; nothing is shown."""
        self._share(ORDER_BATTLES, copies, self._no_seeds, actions, self._no_rivals if rivals is None else rivals, shown)

    def show(self, copies: np.ndarray, shown: Shown) -> None:
        """Show the battles ``copies`` [K] as they stand."""
        self._share(SHOW_BATTLES, copies, self._no_seeds, self._no_actions, self._no_rivals, shown)

    def loop(self, shown: Shown) -> None:
        """Play one game loop of all battles, without orders; nothing is shown."""
        self._share(LOOP_BATTLES, self._all, self._no_seeds, self._no_actions, self._no_rivals, shown)

    def _share(self, what: int, copies: np.ndarray, seeds: np.ndarray, actions: np.ndarray, rivals: np.ndarray, shown: Shown) -> None:
        """Let each thread, this one included, do one range of ``copies``. A battle depends on no other: the split cannot matter."""
        table, ground, height, paths, scores, *begin = self._shared
        state = (self.units, self.marks, table, ground, height, paths, scores, *begin, *self.layout)
        arguments = (copies, seeds, actions, rivals, self.rewards, self.results, shown, *state)
        threads = min(self._threads, max(1, len(copies) // SMALLEST_SHARE))
        ends = [len(copies) * share // threads for share in range(threads + 1)]
        helpers = []
        if self._executor is not None:
            helpers = [self._executor.submit(self._play, what, *part, *arguments) for part in pairwise(ends[1:])]
        self._play(what, ends[0], ends[1], *arguments)
        for helper in helpers:
            helper.result()

    def close(self) -> None:
        """End the threads."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor, self._threads = None, 1


def battle_size(battle: BattleMap) -> int:
    """P: the smallest size of compiled rules that holds all units."""
    return next(size for size in f.SIZES if size >= battle.num_agents + battle.num_enemies)


def score_parameters(battle: BattleMap, options: Options) -> np.ndarray:
    """float32 [SCORE_COLUMNS]: how a step is scored."""
    scores: Any = np.zeros(SCORE_COLUMNS, np.float32)
    scores[S_DEATH], scores[S_WIN], scores[S_DEFEAT] = battle.reward_death, battle.reward_win, battle.reward_defeat
    scores[S_NEGATIVE] = battle.reward_negative_scale
    scores[S_REGROWTH] = (REGROWTH_PAYS if battle.reward_regrowth else REGROWTH_IGNORED) if options.reward_only_positive else REGROWTH_COSTS
    scores[S_SPARSE] = options.reward_sparse
    scores[S_SCALE] = options.reward_scale_rate / battle.max_reward if options.reward_scale else 1.0
    somebody_heals = any(battle.unit(kind).heal for types in (*battle.ally_types, *battle.enemy_types) for kind in types)
    scores[S_HEALERS_LOSE] = ("one", "any").index(battle.healers_end) + 1 if somebody_heals else 0
    return np.asarray(scores)
