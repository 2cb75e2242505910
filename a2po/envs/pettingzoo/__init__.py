"""The family ``pettingzoo``: any parallel environment with PettingZoo's interface, as task ``pettingzoo/<module>``.

Light to import: PettingZoo and the games' packages are looked for on the disk, and loaded when a task is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2po.envs.pettingzoo.modules import PREFIX, is_published, load, newest

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

__all__ = ["listed_only", "make", "runs_foreign_code", "task_names"]

listed_only = False
"""``make`` takes more names than ``task_names`` can list."""

# Cooperative games that need no licence and no compiler.
COOPERATIVE = (
    "mpe2.simple_spread",
    "mpe2.simple_speaker_listener",
    "mpe2.simple_reference",
    "pettingzoo.sisl.multiwalker",
    "pettingzoo.sisl.pursuit",
)


def task_names() -> list[str]:
    """The cooperative games of the installed packages; ``make`` takes every parallel environment."""
    return [f"{PREFIX}{name.removeprefix('pettingzoo.')}" for name in COOPERATIVE if newest(name) is not None]


def runs_foreign_code(task: str) -> bool:
    """True if making the task imports a module that neither PettingZoo nor MPE2 published."""
    return not is_published(task)


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one game. They step one after the other in this process: the games are Python.

    Args:
        task: ``pettingzoo/<module>`` where the module has ``parallel_env``; without ``_v<number>`` the newest version.
        num_envs: B.
        seed: the run's seed.
        device: where the tensors live.
        num_threads: not used: threads do not help Python.
        options: ours (see ``a2po.envs.pettingzoo.options.Options``); the rest goes to ``parallel_env``.

    Raises:
        TaskError: there is no such module, it is no parallel environment, or an option is unknown.
        DependencyError: a package is missing.
    """
    module = load(task)
    from a2po.envs.pettingzoo.environment import PettingZooEnv
    from a2po.envs.pettingzoo.options import build, split

    own, theirs = split(task, module, options)
    return PettingZooEnv(task, lambda: build(task, module, theirs), own, theirs, num_envs, seed=seed, device=device)
