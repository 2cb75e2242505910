"""What a key of a battle file may hold: checks as data, and reading a table by them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from a2po.envs.smac.battle_toml import Document, Path
from a2po.envs.smac.fields import SIZE
from a2po.errors import did_you_mean

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")


class Check(Protocol):
    """What is allowed, and a look at a value."""

    @property
    def allowed(self) -> str:
        """In words."""
        ...

    def read(self, value: Any) -> Any:
        """The value as it is used. Raises: ValueError, whose text is a hint or nothing."""
        ...


Checks = Mapping[str, Check | None]
"""By key; None: the key is known, and checked elsewhere."""


@dataclass(frozen=True)
class Number:
    """A finite number; ``zero``: 0, or from ``low`` on."""

    low: float
    high: float
    zero: bool = False
    whole: bool = False

    @property
    def allowed(self) -> str:
        """In words."""
        what = "a whole number" if self.whole else "a number"
        return f"{'0 or ' if self.zero else ''}{what} from {self.low:,g} to {self.high:,g}"

    def read(self, value: Any) -> float:
        """The number."""
        fits = is_number(value) and (self.low <= value <= self.high or (self.zero and value == 0))
        if not fits or (self.whole and not isinstance(value, int)):
            raise ValueError
        return int(value) if self.whole else float(value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    allowed: str = "true or false"

    def read(self, value: Any) -> bool:
        """The flag."""
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Word:
    """One of some names."""

    known: Collection[str]

    @property
    def allowed(self) -> str:
        """In words."""
        return f"one of {', '.join(map(repr, self.known))}"

    def read(self, value: Any) -> str:
        """The name."""
        if not isinstance(value, str) or value not in self.known:
            raise ValueError(did_you_mean(value[:40], self.known) if isinstance(value, str) else "")
        return value


@dataclass(frozen=True)
class Words:
    """A list of names."""

    known: Collection[str]
    least: int = 0

    @property
    def allowed(self) -> str:
        """In words."""
        return f"a list{' of at least one' if self.least else ''} of {', '.join(map(repr, self.known))}"

    def read(self, value: Any) -> frozenset[str]:
        """The names."""
        if not isinstance(value, list) or len(value) < self.least:
            raise ValueError
        return frozenset(Word(self.known).read(word) for word in value)


@dataclass(frozen=True)
class Place:
    """A point [x, y]."""

    allowed: str = f"a point [x, y] of numbers from 0 to {SIZE}"

    def read(self, value: Any) -> tuple[float, ...]:
        """The point."""
        return _coordinates(value, 2)


@dataclass(frozen=True)
class Box:
    """An area [west, south, east, north]."""

    allowed: str = f"an area [west, south, east, north] of numbers from 0 to {SIZE}, west below east and south below north"

    def read(self, value: Any) -> tuple[float, ...]:
        """The area."""
        west, south, east, north = _coordinates(value, 4)
        if west >= east or south >= north:
            raise ValueError
        return west, south, east, north


@dataclass(frozen=True)
class Places:
    """Points."""

    most: int
    least: int = 1

    @property
    def allowed(self) -> str:
        """In words."""
        return f"a list of {self.least} to {self.most} points [x, y] of numbers from 0 to {SIZE}"

    def read(self, value: Any) -> tuple[tuple[float, ...], ...]:
        """The points."""
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise ValueError
        return tuple(_coordinates(point, 2) for point in value)


@dataclass(frozen=True)
class Text:
    """Any text."""

    allowed: str = "text in quotes"

    def read(self, value: Any) -> str:
        """The text."""
        if not isinstance(value, str):
            raise ValueError
        return value


@dataclass(frozen=True)
class Weights:
    """A table of names with weights."""

    known: Collection[str]

    @property
    def allowed(self) -> str:
        """In words."""
        return "a table of unit types and their weights, such as { marine = 0.7, marauder = 0.3 }, each from 0.001 to 1,000"

    def read(self, value: Any) -> tuple[tuple[str, float], ...]:
        """(name, weight) in the order of the file."""
        if not isinstance(value, dict) or not value:
            raise ValueError
        for name in value:
            if name not in self.known:
                raise ValueError(f": there is no unit {name[:40]!r}{did_you_mean(name[:40], self.known)}")
        return tuple((name, Number(0.001, 1000).read(weight)) for name, weight in value.items())


def is_number(value: Any) -> bool:
    """An integer or a float, NaN too; no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_name(text: str) -> bool:
    """Whether a unit can be called that."""
    return _NAME.fullmatch(text) is not None


def _coordinates(value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise ValueError
    return tuple(Number(0, SIZE).read(number) for number in value)


def read_table(document: Document, path: Path, values: Any, checks: Checks, required: Collection[str] = ()) -> dict[str, Any]:
    """The values of a table that are as they should be; the others become problems of the document."""
    if not isinstance(values, dict):
        document.problem(path, f"{dotted(path)} must be a table of {', '.join(checks)}, got {shown(values)}")
        return {}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in checks:
            hint = did_you_mean(key[:40], checks) or f" (known here: {', '.join(checks)})"
            document.problem((*path, key), f"unknown key '{dotted((*path, key))}'{hint}")
        elif (check := checks[key]) is not None and (good := read_value(document, (*path, key), value, check)) is not None:
            found[key] = good
    for key in required:
        if key not in values and (check := checks[key]) is not None:
            document.problem(path, f"{dotted(path)} needs '{key}', {check.allowed}")
    return found


def read_value(document: Document, path: Path, value: Any, check: Check) -> Any:
    """The value, or None if it became a problem of the document."""
    try:
        return check.read(value)
    except ValueError as wrong:
        document.problem(path, f"{dotted(path)} must be {check.allowed}, got {shown(value)}{wrong}")
        return None


def dotted(path: Path) -> str:
    """``allies 1.count``: the tables of a list are counted from 1."""
    text = ""
    for part in path:
        text += f" {part + 1}" if isinstance(part, int) else f"{'.' if text else ''}{part[:40]}"
    return text


def shown(value: Any) -> str:
    """A value in a message: short, and as TOML spells it where that differs."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        return "a number that is too large"
    return text if len(text) <= 60 else f"{text[:57]}..."
