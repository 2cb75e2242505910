"""Own battles: a TOML file becomes a ``BattleMap``. docs/battles.md is the guide to the format."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path as File
from typing import Any, Final

from a2po.envs.smac.battle_map import BattleMap, Point
from a2po.envs.smac.battle_options import check_options, ranges, read_opponent, read_options
from a2po.envs.smac.battle_places import goal_of, placed
from a2po.envs.smac.battle_sense import check_sense
from a2po.envs.smac.battle_teams import Group, read_groups
from a2po.envs.smac.battle_toml import Document, Path, parse_document
from a2po.envs.smac.battle_units import read_units
from a2po.envs.smac.battle_values import Checks, Flag, Number, Word, read_table, read_value, shown
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.terrain import LEGEND, TERRAIN_NAMES
from a2po.envs.smac.units import Unit
from a2po.errors import TaskError, did_you_mean

SUFFIX: Final = ".toml"
MOST_BYTES: Final = 200_000
ORDERS: Final = ("attack_move", "hunt", "guard", "chase")
STARTS: Final = ("points", "reflect", "surrounded", "reflect_or_surrounded")

TOP_CHECKS: Final[Checks] = {
    "limit": Number(1, 100_000, whole=True),
    "terrain": None,
    "starts": Word(STARTS),
    "enemy_order": Word(ORDERS),
    "enemy_goal": None,
    "opponent": None,
    "healers_end": Word(("any", "one")),
    "allies": None,
    "enemies": None,
    "units": None,
    "reward": None,
    "options": None,
}
REWARD_CHECKS: Final[Checks] = {
    "win": Number(0, 1_000_000),
    "defeat": Number(-1_000_000, 0),
    "death": Number(0, 1_000_000),
    "negative_scale": Number(0, 1000),
    "regrowth": Flag(),
}


def read_battle_text(file: File) -> str:
    """What a battle file says.

    Raises:
        TaskError: it does not exist, or is no text.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise TaskError(f"battle file '{file}' does not exist{did_you_mean(str(file), battle_files_near(file))}") from None
    except (OSError, ValueError) as error:
        raise TaskError(f"battle file '{file}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MOST_BYTES:
        raise TaskError(f"battle file '{file}' has {len(content):,} bytes; a battle has {MOST_BYTES:,} at most")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{file}, line {line}: not UTF-8, byte {content[error.start]:#04x}: save the file as UTF-8") from None


def battle_files_near(file: File) -> list[str]:
    """TOML files that somebody who wrote the path ``file`` may have meant."""
    found: list[str] = []
    for folder, patterns in ((file.parent, ("*",)), (File(), ("*", "*/*", "*/*/*"))):
        for pattern in patterns:
            found += [str(near) for near in sorted(islice(folder.glob(pattern + SUFFIX), 500))]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=32)
def parse_battle(file: str, text: str) -> BattleMap:
    """The battle that a text describes; ``file`` is what messages call it.

    Raises:
        TaskError: with every problem, a line for each: file, line, what is wrong, what is allowed.
    """
    document = parse_document(file, text)
    given = read_table(document, (), document.values, TOP_CHECKS)
    rows = read_units(document)
    units = {unit.name: unit for unit in rows}
    terrain = _terrain(document)
    allies, enemies = read_groups(document, "allies", units), read_groups(document, "enemies", units)
    reward = read_table(document, ("reward",), document.values.get("reward", {}), REWARD_CHECKS)
    options = read_options(document)
    opponent = read_opponent(document)
    document.check()
    allies, enemies = placed(document, allies, enemies, given.get("starts", "points"))
    goal = goal_of(document, allies, given.get("enemy_order", "attack_move"))
    document.check()
    battle = _battle(File(file).stem, allies, enemies, rows, terrain, goal, given, reward)
    defaults = {**ranges(battle, options), **opponent, **options}
    check_options(document, battle, defaults)
    battle = replace(battle, defaults=defaults)
    check_sense(document, battle, allies, enemies)
    document.check()
    return battle


def _battle(
    name: str, allies: list[Group], enemies: list[Group], rows: tuple[Unit, ...], terrain: str, goal: tuple[Point, Point],
    given: dict[str, Any], reward: dict[str, Any],
) -> BattleMap:  # fmt: skip
    own, foes = ([piece for group in side for piece in group.pieces()] for side in (allies, enemies))
    draws = {group.kind: group.draw for group in (*allies, *enemies) if group.draw is not None}
    types = [_types(side, draws) for side in (own, foes)]
    several = any(len(each) > 1 for each in types)
    return BattleMap(
        name,
        allies=tuple((kind, count) for kind, count, _ in own),
        enemies=tuple((kind, count) for kind, count, _ in foes),
        limit=given.get("limit", 200),
        map_type="own",
        ally_points=tuple(place for _, _, place in own),
        enemy_points=tuple(place for _, _, place in foes),
        order_segment=goal,
        enemy_order=given.get("enemy_order", "attack_move"),
        terrain=terrain,
        ally_type_order=types[0] if several else (),
        enemy_type_order=types[1] if several else (),
        units=rows,
        draws=draws,
        enemies_copy=any(group.copy for group in enemies),
        starts=given.get("starts", "points"),
        healers_end=given.get("healers_end", "any"),
        **{f"reward_{key}": value for key, value in {"regrowth": False, **reward}.items()},
    )


def _types(pieces: list[Any], draws: dict[str, Any]) -> tuple[str, ...]:
    """What a side's units can be, in the order of the file."""
    each = [kind for name, _, _ in pieces for kind in (draws[name].types if name in draws else (name,))]
    return tuple(dict.fromkeys(each))


def _terrain(document: Document) -> str:
    """The name of a terrain, or its grid of 32 lines."""
    path: Path = ("terrain",)
    value = document.values.get("terrain", "open_band")
    if not isinstance(value, str):
        document.problem(path, f"terrain must be the name of a terrain or a grid of {SIZE} lines, got {shown(value)}")
    elif "\n" not in value:
        read_value(document, path, value, Word(TERRAIN_NAMES))
    else:
        return _grid(document, path, value)
    return value if isinstance(value, str) else ""


def _grid(document: Document, path: Path, value: str) -> str:
    """The grid without the spaces around its lines; what is wrong in it becomes a problem of its line."""
    rows = [row.strip() for row in value.strip("\n").split("\n")]
    while rows and not rows[-1]:
        rows.pop()
    first, source = document.line(path), document.text[document.value_offsets[path] :]
    several = source.startswith(('"""', "'''"))
    first += int(several and source[3:4] == "\n") + (len(value) - len(value.lstrip("\n")))
    if len(rows) != SIZE:
        document.problem(path, f"the terrain's grid has {len(rows)} lines; it must have {SIZE}, north on top")
    for number, row in enumerate(rows):
        line = first + number if several else first
        strange = sorted(set(row) - set(LEGEND))
        if strange:
            column = min(row.index(character) for character in strange) + 1
            document.problem(path, f"the terrain's column {column} is {row[column - 1]!r}, none of {' '.join(LEGEND)}", line)
        elif len(row) != SIZE:
            document.problem(path, f"{len(row)} characters; each line of a terrain has {SIZE}, west on the left", line)
    return "\n".join(rows)
