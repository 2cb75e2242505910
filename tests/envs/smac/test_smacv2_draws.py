"""Teams and starts are drawn as SMACv2 draws them: chi-square over 10,000 battles each, begun by the compiled rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.options import parse_options
from a2po.envs.smac.smacv2 import SMACV2

DRAWS, AT_ONCE = 10_000, 1_000
LEAST_LIKELY = 0.001
SHARES = {
    "terran": {"marine": 0.45, "marauder": 0.45, "medivac": 0.1},
    "protoss": {"stalker": 0.45, "zealot": 0.45, "colossus": 0.1},
    "zerg": {"zergling": 0.45, "hydralisk": 0.45, "baneling": 0.1},
}
NEVER_ALONE = {"terran": {"medivac"}, "protoss": set(), "zerg": {"baneling"}}
MAP, BESIDE = 32.0, 2.0


def probability(observed: Mapping[Hashable, float], expected: Mapping[Hashable, float]) -> float:
    """The chance of counts as far from `expected` as these (Pearson's chi-square); what is too rare to judge is put together."""
    total = sum(observed.values())
    assert not set(observed) - set(expected), "something that cannot be drawn"
    cells, rest = [], [0.0, 0.0]
    for key, share in expected.items():
        if share * total >= 10:
            cells.append((observed.get(key, 0), share * total))
        else:
            rest = [rest[0] + observed.get(key, 0), rest[1] + share * total]
    if rest[1] >= 5:
        cells.append((rest[0], rest[1]))
    distance = sum((found - wanted) ** 2 / wanted for found, wanted in cells)
    half = torch.tensor([(len(cells) - 1) / 2, distance / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def check(observed: Iterable[Hashable], expected: Mapping[Any, float]) -> None:
    assert math.isclose(sum(expected.values()), 1.0, abs_tol=1e-9)
    counts = Counter(observed)
    assert probability(counts, expected) > LEAST_LIKELY, (counts, expected)


def check_uniform(values: np.ndarray, low: float, high: float, bins: int) -> None:
    """Whether values are spread evenly. Whole bins are wider than what the map's edge cuts off."""
    assert values.min() >= low and values.max() <= high
    column = np.minimum(((values - low) / (high - low) * bins).astype(int), bins - 1)
    check(column.tolist(), dict.fromkeys(range(bins), 1 / bins))


class Draws(NamedTuple):
    """Many beginnings: the types' names, and where units stand; agents first."""

    kinds: list[tuple[str, ...]]
    x: np.ndarray  # [draws, units]
    y: np.ndarray


@cache
def begun(name: str, starts: str | None = None, size: int | None = None, seed: int = 1) -> Draws:
    """DRAWS battles at the moment in which they begin."""
    battle: BattleMap = SMACV2[name]
    race = name.split("_")[0]
    if starts is not None:
        battle = replace(battle, starts=starts)
    if size is not None:
        battle = replace(battle, allies=((race, size),), enemies=((race, size),))
    options = parse_options(name, {"head_start": 0}, battle.defaults)
    everybody = battle.num_agents + battle.num_enemies
    kinds: list[tuple[str, ...]] = []
    places = []
    env = StarCraftBattles(name, battle, AT_ONCE, seed=seed, device=torch.device("cpu"), num_threads=1, options=options)
    with closing(env):
        while len(kinds) < DRAWS:
            env.reset()
            kinds += [tuple(battle.units[kind].name for kind in row) for row in env.simulation.marks[:, f.KIND, :everybody]]
            places.append(env.simulation.units[:, f.X : f.Y + 1, :everybody].copy())
    x, y = np.concatenate(places).transpose(1, 0, 2)
    return Draws(kinds, x, y)


def surrounded(draws: Draws, agents: int) -> np.ndarray:
    """Which battles have their allies in the centre: 5 mirrored ones stand so close together by chance once in a hundred thousand."""
    return (np.hypot(draws.x - MAP / 2, draws.y - MAP / 2)[:, :agents] < 3.5).all(axis=1)


# Teams.


def compositions(race: str, count: int) -> dict[tuple[int, ...], float]:
    """How often each number of units of each type is drawn, given that a team is not of those alone that cannot be."""
    shares = SHARES[race]
    found: dict[tuple[int, ...], float] = {}
    for numbers in product(range(count + 1), repeat=3):
        forbidden = all(number == 0 or kind in NEVER_ALONE[race] for kind, number in zip(shares, numbers, strict=True))
        if sum(numbers) == count and not forbidden:
            ways = math.factorial(count) / math.prod(map(math.factorial, numbers))
            found[numbers] = ways * math.prod(share**number for share, number in zip(shares.values(), numbers, strict=True))
    total = sum(found.values())
    return {numbers: share / total for numbers, share in found.items()}


def composition(race: str, kinds: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(kinds.count(kind) for kind in SHARES[race])


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("race", SHARES)
def test_teams_are_drawn_by_their_weights_and_again_when_they_cannot_be(race: str, size: int) -> None:
    teams = [kinds[:size] for kinds in begun(f"{race}_5_vs_5", size=size).kinds]
    check([composition(race, team) for team in teams], compositions(race, size))


@pytest.mark.parametrize("race", SHARES)
def test_the_enemys_team_is_a_copy_and_what_it_has_more_is_drawn_alike(race: str) -> None:
    draws = begun(f"{race}_10_vs_11")
    for kinds in draws.kinds:
        assert sorted(kinds[:10]) == list(kinds[:10]) and Counter(kinds[:10]) == Counter(kinds[10:20])
    check([composition(race, kinds[20:]) for kinds in draws.kinds], compositions(race, 1))
    check([composition(race, kinds[:10]) for kinds in draws.kinds], compositions(race, 10))


def test_each_place_in_the_enemys_team_is_drawn_alike() -> None:
    kinds = begun("terran_5_vs_5").kinds
    for place in range(5, 10):
        check([row[place] for row in kinds], SHARES["terran"])
    pairs = {(one, other): SHARES["terran"][one] * SHARES["terran"][other] for one in SHARES["terran"] for other in SHARES["terran"]}
    check([(row[5], row[9]) for row in kinds], pairs)


# Starts.


def test_half_of_the_battles_are_mirrored() -> None:
    around = surrounded(begun("terran_5_vs_5"), 5)
    check(around.tolist(), {True: 0.5, False: 0.5})
    kinds = begun("terran_5_vs_5").kinds  # and it has nothing to do with the teams
    medics = [kinds[battle][:5].count("medivac") == 0 for battle in np.flatnonzero(around)]
    none = sum(share for numbers, share in compositions("terran", 5).items() if numbers[2] == 0)
    check(medics, {True: none, False: 1 - none})


def test_mirrored_places_are_uniform() -> None:
    draws = begun("terran_10_vs_11", starts="reflect")
    x, y = draws.x[:, :10], draws.y[:, :10]
    check_uniform(x.ravel(), 0, MAP / 2 - 1, 15)
    check_uniform(y.ravel(), 0, MAP, 32)
    cells = zip((x.ravel() // 3).astype(int).tolist(), (y.ravel() // 4).astype(int).tolist(), strict=True)
    check(cells, dict.fromkeys(product(range(5), range(8)), 1 / 40))
    check_uniform(draws.x[:, 20], MAP / 2, MAP, 16)  # the one that has no twin
    check_uniform(draws.y[:, 20], 0, MAP, 32)
    # Agents of a type are numbered from west to east, so each enemy is the twin of some agent of its type.
    for battle in range(0, DRAWS, 100):
        allies = sorted(zip(draws.kinds[battle][:10], (MAP - draws.x[battle, :10]).tolist(), draws.y[battle, :10].tolist(), strict=True))
        enemies = zip(draws.kinds[battle][10:20], draws.x[battle, 10:20].tolist(), draws.y[battle, 10:20].tolist(), strict=True)
        for (kind, x, y), (own, mirrored, north) in zip(sorted(enemies), allies, strict=True):
            assert kind == own and x == pytest.approx(mirrored, abs=1e-4) and y == pytest.approx(north, abs=1e-4)


def test_agents_of_a_type_are_numbered_from_west_to_east() -> None:
    draws = begun("zerg_10_vs_11", starts="reflect")
    for kinds, x in zip(draws.kinds, draws.x, strict=True):
        assert all(x[i] <= x[i + 1] for i in range(9) if kinds[i] == kinds[i + 1])


class Group(NamedTuple):
    diagonal: tuple[int, int]
    """East, north: 0 or 1."""
    share: float
    """Of the way from the corner to the centre."""
    size: int


def groups(draws: Draws, agents: int) -> list[list[Group]]:
    """Who surrounds whom: each group's first enemy stands where the group was put, in the order in which groups were made."""
    found = []
    for x, y in zip(draws.x[:, agents:].tolist(), draws.y[:, agents:].tolist(), strict=True):
        corners = [(int(east > MAP / 2), int(north > MAP / 2)) for east, north in zip(x, y, strict=True)]
        own = []
        for diagonal in dict.fromkeys(corners):
            first = corners.index(diagonal)
            assert corners[first : first + corners.count(diagonal)] == [diagonal] * corners.count(diagonal)  # one after the other
            along = [abs(value - MAP * end) / (MAP / 2 - BESIDE) for end, value in zip(diagonal, (x[first], y[first]), strict=True)]
            assert along[0] == pytest.approx(along[1], abs=1e-5)  # on the diagonal
            own.append(Group(diagonal, along[0], corners.count(diagonal)))
        found.append(own)
    return found


def sizes_of_groups(count: int) -> dict[tuple[int, ...], float]:
    """How often groups have which sizes, the empty ones left out: 1 to 4 groups, all numbers alike; each enemy in any of them."""
    found: Counter[tuple[int, ...]] = Counter()
    for number in range(1, 5):
        for sizes in product(range(count + 1), repeat=number):
            if sum(sizes) == count:
                ways = math.factorial(count) / math.prod(map(math.factorial, sizes))
                found[tuple(size for size in sizes if size)] += ways / number**count / 4  # type: ignore[assignment]
    return dict(found)


def test_groups_that_surround_are_drawn_as_smacv2_does() -> None:
    draws = begun("terran_5_vs_5", starts="surrounded")
    assert surrounded(draws, 5).all()
    around = groups(draws, 5)
    check([tuple(group.size for group in own) for own in around], sizes_of_groups(5))
    check_uniform(np.array([group.share for own in around for group in own]), 0, 1, 20)
    check([own[0].diagonal for own in around], dict.fromkeys(product((0, 1), repeat=2), 1 / 4))
    pairs = [frozenset(group.diagonal for group in own) for own in around if len(own) == 2]
    check(pairs, dict.fromkeys(map(frozenset, combinations(product((0, 1), repeat=2), 2)), 1 / 6))
    thirds = [tuple(int(group.share * 3) for group in own) for own in around if len(own) == 2]
    check(thirds, dict.fromkeys(product(range(3), repeat=2), 1 / 9))


def test_groups_of_more_enemies_than_allies() -> None:
    around = groups(begun("zerg_10_vs_11", starts="surrounded"), 10)
    check([tuple(group.size for group in own) for own in around], sizes_of_groups(11))


def test_the_judge_knows_what_is_uneven() -> None:
    """10,000 draws of what is five percent off do not pass."""
    rng = np.random.default_rng(0)
    even = rng.multinomial(DRAWS, [0.25] * 4)
    uneven = rng.multinomial(DRAWS, [0.3, 0.25, 0.25, 0.2])
    expected = dict.fromkeys(range(4), 0.25)
    assert probability(dict(enumerate(even.tolist())), expected) > LEAST_LIKELY
    assert probability(dict(enumerate(uneven.tolist())), expected) < LEAST_LIKELY
    table = {0.05: 3.841, 0.001: 10.828}  # of the distribution with one degree of freedom
    for level, distance in table.items():
        off = math.sqrt(distance * 50)
        assert probability({0: 100 + off, 1: 100 - off}, {0: 0.5, 1: 0.5}) == pytest.approx(level, rel=0.01)
