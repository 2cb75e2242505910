"""Own battles: the format, its messages, what becomes of it, and that whatever is accepted runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_file import REWARD_CHECKS, TOP_CHECKS, parse_battle
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.battle_teams import group_checks
from a2po.envs.smac.battle_toml import parse_document
from a2po.envs.smac.battle_units import _PLAIN, HEAL_CHECKS, UNIT_CHECKS, WEAPON_CHECKS
from a2po.envs.smac.battle_values import Check, Checks, Number
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import Options, parse_options
from a2po.envs.smac.units import UNITS, Heal, Unit, Weapon
from a2po.errors import TaskError

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "battles.md").read_text(encoding="utf-8")
EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "battles").glob("*.toml"))
SMALLEST = '[[allies]]\nunit = "marine"\ncount = 2\n\n[[enemies]]\nunit = "zergling"\n'


def battle(text: str) -> BattleMap:
    return parse_battle("arena.toml", text)


# What the file says


def test_the_smallest_battle_is_like_most_of_smacs_maps():
    found = battle(SMALLEST)
    assert (found.allies, found.enemies) == ((("marine", 2),), (("zergling", 1),))
    assert (found.ally_points, found.enemy_points) == (((9.0, 16.0),), ((23.0, 16.0),))
    assert (found.order_segment, found.enemy_order, found.limit) == (((9.0, 16.0),) * 2, "attack_move", 200)
    assert found.units == tuple(UNITS.values()) and found.terrain == "open_band" and found.defaults == {}


def test_every_field_of_a_battle_its_units_and_weapons_can_be_said():
    keys = {*TOP_CHECKS, *(f"reward_{key}" for key in REWARD_CHECKS)}
    said = {
        "allies": "allies",
        "enemies": "enemies",
        "ally_points": "allies",
        "enemy_points": "enemies",
        "draws": "allies",
        "defaults": "options",
    }
    said |= {"order_segment": "enemy_goal", "enemies_copy": "enemies", "ally_type_order": "allies", "enemy_type_order": "enemies"}
    unsaid = {"name", "map_type"}  # the file's name; and a word on which nothing depends
    assert {said.get(each.name, each.name) for each in fields(BattleMap)} - unsaid <= keys
    assert {each.name for each in fields(Unit)} - {"name", "race"} == set(UNIT_CHECKS) - {"base"}
    assert {each.name for each in fields(Weapon)} == set(WEAPON_CHECKS)
    assert {each.name for each in fields(Heal)} == set(HEAL_CHECKS)


def test_own_units_change_what_they_say_and_nothing_else():
    found = battle(
        SMALLEST + '[units.marine]\nhp = 50\n[units.own]\nbase = "stalker"\nspeed = 3\n[units.own.weapon]\ndamage = 11\n'
        "[units.blank]\nhp = 7\n[units.bird]\nbase = 'marine'\nflies = true\n[units.nurse]\nbase = 'zergling'\nheal = { hp = 3 }\n"
    )
    stalker, own, blank = UNITS["stalker"], found.unit("own"), found.unit("blank")
    assert own.weapon is not None and stalker.weapon is not None
    assert (own.speed, own.weapon.damage, own.weapon.bonus, own.shield) == (3, 11, stalker.weapon.bonus, 80)
    assert own.cooldown_max == stalker.cooldown_max
    assert found.unit("marine").hp == 50 and found.unit("marine").weapon == UNITS["marine"].weapon
    assert (blank.hp, blank.weapon, blank.heal) == (7, None, None)
    assert (found.unit("bird").planes, found.unit("bird").layers) == ({"air"}, {"flying"})
    nurse = found.unit("nurse")
    assert nurse.weapon is None and nurse.heal is not None and (nurse.heal.hp, nurse.energy_max) == (3, 200)


def test_groups_of_one_type_keep_their_own_areas():
    found = battle(
        '[[allies]]\nunit = "marine"\ncount = 3\narea = [20, 10, 22, 12]\n[[allies]]\nunit = "marine"\narea = [4, 14, 5, 15]\n'
        '[[allies]]\nunit = "marine"\npositions = [[12, 16], [11, 17]]\n[[enemies]]\nunit = "zealot"\nat = [28, 16]\n'
    )
    env = build(found)
    for _ in range(5):
        env.reset()
        places = env.simulation.units[:, [f.X, f.Y], :6].transpose(0, 2, 1).reshape(-1, 2)
        boxes = [((20, 10), (22, 12)), ((4, 14), (5, 15)), ((12, 16), (12, 16)), ((11, 17), (11, 17))]
        inside = np.stack([((places > np.array(low) - 0.4) & (places < np.array(high) + 0.4)).all(1) for low, high in boxes])
        assert inside.sum(1).tolist() == [12, 4, 4, 4]  # of 4 copies, whose enemies have not moved anybody yet
    env.close()


def build(found: BattleMap, **options: Any) -> Any:
    from a2po.envs.smac import make_battle

    given = {"seed": 0, "device": torch.device("cpu"), "num_threads": 1, "head_start": 0, "spawn_jitter": 0.0}
    return make_battle("smac/arena.toml", found, 4, **{**given, **options})


def test_a_copy_has_the_types_of_the_allies_and_what_comes_beside_it():
    env = build(battle((EXAMPLES[1]).read_text(encoding="utf-8")))
    kinds, rows = env.simulation.marks[:, f.KIND], set()
    for _ in range(10):
        env.reset()
        assert (np.sort(kinds[:, :5]) == np.sort(kinds[:, 5:10])).all()
        assert (kinds[:, 10] == env.battle.row("marauder")).all()
        rows |= set(kinds[:, :5].ravel().tolist())
    assert rows == {env.battle.row(kind) for kind in ("marine", "marauder", "medic")}
    env.close()


def test_types_have_columns_when_a_side_has_several_and_shields_when_anybody_has_some():
    names = Layout.of(battle(SMALLEST), Options()).feature_names[0]
    assert not any("_is_" in name or name.endswith("shield") for name in names)
    text = SMALLEST.replace('"zergling"', '"zergling"\n[[enemies]]\nunit = "tank"') + "[units.tank]\nhp = 9\nshield = 5\n"
    names = Layout.of(battle(text), Options()).feature_names[0]
    assert [name for name in names if name.startswith("enemy_1")][-3:] == ["enemy_1_shield", "enemy_1_is_zergling", "enemy_1_is_tank"]
    assert "own_shield" not in names and "own_is_marine" in names


def test_shields_of_smacs_maps_are_those_of_their_race():
    assert all((unit.shield > 0) == (unit.race == "P") for unit in UNITS.values())
    assert len(MAPS) == 23


def test_who_shoots_far_sees_far_if_nothing_else_is_said():
    text = SMALLEST + "[units.marine.weapon]\nrange = 9\n"
    assert battle(text).defaults == {"shoot_range": 9.0, "sight_range": 12.0}
    assert battle(text + "[options]\nsight_range = 7\n").defaults == {"shoot_range": 9.0, "sight_range": 7}


def test_what_a_user_gives_wins_over_the_file():
    found = battle(SMALLEST + "[options]\nsight_range = 7\nshoot_range = 5\n")
    options = parse_options("", {"sight_range": 8.0}, found.defaults)
    assert (options.sight_range, options.shoot_range) == (8.0, 5)


# Lines


TRICKY = '''
a.b = 1   # c = 2
"quoted key" = """
[not.a.table]
x = 1 \\"""
"""""
'literal' = { one = 1, two = [1, 2, { deep = "}" }], "th.ree" = 3 }
list = [
  1, # one
  [2,
   3],
]

[[tables]]
x = 1
[tables.inner]
y = '[[tables]]'
[[tables]]
x = 2
  [[tables.rows]]
  z = """a""""
  [tables.rows.cell]
  w = [ ]
[ spaced . "out" ]
e = 1979-05-27T07:32:00Z
f = {}
'''


def walk(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    for key, value in values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ():
        yield from walk(value, (*path, key))


@pytest.mark.parametrize("text", [TRICKY, *(path.read_text(encoding="utf-8") for path in EXAMPLES)])
def test_every_key_has_its_line(text: str):
    document = parse_document("x.toml", text)
    assert set(walk(document.values)) <= set(document.offsets)
    lines = text.splitlines()
    for path in walk(document.values):
        key = next(part for part in reversed(path) if isinstance(part, str))
        assert key in "".join(lines[max(0, document.line(path) - 4) : document.line(path)])
    if text is TRICKY:
        wanted = {("a", "b"): 2, ("literal", "two", 2, "deep"): 7, ("list", 1, 1): 11, ("tables", 0, "inner", "y"): 17}
        wanted |= {("tables", 1, "x"): 19, ("tables", 1, "rows", 0, "cell", "w"): 23, ("spaced", "out", "f"): 26}
        assert {path: document.line(path) for path in wanted} == wanted


# Messages


FIRST = EXAMPLES[0].read_text(encoding="utf-8")
SECOND = EXAMPLES[1].read_text(encoding="utf-8")
WRONG = [
    (FIRST, "hp = 60", 'hp = "60"', "hp = ", "units.sniper.hp must be a number from 1 to 100,000, got '60'"),
    (FIRST, "hp = 60", "hp = nan", "hp = ", "units.sniper.hp must be a number from 1 to 100,000, got nan"),
    (FIRST, "hp = 60", "hpp = 60", "hpp", "unknown key 'units.sniper.hpp'; did you mean 'hp'?"),
    (FIRST, "count = 14", "count = 65", "count = 65", "enemies 1.count must be a whole number from 1 to 64, got 65"),
    (FIRST, "count = 14", "count = 14 14", "count = 14", "expected newline or end of document after a statement"),
    (FIRST, "count = 14", "count = 14\ncount = 14", "count = 14\n", "is there twice"),
    (FIRST, 'unit = "sniper"', 'unit = "snipper"', 'unit = "snipper"', "did you mean 'sniper'?"),
    (FIRST, "at = [7, 16]", "at = [13, 12]", "at = [13", "cell [13, 12] cannot be walked on"),
    (FIRST, "1111-", "11x1", "11x1", "31 characters; each line of a terrain has 32"),
    (FIRST, "1111-", "11#1-", "11#1", "the terrain's column 12 is '#'"),
    (FIRST, "range = 8", "range = 8, missile_speed = 2", "weapon =", "missile_speed must be at least 9.9"),
    (FIRST, 'base = "marine"\nhp = 60', "", "[units.sniper]", "units.sniper needs 'hp', a number from 1 to 100,000"),
    (SECOND, '"flat_full"', '"open_band"', "starts =", "needs a terrain that can be walked on everywhere"),
    (SECOND, "head_start", "headstart", "headstart", "unknown option 'headstart'; did you mean 'head_start'"),
    (SECOND, "spawn_jitter = 0", "spawn_jitter = 9", "spawn_jitter", "option 'spawn_jitter' must be a number from 0 to 2"),
    (SECOND, '["medic"]', '["medic", "marine", "marauder"]', "never_alone", "then no team can be drawn"),
    (SECOND, "copy = true", "copy = true\nat = [3, 3]", "at = [3, 3]", "is not used: starts = 'reflect_or_surrounded'"),
    (SECOND, 'unit = "marauder"\narea', 'unit = "marauder"\ncount = 60\narea', "[[enemies]]\nunit", "65 enemies with the copy"),
    (SECOND, "head_start = 1", "max_episode_steps = 9", "max_episode", "the file has a key of its own for this, limit"),
    (SMALLEST, '"marine"', '"medivac"', "[[allies]]", "no ally can hurt") ,
    (SMALLEST + "[units.marine]\nseparation_radius = 2\n", "count = 2", "count = 60\nat = [9, 16]", "at = ", "has no room for all"),
    (SMALLEST, '[[enemies]]\nunit = "zergling"', "", "[[allies]]", "there are no enemies"),
    (SMALLEST + "[options]\nenemy_mask = 0.5\n", "count = 2", "count = 33", "enemy_mask", "for at most 32 agents, and here are 33"),
    (FIRST, "limit = 150", "limit" + ".a" * 2000 + " = 1", "limit.a", "a key has more than 32 parts with dots between"),
    (FIRST, "limit = 150", "limit = " + "[{a = " * 100 + "1" + "}]" * 100, "limit = ", "brackets are nested too deeply"),
    (FIRST, "limit = 150", "limit = " + f"{{{'.'.join('a' * 30)} = " * 60 + "1" + "}" * 60, "limit = ", "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "line", "message"), WRONG, ids=[row[4][:40] for row in WRONG])
def test_a_mistake_is_told_with_its_line(text: str, old: str, new: str, line: str, message: str):
    assert old in text
    changed = text.replace(old, new, 1)
    with pytest.raises(TaskError) as caught:
        battle(changed)
    number = changed.count("\n", 0, changed.index(line)) + 1
    told = [each for each in str(caught.value).splitlines() if message in each]
    assert told, str(caught.value)
    places = [int(re.match(r"arena\.toml, line (\d+): ", each)[1]) for each in told]
    assert number in places or (message == "is there twice" and number + 1 in places)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    text = "limit = 0\n" + FIRST.replace("limit = 150", "").replace("hp = 60", "hp = -1").replace("count = 14", "count = 0.5")
    with pytest.raises(TaskError) as caught:
        battle(text)
    lines = [int(each) for each in re.findall(r"^arena\.toml, line (\d+): ", str(caught.value), re.MULTILINE)]
    assert len(lines) == 3 and lines == sorted(lines)


def test_a_path_that_is_wrong_names_files_nearby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "battles").mkdir()
    (tmp_path / "battles" / "arena.toml").write_text(SMALLEST)
    with pytest.raises(TaskError, match=r"battle file 'battles/arenna.toml' does not exist; did you mean 'battles/arena.toml'"):
        make("smac/battles/arenna.toml", 1)
    with pytest.raises(TaskError, match=r"unknown task 'smac/battles/arena'; did you mean 'smac/battles/arena.toml'"):
        make("smac/battles/arena", 1)
    with pytest.raises(TaskError, match="is for battle files"):
        make("smac/3m", 1, battle_file=SMALLEST)
    (tmp_path / "latin.toml").write_bytes(b"# \n# \xe9\n")
    with pytest.raises(TaskError, match=r"latin\.toml, line 2: not UTF-8"):
        make("smac/latin.toml", 1)
    env = make(f"smac/{tmp_path}/battles/arena.toml", 1)
    assert env.spec.agents == ("marine_0", "marine_1")
    env.close()


# The guide


def table(first_column: str) -> dict[str, list[str]]:
    lines = GUIDE[GUIDE.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] if line.count("|") else [] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def allowed(check: Check | None) -> str:
    if not isinstance(check, Number):
        return ""
    return f"{'0, or ' if check.zero else ''}{check.low:,g} to {check.high:,g}"


@pytest.mark.parametrize(
    ("first_column", "checks"),
    [
        ("unit", UNIT_CHECKS),
        ("weapon", WEAPON_CHECKS),
        ("heal", HEAL_CHECKS),
        ("reward", REWARD_CHECKS),
        ("group", group_checks(("marine",), "enemies")),
        ("key", TOP_CHECKS),
    ],
)
def test_every_key_is_in_the_guide_with_what_it_may_be(first_column: str, checks: Checks):
    rows = {re.sub(r"[\[\]]|\.NAME", "", name): row for name, row in table(first_column).items()}
    assert set(rows) == set(checks)
    for key, check in checks.items():
        if isinstance(check, Number):
            assert rows[key][1] == allowed(check), key
        assert rows[key][2]


def test_the_guides_defaults_are_the_codes():
    def number(row: list[str]) -> float | None:
        return float(row[0]) if re.fullmatch(r"[\d.]+", row[0]) else None

    plain = {**vars(UNITS["medivac"]), **vars(_PLAIN)} | {
        key: vars(UNITS["medivac"])[key] for key in ("energy", "energy_max", "energy_regen")
    }
    weapon, heal = vars(Weapon(damage=0, range=0, period=1)), vars(UNITS["medivac"].heal)
    for column, values in (("unit", plain), ("weapon", weapon), ("heal", heal)):
        for key, row in table(column).items():
            if number(row) is not None:
                assert number(row) == values[key], key
    defaults = {"win": "reward_win", "defeat": "reward_defeat", "death": "reward_death", "negative_scale": "reward_negative_scale"}
    for key, name in defaults.items():
        assert number(table("reward")[key]) == BattleMap.__dataclass_fields__[name].default
    assert number(table("key")["limit"]) == battle(SMALLEST).limit


def test_the_guides_examples_are_battles():
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 2
    battle(blocks[0])
    found = battle(SMALLEST + blocks[1])
    assert found.unit("turret").speed == 0 and found.unit("sniper").hp == 60
    assert all(tomllib.loads(block) for block in blocks)
