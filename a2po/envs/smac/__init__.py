"""The family ``smac``: StarCraft micromanagement battles, simulated in this process: SMAC's 23 maps, own battles, and those of ``smacv2``.

SMAC's interface and the game's catalog data, not validated against the game's binary. Light to import: Numba is loaded when a task is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from a2po.envs.smac.maps import MAPS
from a2po.errors import TaskError, did_you_mean, require

if TYPE_CHECKING:
    import torch

    from a2po.envs.perturbation import Perturbation
    from a2po.envs.protocol import VectorEnv
    from a2po.envs.scripted import ScriptedPlayer
    from a2po.envs.smac.battle_map import BattleMap

__all__ = [
    "Duel",
    "Post",
    "battle",
    "duel",
    "listed_only",
    "make",
    "opponent_names",
    "perturbations",
    "pin",
    "scripted_players",
    "task_names",
]

listed_only = False
"""``make`` takes battle files, too: ``smac/path/to/file.toml``."""

_PREFIX, _SUFFIX, _TEXT = "smac/", ".toml", "battle_file"

_HEAVY = {"duel": "duels", "Duel": "duels", "battle": "sandbox", "Post": "sandbox"}  # loaded when asked for: they need the compiler


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)


def task_names() -> list[str]:
    """All task names of the family, with the family prefix."""
    return [f"smac/{name}" for name in MAPS]


def scripted_players() -> dict[str, ScriptedPlayer]:
    """The scripts that every battle has: ``heuristic``, which is SMAC's own, ``nearest``, ``focus_fire`` and ``kiting``."""
    from a2po.envs.smac.players import PLAYERS

    return PLAYERS


def opponent_names(task: str) -> list[str]:
    """The opponents of a battle that need no bundle."""
    from a2po.envs.smac import opponents

    return opponents.opponent_names(task)


def perturbations(env: VectorEnv) -> Sequence[Perturbation]:
    """The changes of its rules that matter in a battle."""
    from a2po.envs.smac.environment import StarCraftBattles
    from a2po.envs.smac.rule_changes import rule_changes

    return rule_changes(cast(StarCraftBattles, env))


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one battle.

    Args:
        task: ``smac/<map>``, one of ``task_names()``, or ``smac/<path of a battle file>.toml``.
        num_envs: B, the number of copies.
        seed: the run's seed.
        device: where the tensors live; the battles run on the CPU.
        num_threads: simulator threads, default one per core.
        options: see ``a2po.envs.smac.options``; ``battle_file``, the text of a battle file, takes the place of the file itself.

    Raises:
        TaskError: the task, an option or its value is unknown.
        DependencyError: Numba or Gymnasium is not installed.
    """
    battle = battle_of(task, options.pop(_TEXT, None))
    return make_battle(task, battle, num_envs, seed=seed, device=device, num_threads=num_threads, **options)


def pin(task: str, options: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the text of a battle file, so that nobody reads it again; see ``a2po.envs.registry.pin``.

    Raises:
        TaskError: there is no such file.
    """
    if not task.endswith(_SUFFIX) or _TEXT in options:
        return dict(options)
    from a2po.envs.smac.battle_file import read_battle_text

    return {**options, _TEXT: before.get(_TEXT) or read_battle_text(Path(task.removeprefix(_PREFIX)))}


def battle_of(task: str, text: Any) -> BattleMap:
    """A map of SMAC's, or the battle of a file, of which ``text`` may be at hand.

    Raises:
        TaskError: there is no such battle, or its file has mistakes.
    """
    name = task.removeprefix(_PREFIX)
    if task.endswith(_SUFFIX):
        from a2po.envs.smac.battle_file import parse_battle, read_battle_text

        if text is not None and not isinstance(text, str):
            raise TaskError(f"{task}: option '{_TEXT}' must be the text of a battle file, got {text!r:.60}")
        return parse_battle(name, read_battle_text(Path(name)) if text is None else text)
    if text is not None:
        raise TaskError(f"{task}: option '{_TEXT}' is for battle files, tasks smac/path/to/file{_SUFFIX}")
    if name not in MAPS:
        from a2po.envs.smac.battle_file import battle_files_near

        near = [f"{_PREFIX}{file}" for file in battle_files_near(Path(name))]
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, [*task_names(), *near])} ('a2po tasks' lists all)")
    return MAPS[name]


def make_battle(
    task: str, battle: BattleMap, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any
) -> VectorEnv:
    """Build B copies of ``battle`` under the name ``task``; else as ``make``."""
    require(f"the task '{task}'", numba="train", gymnasium="train")
    from a2po.envs.smac.environment import StarCraftBattles
    from a2po.envs.smac.options import parse_options

    parsed = parse_options(task, options, battle.defaults)
    return StarCraftBattles(task, battle, num_envs, seed=seed, device=device, num_threads=num_threads, options=parsed)
