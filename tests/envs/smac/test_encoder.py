"""What SMAC's agents and critics see: against its sizes, against rows worked out by hand, against a slow reading of the specification."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.encoder import Encoder, Layout, Snapshot
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import Options
from a2po.envs.smac.terrain import load_terrain

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case["expected"] for case in DATA["validation_cases"]}

# The three ways to look: SMAC, on-policy with a state per agent (FP), on-policy with one state (EP); and the table's columns for them.
SIZES = {
    ("smac", "agent"): ("obs_dim_smac", "state_dim_smac"),
    ("on_policy", "agent"): ("obs_dim_onpolicy", "state_dim_onpolicy_FP"),
    ("on_policy", "shared"): ("obs_dim_onpolicy", "state_dim_onpolicy_EP_default_flags"),
}
EXTRAS = ("obs_pathing_grid", "obs_terrain_height", "obs_last_action", "obs_timestep_number", "state_timestep_number")


def flags(observation: str = "smac", state: str = "agent", extras: tuple[str, ...] = (), **other) -> Options:
    return Options(observation, state, **dict.fromkeys(extras, True), **other)


def snapshot(
    battle: BattleMap, points: list[tuple[float, float]], *, hp=None, shield=None, variant: int = 0, step: int = 0, **other
) -> Snapshot:
    """One battle: who stands where (allies, then enemies); whole, ready and without a last action unless said."""
    kinds = battle.ally_kinds + battle.enemy_kinds
    units = [battle.unit(kind) for kind in kinds]
    values = {
        "hp": [unit.hp for unit in units] if hp is None else hp,
        "shield": [unit.shield for unit in units] if shield is None else shield,
        "energy": [unit.energy for unit in units],
        "cooldown": [0.0] * len(units),
        **other,
    }
    last_action = values.pop("last_action", [-1] * battle.num_agents)
    floats = {name: np.array([value], np.float32) for name, value in values.items()}
    x, y = np.array([points], np.float32).transpose(2, 0, 1)
    return Snapshot(
        x=x,
        y=y,
        **floats,
        alive=floats["hp"] > 0,
        kind=np.array([[battle.row(kind) for kind in kinds]]),
        last_action=np.array([last_action]),
        step=np.array([step]),
        variant=np.array([variant]),
    )


def encode(battle: BattleMap, scene: Snapshot, **options) -> tuple[Layout, np.ndarray, np.ndarray, np.ndarray]:
    """Layout, and the first battle's observations, state and mask."""
    terrain = load_terrain(battle.terrain)
    layout = Layout.of(battle, flags(**options))
    obs, state, mask = Encoder(layout, terrain.walkable, terrain.height).observe(scene)
    return layout, obs[0], state[0], mask[0]


def in_a_row(battle: BattleMap, apart: float = 1.0) -> list[tuple[float, float]]:
    """Allies along one line, enemies along the next, all within sight on most maps."""
    return [(4.5 + apart * i, 15.0) for i in range(battle.num_agents)] + [(4.5 + apart * i, 17.0) for i in range(battle.num_enemies)]


@pytest.mark.parametrize("form", SIZES, ids="-".join)
@pytest.mark.parametrize("name", MAPS)
def test_dims_all_maps(name: str, form: tuple[str, str]) -> None:
    row, battle = DATA["maps"][name], MAPS[name]
    layout, obs, state, mask = encode(battle, snapshot(battle, in_a_row(battle, 0.25)), observation=form[0], state=form[1])
    assert (layout.obs_size, layout.state_size) == tuple(row[column] for column in SIZES[form])
    assert obs.shape == (row["n_agents"], layout.obs_size) and mask.shape == (row["n_agents"], row["n_actions"])
    assert state.shape == ((row["n_agents"], layout.state_size) if layout.state_per_agent else (layout.state_size,))
    assert obs.dtype == state.dtype == np.float32 and mask.dtype == np.bool_


@pytest.mark.parametrize("extras", [(), EXTRAS], ids=["plain", "extras"])
@pytest.mark.parametrize("form", SIZES, ids="-".join)
@pytest.mark.parametrize("name", ["3m", "MMM2", "bane_vs_bane", "2c_vs_64zg"])
def test_every_column_and_action_has_a_name_of_its_own(name: str, form: tuple[str, str], extras: tuple[str, ...]) -> None:
    battle = MAPS[name]
    layout, obs, state, mask = encode(battle, snapshot(battle, in_a_row(battle)), observation=form[0], state=form[1], extras=extras)
    assert len(layout.state_feature_names) == state.shape[-1]
    for names, width in [(layout.feature_names, obs.shape[-1]), ([layout.state_feature_names], state.shape[-1])]:
        assert all(len(set(row)) == len(row) == width for row in names)
    assert all(len(set(row)) == len(row) == mask.shape[-1] for row in layout.action_names)


def test_names_say_what_a_column_is() -> None:
    layout = Layout.of(MAPS["MMM2"], flags())
    assert layout.action_names[0][:7] == ("no_op", "stop", "north", "south", "east", "west", "attack_enemy_0")
    assert layout.action_names[9][6:] == (*(f"heal_{name}" for name in MAPS["MMM2"].agents[:9]), "unused_9", "unused_10", "unused_11")
    assert layout.feature_names[1][4:13] == (
        "enemy_0_available", "enemy_0_distance", "enemy_0_relative_x", "enemy_0_relative_y", "enemy_0_health",
        "enemy_0_is_marauder", "enemy_0_is_marine", "enemy_0_is_medivac", "enemy_1_available",
    )  # fmt: skip
    allies = [name for name in layout.feature_names[1] if name.startswith("ally_") and name.endswith("_visible")]
    assert allies == [f"ally_{ally}_visible" for ally in (0, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert layout.feature_names[1][-4:] == ("own_health", "own_is_marauder", "own_is_marine", "own_is_medivac")
    assert "ally_9_energy" in layout.state_feature_names and "ally_8_cooldown" in layout.state_feature_names
    assert layout.state_feature_names[-1] == "ally_9_last_unused_11"


@pytest.mark.parametrize(("distance", "expected"), [(6.0, "d_6_0"), (6.0001, "d_6_0001")])
def test_avail_attack_boundary(distance: float, expected: str) -> None:
    battle = MAPS["3m"]
    scene = snapshot(battle, [(9, 16), (2, 16), (2, 15), (9 + distance, 16), (25, 16), (25, 17)])
    layout, obs, _, mask = encode(battle, scene)
    assert mask[0, 6] == CASES["avail_attack_boundary"][expected]
    assert obs[0, layout.feature_names[0].index("enemy_0_available")] == CASES["avail_attack_boundary"][expected]


@pytest.mark.parametrize(("distance", "seen"), [(8.9999, 1), (9.0, 0)])
def test_avail_attack_boundary_of_sight(distance: float, seen: int) -> None:
    battle = MAPS["3m"]
    scene = snapshot(battle, [(9, 16), (9, 16 - distance), (2, 15), (9 + distance, 16), (25, 16), (25, 17)])
    layout, obs, _, _ = encode(battle, scene)
    named = dict(zip(layout.feature_names[0], obs[0], strict=True))
    assert named["ally_1_visible"] == seen and (named["enemy_0_distance"] > 0) == seen == named["enemy_0_health"]


@pytest.mark.parametrize(("variant", "expected"), [(0, True), (1, False)])
def test_avail_move_pathing(variant: int, expected: bool) -> None:
    """North of (9.5, 23.5) lies the cell (9, 24): ground in variant A, cliff in C. Beyond the edge of the map nothing is free."""
    battle = MAPS["3m"]
    points = [(9.5, 23.5), (0.5, 16.5), (31.5, 16.5), (20, 16), (20, 17), (20, 18)]
    layout, obs, _, mask = encode(battle, snapshot(battle, points, variant=variant))
    assert mask[0, 2] == expected and mask[0, 3:6].all()
    # -0.5 rounds towards zero: the cell 0, on the map. 32.5 is not on the map.
    assert mask[1, 5] and not mask[2, 4] and mask[2, 5]
    moves = [layout.feature_names[0].index(f"can_move_{direction}") for direction in ("north", "south", "east", "west")]
    np.testing.assert_array_equal(obs[:, moves], mask[:, 2:6])


@pytest.mark.parametrize("form", SIZES, ids="-".join)
def test_dead_agent(form: tuple[str, str]) -> None:
    """One action, an observation and a row of the state without anything in them; on-policy forms still say who it is."""
    battle = MAPS["3s5z"]
    hp = [0.0, *(battle.unit(kind).hp for kind in (battle.ally_kinds + battle.enemy_kinds)[1:])]
    scene = snapshot(battle, in_a_row(battle), hp=hp, last_action=[0] + [1] * 7)
    layout, obs, state, mask = encode(battle, scene, observation=form[0], state=form[1])
    np.testing.assert_array_equal(np.flatnonzero(mask[0]), [0])
    assert not mask[1:, 0].any() and mask[1:, 1].all()
    filled = {name for name, value in zip(layout.feature_names[0], obs[0], strict=True) if value}
    assert filled == ({"is_agent_0"} if form[0] == "on_policy" else set())
    # The others see nothing of it, and the critic has an empty row but for its last action (of smac's state only).
    assert not [name for name, value in zip(layout.feature_names[1], obs[1], strict=True) if value and name.startswith("ally_0_")]
    named = dict(zip(layout.state_feature_names, np.atleast_2d(state)[0], strict=True))
    own = {name for name, value in named.items() if value and (layout.state_per_agent or name.startswith("ally_0_"))}
    assert own == {("smac", "agent"): {"ally_0_last_no_op"}, ("on_policy", "agent"): {"is_agent_0"}, ("on_policy", "shared"): set()}[form]


@pytest.mark.parametrize("form", SIZES, ids="-".join)
def test_enemy_type_bits_s5z(form: tuple[str, str]) -> None:
    """Stalkers come first among allies, zealots among enemies: SMAC counts the two sides' types in opposite directions."""
    battle, expected = MAPS["3s5z"], CASES["enemy_type_bits_s5z"]
    layout, obs, state, _ = encode(battle, snapshot(battle, in_a_row(battle, 0.5)), observation=form[0], state=form[1])
    for names, values in ((layout.feature_names[7], obs[7]), (layout.state_feature_names, np.atleast_2d(state)[0])):
        for side, kinds, unit in (
            ("ally", battle.ally_kinds, 1),
            ("ally", battle.ally_kinds, 4),
            ("enemy", battle.enemy_kinds, 0),
            ("enemy", battle.enemy_kinds, 7),
        ):
            bits = [column for column, name in enumerate(names) if name.startswith(f"{side}_{unit}_is_")]
            np.testing.assert_array_equal(values[bits], np.eye(2)[expected[side][kinds[unit]]])
            assert names[bits[0] + expected[side][kinds[unit]]].endswith(kinds[unit])


MARINES = [(9, 16), (10, 16), (9, 17), (12, 20), (9, 24.5), (23, 16)]
"""The first agent has one enemy at (3, 4), one out of range at (0, 8.5) and one out of sight."""


def test_golden_rows_3m() -> None:
    battle = MAPS["3m"]
    scene = snapshot(battle, MARINES, hp=[45, 30, 45, 45, 15, 45], cooldown=[3, 0, 0, 9, 9, 9], last_action=[6, 2, -1])
    _, obs, state, mask = encode(battle, scene)
    seen = [
        1,
        1,
        1,
        1,
        *(1, 5 / 9, 3 / 9, 4 / 9, 1),
        *(0, 8.5 / 9, 0, 8.5 / 9, 1 / 3),
        *[0] * 5,
        *(1, 1 / 9, 1 / 9, 0, 2 / 3),
        *(1, 1 / 9, 0, 1 / 9, 1),
        1,
    ]
    np.testing.assert_allclose(obs[0], seen, atol=1e-6)
    allies = [*(1, 3 / 15, -7 / 32, 0), *(2 / 3, 0, -6 / 32, 0), *(1, 0, -7 / 32, 1 / 32)]
    enemies = [*(1, -4 / 32, 4 / 32), *(1 / 3, -7 / 32, 8.5 / 32), *(1, 7 / 32, 0)]
    np.testing.assert_allclose(state, [*allies, *enemies, *np.eye(9)[6], *np.eye(9)[2], *[0] * 9], atol=1e-6)
    np.testing.assert_array_equal(mask[0], [0, 1, 1, 1, 1, 1, 1, 0, 0])


def test_golden_rows_3m_on_policy() -> None:
    battle = MAPS["3m"]
    scene = snapshot(battle, MARINES, hp=[45, 30, 45, 45, 15, 45], cooldown=[3, 6, 0, 9, 9, 9], last_action=[6, 2, -1])
    _, obs, state, _ = encode(battle, scene, observation="on_policy")
    last, me, id_ = np.eye(9), (1, 0, 0, 0), (1, 0, 0)
    allies = [*(1, 1 / 9, 1 / 9, 0, 2 / 3), *last[2], *(1, 1 / 9, 0, 1 / 9, 1), *[0] * 9]
    enemies = [*(1, 5 / 9, 3 / 9, 4 / 9, 1), *(0, 8.5 / 9, 0, 8.5 / 9, 1 / 3), *[0] * 5]
    np.testing.assert_allclose(obs[0], [*allies, *enemies, 1, 1, 1, 1, *me, 1, *last[6], *id_], atol=1e-6)
    allies = [*(1, 1 / 9, 1 / 9, 0, 6 / 15, 2 / 3, -6 / 32, 0), *last[2], *(1, 1 / 9, 0, 1 / 9, 0, 1, -7 / 32, 1 / 32), *[0] * 9]
    enemies = [
        *(1, 5 / 9, 3 / 9, 4 / 9, 1, 1, -4 / 32, 4 / 32),
        *(0, 8.5 / 9, 0, 8.5 / 9, 1, 1 / 3, -7 / 32, 8.5 / 32),
        *(0, 14 / 9, 14 / 9, 0, 0, 1, 7 / 32, 0),  # critics see as far as they like
    ]
    np.testing.assert_allclose(state[0], [*allies, *enemies, 1, 1, 1, 1, *me, 1, -7 / 32, 0, *last[6], *id_], atol=1e-6)


def test_golden_rows_3m_one_state_for_all() -> None:
    battle = MAPS["3m"]
    scene = snapshot(battle, MARINES, hp=[45, 30, 0, 45, 15, 45], cooldown=[3, 6, 0, 9, 9, 9], last_action=[6, 2, 0])
    _, _, state, _ = encode(battle, scene, observation="on_policy", state="shared")
    last, unused = np.eye(9), [0] * 9
    allies = [*(1, 3 / 15, -7 / 32, 0), *last[6], *(2 / 3, 6 / 15, -6 / 32, 0), *last[2], *[0] * 13]
    enemies = [*(1, -4 / 32, 4 / 32), *unused, *(1 / 3, -7 / 32, 8.5 / 32), *unused, *(1, 7 / 32, 0), *unused]
    np.testing.assert_allclose(state, [*allies, *enemies], atol=1e-6)


def test_golden_rows_mmm2() -> None:
    """The medivac's targets are allies: near, living, wounded or not, but no medivac. SMAC shows these bits beside the enemies."""
    battle = MAPS["MMM2"]
    points = [(9, 16), (9, 22), (9, 23), *[(10 + i, 16) for i in range(6)], (9, 16)] + [(12, 16 + i) for i in range(12)]
    hp = [battle.unit(kind).hp for kind in battle.ally_kinds + battle.enemy_kinds]
    hp[3], hp[-1] = 0, 75  # a dead marine; the enemy's medivac is wounded
    layout, obs, state, mask = encode(battle, snapshot(battle, points, hp=hp, energy=[*[0] * 9, 120, *[0] * 12]))
    # Allies at distance 0, 6, 7, (dead), 2, 3, 4, 5, 6 and itself; the two slots beyond the agents are never legal.
    legal = [1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    np.testing.assert_array_equal(mask[9], [0, 1, 1, 1, 1, 1, *legal])
    named = dict(zip(layout.feature_names[9], obs[9], strict=True))
    assert [named[f"enemy_{enemy}_available"] for enemy in range(9)] == legal[:9]
    # A marauder may choose what its weapon cannot reach: the medivac, like any enemy in range.
    np.testing.assert_array_equal(mask[1, 6:], [0, *[1] * 11])
    np.testing.assert_allclose(obs[9][4:12], [1, 3 / 9, 3 / 9, 0, 1, 0, 1, 0], atol=1e-6)  # enemy 0, a marine
    assert [named[f"enemy_8_{name}"] for name in ("is_marauder", "is_marine", "is_medivac")] == [1, 0, 0]
    critic = dict(zip(layout.state_feature_names, state, strict=True))
    assert critic["ally_9_energy"] == pytest.approx(0.6) and critic["ally_9_is_medivac"] == 1 and critic["enemy_11_health"] == 0.5
    np.testing.assert_array_equal(state[3 * 7 : 4 * 7], np.zeros(7))


def test_golden_rows_3s5z() -> None:
    battle = MAPS["3s5z"]
    hp = [80, 40, 80, *[100] * 5, 20, 80, 80, *[100] * 5]
    shield = [40, 80, 80, *[50] * 5, 0, 80, 80, 25, *[50] * 4]
    points = [(9, 16), (9, 18), *[(2, 10 + i) for i in range(6)], (9, 12), *[(30, 16)] * 2, (14, 16), *[(30, 17)] * 4]
    scene = snapshot(battle, points, hp=hp, shield=shield, cooldown=[14, *[0] * 15])
    layout, obs, state, _ = encode(battle, scene)
    enemies = obs[0][4:68].reshape(8, 8)
    np.testing.assert_allclose(enemies[0], [1, 4 / 9, 0, -4 / 9, 20 / 80, 0, 0, 1], atol=1e-6)  # a stalker
    np.testing.assert_allclose(enemies[3], [1, 5 / 9, 5 / 9, 0, 1, 25 / 50, 1, 0], atol=1e-6)  # a zealot
    assert not enemies[[1, 2, 4, 5, 6, 7]].any()
    allies = obs[0][68:124].reshape(7, 8)
    np.testing.assert_allclose(allies[0], [1, 2 / 9, 0, 2 / 9, 0.5, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(allies[1], [0] * 8)  # at (2, 10): 9.2 away
    np.testing.assert_allclose(allies[6], [1, 50**0.5 / 9, -7 / 9, -1 / 9, 1, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(obs[0][124:], [1, 0.5, 1, 0])
    np.testing.assert_allclose(state[:8], [1, 14 / 35, -7 / 32, 0, 0.5, 1, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(state[56:62], [0.25, -7 / 32, -4 / 32, 0, 0, 1], atol=1e-6)
    assert layout.state_feature_names[7] == "ally_1_health" and layout.state_feature_names[56] == "enemy_0_health"
