"""What a manifest must look like: checked once, so that nobody who reads it afterwards meets a surprise. Standard library only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

FILE = re.compile(r"agents/[A-Za-z0-9._-]+\.onnx|weights/[A-Za-z0-9._-]+\.safetensors|MODEL_CARD\.md|battle\.toml")
"""The names that a bundle's files may have; all else is refused."""
RESERVED = ("task", "num_envs", "seed", "device", "num_threads")
"""Arguments of ``make`` that no option of a task may stand for."""
PARTS = ("task", "agents", "files")
MAX_SIZE = 1 << 24
MAX_DEPTH = 32
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would steer a terminal, or turn round what stands in it."""


def parse(text: bytes) -> Any:
    """JSON without endless nesting, with every key once, and of text that can be printed and written again.

    Raises:
        ValueError: it is not.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_values(value, MAX_DEPTH)
    return value


def is_manifest(text: bytes) -> bool:
    """The text is a bundle's manifest of whatever version, and not one of the many other files of that name."""
    try:
        manifest = parse(text)
    except ValueError:
        return False
    return isinstance(manifest, dict) and "format" in manifest and all(isinstance(manifest.get(part), dict) for part in PARTS)


def check_parts(manifest: Mapping[str, Any]) -> None:
    """All parts but the agents.

    Raises:
        KeyError: a part is missing.
        ValueError: a part is not as it should be.
    """
    for name, entry in manifest["files"].items():
        whole(mapping(entry, f"files.{name}").get("bytes"), f"files.{name}.bytes", largest=1 << 40)
    task = mapping(manifest["task"], "task")
    if not isinstance(task["name"], str):
        raise ValueError(f"task.name is {task['name']!r}, not a name")
    agents = names(task["agents"], "task.agents")
    if len(set(agents)) < len(agents):
        raise ValueError("task.agents names an agent twice")
    taken = [name for name in mapping(task.get("options") or {}, "task.options") if name in RESERVED]
    if taken:
        raise ValueError(f"task.options.{taken[0]} is not an option of a task")
    for part in ("training", "parity", "evaluation", "export"):
        mapping(manifest.get(part) or {}, part)


def mapping(value: Any, what: str) -> dict[str, Any]:
    """``value``, if it is a JSON object. Raises: ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {value!r:.60}, not an object")
    return value


def whole(value: Any, what: str, *, largest: int = MAX_SIZE) -> int:
    """``value``, if it is a whole number from 0. Raises: ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise ValueError(f"{what} is {value!r:.60}, not a whole number from 0 to {largest}")
    return value


def names(value: Any, what: str) -> tuple[str, ...]:
    """``value``, if it is a list of strings. Raises: ValueError."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{what} is {value!r:.60}, not a list of names")
    return tuple(value)


def numbers(value: Any, what: str) -> tuple[float, ...]:
    """``value``, if it is a list of finite numbers. Raises: ValueError; OverflowError where one is too large for a float."""
    if not isinstance(value, list) or not all(isinstance(number, int | float) and math.isfinite(number) for number in value):
        raise ValueError(f"{what} is {value!r:.60}, not a list of finite numbers")
    return tuple(float(number) for number in value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two equal keys some readers take the first, others the last: both would be signed. Raises: ValueError."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("an object has a key twice")
    return result


def _check_values(value: Any, left: int) -> None:
    if not left:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        value.encode()  # half a surrogate pair is a ValueError
        if UNPRINTABLE.search(value):
            raise ValueError(f"it holds the control characters of {value!a:.60}")
    elif isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_values(part, left - 1)
