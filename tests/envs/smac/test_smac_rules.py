"""The stored cases about damage, healing, time, rewards and ends, in the sandbox; and that no stored case is forgotten."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.smac import battle
from a2po.envs.smac import fields as f
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.units import KINDS, UNITS
from a2po.errors import UserError

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text())
CASES = {case["id"]: case["expected"] for case in DATA["validation_cases"]}

DUELS = "hits, attacks and loops exact; mean 4 standard errors, sd 20 %"

# Which file tests which case, and how closely. In each the names of the tests hold the case's id.
TOLERANCES = {
    "test_smac_duels.py": {case: DUELS for case in CASES if case.startswith("duel_")},
    "test_smac_geometry.py": {
        "move_distance_per_env_step": "0.001 cells",
        "kiting_gap_stalker_zealot": "0.001 cells",
        "kiting_gap_marine_zealot": "0.001 cells",
        "corridor_attack_point": "all within 3.5 cells of the point, at rest; noticed exactly at scan range",
        "neck_width_corridor": "exact",
        "zerglings_under_colossus": "13 of 13 that come evenly; 10 to 14 of a crowd",
        "cliff_detour_2c_vs_64zg": "110-140 loops with variant C; variant A lets the first strike after 80-140",
    },
    "test_smac_rules.py": {
        "weapon_cycle_means": "exact without delays; mean 0.2 loops",
        "marine_vs_marine_mutual": "exact; each side 50 +- 6 %",
        "focus_fire_5m_vs_6m_upper_bound": "exact",
        "medivac_heal_rate": "1e-3; 0.6 hp of all that 50 energy heal",
        "medivac_no_heal": "exact",
        "colossus_line_splash": "exact; reach 0.01 cells",
        "colossus_vs_zealot": "exact",
        "baneling_vs_marine": "exact",
        "baneling_vs_zealot": "exact",
        "shield_regen": "exact",
        "zerg_regen": "1e-4 hp",
        "armor_minimum": "1e-4 hp",
        "shield_spill": "exact",
        "avail_attack_boundary": "exact",
        "avail_move_pathing": "exact",
        "dead_agent": "exact",
        "return_of_a_win": "1e-4",
        "abs_reward_quirk": "1e-6",
        "win_bonus_3m": "1e-5",
        "timeout": "exact",
        "simultaneous_wipe": "exact",
        "enemy_type_bits_s5z": "exact",
        "hyp_3s_vs_5z_full_rate": "exact",
    },
    "test_encoder.py": {"dims_all_maps": "exact"},
}

STURDY = 1e6
LOOPS = 8
STOP, NORTH, EAST, FIRST = 1, 2, 4, 6  # SMAC's actions


def test_every_stored_case_is_tested_somewhere() -> None:
    listed = [case for cases in TOLERANCES.values() for case in cases]
    assert sorted(listed) == sorted(CASES)
    for file, cases in TOLERANCES.items():
        text = "".join(path.read_text() for path in Path(__file__).parent.glob(file))
        for case in cases:
            assert case in text or case.startswith("duel_"), f"{file}: {case}"


def state(unit) -> tuple[float, float]:
    return round(unit.hp, 3), round(unit.shield, 3)


# Weapons.


def cycles(kind: str, attacks: int, **rules) -> np.ndarray:
    """Game loops between the beginnings of a unit's attacks."""
    sandbox = battle([(kind, 10, 16, STURDY, None, None, 0.0)], [("marine", 11, 16, STURDY)], **rules)
    sandbox.attack(0, 1)
    begun = []
    while len(begun) <= attacks:
        sandbox.play()
        if sandbox.unit(0).attacks > len(begun):
            begun.append(sandbox.loop)
    return np.diff(begun)


@pytest.mark.parametrize("kind", CASES["weapon_cycle_means"])
def test_case_weapon_cycle_means(kind: str) -> None:
    expected = CASES["weapon_cycle_means"][kind]
    assert set(cycles(kind, 5)) == {expected["no_random"]}
    assert cycles(kind, 500, cooldown_jitter=[-1, 2]).mean() == pytest.approx(expected["mean"], abs=0.2)


def exchange(**options) -> tuple[int, list]:
    """Two marines shoot at each other until one falls: the loop, the units."""
    sandbox = battle([("marine", 14, 16, None, None, None, 0.0)], [("marine", 18, 16, None, None, None, 180.0)], **options)
    sandbox.attack(0, 1)
    sandbox.attack(1, 0)
    while all(unit.alive for unit in sandbox.units()):
        sandbox.play()
    return sandbox.loop - 1, sandbox.units()


def test_case_marine_vs_marine_mutual() -> None:
    expected = CASES["marine_vs_marine_mutual"]
    loop, units = exchange(damage_order="simultaneous")
    assert loop == expected["death_loop"] and not any(unit.alive for unit in units)
    loop, units = exchange()
    assert loop == expected["death_loop"] and sorted(unit.hp for unit in units) == [0, 3]
    fights = [exchange(seed=seed, cooldown_jitter=[-1, 2])[1] for seed in range(400)]
    assert np.mean([units[0].alive for units in fights]) == pytest.approx(0.5, abs=0.06)
    left = [max(unit.hp for unit in units) for units in fights]
    assert sum(hp in (3, 9) for hp in left) > 200, "3 or 9 most often"


def test_case_focus_fire_5m_vs_6m_upper_bound() -> None:
    expected = CASES["focus_fire_5m_vs_6m_upper_bound"]
    posts = [("marine", 12, 14 + i, None, None, None, math.degrees(math.atan2(2 - i, 3))) for i in range(5)]
    sandbox = battle(posts, [("marine", 15, 16)] + [("marine", 16, 12 + i) for i in range(5)])
    sandbox.attack(range(5), 5)
    volley = DATA["units"]["marine"]["weapon"]
    period = math.ceil(volley["period_loops"])
    while sandbox.unit(5).alive:
        sandbox.play()
    assert sandbox.unit(5).hits == expected["shots_per_kill"]
    assert sandbox.loop - 1 == (expected["min_volleys_for_one_kill"] - 1) * period + math.ceil(volley["damage_point_loops"])
    assert {unit.hits for unit in sandbox.units()[6:]} == {0}


def test_case_hyp_3s_vs_5z_full_rate() -> None:
    expected = CASES["hyp_3s_vs_5z_full_rate"]
    sandbox = battle([("stalker", 12, 14 + 2 * i, None, None, None, 0.0) for i in range(3)], [("zealot", 16, 16)])
    sandbox.attack(range(3), 3)
    while sandbox.unit(3).alive:
        sandbox.play()
    assert sandbox.unit(3).hits == expected["shots_to_kill"]
    assert {unit.attacks for unit in sandbox.units()[:3]} == {expected["volleys"]}


def test_case_armor_minimum() -> None:
    for shield, left in ((0, (99.5, 0)), (50, (100, 49.4))):
        sandbox = battle([("hydralisk", 12, 16, None, None, None, 0.0)], [("zealot", 15, 16, 100, shield)], missile_flight=0)
        table = sandbox.simulation._shared[0]
        table[KINDS.index("hydralisk"), f.T_DAMAGE] = 0.6
        sandbox.M[f.CALM, 1] = 160
        sandbox.attack(0, 1)
        assert state(sandbox.play(10).unit(1)) == pytest.approx(left, abs=1e-4)


def test_case_shield_spill() -> None:
    sandbox = battle([("hydralisk", 12, 16, None, None, None, 0.0)], [("zealot", 15, 16, 100, 2)], missile_flight=0)
    sandbox.M[f.CALM, 1] = 160
    sandbox.attack(0, 1)
    expected = CASES["shield_spill"]
    assert state(sandbox.play(10).unit(1)) == (expected["hp"], expected["shield"])


def test_a_missile_flies_and_is_lost_on_the_dead() -> None:
    hits = {}
    for flight in (0.0, 1.0):
        sandbox = battle([("stalker", 10, 16, None, None, None, 0.0)], [("zealot", 16, 16)], missile_flight=flight)
        sandbox.attack(0, 1)
        hits[flight] = next(loop for loop in range(30) if sandbox.play().unit(1).hits)
    assert hits == {0.0: 3, 1.0: 3 + math.ceil((6 - 0.5) / 18.75 * 16)}
    sandbox = battle([("stalker", 10, y, None, None, None, 0.0) for y in (15, 17)], [("zealot", 15, 16, 8, 0)])
    sandbox.attack((0, 1), 2)
    sandbox.play(20)
    assert not sandbox.unit(2).alive and sandbox.unit(2).hits == 1 and sandbox.unit(1).attacks == 1


@pytest.mark.parametrize("kind", ["stalker", "marauder", "hydralisk"])
def test_the_slowest_missile_arrives_before_the_next(kind: str) -> None:
    apart = UNITS[kind].weapon.range + UNITS[kind].radius + 0.5 - 0.01
    posts = [(kind, 10, 16, None, None, None, 0.0)], [("zealot", 10 + apart, 16, STURDY)]
    sandbox = battle(*posts, missile_flight=2.0, cooldown_jitter=-8.0)
    sandbox.attack(0, 1)
    sandbox.play(100)
    assert sandbox.unit(0).attacks - 1 <= sandbox.unit(1).hits <= sandbox.unit(0).attacks


@pytest.mark.parametrize("mode", ["random", "simultaneous"])
def test_a_blow_whose_target_died_before_costs_nothing(mode: str) -> None:
    allies = [("stalker", 10, 16, None, None, None, 0.0), ("marine", 12, 16, None, None, None, 0.0)]
    sandbox = battle(allies, [("zergling", 16, 16, 5)], damage_order=mode)
    sandbox.attack((0, 1), 2)
    sandbox.play(2)
    assert not sandbox.lives(2) and sandbox.unit(0).cooldown > 0  # it winds up for three loops
    assert sandbox.play(2).unit(0).cooldown == 0 and sandbox.unit(0).attacks == 1


@pytest.mark.parametrize("mode", ["random", "simultaneous"])
def test_only_blows_that_fall_at_once_are_wasted_on_one_who_dies(mode: str) -> None:
    allies = [("marine", 12, 16, None, None, None, 0.0), ("marine", 13, 16, None, None, None, 0.0)]
    sandbox = battle(allies, [("zergling", 16, 16, 5)], damage_order=mode)
    sandbox.attack((0, 1), 2)
    sandbox.play(2)
    assert not sandbox.lives(2)
    assert sorted(unit.cooldown > 0 for unit in sandbox.units()[:2]) == [mode == "simultaneous", True]


def test_an_order_before_the_blow_costs_nothing_and_one_after_it_loses_the_second() -> None:
    sandbox = battle([("stalker", 10, 16, None, None, None, 0.0)], [("zealot", 14, 16)])
    sandbox.attack(0, 1)
    sandbox.play(2)
    sandbox.move(0, 5, 16)
    sandbox.play(10)
    assert sandbox.unit(1).hits == 0 and sandbox.unit(0).cooldown == 0
    sandbox = battle([("zealot", 10, 16, None, None, None, 0.0)], [("zealot", 11, 16)])
    sandbox.attack(0, 1)
    sandbox.play(2)
    sandbox.move(0, 5, 16)
    sandbox.play(10)
    assert sandbox.unit(1).hits == 1 and sandbox.unit(0).cooldown > 0


# Areas.


def zergling_row(offsets, allies=()) -> tuple:
    """A colossus, and zerglings at offsets from the first, which it attacks; nobody pushes anybody. Who is dead after the attack."""
    zerglings = [("zergling", 13 + x, 16 + y) for x, y in offsets]
    sandbox = battle([("colossus", 8, 16, None, None, None, 0.0), *allies], zerglings)
    first = 1 + len(allies)
    sandbox.M[f.LAYERS] = 0
    sandbox.attack(0, first)
    hit_at = next(loop for loop in range(30) if sandbox.play() and not sandbox.lives(first))
    return hit_at, [offset for number, offset in enumerate(offsets, first) if not sandbox.lives(number)], sandbox


def test_case_colossus_line_splash() -> None:
    expected = CASES["colossus_line_splash"]
    offsets = [(0, 0), (0, 0.75), (0, -0.75), (0, 1.5), (0, -1.5), (0, 2.25), (0, -2.25), (0.6, 0)]
    loop, dead, sandbox = zergling_row(offsets, [("marine", 13.0, 15.6)])
    assert dead == offsets[:5] and len(dead) == expected["kills"] and loop == 8
    assert sandbox.unit(1).hits == 0, "friends are never hit"
    assert [unit.hits for unit in sandbox.units()[2:]] == [2] * 5 + [0] * 3
    lateral, depth = expected["lateral_reach"], expected["depth_reach"]
    edges = [(0, 0), (0, lateral - 0.01), (0, lateral + 0.01), (depth - 0.01, 0), (depth + 0.01, 0), (0.01 - depth, 0), (-depth - 0.01, 0)]
    assert zergling_row(edges)[1] == [edges[0], edges[1], edges[3], edges[5]]


def test_a_colossus_hits_nobody_on_another_cliff_level() -> None:
    sandbox = battle(
        [("colossus", 12, 15, None, None, None, 0.0)],
        [("zergling", 15, 13.6, STURDY), ("zergling", 15.0, 12.4, STURDY), ("zergling", 15, 14.8, STURDY)],
        ground="two_level_ramps",
    )
    sandbox.M[f.LAYERS] = 0
    sandbox.attack(0, 1)
    sandbox.play(20)
    assert [unit.hits for unit in sandbox.units()[1:]] == [2, 0, 2]


def test_case_colossus_vs_zealot() -> None:
    sandbox = battle([("colossus", 10, 16, None, None, None, 0.0)], [("zealot", 15, 16)])
    sandbox.attack(0, 1)
    after = []
    while sandbox.unit(1).alive:
        hits = sandbox.unit(1).hits
        sandbox.play()
        if sandbox.unit(1).hits > hits:
            after.append(state(sandbox.unit(1)))
    assert after == [(100, 10), (72, 0), (34, 0), (0, 0)]
    assert sandbox.unit(0).attacks == CASES["colossus_vs_zealot"]["attacks"]


def test_case_baneling_vs_marine() -> None:
    expected = CASES["baneling_vs_marine"]
    marines = [("marine", 16, 16), ("marine", 17, 16), ("marine", 16, 17), ("marine", 20, 16)]
    sandbox = battle([("baneling", 15, 16), ("baneling", 10, 16)], marines)
    sandbox.attack(0, 2)
    sandbox.play(10)
    assert not sandbox.unit(0).alive and sandbox.unit(1).alive
    assert [unit.hp for unit in sandbox.units()[2:]] == [expected["marines_left_hp"]] * 3 + [45]
    sandbox.attack(1, 2)
    sandbox.play(60)
    assert [unit.alive for unit in sandbox.units()[1:]] == [False, False, False, False, True]


def test_case_baneling_vs_zealot() -> None:
    expected = CASES["baneling_vs_zealot"]
    sandbox = battle([("baneling", 12 - i, 16) for i in range(expected["n"])], [("zealot", 14, 16)])
    after = []
    for number in range(expected["n"]):
        sandbox.attack(number, expected["n"])
        while sandbox.unit(number).alive:
            sandbox.play()
        zealot = sandbox.unit(expected["n"])
        after.append(f"{zealot.hp:.0f}/{zealot.shield:.0f}" if zealot.alive else "dead")
    assert after == expected["hp_shield_after"]


def test_a_baneling_that_is_shot_bursts_too_and_takes_others_with_it() -> None:
    """The second one stands in no foe's reach; it is set off by nothing, because its own side's burst does not hurt it."""
    posts = [("marine", 16, 16, None, None, None, 0.0), ("zergling", 18.5, 16.0, 20)]
    sandbox = battle(posts, [("baneling", 19, 16, 5), ("baneling", 20, 16, 5)])
    sandbox.attack(0, 2)
    sandbox.play(4)
    assert [unit.alive for unit in sandbox.units()] == [True, False, False, True]
    assert sandbox.unit(0).hits == 0


def test_banelings_set_each_other_off_across_the_sides() -> None:
    sandbox = battle([("marine", 12, 16, None, None, None, 0.0), ("baneling", 17, 16)], [("baneling", 16, 16, 5), ("zergling", 18, 16, 30)])
    sandbox.attack(0, 2)
    sandbox.play(4)
    assert [unit.alive for unit in sandbox.units()] == [True, True, False, True], "20 of 30 hp"
    sandbox = battle(
        [("marine", 12, 16, None, None, None, 0.0), ("baneling", 17, 16, 19)], [("baneling", 16, 16, 5), ("zergling", 18, 16, 30)]
    )
    sandbox.attack(0, 2)
    sandbox.play(4)
    assert [unit.alive for unit in sandbox.units()] == [True, False, False, False]


# Healing and growing back.


def test_case_medivac_heal_rate() -> None:
    expected = CASES["medivac_heal_rate"]
    sandbox = battle([("medivac", 15, 16), ("marauder", 17, 16, STURDY)], [("medivac", 1, 1)])
    sandbox.W[f.HP, 1] = 60
    sandbox.heal(0, 1)
    assert sandbox.play().unit(1).hp == pytest.approx(60 + expected["hp_per_loop"], abs=1e-3)
    assert sandbox.play(LOOPS - 1).unit(1).hp == pytest.approx(60 + expected["hp_per_env_step"], abs=1e-3)
    assert sandbox.play(LOOPS).unit(0).energy == pytest.approx(50 + expected["net_energy_per_s"], abs=1e-3)
    sandbox.play(int(expected["time_to_empty_s"] * 16) - 2 * LOOPS)
    assert sandbox.unit(1).hp - 60 == pytest.approx(expected["total_hp_from_50_energy"], abs=0.6)
    assert sandbox.unit(0).energy < 0.3


def test_case_medivac_no_heal() -> None:
    posts = [("medivac", 15, 16), ("medivac", 16.5, 16, 50), ("stalker", 15, 18, 20), ("marine", 17, 17)]
    for target in (1, 2, 3):
        sandbox = battle(posts, [("marauder", 30, 30)])
        sandbox.W[f.SHIELD, 2] = 80
        before = [unit.hp for unit in sandbox.units()]
        sandbox.step(FIRST + target, STOP, STOP, STOP)
        assert [unit.hp for unit in sandbox.units()] == before
        assert sandbox.unit(0).energy == pytest.approx(50 + 0.5625 / 2)


def test_a_medivac_heals_as_far_as_its_energy_lasts_and_never_above_the_maximum() -> None:
    sandbox = battle([("medivac", 15, 16, None, None, 0.33), ("marine", 16, 16, 10)], [("marauder", 30, 30)])
    sandbox.heal(0, 1)
    sandbox.play(2)
    assert 10.9 < sandbox.unit(1).hp < 11.3
    sandbox = battle([("medivac", 15, 16), ("marine", 16, 16, 44)], [("marauder", 30, 30)])
    sandbox.heal(0, 1)
    assert sandbox.play(40).unit(1).hp == 45


def test_a_medivac_does_not_mend_who_died_in_this_loop() -> None:
    sandbox = battle([("marine", 13, 16, None, None, None, 0.0)], [("marine", 16, 16, 3), ("medivac", 16, 17)])
    sandbox.attack(0, 1)
    sandbox.heal(2, 1)
    sandbox.play(2)
    assert not sandbox.lives(1) and sandbox.unit(1).hp == 0


def test_case_shield_regen() -> None:
    expected = CASES["shield_regen"]
    sandbox = battle([("marine", 14, 16, None, None, None, 0.0)], [("zealot", 17, 16, None, 6)])
    sandbox.M[f.CALM, 1] = 160
    sandbox.attack(0, 1)
    while sandbox.unit(1).hits == 0:
        sandbox.play()
    sandbox.stop(0)
    assert state(sandbox.unit(1)) == (100, 0)
    assert sandbox.play(expected["loops"] - 1).unit(1).shield == 0
    assert sandbox.play().unit(1).shield == expected["then_per_loop"]
    assert sandbox.play(398).unit(1).shield == 50 - expected["then_per_loop"]
    assert sandbox.play().unit(1).shield == 50 and sandbox.loop - 2 == expected["full_after_s"] * 16 - 1


def test_case_zerg_regen() -> None:
    expected = CASES["zerg_regen"]
    sandbox = battle([("zergling", 14, 16, 10)], [("marine", 30, 30)])
    assert sandbox.play().unit(0).hp == pytest.approx(10 + expected["per_loop"], abs=1e-4)
    assert sandbox.play(15).unit(0).hp == pytest.approx(expected["after_16_loops"], abs=1e-4)


# What agents may do and see.


def test_case_avail_attack_boundary() -> None:
    for apart, available in ((6.0, 1), (6.0001, 0)):
        sandbox = battle([("marine", 8, 16)], [("marine", 8 + apart, 16)])
        sandbox.step(STOP)
        assert sandbox.shown.mask[0, 0, FIRST] == CASES["avail_attack_boundary"][f"d_{apart}".replace(".", "_")] == available
    for apart in (8.99, 9.0):
        sandbox = battle([("marine", 8, 16)], [("marine", 8 + apart, 16)])
        sandbox.step(STOP)
        assert sandbox.shown.obs[0, 0, 4:9].any() == (apart < 9)


def test_case_avail_move_pathing() -> None:
    for variant, north in (("plateau", True), ("cliff", False)):
        sandbox = battle([("marine", 9.5, 23.5)], [("marine", 20, 16)], ground="open_band", terrain=variant)
        sandbox.step(STOP)
        assert sandbox.shown.mask[0, 0, NORTH] == north
    sandbox = battle([("marine", 31.2, 16)], [("marine", 20, 16)])
    sandbox.step(STOP)
    assert not sandbox.shown.mask[0, 0, EAST]


def test_case_dead_agent() -> None:
    sandbox = battle([("marine", 10, 16, 6), ("marine", 3, 3)], [("marine", 14, 16)])
    sandbox.attack(2, 0)
    while sandbox.unit(0).alive:
        sandbox.step(STOP, STOP)
    sandbox.step(0, STOP)
    assert sandbox.shown.mask[0, 0].tolist() == [True] + [False] * 6
    assert not sandbox.shown.obs[0, 0].any() and not sandbox.shown.alive[0, 0]
    assert not sandbox.shown.state[0, 0, :4].any()
    assert sandbox.shown.state[0, 0, -14:-7].tolist() == [1, 0, 0, 0, 0, 0, 0], "its last action is no-op"


def test_case_enemy_type_bits_s5z() -> None:
    expected = CASES["enemy_type_bits_s5z"]
    battle_map = MAPS["3s5z"]
    assert {kind: bit for bit, kind in enumerate(battle_map.ally_type_order)} == expected["ally"]
    assert {kind: bit for bit, kind in enumerate(battle_map.enemy_type_order)} == expected["enemy"]


# Rewards and ends.


@pytest.mark.parametrize("kind", ["marine", "zealot", "colossus"])
def test_case_return_of_a_win(kind: str) -> None:
    sandbox = battle([("marine", 12 + 0.8 * (i % 4), 14 + 0.8 * (i // 4)) for i in range(12)], [(kind, 18, 13 + 2 * i) for i in range(3)])
    total, outcome = 0.0, "going"
    while outcome == "going":
        target = next(number for number in range(3) if sandbox.lives(12 + number))
        reward, outcome = sandbox.step(*[FIRST + target] * 12)
        total += reward
    assert outcome == "won" and total == pytest.approx(CASES["return_of_a_win"]["sum_of_scaled_rewards"], abs=1e-4)


def test_case_abs_reward_quirk() -> None:
    expected = CASES["abs_reward_quirk"]
    side = [kind for kind, count in MAPS["3s5z"].allies for _ in range(count)]
    for options, reward in (({}, expected["scaled"]), ({"reward_scale": False}, expected["raw_reward"])):
        allies, enemies = ([(kind, x, 4 + 3 * i) for i, kind in enumerate(side)] for x in (3, 29))
        enemies[3] = (*enemies[3], 100, 40)
        sandbox = battle(allies, enemies, **options)
        assert sandbox.battle.max_reward == 1510
        assert sandbox.step(*[STOP] * 8) == (pytest.approx(reward, abs=1e-6), "going")
    sandbox = battle(allies, enemies, reward_only_positive=False, reward_scale=False)
    assert sandbox.step(*[STOP] * 8)[0] == -1


def test_case_win_bonus_3m() -> None:
    expected = CASES["win_bonus_3m"]
    for scale in (True, False):
        marines = [("marine", 12, 14 + 2 * i, None, None, None, 0.0) for i in range(3)]
        sandbox = battle(marines, [("marine", 15, 14 + 2 * i) for i in range(3)], reward_scale=scale)
        assert sandbox.battle.max_reward == 365
        sandbox.W[[f.HP, f.BEFORE], 3:6] = 6
        assert sandbox.step(FIRST, FIRST + 1, STOP)[1] == "going"
        reward, outcome = sandbox.step(STOP, STOP, FIRST + 2)
        assert outcome == "won" and reward == pytest.approx(expected["scaled" if scale else "raw"], abs=1e-5)


def test_case_simultaneous_wipe() -> None:
    posts = [("marine", 14, 16, 6, None, None, 0.0)], [("marine", 18, 16, 6, None, None, 180.0)]
    sandbox = battle(*posts, damage_order="simultaneous", reward_scale=False)
    sandbox.attack(1, 0)
    assert sandbox.step(FIRST) == (16, "wiped_out")
    sandbox = battle(*posts, reward_scale=False)
    sandbox.attack(1, 0)
    assert sandbox.step(FIRST)[1] in ("won", "lost")


def test_case_timeout() -> None:
    """The spine crawler stays and the stalkers stand out of its reach until the limit."""
    env = make("smac/2s_vs_1sc", 1, seed=0, num_threads=1)
    env.reset()
    for step in range(1, 301):
        played = env.step(torch.ones((1, 2), dtype=torch.int64))
        assert played.reward.item() == 0 and not played.terminated.item()
        assert played.truncated.item() == (step == 300)
    (record,) = env.drain_episodes()
    assert record["return"] == 0 and not record["won"]
    env.close()


def test_medivacs_alone_cannot_win() -> None:
    sandbox = battle([("medivac", 10, 16), ("marine", 14, 16, 6)], [("marine", 17, 16, 6), ("medivac", 20, 20)])
    sandbox.attack(2, 1)
    assert sandbox.step(STOP, STOP) == (0, "lost")
    sandbox = battle([("medivac", 10, 16), ("marine", 14, 16)], [("marine", 17, 16, 6), ("medivac", 20, 20)])
    assert sandbox.step(STOP, FIRST)[1] == "won"


# What units do by themselves.


def test_a_unit_on_an_attack_move_takes_the_nearest_and_keeps_it_while_in_range() -> None:
    sandbox = battle([("marine", 5, 16), ("marine", 10, 20, STURDY)], [("stalker", 16, 16)])
    sandbox.attack_move(2, 2, 16)
    targets = []
    for _ in range(120):
        sandbox.play()
        targets.append(sandbox.unit(2).target)
    assert targets[0] is None or targets[0] == 1
    assert 1 in targets and set(targets[targets.index(1) :]) == {1}
    sandbox.W[[f.X, f.Y], 0] = sandbox.unit(2).x - 2, sandbox.unit(2).y
    assert {sandbox.play().unit(2).target for _ in range(60)} == {1}, "a nearer one does not distract it"
    sandbox.W[[f.X, f.Y], 1] = 30, 1
    sandbox.play(30)
    assert sandbox.unit(2).target == 0


def test_those_that_can_hurt_come_first() -> None:
    sandbox = battle([("zealot", 13, 16), ("marine", 12, 18.5)], [("colossus", 16, 16)])
    sandbox.guard(2)
    assert sandbox.play().unit(2).target == 0, "both hurt it: the nearest"
    sandbox = battle([("medivac", 13, 16), ("marauder", 12.5, 16)], [("stalker", 16, 16)])
    sandbox.guard(2)
    assert sandbox.play().unit(2).target == 0, "a medivac counts as one that hurts"
    sandbox = battle([("zealot", 14, 16), ("marine", 12, 18.5)], [("medivac", 16, 16), ("marine", 17, 16)])
    sandbox.guard(3)
    assert sandbox.play().unit(3).target == 0


def test_whoever_is_hit_from_afar_goes_for_the_attacker_and_calls_friends() -> None:
    far, near = ("marine", 20, 28), ("marine", 16, 18)
    sandbox = battle([("stalker", 9.2, 16, None, None, None, 0.0)], [("marine", 16, 16, STURDY), near, far])
    sandbox.guard(1, 2, 3)
    sandbox.attack(0, 1)
    assert [unit.target for unit in sandbox.play(3).units()[1:]] == [None, None, None]
    sandbox.play(12)
    assert [unit.target for unit in sandbox.units()[1:]] == [0, 0, None]
    sandbox.play(40)
    assert sandbox.unit(0).hits > 0 and (sandbox.unit(3).x, sandbox.unit(3).y) == (20, 28)


def test_nobody_turns_or_walks_after_one_who_just_died() -> None:
    sandbox = battle([("marine", 12, 16, None, None, None, 0.0), ("zealot", 18, 16, None, None, None, 180.0)], [("marine", 15, 16, 5)])
    sandbox.attack((0, 1), 2)
    sandbox.play()
    x = sandbox.unit(1).x
    sandbox.play(10)
    assert not sandbox.lives(2) and [unit.facing for unit in sandbox.units()[:2]] == [0, 180]
    assert (sandbox.unit(1).x, sandbox.unit(1).y) == (x, 16)


@pytest.mark.parametrize(("mode", "goes"), [("scan_move", True), ("idle", False)])
def test_an_enemy_medivac_follows_its_order_or_stays(mode: str, goes: bool) -> None:
    sandbox = battle([("marine", 3, 3)], [("medivac", 20, 16), ("marine", 24, 16, 20), ("marine", 30, 16, 20)], enemy_medivac=mode)
    sandbox.attack_move(1, 5, 16)
    sandbox.play(200)
    assert sandbox.unit(1).x == pytest.approx(5 if goes else 20, abs=0.25)
    assert sandbox.unit(2).hp > 20 and sandbox.unit(3).hp == 20


def test_allies_do_nothing_without_orders() -> None:
    sandbox = battle([("marine", 16, 16, STURDY), ("stalker", 16, 18)], [("zealot", 18, 16)])
    sandbox.attack(2, 0)
    for _ in range(10):
        sandbox.step(STOP, STOP)
    assert [unit.attacks for unit in sandbox.units()[:2]] == [0, 0] and sandbox.unit(0).hits > 0


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("cooldown_jitter", [2, 2], "3m"),
        ("missile_flight", 2.0, "3s5z"),
        ("acquire_slop", 3.0, "3m"),
        ("spawn_jitter", 0.25, "3m"),
        ("terrain", "cliff", "6h_vs_8z"),
        ("action_delay", 3, "3m"),
        ("shuffle_enemies", True, "3m"),
        ("head_start", 6, "3m"),
    ],
)
def test_a_rule_has_an_effect(option: str, value, name: str) -> None:
    battles = []
    for options in ({}, {option: value}, {option: value}):
        env = make(f"smac/{name}", 4, seed=3, num_threads=1, **options)
        observed = env.reset()
        seen = [observed.state.clone()]
        for step in range(40):
            mask = observed.action_mask
            action = torch.where(mask[:, :, EAST], EAST, mask.int().argmax(-1)) if step < 14 else mask.int().argmax(-1)
            observed = env.step(action).observations
            seen.append(observed.state.clone())
        battles.append(torch.stack(seen))
        env.close()
    assert not torch.equal(battles[0], battles[1]) and torch.equal(battles[1], battles[2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (([("marin", 1, 1)], [("zealot", 2, 2)]), "there is no unit 'marin'; did you mean 'marine'"),
        (([], [("zealot", 2, 2)]), "a unit on each side and 96 at most, got 0 against 1"),
        (([("marine", 40, 1)], [("zealot", 2, 2)]), r"a marine at \(40, 1\) is off the map"),
    ],
)
def test_a_wrong_sandbox(wrong, message: str) -> None:
    with pytest.raises(UserError, match=message):
        battle(*wrong)


def test_a_wrong_option_or_order_of_a_sandbox() -> None:
    sides = [("marine", 1, 1), ("marine", 2, 2)], [("zealot", 4, 4)]
    with pytest.raises(UserError, match="unknown option 'missile_fligth'; did you mean 'missile_flight'"):
        battle(*sides, missile_fligth=0)
    with pytest.raises(UserError, match="there is no terrain 'octogon'"):
        battle(*sides, ground="octogon")
    with pytest.raises(UserError, match="unit 0 and its target 1 are on the same side"):
        battle(*sides).attack(0, 1)
    with pytest.raises(UserError, match="unit 0, a marine, does not heal"):
        battle(*sides).heal(0, 1)
