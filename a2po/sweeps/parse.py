"""The plan as a person gives it: options of the command line, or a TOML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from a2po.config import flat, parse_setting
from a2po.errors import ConfigError, did_you_mean
from a2po.sweeps.plan import NO_VALUE, SweepPlan
from a2po.toml_files import read_toml

OPENING, CLOSING = "[{", "]}"
MAX_SEEDS = 10_000
"""More in one range are a slip of the finger."""


def parse_seeds(text: str) -> list[int]:
    """``"0-2,7"`` -> ``[0, 1, 2, 7]``.

    Raises:
        ConfigError: it is no list of seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or int(last) - int(first) not in range(MAX_SEEDS):
            raise ConfigError(f"--seeds {text}: expected numbers and ranges, for example 0-2 or 0,1,5")
        seeds += range(int(first), int(last) + 1)
    return seeds


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """``"update.clip=0.1,0.2"`` -> ``("update.clip", [0.1, 0.2])``; commas inside brackets or quotes do not divide.

    Raises:
        ConfigError: it is no key with values.
    """
    key, separator, values = text.partition("=")
    parts = _divided(values)
    if not separator or not key.strip() or not all(part.strip() for part in parts):
        raise ConfigError(f"--vary {text}: expected section.key=value,value, for example --vary update.clip=0.1,0.2")
    return key.strip(), [_value(f"v={part}", "v") for part in parts]


def parse_set(text: str) -> tuple[str, Any]:
    """``"update.clip=0.1"`` -> ``("update.clip", 0.1)``."""
    key = text.partition("=")[0].strip()
    return key, _value(text, key)


def make_plan(
    *,
    file: Path | None = None,
    values: Mapping[str, Any] | None = None,
    seeds: str | None = None,
    settings: Iterable[str] = (),
    vary: Iterable[str] = (),
    steps: int | None = None,
) -> SweepPlan:
    """The plan of a file with the given values over it.

    Args:
        file: TOML with the keys of ``SweepPlan``; ``settings`` and ``vary`` are tables of configuration keys.
        values: of the plan's top level; None means "not given".
        seeds: as in ``parse_seeds``.
        settings: ``section.key=value``.
        vary: ``section.key=value,value``.
        steps: environment steps of each run.

    Raises:
        ConfigError: with every problem of form. What the configurations themselves say is ``check_plan``'s.
    """
    given = read_toml(file) if file else {}
    given |= {key: value for key, value in (values or {}).items() if value is not None}
    if seeds is not None:
        given["seeds"] = parse_seeds(seeds)
    sets = [parse_set(text) for text in settings] + ([("run.total_steps", steps)] if steps is not None else [])
    varied = [parse_vary(text) for text in vary]
    twice = sorted({key for pairs in (sets, varied) for key, _ in pairs if [name for name, _ in pairs].count(key) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)} is given more than once")
    for name, pairs in (("settings", sets), ("vary", varied)):
        table = given.get(name, {})
        table = flat(table) if isinstance(table, dict) else table
        given[name] = {**table, **dict(pairs)} if isinstance(table, dict) else table
    return validate_plan(given)


def validate_plan(values: Mapping[str, Any]) -> SweepPlan:
    """Plain values as a plan.

    Raises:
        ConfigError: with every problem.
    """
    try:
        return SweepPlan.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_problem(detail) for detail in error.errors())) from None


def _problem(detail: Any) -> str:
    path = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        known = list(SweepPlan.model_fields)
        return f"sweep: unknown key '{path}'" + (did_you_mean(path, known) or f" (known here: {', '.join(known)})")
    return f"sweep: {path}: {detail['msg'].removeprefix('Value error, ').lower()}, got {detail['input']!r}"


def _value(setting: str, key: str) -> Any:
    value: Any = parse_setting(setting)
    for part in key.split("."):
        value = value[part]
    return NO_VALUE[0] if value is None else value


def _divided(text: str) -> list[str]:
    """The text at its commas, but not inside brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter in "\"'" and quote in ("", letter):
            quote = "" if quote else letter
        elif not quote:
            depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
