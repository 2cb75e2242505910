"""The options of a battle file, and who leads its enemies."""

from __future__ import annotations

import re
from typing import Any, Final

from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.battle_toml import Document
from a2po.envs.smac.battle_values import dotted, is_number, shown
from a2po.envs.smac.layout import check_size
from a2po.envs.smac.options import FLAGS, RULES, Options, parse_options
from a2po.errors import TaskError, did_you_mean

_KEYS_INSTEAD: Final = {"max_episode_steps": "limit", "opponent": "opponent"}


def read_options(document: Document) -> dict[str, Any]:
    """The options of the family that the battle has by default."""
    values = document.values.get("options", {})
    if not isinstance(values, dict):
        document.problem(("options",), f"options must be a table, got {shown(values)}")
        return {}
    known = [name for name in (*FLAGS, *RULES) if name not in _KEYS_INSTEAD]
    for name in values:
        path = ("options", name)
        if name in _KEYS_INSTEAD:
            document.problem(path, f"{dotted(path)}: the file has a key of its own for this, {_KEYS_INSTEAD[name]}")
        elif name not in known:
            hint = did_you_mean(name[:40], known) or f" (options: {', '.join(known)})"
            document.problem(path, f"unknown option '{name[:40]}'{hint}")
    return {name: value for name, value in values.items() if name in known}


def read_opponent(document: Document) -> dict[str, Any]:
    """Who leads the enemies: a name, or names with weights. What the names stand for is the option's own business."""
    if "opponent" not in document.values:
        return {}
    value = document.values["opponent"]
    table = isinstance(value, dict) and value and all(is_number(weight) and 0 < weight <= 1e6 for weight in value.values())
    if not isinstance(value, str) and not table:
        what = "the name of an opponent, a bundle's path, or a table of these with weights above 0"
        document.problem(("opponent",), f"opponent must be {what}, got {shown(value)}")
    return {} if value == "built_in" else {"opponent": value}


def check_options(document: Document, battle: BattleMap, values: dict[str, Any]) -> None:
    """Each for itself, so that its line can be told; then all together."""
    for name, value in values.items():
        if name != "state":  # which is nothing by itself
            _try_options(document, battle, {name: value}, name)
    document.check()
    _try_options(document, battle, values, "")


def _try_options(document: Document, battle: BattleMap, values: dict[str, Any], name: str) -> None:
    try:
        check_size(battle, parse_options("", values))
    except ValueError:  # no message can hold a number of thousands of digits
        document.problem(("options", name), f"option '{name}' is a number that is too large")
    except TaskError as error:
        what = str(error).removeprefix(": ")
        quoted = re.search(r"'(\w+)'", what)
        culprit = name or (quoted[1] if quoted else "")
        document.problem(("opponent",) if culprit == "opponent" else ("options", culprit), what)


def ranges(battle: BattleMap, options: dict[str, Any]) -> dict[str, float]:
    """SMAC's ranges, but far enough for what the agents carry; and who shoots far sees farther."""
    plain = Options()
    reach = [plain.shoot_range]
    for kind in {kind for types in battle.ally_types for kind in types}:
        unit = battle.unit(kind)
        reach += [tool.range for tool in (unit.weapon, unit.heal) if tool is not None]
    shoot = max(reach)
    found = {"shoot_range": shoot, "sight_range": max(plain.sight_range, shoot + plain.sight_range - plain.shoot_range)}
    return {} if shoot == plain.shoot_range or options.get("use_unit_ranges") else found
