"""Duels of units: the stored cases, and every pair against a slow calculation from the stored catalog that uses nothing of the rules."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from a2po.envs.smac import duel
from a2po.errors import UserError

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text())
UNITS = DATA["units"]
CASES = {case["id"]: case["expected"] for case in DATA["validation_cases"]}
DUELS = [case for case in CASES if case.startswith("duel_")]
SEEDS = 150


def names(case: str) -> tuple[str, str]:
    attacker, target = case.removeprefix("duel_").split("_kills_passive_")
    return attacker, target


def able(attacker: str, target: str) -> bool:
    """From the catalog: a weapon that reaches the target's plane, and for what dies of its attack enough damage."""
    weapon = UNITS[attacker]["weapon"]
    if weapon is None or not any(weapon[f"targets_{plane}"] for plane in UNITS[target]["planes"]):
        return False
    if attacker == "baneling":
        return damage(attacker, target) >= UNITS[target]["hp"] + UNITS[target]["shield"] + UNITS[target]["armor"]
    return True


def damage(attacker: str, target: str) -> float:
    weapon = UNITS[attacker]["weapon"]
    return weapon["damage"] + sum(bonus for word, bonus in weapon["bonus"].items() if word in UNITS[target]["attributes"])


def slow_duel(attacker: str, target: str, draw: random.Random | None = None) -> tuple[int, int, int]:
    """(hits, attacks, loops), blow by blow, life growing back loop by loop."""
    weapon, victim = UNITS[attacker]["weapon"], UNITS[target]
    splash = weapon["splash"]
    blows = [math.ceil(weapon["damage_point_loops"])]
    if splash and splash["kind"] == "line":  # two sweeps, that reach the main target in the middle of their time
        blows = [blows[0] + math.ceil(16 * splash["main_target_delay_s"])] * splash["waves"]
    elif weapon["attacks"] == 2:
        blows.append(blows[0] + math.ceil(16 * weapon["multi_delay_s"]))
    amount, life, shield = damage(attacker, target), float(victim["hp"]), float(victim["shield"])
    hits = attacks = loop = ready = 0
    due: list[int] = []
    while True:
        if loop == ready:
            attacks += 1
            due += [loop + delay for delay in blows]
            ready = loop + math.ceil(weapon["period_loops"] + (draw.uniform(-1, 2) if draw else 0))
        for _ in range(due.count(loop)):
            hits += 1
            through = max(amount - shield, 0.0)
            shield = max(shield - amount, 0.0)
            life -= max(through - victim["armor"], 0.5) if through > 0 else 0.0
            if life <= 0:
                return hits, attacks, loop
        life = min(life + victim["hp_regen"] / 16, victim["hp"])
        loop += 1


PAIRS = [pair for pair in itertools.product(UNITS, UNITS) if able(*pair)]
OTHERS = [pair for pair in itertools.product(UNITS, UNITS) if not able(*pair)]


def test_the_pairs_are_those_one_expects() -> None:
    assert len(DUELS) == 12 and len(PAIRS) == 76 and ("baneling", "zergling") in PAIRS and ("baneling", "marine") in OTHERS


@pytest.mark.parametrize("case", DUELS)
def test_case(case: str) -> None:
    expected = CASES[case]
    assert duel(*names(case)) == (expected["hits"], expected["attacks"], expected["loops_no_random_delay"])


@pytest.mark.parametrize("case", DUELS)
def test_case_with_random_delays(case: str) -> None:
    expected = CASES[case]
    played = [duel(*names(case), seed=seed, random_delay=True) for seed in range(SEEDS)]
    loops = np.array([one.loops for one in played])
    assert abs(loops.mean() - expected["loops_mean_random_delay"]) < 4 * expected["loops_sd"] / math.sqrt(SEEDS) + 0.05
    assert abs(loops.std() - expected["loops_sd"]) < 0.2 * expected["loops_sd"] + 0.05
    low, high = expected["loops_p01_p99"]
    assert 0.95 < np.mean((loops >= low) & (loops <= high)) <= 1
    assert {one.hits for one in played} == {expected["hits"]}  # none of these is so close that a delay decides


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_pair_is_as_calculated_by_hand(pair: tuple[str, str]) -> None:
    assert duel(*pair) == slow_duel(*pair)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_pair_with_random_delays(pair: tuple[str, str]) -> None:
    draw = random.Random(7)
    expected = np.array([slow_duel(*pair, draw) for _ in range(200)])
    played = np.array([duel(*pair, seed=seed, random_delay=True) for seed in range(25)])
    error = 4 * np.sqrt(expected.var(0) / 200 + expected.var(0) / 25) + 1e-9
    assert (np.abs(played.mean(0) - expected.mean(0)) <= error).all()


def test_the_seed_decides_the_delays_and_nothing_else() -> None:
    assert duel("marine", "zealot", seed=5, random_delay=True) == duel("marine", "zealot", seed=5, random_delay=True)
    assert len({duel("marine", "zealot", seed=seed, random_delay=True) for seed in range(8)}) > 3
    assert duel("marine", "zealot", seed=5) == duel("marine", "zealot", seed=6)
    assert duel("marine", "zealot", seed=2**40 + 1, random_delay=True) != duel("marine", "zealot", seed=1, random_delay=True)
    assert duel("marine", "zealot", seed=-1, random_delay=True) == duel("marine", "zealot", seed=-1, random_delay=True)


@pytest.mark.parametrize("pair", OTHERS, ids="-".join)
def test_a_pair_that_cannot_fight(pair: tuple[str, str]) -> None:
    with pytest.raises(UserError) as raised:
        duel(*pair)
    message = str(raised.value)
    assert pair[0] in message and "\n" not in message
    if pair[0] == "medivac":
        assert message == "a medivac has no weapon"
    elif pair[1] == "medivac":
        assert message == f"a {pair[0]} cannot attack a medivac: its weapon reaches only what is on the ground"
    else:
        left = UNITS[pair[1]]["hp"] + UNITS[pair[1]]["shield"]
        through = damage(*pair) if UNITS[pair[1]]["shield"] else damage(*pair) - UNITS[pair[1]]["armor"]
        if pair[1] == "spine_crawler":
            through = UNITS["baneling"]["weapon"]["splash"]["structure_damage"] - UNITS[pair[1]]["armor"]
        assert message == f"a baneling cannot kill a {pair[1]}: its one attack, of which it dies, leaves {left - through:.0f} of {left}"


def test_an_unknown_unit() -> None:
    with pytest.raises(UserError, match=r"there is no unit 'marin'; did you mean 'marine'\? \(there are: marine, marauder, "):
        duel("marin", "zealot")
    with pytest.raises(UserError, match="there is no unit 'Zealot'; did you mean 'zealot'"):
        duel("marine", "Zealot")
