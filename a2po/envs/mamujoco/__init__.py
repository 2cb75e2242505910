"""The family ``mamujoco``: multi-agent MuJoCo, 15 configurations of six robots, batched in one process.

Light to import: MuJoCo itself is loaded when a task is made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from a2po.envs.mamujoco.scenarios import TASKS
from a2po.errors import DependencyError, TaskError, did_you_mean, require

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

__all__ = ["make", "task_names"]


def task_names() -> list[str]:
    """All task names of the family, with the family prefix."""
    return list(TASKS)


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one task.

    Args:
        task: ``mamujoco/<Scenario>-<conf>``, one of ``task_names()``.
        num_envs: B, the number of copies.
        seed: the run's seed.
        device: where the tensors live; the physics runs on the CPU.
        num_threads: simulator threads, default one per core.
        options: see ``a2po.envs.mamujoco.options.Options``.

    Raises:
        TaskError: the task, an option or its value is unknown.
        DependencyError: MuJoCo or Gymnasium (for its robot models) is not installed, or cannot be loaded.
    """
    if task not in TASKS:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, TASKS)}")
    require(f"the task '{task}'", mujoco="train", gymnasium="train")
    from a2po.envs.mamujoco.options import parse_options

    parsed = parse_options(task, options)
    _import_mujoco()
    from a2po.envs.mamujoco.environment import MultiAgentMujoco

    return MultiAgentMujoco(task, num_envs, seed=seed, device=device, num_threads=num_threads, options=parsed)


def _import_mujoco() -> None:
    """MuJoCo looks for OpenGL as soon as it is imported, and fails in many ways if MUJOCO_GL asks for what is not there."""
    try:
        import mujoco  # noqa: F401
    except (AttributeError, OSError, RuntimeError) as error:
        wanted = os.environ.get("MUJOCO_GL", "")
        raise DependencyError(f"MuJoCo cannot be loaded with MUJOCO_GL={wanted!r} ({error}): unset MUJOCO_GL") from error
