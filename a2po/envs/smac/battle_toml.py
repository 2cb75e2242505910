"""TOML with line numbers, which ``tomllib`` gives for syntax alone: where in a text each key, table and item stands."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

from a2po.errors import TaskError

Path = tuple[str | int, ...]
"""Keys and, in lists, numbers of items: ``("allies", 0, "count")``."""

SHOWN_PROBLEMS: Final = 12
MOST_PARTS: Final = 32
"""Of a key with dots; whoever reads TOML takes the square of their number in time and memory."""
MOST_DEPTH: Final = 64
"""Of tables and lists in one another."""
_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_GAP: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' + r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}" + r'|"(?:[^"\\]|\\.)*"' + r"|'[^']*'", re.DOTALL
)
_OTHER_VALUE: Final = re.compile(r"[^,\]}\n#]*")
_LONG_KEY: Final = re.compile(rf"""(?:(?:(?<![\w-])[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{MOST_PARTS}}}""")


@dataclass
class Document:
    """A TOML file: its values, where they stand, and what is wrong with them."""

    file: str
    text: str
    values: dict[str, Any]
    offsets: dict[Path, int]
    """Where in the text a key begins, or an item of a list."""
    value_offsets: dict[Path, int]
    _problems: dict[tuple[int, str], None] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of a key; of one that is not there that of the table which should have it."""
        while path not in self.offsets and path:
            path = path[:-1]
        return self.text.count("\n", 0, self.offsets.get(path, 0)) + 1

    def problem(self, path: Path, what: str, line: int | None = None) -> None:
        """Note a problem with the value of a key, or with a table."""
        self._problems[line or self.line(path), what] = None

    def check(self) -> None:
        """Raises: TaskError with every problem that was noted, a line for each."""
        if self._problems:
            told = [f"{self.file}, line {line}: {what}" for line, what in sorted(self._problems)]
            more = [f"{self.file}: and {len(told) - SHOWN_PROBLEMS} more problems"] if len(told) > SHOWN_PROBLEMS else []
            raise TaskError("\n".join([*told[:SHOWN_PROBLEMS], *more]))


def parse_document(file: str, text: str) -> Document:
    """Read TOML; ``file`` is what messages call it.

    Raises:
        TaskError: its syntax is wrong; says in which line.
    """
    if (long := _LONG_KEY.search(text)) is not None:
        begin = text.count("\n", 0, long.start()) + 1
        raise TaskError(f"{file}, line {begin}: a key has more than {MOST_PARTS} parts with dots between")
    scanner = _Scanner(text)
    try:
        values = tomllib.loads(text)
        scanner.scan()
    except RecursionError:
        deep = text.count("\n", 0, scanner.at) + 1
        raise TaskError(f"{file}, line {deep}: brackets are nested too deeply") from None
    except ValueError as error:  # also of a number with thousands of digits
        found = _AT.search(str(error))
        last = text.rstrip("\n").count("\n") + 1
        line, column = (found[1] or last, f" (column {found[2]})" if found[2] else "") if found else (1, "")
        what = _AT.sub("", str(error)).replace("overwrite a value", "overwrite a value: a key is there twice")
        raise TaskError(f"{file}, line {line}: {what[:1].lower()}{what[1:]}{column}") from None
    return Document(file, text, values, scanner.offsets, scanner.value_offsets)


class _Scanner:
    """Goes over a text that ``tomllib`` has read, so that there is nothing to be checked."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.offsets: dict[Path, int] = {}
        self.value_offsets: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # of the tables in a [[list]] so far

    def scan(self) -> None:
        table: Path = ()
        self._skip()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> Path:
        begin, listed = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if listed else 1
        *outer, name = self._key()
        table: Path = ()
        for part in outer:
            table = self._last(self._note((*table, part), begin))
        table = self._note((*table, name), begin)
        if listed:
            self._counts[table] = self._counts.get(table, -1) + 1
        self._skip()
        self.at += 2 if listed else 1
        return self._note(self._last(table), begin)

    def _last(self, table: Path) -> Path:
        """What a header goes on with: of a list its last table."""
        return (*table, self._counts[table]) if table in self._counts else table

    def _note(self, path: Path, begin: int) -> Path:
        if len(path) > MOST_DEPTH:
            raise RecursionError  # which showing such a value would come to
        self.offsets.setdefault(path, begin)
        return path

    def _pair(self, table: Path) -> None:
        begin = self.at
        for part in self._key():
            table = self._note((*table, part), begin)
        self._skip()
        self.at += 1  # the equals sign
        self._skip()
        self._value(table)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip()
            quoted = self.text[self.at] in "\"'"
            raw = self._take(_STRING if quoted else _BARE_KEY)
            parts.append(tomllib.loads(f"key = {raw}")["key"] if quoted else raw)
            self._skip()
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        self.value_offsets[path] = self.at
        opening = self.text[self.at]
        if opening in "[{":
            self.at += 1
            self._items(path, closing="]" if opening == "[" else "}")
        else:
            self._take(_STRING if opening in "\"'" else _OTHER_VALUE)

    def _items(self, path: Path, closing: str) -> None:
        number = 0
        self._skip()
        while self.text[self.at] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._value(self._note((*path, number), self.at))
            number += 1
            self._skip()
            if self.text[self.at] == ",":
                self.at += 1
                self._skip()
        self.at += 1

    def _skip(self) -> None:
        self._take(_GAP)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return found[0]
