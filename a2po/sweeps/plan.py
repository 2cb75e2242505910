"""The plan of a sweep: tasks x algorithms x overrides x seeds, and the runs that it stands for."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from a2po.config import DEFAULT_PRESET, DEFAULT_TASK, TrainConfig, Whole, flat, resolve
from a2po.toml_files import merge

NO_VALUE = ("none", "None", "null")
"""Bare words that stand for a configuration value of None, which TOML cannot write."""


def _flat_table(values: Any) -> Any:
    """TOML nests keys that are written with dots; what is no table is left to be refused."""
    return flat(values) if isinstance(values, Mapping) else values


Settings = Annotated[dict[str, Any], BeforeValidator(_flat_table)]
Grid = Annotated[dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]], BeforeValidator(_flat_table)]


class SweepPlan(BaseModel):
    """What a sweep does; ``sweep.toml`` holds it in the same words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...] = Field((DEFAULT_TASK,), min_length=1)
    algorithms: tuple[str, ...] = Field(("a2po",), min_length=1)
    seeds: tuple[Annotated[Whole, Field(ge=0, lt=2**31)], ...] = Field((0, 1, 2), min_length=1)
    preset: str = DEFAULT_PRESET
    evaluation_episodes: Whole = Field(32, ge=1)
    settings: Settings = Field(default_factory=dict)
    """Configuration keys with one value in all runs."""
    vary: Grid = Field(default_factory=dict)
    """Configuration keys with several values each: the runs cover all combinations."""
    pins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By task the options that hold what its file says. Not for people: a sweep keeps it when it begins."""


@dataclass(frozen=True)
class Cell:
    """What is compared: a task, an algorithm and overrides. Its runs differ in their seed alone."""

    name: str
    task: str
    algorithm: str
    overrides: dict[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a cell."""

    name: str
    cell: Cell
    seed: int


def cells(plan: SweepPlan) -> list[Cell]:
    """All cells in the plan's order."""
    combinations = [dict(zip(plan.vary, values, strict=True)) for values in itertools.product(*plan.vary.values())]
    parts = list(itertools.product(plan.tasks, plan.algorithms, combinations))
    names = [_cell_name(*part) for part in parts]
    counts = Counter(names)
    return [Cell(name if counts[name] == 1 else f"{name}-{_digest(*part)}", *part) for name, part in zip(names, parts, strict=True)]


def planned_runs(plan: SweepPlan) -> list[PlannedRun]:
    """All runs: every cell's first seed before any cell's second, so that a sweep that is stopped early can be compared."""
    return [PlannedRun(f"{cell.name}-s{seed}", cell, seed) for seed in plan.seeds for cell in cells(plan)]


def run_config(plan: SweepPlan, cell: Cell, seed: int) -> TrainConfig:
    """The configuration of one run.

    Raises:
        ConfigError: with every problem.
    """
    values: dict[str, Any] = {}
    for key, value in {**plan.settings, **cell.overrides}.items():
        *sections, name = key.split(".")
        table = values
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = None if value in NO_VALUE else value
    if cell.task in plan.pins:
        values = merge({"env": {"options": plan.pins[cell.task]}}, values)
    return resolve(preset=plan.preset, values={**values, "task": cell.task, "algorithm": cell.algorithm, "seed": seed})


def differences(before: SweepPlan, now: SweepPlan) -> list[str]:
    """What ``now`` changes in a way that its finished runs would no longer belong to it.

    More seeds, more steps and another number of evaluation episodes are no differences: runs that exist are kept and go on.
    """
    found = []
    if missing := [seed for seed in before.seeds if seed not in now.seeds]:
        found.append(f"seeds {', '.join(map(str, missing))} are left out")
    steps = "run.total_steps"
    old, new = (
        {"tasks": plan.tasks, "algorithms": plan.algorithms, "preset": plan.preset}
        | {f"--set {key}": value for key, value in plan.settings.items() if key != steps}
        | {f"--vary {key}": value for key, value in plan.vary.items()}
        for plan in (before, now)
    )
    found += [f"{key} was {_shown(old.get(key))}, now {_shown(new.get(key))}" for key in {**old, **new} if old.get(key) != new.get(key)]
    return found


def overrides_text(overrides: Mapping[str, Any]) -> str:
    """``clip=0.1 num_epochs=5``: the last word of each key, or a dash."""
    return " ".join(f"{key.rsplit('.', 1)[-1]}={_value_text(value)}" for key, value in overrides.items()) or "-"


def _cell_name(task: str, algorithm: str, overrides: dict[str, Any]) -> str:
    """A folder name; the family is left out of the task as in the names of single runs."""
    parts = [task.split("/", 1)[-1], algorithm, *(overrides_text({key: value}) for key, value in overrides.items())]
    return "-".join("".join(letter if letter.isalnum() or letter in "-_.=+" else "-" for letter in part) for part in parts)


def _digest(task: str, algorithm: str, overrides: dict[str, Any]) -> str:
    """Tells cells apart whose names are the same. It depends on nothing but the cell."""
    return hashlib.sha256(json.dumps([task, algorithm, overrides]).encode()).hexdigest()[:6]


def _value_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "x".join(map(_value_text, value))
    return f"{value}".lower() if isinstance(value, bool) else f"{value}"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(repr, value)) if isinstance(value, (list, tuple)) else repr(value)


def repeated(values: Iterable[Any]) -> list[str]:
    """The values that stand more than once in a list, as text."""
    counts = Counter(json.dumps(value) for value in values)
    return [text for text, count in counts.items() if count > 1]
