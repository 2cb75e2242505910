"""The lists ``[[allies]]`` and ``[[enemies]]`` of a battle file: groups of units, fixed or drawn, and where they begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from a2po.envs.smac.battle_map import Area, Draw, Point
from a2po.envs.smac.battle_toml import Document, Path
from a2po.envs.smac.battle_values import Box, Checks, Flag, Number, Place, Places, Weights, Word, Words, dotted, read_table, shown
from a2po.envs.smac.fields import SIZES
from a2po.envs.smac.units import Unit

Side = Literal["allies", "enemies"]

MOST_OF_A_SIDE: Final = 64
MOST: Final = SIZES[-1]
WEST: Final[Point] = (9.0, 16.0)
EAST: Final[Point] = (23.0, 16.0)
"""Where a group begins if the file does not say: as on most of SMAC's maps."""
WEST_HALF: Final[Area] = (0.0, 0.0, 15.0, 32.0)
EAST_HALF: Final[Area] = (16.0, 0.0, 32.0, 32.0)
"""And where starts are drawn: as in SMACv2."""
_PLACES: Final = ("at", "area", "positions")


def group_checks(names: tuple[str, ...], side: Side) -> Checks:
    """The keys of a group; ``names`` are the types of units."""
    checks: dict[str, Any] = {
        "unit": Word(names),
        "draw": Weights(names),
        "never_alone": Words(names),
        "count": Number(1, MOST_OF_A_SIDE, whole=True),
        "at": Place(),
        "area": Box(),
        "positions": Places(MOST_OF_A_SIDE),
    }
    return checks if side == "allies" else {"copy": Flag(), **checks}


@dataclass(frozen=True)
class Group:
    """Units that are of one type, or drawn from the same weights."""

    path: Path
    kind: str
    """A type, or the name of ``draw``."""
    count: int
    places: tuple[Point | Area, ...]
    """One for all, or one for each; none: not given."""
    place_key: str
    """at, area or positions; nothing: not given."""
    draw: Draw | None = None
    copy: bool = False
    """As many as there are allies, and of the same types."""
    used: bool = True
    """Whether its places are: starts may take the place of them."""

    def place_path(self, number: int = 0) -> Path:
        """The key that says where its units, or its unit of that number, begin."""
        if not self.place_key:
            return self.path
        return (*self.path, self.place_key, *([number] if self.place_key == "positions" else []))

    def pieces(self) -> list[tuple[str, int, Point | Area]]:
        """As the groups of a BattleMap: (type or draw, count, point or area)."""
        if self.place_key == "positions":
            return [(self.kind, 1, place) for place in self.places]
        return [(self.kind, self.count, self.places[0])]


def read_groups(document: Document, side: Side, units: Mapping[str, Unit]) -> list[Group]:
    """The groups of a side, those that are whole; what is wrong with others becomes problems of the document."""
    tables = document.values.get(side)
    if not isinstance(tables, list) or not tables:
        what = f"there are no {side}: give one [[{side}]] at least" if tables in (None, []) else f"{side} must be tables [[{side}]]"
        document.problem((side,), what + ("" if tables in (None, []) else f", got {shown(tables)}"))
        return []
    groups = [_read_group(document, (side, number), values, side, units) for number, values in enumerate(tables)]
    whole = [group for group in groups if group is not None]
    count = sum(group.count for group in whole)
    if count > MOST_OF_A_SIDE:
        document.problem(whole[-1].path, f"there are {count} {side}; a side has {MOST_OF_A_SIDE} at most")
    return whole


def _read_group(document: Document, path: Path, values: Any, side: Side, units: Mapping[str, Unit]) -> Group | None:
    given = read_table(document, path, values, group_checks(tuple(units), side))
    if not isinstance(values, dict):
        return None
    name = dotted(path)
    kinds = [key for key in ("unit", "draw", *(["copy"] if side == "enemies" else [])) if key in values]
    if len(kinds) != 1:
        choice = "'unit' or 'draw'" + (", or copy = true" if side == "enemies" else "")
        document.problem(path, f"{name} needs {choice}" if not kinds else f"{name} has '{kinds[0]}' and '{kinds[1]}': leave out one")
        return None
    where = [key for key in _PLACES if key in values]
    if len(where) > 1:
        document.problem((*path, where[1]), f"{name} has '{where[0]}' and '{where[1]}': leave out one")
    places = given.get("positions") or tuple(given[key] for key in ("at", "area") if key in given)
    count = _count(document, path, values, given, bool(kinds == ["copy"]))
    if "never_alone" in values and "draw" not in values:
        document.problem((*path, "never_alone"), f"{name}.never_alone is for a group with 'draw'")
    if kinds[0] not in given or (kinds == ["copy"] and not given["copy"]):
        if kinds[0] in given:
            document.problem((*path, "copy"), f"{name}.copy = false says nothing: give 'unit' or 'draw' instead")
        return None
    draw = _draw(document, path, given, units) if "draw" in given else None
    return Group(path, given.get("unit", name), count, places, where[0] if where else "", draw, kinds == ["copy"])


def _count(document: Document, path: Path, values: dict[str, Any], given: dict[str, Any], copy: bool) -> int:
    """How many; as many as there are positions."""
    for key, of_whom in (("positions", "the positions"), ("copy", "the allies")):
        if "count" in values and key in values and (key != "copy" or copy):
            document.problem((*path, "count"), f"{dotted(path)}.count is the number of {of_whom}: leave it out")
    if copy:
        return 0
    return len(given["positions"]) if "positions" in given else int(given.get("count", 1))


def _draw(document: Document, path: Path, given: dict[str, Any], units: Mapping[str, Unit]) -> Draw:
    """Healers are never alone, if nothing else is said: alone they lose."""
    kinds = [kind for kind, _ in given["draw"]]
    healers = frozenset(kind for kind in kinds if units[kind].heal is not None)
    never_alone = given.get("never_alone", healers if len(healers) < len(kinds) else frozenset())
    for kind in sorted(never_alone - set(kinds)):
        document.problem((*path, "never_alone"), f"{dotted(path)}.never_alone: '{kind}' is not among what is drawn: {', '.join(kinds)}")
    if never_alone >= set(kinds):
        document.problem((*path, "never_alone"), f"{dotted(path)}.never_alone has all types that are drawn: then no team can be drawn")
    return Draw(given["draw"], never_alone & set(kinds))
