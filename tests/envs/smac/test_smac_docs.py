"""docs/smac.md says what the code says: the maps' numbers, every option with its default, and an example that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from a2po.envs.smac.layout import Layout
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.opponents import Opponents, parse_opponents
from a2po.envs.smac.options import FLAGS, RULES, Options, Rule, parse_options
from a2po.envs.smac.smacv2 import SMACV2
from a2po.envs.smac.units import UNITS

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "smac.md").read_text(encoding="utf-8")


def table(first_column: str) -> dict[str, list[str]]:
    """The rows of the table whose header begins so: the name in the first column -> the other cells."""
    lines = GUIDE[GUIDE.index(f"| {first_column} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {name.strip("`"): rest for name, *rest in cells}


def test_the_table_of_the_maps_says_what_the_code_says():
    def numbers(groups: Any) -> str:
        kinds = list(dict.fromkeys(kind for kind, _ in groups))
        return ", ".join(f"{sum(count for kind, count in groups if kind == name)} {name.replace('_', ' ')}" for name in kinds)

    rows = table("task `smac/...`")
    assert list(rows) == list(MAPS)
    for name, battle in MAPS.items():
        smac, on_policy = Layout.of(battle, Options()), Layout.of(battle, Options(observation="on_policy"))
        sizes = [f"{layout.obs_size} / {layout.state_size}" for layout in (smac, on_policy)]
        units = f"{battle.num_agents} / {battle.num_enemies}"
        assert rows[name] == [
            numbers(battle.allies), numbers(battle.enemies), units, str(battle.limit), str(battle.num_actions), *sizes, battle.terrain,
        ]  # fmt: skip


def test_the_table_of_smacv2_says_what_the_code_says():
    rows = table("`smacv2/<race>_...`")
    assert {f"{race}_{size}" for race in ("terran", "protoss", "zerg") for size in rows} == set(SMACV2)
    for name, battle in SMACV2.items():
        race, _, size = name.partition("_")
        layout = Layout.of(battle, parse_options(name, {}, battle.defaults))
        limit, actions, *sizes = rows[size]
        assert (limit, actions) == (str(battle.limit), str(layout.num_actions))
        assert sizes[race == "protoss"] == f"{layout.obs_size} / {layout.state_size}"


def test_the_table_of_ranges_says_what_the_code_says():
    lines = GUIDE[GUIDE.index("| | marine |") :].splitlines()
    kinds, sight, attack = ([cell.strip() for cell in lines[row].strip("| ").split("|")] for row in (0, 2, 3))
    assert sight[1:] == [f"{UNITS[kind].sight_range:g}" for kind in kinds]
    assert attack[1:] == [f"{max(UNITS[kind].reach, Options().min_attack_range):g}" for kind in kinds]


def test_every_option_is_in_the_guide_with_its_default():
    def written(value: Any) -> str:
        if isinstance(value, tuple):
            return f"{value[0]:g}"  # a range of one value
        if isinstance(value, Opponents):
            return '`"built_in"`' if value == parse_opponents("", "built_in") else ""
        return f'`"{value}"`' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value:g}"

    rows = table("option")
    assert sorted(rows) == sorted(FLAGS)
    defaults = Options()
    assert {name: row[0] for name, row in rows.items()} == {
        name: "the map's" if (value := getattr(defaults, name)) is None else written(value) for name in FLAGS
    }


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_in_the_guide_with_its_default_and_robust_range(name: str):
    default, robust, meaning = table("rule")[name]
    assert default == in_words(RULES[name], *RULES[name].default)
    assert robust == in_words(RULES[name], *RULES[name].robust)
    assert meaning


def in_words(rule: Rule, low: float, high: float) -> str:
    """A range as the guide writes it."""
    if rule.names:
        names = [rule.names[int(end)] for end in dict.fromkeys((low, high))]
        return " or ".join(str(name).lower() if isinstance(name, bool) else f'`"{name}"`' for name in names)
    return f"{low:g}" if low == high else f"[{low:g}, {high:g}]"


def examples() -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_the_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]):
    (code,) = examples()
    exec(compile(code, "docs/smac.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first == re.search(r"# (Duel\(.*\))", code)[1]
    assert int(second.split()[0]) > 0
