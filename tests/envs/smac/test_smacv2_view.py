"""What SMACv2's agents and critics see: its sizes, and whole episodes against a slow reading of its code, which keeps books of its own."""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Encoder, Snapshot
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import Options, parse_options
from a2po.envs.smac.rules.chance import SHARING, TURN_TO_LOOK
from a2po.envs.smac.smacv2 import SMACV2
from a2po.envs.smac.specialise import plain
from a2po.envs.smac.units import UNITS
from a2po.errors import TaskError

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))["smacv2"]
EPS = 1e-7
EDGE = 4e-5  # radians: what stands exactly on the edge of a cone is in it, where SMACv2 leaves that to rounding


def options_of(battle: BattleMap, **given: Any) -> Options:
    return parse_options(f"smacv2/{battle.name}", given, battle.defaults)


# Sizes and names.


@pytest.mark.parametrize("name", SMACV2)
def test_sizes_of_all_fifteen(name: str) -> None:
    """SMACv2's formulas: 3 type bits, a shield for Protoss, the own position."""
    race, agents, _, enemies = name.split("_")
    shield, n, e = int(race == "protoss"), int(agents), int(enemies)
    layout = Layout.of(SMACV2[name], options_of(SMACV2[name]))
    assert layout.num_actions == 6 + e and layout.first_target == 6
    assert layout.obs_size == 4 + e * (8 + shield) + (n - 1) * (8 + shield) + (1 + shield + 2 + 3)
    assert layout.state_size == n * (7 + shield) + e * (6 + shield) + n * (6 + e)
    with closing(make(f"smacv2/{name}", 1, num_threads=1)) as env:
        seen = env.reset()
        assert seen.obs.shape == (1, n, layout.obs_size) and seen.state.shape == (1, layout.state_size)
        assert seen.action_mask.shape == (1, n, 6 + e) and env.spec.max_episode_steps == DATA["episode_limit"]


@pytest.mark.parametrize(
    ("name", "obs", "state"),
    [
        ("terran_5_vs_5", 82, 120), ("protoss_5_vs_5", 92, 130), ("zerg_5_vs_5", 82, 120),
        ("terran_10_vs_10", 162, 290), ("terran_10_vs_11", 170, 306), ("terran_20_vs_23", 346, 858),
    ],
)  # fmt: skip
def test_sizes_that_are_known(name: str, obs: int, state: int) -> None:
    layout = Layout.of(SMACV2[name], options_of(SMACV2[name]))
    assert (layout.obs_size, layout.state_size) == (obs, state)


EVERYTHING: dict[str, Any] = {
    "conic_fov": True, "attack_probability": (0.5, 1.0), "health_level": (0.0, 0.5), "enemy_mask": 0.5,
    "prob_obs_enemy": 0.5, "obs_last_action": True, "obs_pathing_grid": True, "obs_terrain_height": True, "obs_timestep_number": True,
    "state_timestep_number": True,
}  # fmt: skip


@pytest.mark.parametrize("name", SMACV2)
def test_sizes_and_names_with_everything(name: str) -> None:
    race, agents, _, enemies = name.split("_")
    shield, n, e = int(race == "protoss"), int(agents), int(enemies)
    layout = Layout.of(SMACV2[name], options_of(SMACV2[name], **EVERYTHING))
    actions = 18 + e
    assert layout.num_actions == actions and layout.first_target == 18
    assert layout.obs_size == 4 + 8 + 9 + e * (8 + shield) + (n - 1) * (8 + shield + 2 + actions) + (1 + shield + 2 + 2 + 2 + 3) + 1
    assert layout.state_size == n * (7 + shield + 2 + 2) + e * (6 + shield) + n * actions + 1
    for rows, width in ((layout.feature_names, layout.obs_size), (layout.action_names, actions)):
        assert len(rows) == n and all(len(set(row)) == len(row) == width for row in rows)
    assert len(set(layout.state_feature_names)) == len(layout.state_feature_names) == layout.state_size


def test_names_say_what_a_column_is() -> None:
    layout = Layout.of(SMACV2["protoss_5_vs_5"], options_of(SMACV2["protoss_5_vs_5"], **EVERYTHING))
    own = [name for name in layout.feature_names[0] if name.startswith("own_")]
    assert own == [
        "own_health", "own_shield", "own_attack_probability", "own_health_level", "own_position_x", "own_position_y",
        "own_view_x", "own_view_y", "own_is_stalker", "own_is_zealot", "own_is_colossus",
    ]  # fmt: skip
    assert layout.state_feature_names[:12] == (
        "ally_0_health", "ally_0_cooldown", "ally_0_x", "ally_0_y", "ally_0_shield", "ally_0_attack_probability", "ally_0_health_level",
        "ally_0_view_x", "ally_0_view_y", "ally_0_is_stalker", "ally_0_is_zealot", "ally_0_is_colossus",
    )  # fmt: skip
    assert layout.action_names[0][5:10] == ("west", "look_0", "look_30", "look_60", "look_90")
    assert layout.action_names[0][17:19] == ("look_330", "attack_enemy_0")
    terran = Layout.of(SMACV2["terran_5_vs_5"], options_of(SMACV2["terran_5_vs_5"]))
    assert terran.action_names[2][6] == "attack_enemy_0_or_heal_agent_0" and "ally_1_energy_or_cooldown" in terran.state_feature_names


@pytest.mark.parametrize("kind", DATA["sight"])
def test_ranges_are_smacv2s(kind: str) -> None:
    assert UNITS[kind].sight_range == DATA["sight"][kind]
    assert UNITS[kind].reach == DATA["shoot"][kind]


def test_an_on_policy_view_has_the_ranges_but_not_what_it_cannot_show() -> None:
    battle = SMACV2["terran_5_vs_5"]
    options = options_of(battle, observation="on_policy")
    assert options.use_unit_ranges and not (options.obs_own_pos or options.smacv2_head_bug)
    assert not [name for name in Layout.of(battle, options).feature_names[0] if "position" in name]


@pytest.mark.parametrize("options", [{"prob_obs_enemy": 0.5}, {"smacv2_head_bug": True}, {"enemy_mask": 0.1}])
def test_there_are_bits_for_32_agents(options: dict[str, Any]) -> None:
    for agents, allowed in ((32, True), (33, False)):
        crowd = replace(MAPS["27m_vs_30m"], name="crowd", allies=(("marine", agents),))
        if allowed:
            Layout.of(crowd, parse_options("crowd", options))
        else:
            with pytest.raises(TaskError, match=r"crowd: options .* at most 32 agents, and here are 33: leave them out"):
                Layout.of(crowd, parse_options("crowd", options))


def test_a_snapshot_may_leave_out_what_only_options_show() -> None:
    """As bots inside games do: agents look east, never fail, and may see what is in sight."""
    battle = SMACV2["protoss_5_vs_5"]
    with closing(make(f"smacv2/{battle.name}", 2, seed=1, num_threads=1)) as env:
        env.reset()
        layout, snapshot = Layout.of(battle, options_of(battle, **EVERYTHING)), env.snapshot()
        encoder = Encoder(layout, env.terrain.walkable, env.terrain.height)
        obs, _, mask = encoder.observe(Snapshot(*snapshot[:11]))
    columns = {name: obs[:, 0, column] for column, name in enumerate(layout.feature_names[0])}
    assert (columns["own_view_x"] == 1).all() and (columns["own_attack_probability"] == 1).all() and (columns["own_health"] == 1).all()
    np.testing.assert_array_equal(mask, encoder.action_mask(Snapshot(*snapshot[:11])))
    assert mask[:, :, 6:18].all()


# Whole episodes.


class Books:
    """One running battle as SMACv2's code would show it: loops, 64-bit numbers, and its own memory of who saw what and looks where.

    Of the simulation it reads where units are and what they have left, and the random numbers.
    """

    def __init__(self, env: StarCraftBattles, copy: int) -> None:
        self.env, self.copy, self.options, self.battle = env, copy, env.options, env.battle
        self.allies = range(self.battle.num_agents)
        self.enemies = range(self.battle.num_agents, self.battle.num_agents + self.battle.num_enemies)
        self.race = self.battle.name.split("_")[0]
        self.turns = self.options.num_fov_actions if self.options.conic_fov else 0
        self.begin()

    def begin(self) -> None:
        self.owner: dict[int, int | None] = dict.fromkeys(self.enemies)
        self.right = {(e, i): False for e in self.enemies for i in self.allies}
        self.view = {i: (1.0, 0.0) for i in self.allies}
        self.last = dict.fromkeys(self.allies, -1)
        self.place: dict[int, tuple[float, float]] = {}
        self.steps = 0
        self.masked = {(e, i): bool(self.marks[f.MASKED, e] >> i & 1) for e in self.enemies for i in self.allies}
        self.notes = dict.fromkeys(("corpse", "orphan", "denied", "blanked"), 0)

    @property
    def units(self) -> Any:
        return self.env.simulation.units[self.copy]

    @property
    def marks(self) -> Any:
        return self.env.simulation.marks[self.copy]

    def act(self, actions: list[int]) -> None:
        """What agents do, before they do it."""
        for i in self.allies:
            self.last[i] = actions[i]
            if self.alive(i) and 6 <= actions[i] < 6 + self.turns:
                angle = 2 * math.pi * (actions[i] - 6) / self.turns
                self.view[i] = (math.cos(angle), math.sin(angle))
        self.steps += 1

    def alive(self, u: int) -> bool:
        return bool(self.marks[f.ALIVE, u])

    def kind(self, u: int) -> str:
        return self.battle.units[self.marks[f.KIND, u]].name

    def chance(self, u: int, purpose: Any) -> tuple[int, float]:
        with np.errstate(over="ignore"):
            rules = plain(16)
            return int(rules.bits(self.marks, u, purpose)), float(rules.uniform(self.marks, u, purpose))

    def distance(self, i: int, u: int) -> float:
        return math.hypot(self.place[u][0] - self.place[i][0], self.place[u][1] - self.place[i][1])

    def sight(self, i: int) -> float:
        return DATA["sight"][self.kind(i)] if self.options.use_unit_ranges else self.options.sight_range

    def shoot(self, i: int) -> float:
        own = max(DATA["shoot"][self.kind(i)], self.options.min_attack_range)
        return own if self.options.use_unit_ranges else self.options.shoot_range

    def in_cone(self, i: int, u: int, reach: float) -> bool:
        if self.distance(i, u) > reach:
            return False
        dx, dy = self.place[u][0] - self.place[i][0], self.place[u][1] - self.place[i][1]
        east, north = self.view[i]
        half = math.pi / self.turns
        if not self.options.smacv2_cone_bug:
            off = math.atan2(dy, dx) - math.atan2(north, east)
            return abs(math.remainder(off, 2 * math.pi)) < half + EDGE
        dx = max(dx, EPS) if dx > 0 else min(dx, -EPS)
        east = max(east, EPS) if dx > 0 else min(east, -EPS)
        return abs(math.atan(dy / dx) - math.atan(north / east)) < half + EDGE

    def visible(self, i: int, u: int) -> bool:
        return self.in_cone(i, u, self.sight(i)) if self.turns else self.distance(i, u) < self.sight(i)

    def can_shoot(self, i: int, u: int) -> bool:
        return self.in_cone(i, u, self.shoot(i)) if self.turns else self.distance(i, u) <= self.shoot(i)

    def mask(self, i: int, *, true: bool) -> list[int]:
        if not self.alive(i):
            return [1] + [0] * (5 + self.turns + len(self.enemies))
        x, y = self.place[i]
        cells = [(int(x), int(y + 1)), (int(x), int(y - 1)), (int(x + 1), int(y)), (int(x - 1), int(y))]
        moves = [int(0 <= a < 32 and 0 <= b < 32) for a, b in cells]  # all ground is free
        targets = [0] * len(self.enemies)
        medic = self.kind(i) == "medivac"
        for slot, u in enumerate(self.allies if medic else self.enemies):
            if self.alive(u) and not (medic and self.kind(u) == "medivac"):
                targets[slot] = int(self.can_shoot(i, u) or not (true or self.options.action_mask))
        return [0, 1, *moves, *[1] * self.turns, *targets]

    def look(self) -> tuple[list[list[int]], list[list[float]], list[float]]:
        """Masks, observations and the state; once per step."""
        for u in [*self.allies, *self.enemies]:
            if self.alive(u):
                self.place[u] = (float(self.units[f.X, u]), float(self.units[f.Y, u]))
        for e in self.enemies:
            orphan = self.owner[e] is not None and not self.alive(self.owner[e])
            self.notes["orphan"] += orphan and self.alive(e)
            if orphan or not self.alive(e):
                self.owner[e] = None
                for i in self.allies:
                    self.right[e, i] = False
        obs: dict[int, list[float]] = {}
        for i in sorted(self.allies, key=lambda i: self.chance(i, TURN_TO_LOOK)[0]):
            obs[i] = self.observation(i)
        return [self.mask(i, true=False) for i in self.allies], [obs[i] for i in self.allies], self.state()

    def observation(self, i: int) -> list[float]:
        parts = [self.moves(i), *self.sightings(i), *[self.ally(i, j) for j in self.allies if j != i], self.own(i)]
        row = [value for part in parts for value in part]
        return row if self.alive(i) else [0.0] * len(row)

    def moves(self, i: int) -> list[float]:
        return [float(bit) for bit in self.mask(i, true=True)[2:6]]

    def sightings(self, i: int) -> list[list[float]]:
        width = 5 + (self.race == "protoss") + 3
        blocks = [[0.0] * width for _ in self.enemies]
        if not self.alive(i):
            return blocks
        keeps = self.options.prob_obs_enemy < 1 or self.options.smacv2_head_bug
        available = self.mask(i, true=True)[6 + self.turns :]
        for k, e in enumerate(self.enemies):
            visible = self.visible(i, e)
            if visible and self.owner[e] is None:
                self.owner[e], self.right[e, i] = i, True
                self.notes["corpse"] += not self.alive(e)
                for j in self.allies:
                    if j != i and self.chance(e, np.uint32(SHARING + np.uint32(j)))[1] < self.options.prob_obs_enemy:
                        self.right[e, j] = True
            right = self.right[e, i] or not keeps
            self.notes["denied"] += visible and self.alive(e) and not right
            if visible and right and self.alive(e):
                life = [*self.life(e), *self.shield(e)]
                if self.masked[e, i]:
                    life, bits = [0.0] * len(life), [0.0] * 3
                else:
                    bits = self.bits(e)
                blocks[k] = [available[k], *self.offset(i, e), *life, *bits]
            if self.options.smacv2_head_bug and not right:
                self.notes["blanked"] += any(map(any, blocks))
                blocks = [[0.0] * width for _ in self.enemies]
        return blocks

    def offset(self, i: int, u: int) -> list[float]:
        sight = self.sight(i)
        return [self.distance(i, u) / sight, (self.place[u][0] - self.place[i][0]) / sight, (self.place[u][1] - self.place[i][1]) / sight]

    def life(self, u: int) -> list[float]:
        share = float(self.units[f.HP, u]) / UNITS[self.kind(u)].hp
        if u in self.enemies or self.options.health_level == (0, 0):
            return [share]
        level = float(self.units[f.FRAILTY, u])
        return [(share - level) / (1 - level)]

    def shield(self, u: int) -> list[float]:
        if self.race != "protoss":
            return []
        return [float(self.units[f.SHIELD, u]) / {"stalker": 80, "zealot": 50, "colossus": 150}[self.kind(u)]]

    def bits(self, u: int) -> list[float]:
        return [float(kind == self.kind(u)) for kind in DATA["type_bits"][self.race]]

    def skills(self, u: int) -> list[float]:
        attack = [float(self.units[f.ACCURACY, u])] if self.options.attack_probability != (1, 1) else []
        return attack + ([float(self.units[f.FRAILTY, u])] if self.options.health_level != (0, 0) else [])

    def did(self, u: int) -> list[float]:
        return [float(action == self.last[u]) for action in range(6 + self.turns + len(self.enemies))]

    def ally(self, i: int, j: int) -> list[float]:
        hidden = not self.options.observe_teammates
        life = [0.0] if hidden and self.options.health_level != (0, 0) else self.life(j)
        skills = [0.0] * len(self.skills(j)) if hidden else self.skills(j)
        last = self.did(j) if self.options.obs_last_action else []
        row = [1.0, *(self.offset(i, j) if i in self.place else [0.0] * 3), *life, *self.shield(j), *skills, *self.bits(j), *last]
        return row if self.alive(j) and self.visible(i, j) else [0.0] * len(row)

    def own(self, i: int) -> list[float]:
        x, y = self.place[i]
        where = [x / 32, y / 32] if self.options.obs_own_pos else []
        return [*self.life(i), *self.shield(i), *self.skills(i), *where, *(self.view[i] if self.turns else []), *self.bits(i)]

    def state(self) -> list[float]:
        row: list[float] = []
        for u in [*self.allies, *self.enemies]:
            x, y = self.place[u]
            largest = dict(marine=15, marauder=25, stalker=35, zealot=22, colossus=24, hydralisk=10, zergling=11, baneling=1)
            medic = self.kind(u) == "medivac"
            ready = float(self.units[f.ENERGY, u]) / 200 if medic else self.marks[f.COOLDOWN, u] / largest[self.kind(u)]
            block = [*self.life(u), *([ready] if u in self.allies else []), (x - 16) / 32, (y - 16) / 32, *self.shield(u)]
            if u in self.allies:
                block += [*self.skills(u), *(self.view[u] if self.turns else [])]
            block += self.bits(u)
            row += block if self.alive(u) else [0.0] * len(block)
        return row + [bit for i in self.allies for bit in self.did(i)]


EPO = {"prob_obs_enemy": 0.0, "action_mask": False}
SKILLED = {"attack_probability": (0.3, 0.9), "health_level": (0.1, 0.6)}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without the head bug": {"smacv2_head_bug": False},
    "one range for all": {"use_unit_ranges": False, "obs_own_pos": False, "smacv2_head_bug": False, "obs_last_action": True},
    "longer attacks": {"min_attack_range": 5.5},
    "EPO": EPO,
    "EPO without the head bug": {**EPO, "smacv2_head_bug": False},
    "sharing half": {"prob_obs_enemy": 0.5, "smacv2_head_bug": False},
    "cones": {"conic_fov": True},
    "right cones, EPO": {**EPO, "conic_fov": True, "smacv2_cone_bug": False, "num_fov_actions": 5},
    "skills": SKILLED,
    "secret skills, masks": {**SKILLED, "observe_teammates": False, "enemy_mask": 0.5, "conic_fov": True, "obs_last_action": True},
}


@pytest.mark.parametrize("options", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("race", ["terran", "protoss", "zerg"])
def test_episodes_are_shown_as_smacv2s_code_does(race: str, options: dict[str, Any]) -> None:
    """Compiled, in numpy, and read aloud; from begin to end, and into the next episode."""
    copies, notes = 2, dict.fromkeys(("corpse", "orphan", "denied", "blanked"), 0)
    with closing(make(f"smacv2/{race}_5_vs_5", copies, seed=6, num_threads=1, max_episode_steps=50, **options)) as env:
        encoder = Encoder(env.layout, env.terrain.walkable, env.terrain.height)
        shown, chance, episodes = env.reset(), torch.Generator().manual_seed(0), 0
        books = [Books(env, copy) for copy in range(copies)]
        favour = torch.ones(env.layout.num_actions)
        favour[env.layout.first_target :] = 4.0
        while episodes < 6:
            found = [book.look() for book in books]
            for written in (shown.obs.numpy(), shown.state.numpy(), shown.action_mask.numpy()), encoder.observe(env.snapshot()):
                obs, state, mask = written[0], written[1], written[2]
                for copy, (masks, rows, row) in enumerate(found):
                    np.testing.assert_array_equal(mask[copy], masks)
                    np.testing.assert_allclose(obs[copy], rows, atol=2e-6)
                    np.testing.assert_allclose(state[copy], row, atol=2e-6)
            np.testing.assert_array_equal(encoder.action_mask(env.snapshot()), shown.action_mask.numpy())
            actions = (torch.rand(shown.action_mask.shape, generator=chance) * shown.action_mask * favour).argmax(-1)
            seeds = env.episode_seeds
            for book, chosen in zip(books, actions.tolist(), strict=True):
                book.act(chosen)
            shown = env.step(actions).observations
            for copy in np.flatnonzero(env.episode_seeds != seeds):
                for name, count in books[copy].notes.items():
                    notes[name] += count
                books[copy].begin()
                episodes += 1
    keeps = env.options.keeps_sightings  # the episodes show what is to be looked at
    assert notes["orphan"] or not keeps, notes
    assert notes["corpse"] or not keeps or env.options.conic_fov, notes
    assert notes["denied"] or env.options.prob_obs_enemy == 1, notes
    assert notes["blanked"] or not env.options.smacv2_head_bug, notes
