"""Compiled rules against the same rules in plain Python; the same seed gives the same battle, whatever the batch; sides are equal."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from a2po.envs.smac import battle
from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import parse_options
from a2po.envs.smac.simulation import Shown, Simulation
from a2po.envs.smac.specialise import plain
from a2po.envs.smac.terrain import load_terrain
from a2po.envs.smac.units import KINDS

SOME = ("marine", "marauder", "medivac", "stalker", "zealot", "colossus", "zergling", "hydralisk")
OTHERS = ("baneling", "spine_crawler", "zergling", "medivac", "marine", "colossus", "stalker", "zealot")


def slow(sandbox):
    """The same battle, played by plain Python."""
    twin = copy.copy(sandbox)
    twin.simulation = copy.copy(sandbox.simulation)
    twin.simulation.units, twin.simulation.marks = sandbox.simulation.units.copy(), sandbox.simulation.marks.copy()
    twin.simulation.rewards, twin.simulation.results = np.zeros(1, np.float32), np.zeros(1, np.int32)
    twin.W, twin.M = twin.simulation.units[0], twin.simulation.marks[0]
    twin.shown = Shown(*(part.copy() for part in sandbox.shown))
    twin.simulation._play = plain(sandbox.W.shape[-1]).play_battles
    return twin


def same(one, other) -> None:
    assert np.array_equal(one.M, other.M)
    near = np.isclose(one.W, other.W, rtol=1e-5, atol=1e-5)
    assert near.all(), np.argwhere(~near)


@pytest.mark.parametrize("sides", [(SOME, OTHERS), (OTHERS, SOME)], ids=["", "swapped"])
@pytest.mark.parametrize("ground", ["flat_full", "corridor"])
def test_compiled_rules_do_what_plain_ones_do(sides: tuple, ground: str) -> None:
    """All types on both sides, in a narrow place, with damage, missiles, heals, bursts, lines, walls and ways round them."""
    assert set(SOME) | set(OTHERS) == set(KINDS)
    west, east = (4.0, 10.0) if ground == "corridor" else (12.0, 19.0)
    south = 4.0 if ground == "corridor" else 12.0
    rng = np.random.default_rng(0)
    posts = [
        [(kind, x + rng.uniform(-1, 1), south + 0.9 * i, *(v * rng.uniform(0.3, 1) for v in (30, 1))) for i, kind in enumerate(side)]
        for x, side in zip((west, east), sides, strict=True)
    ]
    sandbox = battle(*posts, ground=ground, cooldown_jitter=[-1, 2])
    sandbox.attack_move(range(8), east, south + 3)
    sandbox.attack_move(range(8, 16), west, south + 3)
    with np.errstate(all="ignore"):
        for loop in range(48):
            twin = slow(sandbox)
            for one in (sandbox, twin):
                one.play()
            same(sandbox, twin)
            if loop == 20:
                twin = slow(sandbox)
                actions = [int(action) for action in rng.integers(1, 14, 8)]
                steps = [one.step(*actions) for one in (sandbox, twin)]
                assert steps[0][1] == steps[1][1] and abs(steps[0][0] - steps[1][0]) < 1e-5
                same(sandbox, twin)
                for part, other in zip(sandbox.shown, twin.shown, strict=True):
                    assert np.allclose(part, other, atol=1e-5)
                sandbox.attack_move(range(8), east, south + 3)
    assert not all(unit.alive for unit in sandbox.units())
    assert sandbox.M[f.HITS].sum() > 10


def simulation(battle_map: BattleMap, count: int, threads: int, **options) -> tuple[Simulation, Shown]:
    parsed = parse_options("test", options)
    layout = Layout.of(battle_map, parsed)
    agents = battle_map.num_agents
    shown = Shown(
        np.zeros((count, agents, layout.obs_size), np.float32),
        np.zeros((count, 1, layout.state_size), np.float32),
        np.zeros((count, agents, layout.num_actions), np.bool_),
        np.zeros((count, agents), np.bool_),
    )
    return Simulation(battle_map, load_terrain(battle_map.terrain), parsed, layout, count, threads), shown


def play(name: str, seeds: np.ndarray, threads: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The battles' memory, rewards and observations after some steps; the actions follow from the seeds and the masks."""
    battles, shown = simulation(MAPS[name], len(seeds), threads, robust=True)
    battles.begin(np.arange(len(seeds)), seeds, shown)
    total = np.zeros(len(seeds), np.float32)
    for step in range(steps):
        drawn = (seeds[:, None] * 7919 + step * 104729 + np.arange(shown.mask.shape[1]) * 1299709) % 1000003
        ranked = (drawn[..., None] * (np.arange(shown.mask.shape[2]) + 3)) % 1009 * shown.mask
        battles.step(ranked.argmax(-1), shown)
        total += battles.rewards
    battles.close()
    return battles.units, battles.marks, total, shown.obs


@pytest.mark.parametrize("name", ["3s5z", "2m_vs_1z"])
def test_the_same_seed_gives_the_same_battle(name: str) -> None:
    """Bitwise, in batches of 1, 7, 64 and 1024 and with 1, 2 and 3 threads."""
    seeds = np.random.default_rng(4).integers(0, 2**62, 1024)
    whole = play(name, seeds, 1, 40)
    assert len(np.unique(whole[2])) > 100
    for count, threads in ((1, 1), (7, 1), (64, 1), (64, 2), (1024, 2), (1024, 3)):
        chosen = np.random.default_rng(count).permutation(1024)[:count]
        part = play(name, seeds[chosen], threads, 40)
        for one, other in zip(whole, part, strict=True):
            assert one[chosen].tobytes() == other.tobytes()


MIXES = [
    "8 marine",
    "3 stalker, 5 zealot",
    "7 zergling, 1 baneling",
    "5 marine, 2 marauder, 1 medivac",
    "1 colossus, 4 zergling, 3 hydralisk",
]


@pytest.mark.parametrize("mix", MIXES)
def test_equal_armies_are_equal(mix: str) -> None:
    """2,000 battles, in half of them with the sides' places swapped; both sides go for the other's place."""
    groups = tuple((kind, int(count)) for count, kind in (group.split() for group in mix.split(",")))
    types = tuple(sorted(kind for kind, _ in groups)) if len(groups) > 1 else ()
    west, east = (9.0, 16.0), (23.0, 16.0)
    wins = []
    for ally, enemy in ((west, east), (east, west)):
        battle_map = BattleMap(
            "equal", groups, groups, 1000, "sandbox", (ally,) * len(groups), (enemy,) * len(groups), (ally, ally),
            terrain="flat_full", ally_type_order=types, enemy_type_order=types,
        )  # fmt: skip
        battles, shown = simulation(battle_map, 1000, 2, head_start=0)
        battles.begin(np.arange(1000), np.random.default_rng(11).integers(0, 2**62, 1000), shown)
        battles.marks[:, f.ORDER, :16] = f.ATTACK_MOVE
        battles.units[:, f.GOAL_X, :8], battles.units[:, f.GOAL_Y, :8] = enemy
        battles.units[:, f.GOAL_X, 8:16], battles.units[:, f.GOAL_Y, 8:16] = ally
        fights = np.array([kind != KINDS.index("medivac") for kind in battles.marks[0, f.KIND, :16]])
        alive = np.ones((1000, 2), bool)
        for loop in range(3200):
            battles.loop(shown)
            if loop % 100 == 99:
                alive = (battles.marks[:, f.ALIVE, :16] * fights).reshape(-1, 2, 8).sum(-1) > 0
                if not alive.all(1).any():
                    break
        assert alive.all(1).mean() < 0.01, "they meet and fight to the end"
        wins.append((alive[:, 0] & ~alive[:, 1]).mean() + (alive[:, 0] == alive[:, 1]).mean() / 2)
        battles.close()
    assert abs(np.mean(wins) - 0.5) <= 0.03, wins
