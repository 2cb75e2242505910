"""The family ``tabular``: tasks so small that the best return is known exactly. For tests and tables; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from a2po.errors import TaskError, did_you_mean

if TYPE_CHECKING:
    import torch

    from a2po.envs.protocol import VectorEnv

__all__ = ["make", "optimum", "task_names"]

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "dec_mdp": {"length": 100},
    "memory": {"length": 5, "cues": 2, "seen_by": "both"},
}
SEEN_BY = ("both", "first")
LEAST = {"length": 2, "cues": 2}


def task_names() -> list[str]:
    """All task names of the family."""
    return [f"tabular/{name}" for name in DEFAULTS]


def make(task: str, num_envs: int, *, seed: int, device: torch.device, num_threads: int | None, **options: Any) -> VectorEnv:
    """Build B copies of one task.

    Args:
        task: ``tabular/<name>``.
        num_envs: B.
        seed: the run's seed.
        device: where the tensors live.
        num_threads: not needed.
        options: of ``dec_mdp`` ``length``, the step limit; of ``memory`` ``length`` (steps from the cue to the answer, both
            counted), ``cues`` (how many there are) and ``seen_by`` (``both`` agents, or the ``first``, who must tell the
            second).

    Raises:
        TaskError: an option is unknown or wrong.
    """
    chosen = _options(task, options)
    if task == "tabular/memory":
        from a2po.envs.tabular.memory import MemoryTask

        return MemoryTask(task, num_envs, **chosen, seed=seed, device=device)
    from a2po.envs.tabular.dec_mdp import TwoStateDecMdp

    return TwoStateDecMdp(task, num_envs, **chosen, seed=seed, device=device)


def optimum(task: str, **options: Any) -> float:
    """The expected return per episode of the best joint policy with memory, and at ``dec_mdp`` with a clock.

    Raises:
        TaskError: an option is unknown or wrong.
    """
    chosen = _options(task, options)
    if task == "tabular/memory":
        return 1.0
    from a2po.envs.tabular.dec_mdp import START, TWO_STATES
    from a2po.envs.tabular.exact import best_returns

    return float(best_returns(TWO_STATES, chosen["length"]) @ START)


def _options(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    name = task.removeprefix("tabular/")
    if name not in DEFAULTS:
        raise TaskError(f"unknown task '{task}'{did_you_mean(task, task_names())}")
    known = DEFAULTS[name]
    for option, value in given.items():
        if option not in known:
            raise TaskError(f"{task} has no option '{option}'{did_you_mean(option, known)} (known: {', '.join(known)})")
        if option == "seen_by":
            allowed, good = " or ".join(repr(choice) for choice in SEEN_BY), value in SEEN_BY
        else:
            least = LEAST[option]
            allowed = f"a whole number of at least {least}"
            good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not good:
            raise TaskError(f"{task}: option '{option}' must be {allowed}, got {value!r}")
    return {**known, **given}
