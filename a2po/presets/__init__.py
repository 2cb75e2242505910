"""Presets: TOML files with the source of every number, and how they build on each other.

A preset is the sections of a configuration, then ``[[override]]`` tables for some ``tasks`` and ``algorithms`` by
pattern. ``base = "paper"`` at the top of a file: that preset's values come first. ``paper+no-preopc`` lays one over the
other; a preset that does not stand first is a modifier, whose own base is left out. ``algorithms`` at the top of a file:
the preset is for these, and refused for others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from a2po.errors import ConfigError, did_you_mean
from a2po.toml_files import merge, read_toml

SEPARATOR = "+"
SUFFIX = ".toml"
OF_THE_RUN = ("task", "algorithm", "preset", "seed", "init_from")
"""What a preset cannot set: its values are picked by the first two, and the others are no setting."""


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted(entry.name.removesuffix(SUFFIX) for entry in resources.files(__name__).iterdir() if entry.name.endswith(SUFFIX))


def load_preset(preset: str, task: str, algorithm: str) -> dict[str, Any]:
    """A preset's values for one task and algorithm.

    Args:
        preset: a name, the path of a TOML file in the same form, or several of them joined by ``+``, later ones first in rank.
        task: what the patterns of ``tasks`` are held against.
        algorithm: what those of ``algorithms`` are held against.

    Raises:
        ConfigError: there is no such preset, its form is wrong, it is for other algorithms, or presets build on each other in a circle.
    """
    values: dict[str, Any] = {}
    for section in _sections(preset, algorithm, ()):
        if _matches(task, section.get("tasks")) and _matches(algorithm, section.get("algorithms")):
            values = merge(values, _without(section, "tasks", "algorithms"))
    return values


def description(preset: str) -> str:
    """What a preset says of itself."""
    return str(_read(preset, preset).get("description", ""))


def made_for(preset: str) -> list[str]:
    """The algorithms that a preset is for, by the first part that names some; none for all."""
    return next((list(only) for part in _parts(preset) if (only := _read(part, preset).get("algorithms"))), [])


def _sections(preset: str, algorithm: str, builders: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The top of each file, then its overrides in file order, the lowest in rank first.

    ``builders``: the presets whose base this is, to tell a circle.
    """
    if preset in builders:
        raise ConfigError(f"presets build on each other in a circle: {' -> '.join([*builders, preset])}")
    for position, part in enumerate(_parts(preset)):
        data = _read(part, preset)
        base, overrides = data.get("base"), data.get("override", [])
        if not isinstance(base, str | None):
            raise ConfigError(f"preset '{part}': base must be the name of a preset, got {base!r}")
        if not isinstance(overrides, list):
            raise ConfigError(f"preset '{part}': override must be an array of tables: write [[override]]")
        if base and position == 0:
            yield from _sections(base, algorithm, [*builders, preset])
        for section in [_without(data, "description", "base", "override"), *overrides]:
            _check_section(part, section)
            yield section
        only = data.get("algorithms")
        if only is not None and not _matches(algorithm, only):
            mend = f"give one of these as --algorithm, or another --preset{did_you_mean(algorithm, only)}"
            raise ConfigError(f"preset '{part}' is not for '{algorithm}' but for {', '.join(only)}: {mend}")


def _parts(preset: str) -> list[str]:
    """The presets of ``a+b``; a file may have a plus in its name."""
    return [preset] if preset.endswith(SUFFIX) and Path(preset).is_file() else [part.strip() for part in preset.split(SEPARATOR)]


def _read(part: str, preset: str) -> dict[str, Any]:
    if part.endswith(SUFFIX):
        return read_toml(Path(part))
    names = preset_names()
    if part not in names:
        where = "" if part == preset else f" in '{preset}'"
        raise ConfigError(f"unknown preset '{part}'{where}{did_you_mean(part, names)} (there are: {', '.join(names)})")
    return _packaged(part)


@cache
def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}{SUFFIX}").read_text(encoding="utf-8"))


def _matches(name: str, patterns: list[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def _without(table: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _check_section(preset: str, section: dict[str, Any]) -> None:
    if wrong := [key for key in OF_THE_RUN if key in section]:
        raise ConfigError(f"preset '{preset}': {wrong[0]} belongs to a run, not to a preset: give it as an option or in a --config file")
    for key in ("tasks", "algorithms"):
        patterns = section.get(key, [])
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigError(f"preset '{preset}': {key} of an override must be a list of patterns, got {patterns!r}")
