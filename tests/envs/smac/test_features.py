"""The compiled writer of observations, masks and states writes what the numpy encoder computes: all maps, forms and flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import FunctionType, SimpleNamespace

import numba
import numpy as np
import pytest

from a2po.envs.smac import fields as f
from a2po.envs.smac.encoder import Encoder, Layout, Snapshot
from a2po.envs.smac.maps import MAPS, BattleMap
from a2po.envs.smac.rules import features
from a2po.envs.smac.terrain import load_terrain
from a2po.envs.smac.units import unit_table


@dataclass(frozen=True)
class Flags:
    observation: str = "smac"
    state: str = "agent"
    obs_pathing_grid: bool = False
    obs_terrain_height: bool = False
    obs_last_action: bool = False
    obs_timestep_number: bool = False
    state_timestep_number: bool = False
    sight_range: float = 9.0
    shoot_range: float = 6.0
    max_episode_steps: int | None = None


ALL_BLOCKS = Flags(
    obs_pathing_grid=True, obs_terrain_height=True, obs_last_action=True, obs_timestep_number=True, state_timestep_number=True
)
FORMS = [("smac", "agent"), ("on_policy", "agent"), ("on_policy", "shared")]
VIEWS = [replace(flags, observation=obs, state=state) for obs, state in FORMS for flags in (Flags(), ALL_BLOCKS)]


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


def bound(jit) -> SimpleNamespace:
    namespace = dict(vars(features))
    for name, value in vars(features).items():
        if isinstance(value, FunctionType):
            namespace[name] = jit(FunctionType(value.__code__, namespace, name))
    return SimpleNamespace(**namespace)


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    fast = {"reassoc", "nnan", "ninf", "nsz", "contract", "arcp"}
    return bound(numba.njit(fastmath=fast, error_model="numpy"))


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


@pytest.mark.parametrize("name", MAPS)
def test_compiled_equals_numpy(name: str, compiled: SimpleNamespace) -> None:
    battle = MAPS[name]
    terrain = load_terrain(battle.terrain)
    for seed, flags in enumerate(VIEWS):
        layout = Layout.of(battle, flags)
        snapshot = random_battles(battle, 12, seed)
        check_equal(write(compiled, layout, battle, snapshot), Encoder(layout, terrain.walkable, terrain.height).observe(snapshot))
