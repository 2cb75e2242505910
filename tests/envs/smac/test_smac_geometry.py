"""How units move, block and reach each other, in the sandbox: the stored cases about places and distances, and what must not happen."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from a2po.envs.smac import Post, battle
from a2po.envs.smac import fields as f
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.spawn import layout
from a2po.envs.smac.terrain import load_terrain, parse_terrain
from a2po.envs.smac.units import UNITS

DATA = json.loads((Path(__file__).parents[2] / "data" / "smac_data.json").read_text())
CASES = {case["id"]: case["expected"] for case in DATA["validation_cases"]}
STURDY = 1e6  # hp of one that must not die
LOOPS = 8  # per environment step

FAR_AWAY = ("medivac", 31.0, 31.0)  # an enemy, because there must be one, that nobody on the ground can reach


def place(unit) -> np.ndarray:
    return np.array([unit.x, unit.y])


def gap(one, other) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)


def scattered(kind: str, count: int, seed: int, west: float, east: float, south: float = 12, north: float = 20) -> list:
    """Posts in a rectangle, no two bodies on one spot."""
    rng, posts = np.random.default_rng(seed), []
    while len(posts) < count:
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if all(math.hypot(x - post[1], y - post[2]) > 2 * UNITS[kind].separation_radius for post in posts):
            posts.append((kind, x, y))
    return posts


def fighters(sandbox, numbers) -> list[int]:
    """Who begins attacks within the next three seconds."""
    before = [sandbox.unit(number).attacks for number in numbers]
    sandbox.play(48)
    return [number for number, attacks in zip(numbers, before, strict=True) if sandbox.unit(number).attacks > attacks]


def closest(sandbox, numbers) -> float:
    units = [sandbox.unit(number) for number in numbers]
    return min(gap(one, other) for one, other in itertools.combinations([unit for unit in units if unit.alive], 2))


# How far units go.


@pytest.mark.parametrize("kind", CASES["move_distance_per_env_step"])
def test_case_move_distance_per_env_step(kind: str) -> None:
    sandbox = battle([(kind, 10, 10, None, None, None, 0.0)], [FAR_AWAY])
    sandbox.move(0, 12, 10)
    sandbox.play(LOOPS)
    assert sandbox.unit(0).x - 10 == pytest.approx(CASES["move_distance_per_env_step"][kind], abs=0.001)
    assert sandbox.unit(0).y == 10


def test_case_move_distance_per_env_step_of_medivacs() -> None:
    sandbox = battle([("medivac", 5, 10)], [FAR_AWAY])
    sandbox.move(0, 30, 10)
    assert sandbox.play(LOOPS).unit(0).x - 5 == pytest.approx(0.289, abs=0.001)
    sandbox.play(32)
    before = sandbox.unit(0).x
    assert sandbox.play(LOOPS).unit(0).x - before == pytest.approx(1.375, abs=0.001)


def test_medivacs_stop_at_their_goal() -> None:
    sandbox = battle([("medivac", 5, 10)], [FAR_AWAY])
    sandbox.move(0, 15, 10)
    xs = [sandbox.play().unit(0).x for _ in range(160)]
    assert max(xs) < 15.2 and xs[-1] == pytest.approx(15, abs=0.1) and max(xs[-16:]) - min(xs[-16:]) < 0.05


def test_units_stand_at_their_goal() -> None:
    for kind in ("marine", "stalker", "baneling"):
        sandbox = battle([(kind, 10, 10)], [FAR_AWAY])
        sandbox.move(0, 13, 11)
        sandbox.play(60)
        assert np.allclose(place(sandbox.unit(0)), (13, 11), atol=0.02)
        assert np.array_equal(place(sandbox.unit(0)), place(sandbox.play(5).unit(0)))


# Kiting.


def kite(shooter: str, chaser: str, apart: float) -> tuple[float, float]:
    """How the gap changes in a step of retreat, and in a step in which the shooter stands and shoots."""
    sandbox = battle([(shooter, 16, 16, None, None, None, 0.0)], [(chaser, 16 - apart, 16, STURDY, None, None, 0.0)])
    sandbox.attack(1, 0)
    sandbox.move(0, 30, 16)
    sandbox.play(LOOPS)  # both are on their way
    before = gap(*sandbox.units())
    sandbox.play(LOOPS)
    moved = gap(*sandbox.units())
    sandbox.attack(0, 1)
    sandbox.play(LOOPS)
    assert sandbox.unit(0).attacks == 1
    return moved - before, gap(*sandbox.units()) - moved


@pytest.mark.parametrize(("case", "shooter"), [("kiting_gap_stalker_zealot", "stalker"), ("kiting_gap_marine_zealot", "marine")])
def test_case_kiting_gap(case: str, shooter: str) -> None:
    won, lost = kite(shooter, "zealot", 4.5)
    assert won == pytest.approx(CASES[case]["gap_gain_per_move_step"], abs=0.001)
    assert -lost == pytest.approx(CASES[case]["gap_loss_per_attack_step"], abs=0.001)


def test_a_stalker_that_kites_as_the_case_says_keeps_its_distance() -> None:
    """One attack step and 3.2 steps of retreat are distance neutral: with 4 it is not caught, with 2 it is."""
    for retreats, caught in ((4, False), (2, True)):
        sandbox = battle([("stalker", 3, 16, STURDY)], [("zealot", 0.6, 16, STURDY)])
        sandbox.attack(1, 0)
        for _ in range(3):
            sandbox.attack(0, 1)
            sandbox.play(LOOPS)
            sandbox.move(0, 31, 16)
            sandbox.play(LOOPS * retreats)
        assert (sandbox.unit(0).hits > 0) == caught


# Bodies.


@pytest.mark.parametrize(
    ("attacker", "target", "count", "fit"),
    [("zergling", "zealot", 8, 8), ("zealot", "stalker", 10, 10), ("zergling", "colossus", 13, 13)],
    ids=["8 zerglings at a zealot", "10 zealots at a stalker", "zerglings_under_colossus"],
)
def test_a_full_ring_fits(attacker: str, target: str, count: int, fit: int) -> None:
    """They come evenly from all sides."""
    angles = 2 * np.pi * np.arange(count) / count
    sandbox = battle([(attacker, 16 + 4 * math.cos(a), 16 + 4 * math.sin(a)) for a in angles], [(target, 16, 16, STURDY)])
    sandbox.attack(range(count), count)
    sandbox.play(100)
    assert len(fighters(sandbox, range(count))) == fit


@pytest.mark.parametrize(
    ("attacker", "target", "least", "most"),
    [("zergling", "zealot", 6, 8), ("zealot", "stalker", 8, 10), ("zergling", "colossus", 10, 14), ("zealot", "zealot", 7, 9)],
)
@pytest.mark.parametrize("west", [3, 10], ids=["from the west", "from all sides"])
def test_a_crowd_surrounds(attacker: str, target: str, least: int, most: int, west: float) -> None:
    """Those at the back go round those who fight; no more fit than there is room for (smac.md, section 7), and the rest waits outside."""
    for seed in range(4):
        posts = scattered(attacker, 20, seed, west, 9 if west == 3 else 22, 10, 22)
        posts = [post for post in posts if math.hypot(post[1] - 16, post[2] - 16) > 2]
        count = len(posts)
        sandbox = battle(posts, [(target, 16, 16, STURDY)])
        sandbox.attack(range(count), count)
        sandbox.play(200)
        assert least <= len(fighters(sandbox, range(count))) <= most
        assert closest(sandbox, range(count)) > 0.55 * 2 * UNITS[attacker].separation_radius


@pytest.mark.parametrize("side", ["friends", "foes"])
def test_nobody_passes_a_line_of_fighters(side: str) -> None:
    """A wall of fighting zealots from one edge to the other, 0.7 apart."""
    line = [("zealot", 16, y, STURDY) for y in np.arange(0.6, 31.5, 0.7)]
    opponents = [("medivac", 31, 31)]
    crowd = scattered("zergling", 30, 1, 8, 14)
    allies, enemies = (line + crowd, opponents) if side == "friends" else (line, crowd + opponents)
    sandbox = battle(allies, enemies)
    zerglings = range(len(line), len(line) + 30)
    sandbox.move(zerglings, 28, 16)
    for _ in range(200):
        sandbox.M[f.SECOND, : len(line)] = 3  # they are always in the middle of an attack
        sandbox.play()
    assert all(sandbox.unit(number).x < 16 for number in zerglings)
    assert all(sandbox.unit(number).x == 16 for number in range(len(line)))
    assert max(sandbox.unit(number).x for number in zerglings) > 15.2


def test_movers_push_idle_friends_aside_but_not_foes() -> None:
    sandbox = battle([("zealot", 10, 16), ("zealot", 13, 16)], [FAR_AWAY])
    sandbox.move(0, 16, 16)
    sandbox.play(60)
    assert sandbox.unit(0).x == pytest.approx(16, abs=0.02) and gap(*sandbox.units()[:2]) > 0.74
    assert gap(sandbox.unit(1), sandbox.unit(1)._replace(x=13, y=16)) > 0.3

    sandbox = battle([("zealot", 10, 16)], [("zealot", 13, 16)])
    sandbox.move(0, 16, 16)
    sandbox.play(80)
    assert np.allclose(place(sandbox.unit(1)), (13, 16)), "a foe is not pushed"
    assert np.allclose(place(sandbox.unit(0)), (16, 16), atol=0.02), "it goes round"


def test_zerglings_run_under_a_colossus_and_medivacs_over_everything() -> None:
    for walker, other in (("zergling", "colossus"), ("medivac", "zealot"), ("colossus", "zealot")):
        sandbox = battle([(walker, 10, 16, None, None, None, 0.0)], [(other, 13, 16)])
        sandbox.move(0, 16, 16)
        ys = [sandbox.play().unit(0).y for _ in range(70)]
        assert ys == [16] * 70 and sandbox.unit(0).x > 15.9
    sandbox = battle([("colossus", 10, 16)], [("colossus", 12, 16.1)])
    sandbox.move(0, 16, 16)
    for _ in range(80):
        sandbox.play()
        assert gap(*sandbox.units()) > 1.4
    assert np.allclose(place(sandbox.unit(1)), (12, 16.1))


def test_units_that_begin_on_one_spot_part() -> None:
    sandbox = battle([("zergling", 16, 16)] * 6, [FAR_AWAY])
    sandbox.play(40)
    assert closest(sandbox, range(6)) > 0.7
    assert all(math.hypot(unit.x - 16, unit.y - 16) < 2 for unit in sandbox.units()[:6])


def test_idle_units_and_units_in_a_ring_stand_still() -> None:
    """No jitter: bodies that only touch do not move, nor do fighters."""
    sandbox = battle([("marine", 10 + 0.75 * (i % 4), 10 + 0.75 * (i // 4)) for i in range(16)], [FAR_AWAY])
    before = sandbox.W[: f.Y + 1, :16].copy()
    assert np.abs(sandbox.play(50).W[: f.Y + 1, :16] - before).max() < 1e-3
    sandbox = battle([("zergling", 16 + math.cos(a), 16 + math.sin(a)) for a in np.arange(7)], [("zealot", 16, 16, STURDY)])
    sandbox.attack(range(7), 7)
    before = sandbox.play(30).W[: f.Y + 1, :7].copy()
    assert np.array_equal(sandbox.play(50).W[: f.Y + 1, :7], before)


@pytest.mark.parametrize("name", MAPS)
def test_nobody_overlaps_or_stands_in_a_wall_at_the_beginning(name: str) -> None:
    ground = load_terrain(MAPS[name].terrain)
    places = layout(MAPS[name])
    units = [MAPS[name].unit(kind) for kind in MAPS[name].ally_kinds + MAPS[name].enemy_kinds]
    for (one, here), (other, there) in itertools.combinations(zip(units, places, strict=True), 2):
        if one.layers & other.layers:
            assert math.dist(here, there) > one.separation_radius + other.separation_radius - 1e-4
    for unit, (x, y) in zip(units, places, strict=True):
        assert unit.flies or ground.walkable[:, int(x), int(y)].all()


# Walls.

TWO_ROOMS = "\n".join("1" * 15 + ("11" if row in (3, 4) else "..") + "1" * 15 for row in range(32))  # a door of two cells, in the north


@pytest.mark.parametrize("kind", ["zergling", "stalker", "marauder", "hydralisk", "baneling"])
def test_units_find_the_door_and_stay_out_of_the_walls(kind: str) -> None:
    ground = parse_terrain("two_rooms", TWO_ROOMS)
    sandbox = battle([(kind, 5, 5)], [("medivac", 28, 28)], ground=ground)
    sandbox.move(0, 26.5, 5.5)
    for _ in range(450):
        unit = sandbox.play().unit(0)
        assert ground.walkable[0, int(unit.x), int(unit.y)]
    assert np.allclose(place(unit), (26.5, 5.5), atol=0.05)


def test_a_crowd_gets_through_the_door() -> None:
    ground = parse_terrain("two_rooms", TWO_ROOMS)
    sandbox = battle(scattered("zergling", 20, 2, 2, 13, 4, 20), [("medivac", 28, 28)], ground=ground)
    sandbox.move(range(20), 26.5, 27)
    for _ in range(300):
        sandbox.play()
        assert all(ground.walkable[0, int(unit.x), int(unit.y)] for unit in sandbox.units()[:20])
    assert all(unit.x > 17 for unit in sandbox.units()[:20])


@pytest.mark.parametrize("variant", ["plateau", "cliff"])
@pytest.mark.parametrize("name", sorted({battle_map.terrain for battle_map in MAPS.values()}))
def test_crowds_stay_on_the_ground(name: str, variant: str) -> None:
    """They run about for 20 seconds, each to a new goal every three."""
    ground = load_terrain(name)
    walkable = ground.walkable[["plateau", "cliff"].index(variant)]
    rng = np.random.default_rng(0)
    cells = np.argwhere(ground.walkable.all(0))
    kinds = ["stalker", "zergling", "marauder", "colossus", "medivac", "hydralisk", "zealot", "baneling"]
    posts = [(kinds[i % 8], *(cells[rng.integers(len(cells))] + 0.5)) for i in range(32)]
    sandbox = battle(posts[:16], posts[16:], ground=ground, terrain=variant)
    for _ in range(7):
        for number in range(32):
            sandbox.move(number, *rng.uniform(0, 32, 2))
        for _ in range(24):
            sandbox.play()
            for post, unit in zip(posts, sandbox.units(), strict=True):
                assert 0.5 <= unit.x <= 31.5 and 0.5 <= unit.y <= 31.5
                if post[0] == "colossus":
                    assert ground.level[int(unit.x), int(unit.y)] > 0
                elif post[0] != "medivac":
                    assert walkable[int(unit.x), int(unit.y)]


# The stored cases about maps.


@pytest.mark.parametrize(("variant", "earliest"), [("plateau", 80), ("cliff", 110)])
def test_case_cliff_detour_2c_vs_64zg(variant: str, earliest: int) -> None:
    """Up a ramp, after 110-140 loops. The plateau reading lets them cut the ramp's corner: 17 cells, and the first is there after 90."""
    places = layout(MAPS["2c_vs_64zg"])
    colossi = [("colossus", *places[i], STURDY) for i in range(2)]
    zerglings = [("zergling", *point) for point in places[2:]]
    sandbox = battle(colossi, zerglings, ground="two_level_ramps", terrain=variant)
    sandbox.hunt(*range(2, 66))
    first = next(loop for loop in range(400) if sandbox.play() and sandbox.unit(0).hits + sandbox.unit(1).hits > 0)
    assert earliest <= first <= 140
    sandbox.play(200)
    assert len(fighters(sandbox, range(2, 66))) >= 10
    assert all(sandbox.unit(number).y > 12.9 for number in range(2, 66)), "all of them come up"


NECK = {"variant_A": ((11.0, 13.0), (15.0, 13.0)), "variant_C": ((12.0, 14.0), (14.0, 12.0))}  # from wall to wall


@pytest.mark.parametrize(("key", "abreast", "variant"), [("variant_A", 5, "plateau"), ("variant_C", 3, "cliff")])
def test_case_neck_width_corridor(key: str, abreast: int, variant: str) -> None:
    """So many zerglings stand abreast and let nobody through; one less leaves a gap."""
    assert CASES["neck_width_corridor"][key].endswith(f": {abreast}")
    ends = np.array(NECK[key])
    width = math.dist(*ends)
    assert abreast * 0.75 <= width < (abreast + 1) * 0.75
    passed = {}
    for count in (abreast, abreast - 1):
        pitch = width / count if count == abreast else 0.75
        line = [ends[0] + (ends[1] - ends[0]) / width * pitch * (place + 0.5) for place in range(count)]
        sandbox = battle([("zergling", *point, STURDY) for point in line], [("zergling", 20, 19)], ground="corridor", terrain=variant)
        assert np.allclose([place(unit) for unit in sandbox.play(30).units()[:count]], line, atol=0.1)
        sandbox.attack_move(count, 5, 5)
        for _ in range(300):
            sandbox.M[f.SECOND, :count] = 3  # the line is always in the middle of an attack: it does not give way
            sandbox.M[f.ALIVE, :count], sandbox.M[f.SIDE, :count] = 1, 1  # the passer's own side: it does not stop for them
            sandbox.play()
        passed[count] = sandbox.unit(count).x < 10
    assert passed == {abreast: False, abreast - 1: True}


@pytest.mark.parametrize("variant", ["plateau", "cliff"])
def test_case_corridor_attack_point(variant: str) -> None:
    """With nobody in sight they go through the neck to the point and idle there; whoever comes within their sight is attacked."""
    battle_map = MAPS["corridor"]
    zerglings = [("zergling", *point) for point in layout(battle_map)[6:]]
    sandbox = battle([("zealot", 1, 30, STURDY)], zerglings, ground="corridor", terrain=variant)
    everyone = range(1, 25)
    sandbox.attack_move(everyone, *battle_map.order_segment[0])
    through = set()
    for _ in range(400):
        sandbox.play()
        through |= {number for number in everyone if math.hypot(sandbox.unit(number).x - 12.5, sandbox.unit(number).y - 12) < 4}
    assert through == set(everyone)
    apart = [math.hypot(sandbox.unit(n).x - 4.47, sandbox.unit(n).y - 4.33) for n in everyone]
    assert max(apart) < 3.5 and closest(sandbox, everyone) > 0.6
    before = sandbox.W[: f.Y + 1, 1:25].copy()
    sandbox.play(100)
    assert np.array_equal(sandbox.W[: f.Y + 1, 1:25], before), "they idle"
    assert sandbox.unit(0).hits == 0
    reach = 5 + 0.5 + 0.375  # scan range and radii
    sandbox.W[[f.X, f.Y], 0] = 13.0, 12.6
    sandbox.move(0, 4.47, 4.33)
    for _ in range(60):
        apart = min(gap(sandbox.unit(0), sandbox.unit(n)) for n in everyone)
        sandbox.play()
        assert any(sandbox.unit(n).target == 0 for n in everyone) == (apart <= reach)
    assert apart < 1 and len(fighters(sandbox, everyone)) > 4


def test_zerglings_of_corridor_stop_for_the_zealots_on_their_way() -> None:
    battle_map = MAPS["corridor"]
    places = layout(battle_map)
    zerglings = [("zergling", *point) for point in places[6:]]
    sandbox = battle([("zealot", *point, STURDY) for point in places[:6]], zerglings, ground="corridor")
    sandbox.attack_move(range(6, 30), *battle_map.order_segment[0])
    sandbox.play(250)
    assert len(fighters(sandbox, range(6, 30))) > 12


@pytest.mark.parametrize(("steering", "most", "least"), [("around", 9, 6), ("straight", 5, 1)])
def test_who_is_blocked_goes_round_or_straight_on(steering: str, most: int, least: int) -> None:
    crowd = [Post("zergling", 10 + 0.8 * (i % 3), 15 + 0.8 * (i // 3)) for i in range(9)]
    sandbox = battle([Post("zealot", 16, 16)], crowd, seed=0, steering=steering)
    sandbox.attack_move(range(1, 10), 16, 16)
    fighting = sum(unit.attacks > 0 for unit in sandbox.play(60).units()[1:])
    assert least <= fighting <= most
