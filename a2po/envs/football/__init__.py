"""The family ``football``: Google Research Football, the real engine, without the package around it.

Light to import: the engine is loaded when a task is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2po.errors import require

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv
    from a2po.envs.scripted import ScriptedPlayer

__all__ = ["make", "opponent_names", "scripted_players", "task_names"]

_PREFIX = "football/"


def task_names() -> list[str]:
    """All task names of the family, with the family prefix."""
    from a2po.envs.football.scenarios import scenarios

    return [f"{_PREFIX}{name}" for name in scenarios()]


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one scenario.

    Args:
        task: ``football/<scenario>``, one of ``task_names()``.
        num_envs: B, the number of copies: 60 MB each.
        seed: the run's seed.
        device: where the tensors live; the games run on the CPU.
        num_threads: engine threads, default one per core.
        options: see ``a2po.envs.football.options.Options``.

    Raises:
        TaskError: the task, an option or its value is unknown.
        DependencyError: the engine or Gymnasium is not installed.
    """
    require(f"the task '{task}'", gymnasium="train")
    from a2po.envs.football.environment import Football
    from a2po.envs.football.options import parse_options
    from a2po.envs.football.scenarios import scenario

    parsed = parse_options(task, options)
    chosen = scenario(task.removeprefix(_PREFIX))
    return Football(task, chosen, num_envs, seed=seed, device=device, num_threads=num_threads, options=parsed)


def scripted_players() -> dict[str, ScriptedPlayer]:
    """``passer`` shows what passes, shots and goals look like."""
    from a2po.envs.football.players import PASSER

    return {"passer": PASSER}


def opponent_names(task: str) -> list[str]:
    """The opponents that need no bundle."""
    from a2po.envs.football.options import OPPONENTS

    return list(OPPONENTS)
