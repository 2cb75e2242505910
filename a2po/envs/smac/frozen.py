"""An exported team that leads the enemies. It sees and acts as it did in training: as agents, from its own side of the map.

Behind each battle that it fights in there is a second one on a stage: the same units at the same places, but its own units are the
agents there, and the map is reflected, because teams are trained on one side of it. The stage belongs to the task and the options that
the team was trained with, so the compiled rules show it what it knows, with every option and quirk. No game loop is ever played there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import ACTIONS_BEFORE_TARGETS, BattleMap
from a2po.envs.smac.fitting import check_fit, trained_on
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.simulation import Shown, Simulation
from a2po.envs.smac.terrain import Terrain
from a2po.errors import BundleError, TaskError, require
from a2po.runtime import Team

NO_ORDER = -1
"""As an order of a unit on the stage, and as an action: the order before stays in force."""
SEEN_NUMBERS = [f.X, f.Y, f.HP, f.SHIELD, f.ENERGY]
SEEN_MARKS = [f.ALIVE, f.COOLDOWN, f.PLANES]
SEEN_COUNTERS = [f.LOOP, f.STEP, f.VARIANT]
MIRRORED_COMPASS = {f.X: np.array([0, 1, 2, 3, 5, 4]), f.Y: np.array([0, 1, 3, 2, 4, 5])}
"""What the first actions of the team are called on the other side: east is west, or north is south."""


class FrozenTeam:
    """The team of one bundle, greedy, in any of B battles.

    Args:
        task: the name of the task whose enemies it leads.
        path: the bundle.
        battle: that task's battle.
        terrain: its ground.
        num_envs: B.
        num_threads: as of the simulation.

    Raises:
        TaskError: there is no such bundle, or its team cannot lead these enemies; says why.
        DependencyError: onnxruntime is not installed.
    """

    def __init__(self, task: str, path: str, battle: BattleMap, terrain: Terrain, num_envs: int, num_threads: int | None) -> None:
        require(f"the opponent '{path}'", onnxruntime="cpu")
        try:
            self.team = Team.load(path)
        except BundleError as error:
            where = "" if Path(path).exists() or Path(path).is_absolute() else f" (looked for from the working folder '{Path.cwd()}')"
            raise TaskError(f"{task}: option 'opponent': {error}{where}") from None
        self.path, self.fingerprint = path, self.team.bundle.fingerprint
        own, options = trained_on(task, path, self.team.bundle)
        layout = Layout.of(own, options)
        check_fit(task, path, self.team.bundle, battle, own, layout)
        self._axis = mirror_axis(battle)
        self._compass, self._first_target = MIRRORED_COMPASS[self._axis], layout.first_target
        standing = np.zeros((own.num_agents + own.num_enemies, 2), np.float32)
        self._stage = Simulation(own, mirrored(terrain, self._axis), options, layout, num_envs, num_threads, standing)
        self._shown = Shown(
            np.zeros((num_envs, own.num_agents, layout.obs_size), np.float32),
            np.zeros((num_envs, own.num_agents if layout.state_per_agent else 1, layout.state_size), np.float32),
            np.zeros((num_envs, own.num_agents, layout.num_actions), np.bool_),
            np.zeros((num_envs, own.num_agents), np.bool_),
        )
        rows = {unit.name: row for row, unit in enumerate(own.units)}
        self._kinds = np.array([*(rows.get(unit.name, -1) for unit in battle.units), -1], np.int32)  # the last one for empty columns
        self._heals = np.array([*(unit.heal is not None for unit in battle.units), False])
        alphabet = sorted(unit.name for unit in battle.units)
        self._ranks = np.array([*(alphabet.index(unit.name) for unit in battle.units), len(alphabet)])
        self._own_slots, self._foe_slots = (
            np.argsort([alphabet.index(types[0]) if len(types) == 1 else 0 for types in side], kind="stable")
            for side in (own.ally_types, own.enemy_types)
        )
        self._agents, self._foes, self._all = own.num_agents, own.num_enemies, np.arange(num_envs)
        size = self._stage.units.shape[2]
        self._columns = np.tile(np.arange(size), (num_envs, 1))  # of the battle, by those of the stage
        self._chosen = np.zeros((num_envs, own.num_agents), np.int64)
        self._memory = {
            agent.name: np.zeros((num_envs, agent.num_layers, agent.hidden_size), np.float32) for agent in self.team.bundle.agents
        }

    def begin(self, copies: np.ndarray, seeds: np.ndarray, simulation: Simulation) -> None:
        """Take over the enemies of ``copies`` [K] in battles that have just begun, with their episodes' ``seeds`` [K]."""
        stage = self._stage
        stage.begin(copies, seeds, self._shown)
        stage.units[copies, f.KNOWN_X : f.KNOWN_Y + 1] = 0.0  # it has not looked yet
        stage.marks[copies, f.RIGHT : f.SHOWN_TO + 1], stage.marks[copies, f.OWNER] = 0, -1
        stage.units[copies, f.FRAILTY] = 0.0  # enemies die when their life is over
        for memory in self._memory.values():
            memory[copies] = 0.0
        self._assign(copies, simulation)

    def _assign(self, copies: np.ndarray, simulation: Simulation) -> None:
        """Which unit is which agent of the team: by type, from west to east, from south to north, as seen from its side.

        Its targets are our agents: by type, and of a type those in the middle of their side first, as battles create units.
        """
        foes, agents = self._foes, self._agents
        place = simulation.units[copies, f.X : f.Y + 1, : foes + agents].copy()
        place[:, self._axis - f.X] = f.SIZE - place[:, self._axis - f.X]
        ranks = self._ranks[simulation.marks[copies, f.KIND, : foes + agents]]
        ours, theirs = place[..., :foes], place[..., foes:]
        away = np.hypot(*(ours - ours.mean(axis=-1, keepdims=True)).swapaxes(0, 1))
        self._columns[copies[:, None], self._own_slots] = foes + np.lexsort((theirs[:, 1], theirs[:, 0], ranks[:, foes:]))
        self._columns[copies[:, None], agents + self._foe_slots] = np.lexsort((away, ranks[:, :foes]))

    def decide(self, copies: np.ndarray, simulation: Simulation, rivals: np.ndarray) -> None:
        """Write what the team does in ``copies`` [K] now into ``rivals`` [B, E]."""
        stage, shown = self._stage, self._shown
        self._reflect(copies, simulation)
        stage.show(copies, shown)
        self.team.memory = {name: memory[copies] for name, memory in self._memory.items()}
        self._chosen[copies] = self.team.act(shown.obs[copies], shown.mask[copies])
        for name, memory in self.team.memory.items():
            self._memory[name][copies] = memory
        stage.marks[copies, f.ORDER] = NO_ORDER
        stage.order(copies, self._chosen, shown)
        columns = self._columns[copies]
        actions = self._translated(self._chosen[copies], columns, simulation.marks[copies, f.KIND])
        ordered = stage.marks[copies, f.ORDER, : self._agents] != NO_ORDER
        rivals[copies[:, None], columns[:, : self._agents] - self._foes] = np.where(ordered, actions, NO_ORDER)

    def _translated(self, chosen: np.ndarray, columns: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """[K, agents]: what ``chosen`` is called on the other side; nothing sensible where an action gives no order."""
        own = columns[:, : self._agents]
        slot = np.maximum(chosen - self._first_target, 0)
        heals = self._heals[np.take_along_axis(kinds, own, -1)]
        foe = np.take_along_axis(columns, np.minimum(self._agents + slot, columns.shape[1] - 1), -1)
        friend = np.take_along_axis(own, np.minimum(slot, self._agents - 1), -1) - self._foes
        moved = self._compass[np.minimum(chosen, ACTIONS_BEFORE_TARGETS - 1)]
        return np.where(chosen < ACTIONS_BEFORE_TARGETS, moved, ACTIONS_BEFORE_TARGETS + np.where(heals, friend, foe))

    def _reflect(self, copies: np.ndarray, simulation: Simulation) -> None:
        """Bring the units of ``copies`` to the stage as they stand."""
        stage, columns = self._stage, self._columns[copies][:, None]
        marks = np.take_along_axis(simulation.marks[copies], columns, -1)
        units = np.take_along_axis(simulation.units[copies][:, SEEN_NUMBERS], columns, -1)
        axis = SEEN_NUMBERS.index(self._axis)
        units[:, axis] = np.where(marks[:, f.ALIVE] == 1, f.SIZE - units[:, axis], units[:, axis])
        stage.units[copies[:, None], SEEN_NUMBERS] = units
        stage.marks[copies[:, None], SEEN_MARKS] = marks[:, SEEN_MARKS]
        stage.marks[copies, f.KIND] = self._kinds[marks[:, f.KIND]]
        stage.marks[copies[:, None], f.CLOCK, SEEN_COUNTERS] = simulation.marks[copies[:, None], f.CLOCK, SEEN_COUNTERS]

    def state_dict(self) -> dict[str, Any]:
        """What the team's next decisions depend on."""
        memory = {name: memory.copy() for name, memory in self._memory.items()}
        return {"units": self._stage.units.copy(), "marks": self._stage.marks.copy(), "columns": self._columns.copy(), "memory": memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self._stage.units[...], self._stage.marks[...], self._columns[...] = state["units"], state["marks"], state["columns"]
        for name, memory in self._memory.items():
            memory[...] = state["memory"][name]

    def close(self) -> None:
        """End the threads."""
        self._stage.close()


def mirror_axis(battle: BattleMap) -> int:
    """The row of W in which the two sides stand opposite to each other: X, or Y where they begin one above the other."""
    west, south, east, north = (
        np.mean([point[axis] + (point[axis + 2] if len(point) > 2 else point[axis]) for point in points])
        for points in (battle.ally_points, battle.enemy_points)
        for axis in (0, 1)
    )
    return f.Y if abs(north - south) > abs(east - west) else f.X


def mirrored(terrain: Terrain, axis: int) -> Terrain:
    """The terrain with east for west, or north for south."""
    along = axis - f.X
    walkable, level, height = np.flip(terrain.walkable, 1 + along), np.flip(terrain.level, along), np.flip(terrain.height, along)
    return replace(
        terrain,
        walkable=np.ascontiguousarray(walkable),
        level=np.ascontiguousarray(level),
        height=np.ascontiguousarray(height),
    )
