"""The door to every task: ``make(task, num_envs=...)``.

A family registers under the first part of its task names. A user's own environment registers through the entry-point
group ``a2po.envs`` (name = family) or is named directly as ``module:factory``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from a2po.errors import TaskError, did_you_mean, require

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

BUILT_IN_FAMILIES = {
    "mamujoco": "a2po.envs.mamujoco",
    "matrix": "a2po.envs.matrix",
}


class Family(Protocol):
    """What a family's module offers."""

    def task_names(self) -> list[str]:
        """All task names of the family, with the family prefix."""
        ...

    def make(self, task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
        """Build B copies of one task."""
        ...


def families() -> dict[str, str]:
    """Family name -> module that implements it, the built-in ones first."""
    found = dict(BUILT_IN_FAMILIES)
    for entry in entry_points(group="a2po.envs"):
        found.setdefault(entry.name, entry.value)
    return found


def task_names() -> list[str]:
    """Every task name that ``make`` takes."""
    return [name for module in families().values() for name in importlib.import_module(module).task_names()]


def make(
    task: str, num_envs: int, *, seed: int = 0, device: str | torch.device = "cpu", num_threads: int | None = None, **options: Any
) -> VectorEnv:
    """Build ``num_envs`` copies of ``task``.

    Args:
        task: a name that ``task_names`` lists, or ``module:factory`` of a user's own environment.
        num_envs: B, the number of copies.
        seed: the run's seed; every episode's seed is a fixed hash of (seed, copy, episode).
        device: where the tensors live.
        num_threads: simulator threads, default one per core.
        options: the family's own options.

    Raises:
        TaskError: the task or one of its options is unknown.
    """
    if num_envs < 1:
        raise TaskError(f"num_envs must be at least 1, got {num_envs}")
    if num_threads is not None and num_threads < 1:
        raise TaskError(f"num_threads must be at least 1, got {num_threads}")
    factory = _factory(task, options)
    require(f"the task '{task}'", torch="train")
    import torch

    return factory(task, num_envs, seed=seed, device=torch.device(device), num_threads=num_threads, **options)


def _factory(task: str, options: dict[str, Any]) -> Callable[..., VectorEnv]:
    if ":" in task:
        return _own_factory(task, options)
    known = families()
    family = task.split("/", 1)[0]
    if family not in known:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, task_names())} ('a2po tasks' lists all)")
    module = importlib.import_module(known[family])
    names = module.task_names()
    if task not in names:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, names)} ('a2po tasks' lists all)")
    make_task: Callable[..., VectorEnv] = module.make
    return make_task


def _own_factory(task: str, options: dict[str, Any]) -> Callable[..., VectorEnv]:
    module_name, _, attribute = task.partition(":")
    if not all([*module_name.split("."), attribute]):
        raise TaskError(f"task '{task}': an own environment is named module:factory, for example my_package.my_env:make")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, ValueError) as error:
        raise TaskError(f"task '{task}': the module '{module_name}' cannot be imported ({error})") from error
    except AttributeError as error:
        raise TaskError(f"task '{task}': the module '{module_name}' has no '{attribute}'") from error
    try:
        inspect.signature(found).bind(task, 1, seed=0, device=None, num_threads=None, **options)
    except (TypeError, ValueError) as error:
        call = "(task, num_envs, *, seed, device, num_threads, **options)"
        raise TaskError(f"task '{task}': '{attribute}' is no factory that takes {call}: {error}") from None
    factory: Callable[..., VectorEnv] = found
    return factory
