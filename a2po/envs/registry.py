"""The door to every task: ``make(task, num_envs=...)``.

A family registers under the first part of its task names. A user's own environment registers through the entry-point
group ``a2po.envs`` (name = family, value = module) or is named directly as ``module:factory``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

from a2po.envs.perturbation import Perturbation
from a2po.envs.scripted import RANDOM, ScriptedPlayer
from a2po.errors import TaskError, UserError, did_you_mean, foreign, require

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

BUILT_IN_FAMILIES = {
    "mamujoco": "a2po.envs.mamujoco",
    "matrix": "a2po.envs.matrix",
    "tabular": "a2po.envs.tabular",
    "pettingzoo": "a2po.envs.pettingzoo",
    "smac": "a2po.envs.smac",
    "smacv2": "a2po.envs.smac.smacv2",
    "football": "a2po.envs.football",
}


class Family(Protocol):
    """What a family's module offers.

    A family whose ``make`` takes more names than it can list sets ``listed_only = False`` and checks them itself. One whose tasks
    depend on files offers ``pin``, see below. One that has scripted players offers ``scripted_players() -> dict[str, ScriptedPlayer]``,
    one that knows its optimum ``optimum``, one with an option ``opponent`` ``opponent_names(task) -> Sequence[str]``, one whose rules
    can be changed ``perturbations(env) -> Sequence[Perturbation]``.
    """

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
    return [name for family in families() for name in _family(family).task_names()]


def _family(name: str) -> Family:
    """The module of a family.

    Raises:
        TaskError: a user's family cannot be imported, or does not offer what a family offers.
    """
    module = families()[name]
    if name in BUILT_IN_FAMILIES:
        return cast(Family, importlib.import_module(module))
    where = f"the task family '{name}', which an installed package registers as '{module}' (entry point group a2po.envs)"
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise TaskError(f"{where}, cannot be imported: {foreign(error)}") from error
    missing = [function for function in ("task_names", "make") if not callable(getattr(found, function, None))]
    if missing:
        raise TaskError(f"{where}, has no function {' and no '.join(missing)}")
    return cast(Family, found)


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

    try:
        return factory(task, num_envs, seed=seed, device=torch.device(device), num_threads=num_threads, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if ":" not in task:
            raise
        raise TaskError(f"task '{task}': the factory raised {foreign(error)}") from error


def pin(task: str, options: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Options with which ``task`` stays as it is now: of a task that lies in a file they hold what the file says.

    ``before``: those that a run began with, which goes on; what these hold is not read again.

    Raises:
        TaskError: there is no such file.
    """
    pins: Callable[..., dict[str, Any]] | None = _offer(task, "pin")
    return pins(task, options, before or {}) if pins else dict(options)


def optimum(task: str, **options: Any) -> float:
    """The expected return per episode of the best joint policy, of a task where it is known exactly.

    Raises:
        TaskError: the task or an option is unknown, or nobody knows its optimum.
    """
    known: Callable[..., float] | None = _offer(task, "optimum")
    if known is None or task not in _family(task.split("/", 1)[0]).task_names():
        raise TaskError(f"the optimum of '{task}' is not known{did_you_mean(task, task_names())}")
    return known(task, **options)


def check_task(task: str) -> None:
    """Look whether there is such a task, without making it; of a user's own environment only ``make`` knows.

    Raises:
        TaskError: there is not.
    """
    if ":" not in task:
        _factory(task, {})


def scripted_players(task: str) -> dict[str, ScriptedPlayer]:
    """The scripted players of a task, by name: ``random`` and those of its family."""
    offer: Callable[[], dict[str, ScriptedPlayer]] | None = _offer(task, "scripted_players")
    return {"random": RANDOM, **(offer() if offer else {})}


def scripted_player(name: str, task: str) -> ScriptedPlayer:
    """The player ``name`` of a task.

    Raises:
        TaskError: there is no such task.
        UserError: the task has no such player.
    """
    check_task(task)
    found = scripted_players(task)
    if name in found:
        return found[name]
    others = [family for family in BUILT_IN_FAMILIES if name in scripted_players(f"{family}/")]
    where = f"; tasks of {' and '.join(others)} have" if others else did_you_mean(name, found)
    raise UserError(f"'{task}' has no player '{name}'{where} (it has: {', '.join(found)})")


def opponent_names(task: str) -> list[str]:
    """The names that the task's option ``opponent`` knows; none where the task has no such option."""
    offer: Callable[[str], Sequence[str]] | None = _offer(task, "opponent_names")
    return list(offer(task)) if offer else []


def perturbations(env: VectorEnv) -> list[Perturbation]:
    """The changes of its rules that matter in ``env``, which has the options that a team was trained with; none for most families."""
    offer: Callable[[VectorEnv], Sequence[Perturbation]] | None = _offer(env.spec.task, "perturbations")
    return list(offer(env)) if offer else []


def families_with(function: str) -> list[str]:
    """The families that offer ``function``."""
    return [family for family in families() if _offer(f"{family}/", function)]


def _offer(task: str, function: str) -> Callable[..., Any] | None:
    """What the family of ``task`` offers under this name, if it does."""
    family = task.split("/", 1)[0]
    return getattr(_family(family), function, None) if family in families() else None


def runs_foreign_code(task: str) -> bool:
    """True if making the task imports a module that its name alone chooses: a user's own code, say."""
    if ":" in task:
        return True
    asks: Callable[[str], bool] | None = _offer(task, "runs_foreign_code")
    return asks is not None and asks(task)


def _factory(task: str, options: dict[str, Any]) -> Callable[..., VectorEnv]:
    if ":" in task:
        return _own_factory(task, options)
    known = families()
    family = task.split("/", 1)[0]
    if family not in known:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, task_names())} ('a2po tasks' lists all)")
    module = _family(family)
    names = module.task_names() if getattr(module, "listed_only", True) else [task]
    if task not in names:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, names)} ('a2po tasks' lists all)")
    return module.make


def _own_factory(task: str, options: dict[str, Any]) -> Callable[..., VectorEnv]:
    module_name, _, attribute = task.partition(":")
    if "/" in module_name or module_name.endswith(".py"):
        dotted = ".".join(part for part in Path(module_name).with_suffix("").parts if part not in ("/", ".."))
        raise TaskError(f"task '{task}': an own environment is named by its module, not its file; did you mean '{dotted}:{attribute}'?")
    if not all([*module_name.split("."), attribute]):
        raise TaskError(f"task '{task}': an own environment is named module:factory, for example my_package.my_env:make")
    module = _own_module(task, module_name)
    found = getattr(module, attribute, None)
    if found is None:
        place = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
        raise TaskError(f"task '{task}': the module '{module_name}'{place} has no '{attribute}'{did_you_mean(attribute, vars(module))}")
    try:
        inspect.signature(found).bind(task, 1, seed=0, device=None, num_threads=None, **options)
    except (TypeError, ValueError) as error:
        call = "(task, num_envs, *, seed, device, num_threads, **options)"
        raise TaskError(f"task '{task}': '{attribute}' is no factory that takes {call}: {error}") from None
    factory: Callable[..., VectorEnv] = found
    return factory


def _own_module(task: str, name: str) -> ModuleType:
    """Import a user's module, also from the working folder."""
    try:
        reach_working_folder(name.partition(".")[0])
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise TaskError(f"task '{task}': the module '{name}' cannot be imported ({foreign(error)})") from error


def reach_working_folder(top: str) -> None:
    """The console script does not look where it was called. Looked at last, that folder can hide nothing that is installed."""
    here = Path.cwd()
    if top not in sys.modules and find_spec(top) is None and ((here / f"{top}.py").is_file() or (here / top).is_dir()):
        sys.path.append(str(here))
        importlib.invalidate_caches()
