"""Three ways to the same observations, masks and states: compiled, in numpy, and a slow reading of the specification."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Encoder, Layout, Snapshot
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import Options
from a2po.envs.smac.specialise import FAST, plain, specialise
from a2po.envs.smac.terrain import load_terrain
from a2po.envs.smac.units import unit_table

ALL_BLOCKS = Options(
    obs_pathing_grid=True, obs_terrain_height=True, obs_last_action=True, obs_timestep_number=True, state_timestep_number=True
)
FORMS = [("smac", "agent"), ("on_policy", "agent"), ("on_policy", "shared")]
VIEWS = [replace(flags, observation=obs, state=state) for obs, state in FORMS for flags in (Options(), ALL_BLOCKS)]


def short(flags: Options) -> str:
    return f"{flags.observation}-{flags.state}-{'all' if flags.obs_pathing_grid else 'default'}"


def random_battles(battle: BattleMap, count: int, seed: int = 0) -> Snapshot:
    """Crowds and loners, living and dead, wounded and whole; points on an eighth of a cell, so that ranges are met exactly."""
    rng = np.random.default_rng(seed)
    kind = np.array([battle.row(kind) for kind in battle.ally_kinds + battle.enemy_kinds])
    shape = (count, len(kind))
    spread = rng.choice([2.0, 8.0, 15.9], (count, 1))
    x, y = (np.round((16 + rng.uniform(-1, 1, shape) * spread) * 8).astype(np.float32) / 8 for _ in range(2))
    alive = rng.random(shape) < rng.choice([0.3, 0.9, 1.0], (count, 1))
    maximum = np.array([(unit.hp, unit.shield, unit.energy_max) for unit in battle.units], np.float32)[kind]
    hp, shield, energy = (maximum[:, column] * rng.random(shape, np.float32) for column in range(3))
    return Snapshot(
        x=np.clip(x, 0, np.float32(31.875)),
        y=np.clip(y, 0, np.float32(31.875)),
        hp=hp * alive,
        shield=shield * alive,
        energy=energy,
        cooldown=rng.integers(0, 36, shape).astype(np.float32),
        alive=alive,
        kind=np.broadcast_to(kind, shape),
        last_action=rng.integers(-1, battle.num_actions, (count, battle.num_agents)),
        step=rng.integers(0, battle.limit, count),
        variant=rng.integers(0, 2, count),
    )


def memory(snapshot: Snapshot, b: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """W and M of one battle, with the dead where the rules put them."""
    W, M = np.zeros((f.FLOATS, size), np.float32), np.full((f.INTS, size), -1, np.int32)
    W[[f.X, f.Y]] = f.FAR
    M[f.ALIVE] = 0
    units = slice(0, snapshot.x.shape[1])
    alive = snapshot.alive[b]
    W[f.X, units], W[f.Y, units] = np.where(alive, (snapshot.x[b], snapshot.y[b]), np.float32(f.FAR))
    W[f.HP, units], W[f.SHIELD, units], W[f.ENERGY, units] = snapshot.hp[b], snapshot.shield[b], snapshot.energy[b]
    M[f.KIND, units], M[f.ALIVE, units], M[f.COOLDOWN, units] = snapshot.kind[b], alive, snapshot.cooldown[b]
    M[f.LAST_ACTION, : snapshot.last_action.shape[1]] = snapshot.last_action[b]
    M[f.CLOCK, f.STEP], M[f.CLOCK, f.VARIANT] = snapshot.step[b], snapshot.variant[b]
    return W, M


@cache
def compiled() -> SimpleNamespace:
    """The rules as the simulator compiles them, but callable one by one."""
    return specialise(16, numba.njit(fastmath=FAST, error_model="numpy"))


def write(rules: SimpleNamespace, layout: Layout, battle: BattleMap, snapshot: Snapshot, *, one_by_one: bool = False) -> tuple:
    """Observations, states and masks of all battles, by the writer, into arrays that hold old data."""
    size = next(size for size in f.SIZES if size >= snapshot.x.shape[1])
    terrain, table = load_terrain(battle.terrain), unit_table(battle.units)
    count, agents = len(snapshot.x), battle.num_agents
    rows = agents if layout.state_per_agent else 1
    obs = np.full((count, agents, layout.obs_size), 7, np.float32)
    state = np.full((count, rows, layout.state_size), 7, np.float32)
    mask = np.ones((count, agents, layout.num_actions), np.bool_)
    ranges = [(agent, agent + 1) for agent in reversed(range(agents))] if one_by_one else [(0, agents)]
    for b in range(count):
        W, M = memory(snapshot, b, size)
        fixed = W, M, table, layout.table, layout.scales, terrain.walkable, terrain.height
        for first, last in ranges:
            rules.observe_agents(first, last, *fixed, obs[b], mask[b])
            rules.write_state(first, last, *fixed, state[b])
    return obs, state if layout.state_per_agent else state[:, 0], mask


def check_equal(written: tuple, encoded: tuple) -> None:
    for ours, theirs in zip(written[:2], encoded[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(written[2], encoded[2])


def encoded(battle: BattleMap, layout: Layout, snapshot: Snapshot) -> tuple:
    terrain = load_terrain(battle.terrain)
    return Encoder(layout, terrain.walkable, terrain.height).observe(snapshot)


@pytest.mark.parametrize("name", MAPS)
def test_compiled_equals_numpy(name: str) -> None:
    battle = MAPS[name]
    for seed, flags in enumerate(VIEWS):
        layout, snapshot = Layout.of(battle, flags), random_battles(battle, 12, seed)
        check_equal(write(compiled(), layout, battle, snapshot), encoded(battle, layout, snapshot))


@pytest.mark.parametrize("flags", VIEWS, ids=short)
def test_agents_can_be_written_one_by_one(flags: Options) -> None:
    """As a graphics card's threads do, in any order."""
    battle = MAPS["bane_vs_bane"]
    layout, snapshot = Layout.of(battle, flags), random_battles(battle, 4)
    together, alone = (write(compiled(), layout, battle, snapshot, one_by_one=one_by_one) for one_by_one in (False, True))
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["3m", "MMM2", "3s5z_vs_3s6z"])
def test_plain_python_equals_numpy(name: str) -> None:
    battle = MAPS[name]
    for seed, flags in enumerate(VIEWS):
        layout, snapshot = Layout.of(battle, flags), random_battles(battle, 2, seed)
        check_equal(write(plain(16), layout, battle, snapshot), encoded(battle, layout, snapshot))


class Reading:
    """The specification read aloud for one battle: slow, in loops, with nothing shared with the code under test but the map's facts."""

    def __init__(self, battle: BattleMap, scene: Snapshot, b: int, flags: Options) -> None:
        self.battle, self.flags, self.on_policy = battle, flags, flags.observation == "on_policy"
        self.allies, self.enemies = range(battle.num_agents), range(battle.num_agents, battle.num_agents + battle.num_enemies)
        self.kinds = battle.ally_kinds + battle.enemy_kinds
        self.x, self.y = ([float(value) for value in values] for values in (scene.x[b], scene.y[b]))
        self.hp, self.shield, self.energy, self.cooldown = scene.hp[b], scene.shield[b], scene.energy[b], scene.cooldown[b]
        self.alive, self.last, self.time = scene.alive[b], scene.last_action[b], [scene.step[b] / battle.limit]
        terrain = load_terrain(battle.terrain)
        self.walkable, self.height = terrain.walkable[scene.variant[b]], terrain.height

    def distance(self, i: int, j: int) -> float:
        return math.hypot(self.x[j] - self.x[i], self.y[j] - self.y[i])

    def free(self, x: float, y: float) -> int:
        cell = int(x), int(y)
        return int(min(cell) >= 0 and max(cell) < 32 and self.walkable[cell])

    def mask(self, i: int) -> list[int]:
        if not self.alive[i]:
            return [1] + [0] * (self.battle.num_actions - 1)
        x, y = self.x[i], self.y[i]
        moves = [self.free(x, y + 1), self.free(x, y - 1), self.free(x + 1, y), self.free(x - 1, y)]
        targets = [0] * self.battle.num_enemies
        if self.kinds[i] == "medivac":
            options = [j for j in self.allies if self.kinds[j] != "medivac"]
        else:
            options = self.enemies
        for j in options:
            if self.alive[j] and self.distance(i, j) <= 6:
                targets[j % len(self.allies) if self.kinds[i] == "medivac" else j - len(self.allies)] = 1
        return [0, 1, *moves, *targets]

    def move(self, i: int) -> list[float]:
        around = [(0, 4), (0, -4), (4, 0), (-4, 0), (2, 2), (-2, -2), (2, -2), (-2, 2)]
        cells = [(int(self.x[i]) + dx, int(self.y[i]) + dy) for dx, dy in [*around, (0, 0)]]
        inside = [min(cell) >= 0 and max(cell) < 32 for cell in cells]
        pathing = [self.walkable[cell] if on_map else 1 for cell, on_map in zip(cells, inside, strict=True)]
        heights = [self.height[cell] if on_map else 1 for cell, on_map in zip(cells, inside, strict=True)]
        grid, terrain = self.flags.obs_pathing_grid, self.flags.obs_terrain_height
        return [*self.mask(i)[2:6], *(pathing[:8] if grid else []), *(heights if terrain else [])]

    def one_hot_last(self, i: int) -> list[int]:
        return [int(action == self.last[i]) for action in range(self.battle.num_actions)]

    def one_hot_kind(self, i: int) -> list[int]:
        orders = {
            "stalkers_and_zealots": ["stalker zealot", "zealot stalker"],
            "MMM": ["marauder marine medivac"] * 2,
            "bane": ["baneling zergling"] * 2,
            "colossi_stalkers_zealots": ["colossus stalker zealot"] * 2,
        }
        order = orders.get(self.battle.map_type, ["", ""])[i in self.enemies]
        return [int(kind == self.kinds[i]) for kind in order.split()]

    def hp_share(self, i: int) -> list[float]:
        return [self.hp[i] / self.battle.unit(self.kinds[i]).hp]

    def shield_share(self, i: int) -> list[float]:
        protoss = any(
            kind in ("stalker", "zealot", "colossus")
            for kind in (self.kinds[j] for j in (self.enemies if i in self.enemies else self.allies))
        )
        return [self.shield[i] / {"stalker": 80, "zealot": 50, "colossus": 150}[self.kinds[i]]] if protoss else []

    def readiness(self, i: int) -> list[float]:
        if self.kinds[i] == "medivac":
            return [self.energy[i] / 200]
        largest = dict(marauder=25, stalker=35, zealot=22, colossus=24, hydralisk=10, zergling=11, baneling=1)
        return [self.cooldown[i] / largest.get(self.kinds[i], 15)]

    def place(self, i: int) -> list[float]:
        return [(self.x[i] - 16) / 32, (self.y[i] - 16) / 32]

    def offset(self, i: int, j: int) -> list[float]:
        return [self.distance(i, j) / 9, (self.x[j] - self.x[i]) / 9, (self.y[j] - self.y[i]) / 9]

    def available(self, i: int, j: int) -> list[int]:
        return [self.mask(i)[6 + j - len(self.allies)]]

    def obs(self, i: int) -> list[float]:
        last = self.on_policy or self.flags.obs_last_action
        enemies, allies = [], []
        for j in self.enemies:
            block = self.available(i, j) + self.offset(i, j) + self.hp_share(j) + self.shield_share(j) + self.one_hot_kind(j)
            enemies += block if self.alive[j] and self.distance(i, j) < 9 else [0] * len(block)
        for j in self.allies:
            block = [
                1,
                *self.offset(i, j),
                *self.hp_share(j),
                *self.shield_share(j),
                *self.one_hot_kind(j),
                *(self.one_hot_last(j) if last else []),
            ]
            if j != i:
                allies += block if self.alive[j] and self.distance(i, j) < 9 else [0] * len(block)
        own = self.hp_share(i) + self.shield_share(i) + self.one_hot_kind(i)
        if self.on_policy:
            row = allies + enemies + self.move(i) + [1, 0, 0, 0] + own + self.one_hot_last(i)
        else:
            row = self.move(i) + enemies + allies + own
        return self.tail(row, i, self.flags.obs_timestep_number)

    def tail(self, row: list[float], i: int, timestep: bool) -> list[float]:
        who = [int(i == j) for j in self.allies] if self.on_policy else []
        return [*(row if self.alive[i] else [0] * len(row)), *who, *(self.time if timestep else [])]

    def agent_state(self, i: int) -> list[float]:
        allies, enemies = [], []
        for j in self.allies:
            block = [int(self.distance(i, j) < 9), *self.offset(i, j), *self.readiness(j), *self.hp_share(j), *self.shield_share(j)]
            block += self.place(j) + self.one_hot_kind(j) + self.one_hot_last(j)
            if j != i:
                allies += block if self.alive[j] else [0] * len(block)
        for j in self.enemies:
            block = self.available(i, j) + self.offset(i, j) + [int(self.distance(i, j) < 9)] + self.hp_share(j) + self.shield_share(j)
            block += self.one_hot_kind(j) + self.place(j)
            enemies += block if self.alive[j] else [0] * len(block)
        own = [1, 0, 0, 0, *self.hp_share(i), *self.shield_share(i), *self.place(i), *self.one_hot_kind(i), *self.one_hot_last(i)]
        return self.tail(allies + enemies + self.move(i) + own, i, self.flags.state_timestep_number)

    def shared_state(self) -> list[float]:
        row, unused = [], [0] * self.battle.num_actions
        for j in [*self.allies, *self.enemies]:
            block = (
                self.hp_share(j)
                + (self.readiness(j) if j in self.allies else [])
                + self.place(j)
                + self.shield_share(j)
                + self.one_hot_kind(j)
            )
            if self.on_policy:
                block += self.one_hot_last(j) if j in self.allies else unused
            row += block if self.alive[j] else [0] * len(block)
        if not self.on_policy:
            row += [bit for j in self.allies for bit in self.one_hot_last(j)]
        return row + (self.time if self.flags.state_timestep_number else [])


@pytest.mark.parametrize("flags", VIEWS, ids=short)
@pytest.mark.parametrize("name", ["3m", "MMM2", "3s5z", "1c3s5z", "2m_vs_1z", "bane_vs_bane", "2s_vs_1sc", "6h_vs_8z"])
def test_numpy_equals_a_slow_reading_of_the_specification(name: str, flags: Options) -> None:
    battle = MAPS[name]
    layout, scene = Layout.of(battle, flags), random_battles(battle, 3, seed=5)
    obs, state, mask = encoded(battle, layout, scene)
    for b in range(3):
        book = Reading(battle, scene, b, flags)
        np.testing.assert_array_equal(mask[b], [book.mask(i) for i in book.allies])
        np.testing.assert_allclose(obs[b], [book.obs(i) for i in book.allies], atol=1e-6)
        expected = [book.agent_state(i) for i in book.allies] if layout.state_per_agent else book.shared_state()
        np.testing.assert_allclose(state[b], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["MMM2", "3s_vs_5z", "so_many_baneling"])
@pytest.mark.parametrize(("observation", "state"), FORMS)
def test_running_battles_are_shown_as_the_encoder_shows_their_snapshots(name: str, observation: str, state: str) -> None:
    options = {"observation": observation, **({"state": state} if observation == "on_policy" else {})}
    env = make(f"smac/{name}", 3, seed=4, num_threads=1, **options)
    encoder = Encoder(env.layout, env.terrain.walkable, env.terrain.height)
    shown, chance = env.reset(), torch.Generator().manual_seed(0)
    for _ in range(40):
        written = shown.obs.numpy(), shown.state.numpy(), shown.action_mask.numpy()
        check_equal(written, encoder.observe(env.snapshot()))
        legal = torch.rand(shown.action_mask.shape, generator=chance) * shown.action_mask
        shown = env.step(legal.argmax(-1)).observations
