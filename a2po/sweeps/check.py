"""Is a plan fit to be started? Everything that can be known beforehand is, and every problem is reported at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from a2po.algorithms.catalogue import check_algorithm, check_trainable
from a2po.config import DEFAULT_PRESET, TrainConfig
from a2po.errors import ConfigError, UserError
from a2po.sweeps.plan import SweepPlan, cells, repeated, run_config

OWN_OPTIONS = {"task": "--task", "algorithm": "--algorithm", "seed": "--seeds", "preset": "--preset"}
"""Configuration keys that a plan has words of its own for."""


def check_plan(plan: SweepPlan) -> dict[str, TrainConfig]:
    """Resolve every cell and open every task once.

    Returns: cell name -> the configuration of its first seed.

    Raises:
        ConfigError: with every problem at once.
    """
    problems = list(_problems_of_form(plan))
    if problems:
        raise ConfigError("\n".join(problems))
    configs: dict[str, TrainConfig] = {}
    found: dict[str, list[str]] = {}  # problem -> the cells that have it
    all_cells = cells(plan)
    for cell in all_cells:
        try:
            configs[cell.name] = run_config(plan, cell, plan.seeds[0])
        except ConfigError as error:
            for problem in str(error).splitlines():
                found.setdefault(problem, []).append(cell.name)
    problems = [problem if len(names) == len(all_cells) else f"{problem} (in {_few(names)})" for problem, names in found.items()]
    problems += [*_unknown_algorithms(plan), *_unplayable(plan, configs.values()), *_no_sources(configs.values()), *_same(configs)]
    if problems:
        raise ConfigError("\n".join(problems))
    return configs


def _problems_of_form(plan: SweepPlan) -> Iterator[str]:
    lists = {"--task": plan.tasks, "--algorithm": plan.algorithms, "--seeds": plan.seeds}
    lists |= {f"--vary {key}": values for key, values in plan.vary.items()}
    for name, values in lists.items():
        if twice := repeated(values):
            yield f"{name}: {', '.join(twice)} is given more than once"
    if "preset" in plan.vary and plan.preset != DEFAULT_PRESET:
        yield "'preset' is both fixed (--preset) and varied (--vary): leave out one"
    for key in (*plan.settings, *plan.vary):
        if key in OWN_OPTIONS and (key, key in plan.vary) != ("preset", True):
            yield f"'{key}' has an option of its own in a sweep: {OWN_OPTIONS[key]}"
        if outer := [other for other in (*plan.settings, *plan.vary) if key.startswith(f"{other}.")]:
            yield f"'{key}' lies inside '{outer[0]}', which is given as well: leave out one"
    for key in plan.settings:
        if key in plan.vary:
            yield f"'{key}' is both fixed (--set) and varied (--vary): leave out one"


def _unknown_algorithms(plan: SweepPlan) -> Iterator[str]:
    for algorithm in plan.algorithms:
        try:
            check_algorithm(algorithm)
        except ConfigError as error:
            yield str(error)


def _unplayable(plan: SweepPlan, configs: Iterable[TrainConfig]) -> Iterator[str]:
    """Tasks and devices that are not there, and what algorithms cannot do there. Each task is opened once for each set of options."""
    from a2po.training.loop import pick_device
    from a2po.training.runs import make_env

    known = list(configs)
    unresolved = [TrainConfig(task=task) for task in plan.tasks if task not in {config.task for config in known}]
    different: dict[str, list[TrainConfig]] = {}
    for config in [*known, *unresolved]:
        different.setdefault(json.dumps([config.task, config.env.options, config.device], default=str), []).append(config)
    problems: dict[str, None] = {}
    for alike in different.values():
        try:
            pick_device(alike[0].device)
            env = make_env(alike[0], 1, alike[0].seed)
            env.close()
        except UserError as error:
            problems[str(error)] = None
            continue
        for config in alike:
            try:
                check_trainable(config, env.spec)
            except ConfigError as error:
                problems[str(error)] = None
    yield from problems


def _no_sources(configs: Iterable[TrainConfig]) -> Iterator[str]:
    """Runs and bundles to begin with that are not there. A child's runs lie in the sweep's folder, so only a path finds others."""
    from a2po.training.warm_start import locate

    for source in dict.fromkeys(config.init_from for config in configs if config.init_from is not None):
        try:
            locate(source, Path())
        except UserError as error:
            yield f"{error} (a sweep needs its path, for example runs/<name>)"


def _same(configs: dict[str, TrainConfig]) -> Iterator[str]:
    """Cells that would train the same thing, under whatever preset."""
    first: dict[str, str] = {}
    for name, config in configs.items():
        other = first.setdefault(config.model_copy(update={"preset": ""}).model_dump_json(), name)
        if other != name:
            yield f"the cells {other} and {name} have the same configuration: leave out one"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
