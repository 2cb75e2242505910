"""All algorithms by name: the update rules of the policy learner, and those that learn Q values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2po.algorithms.update_rules import RULES
from a2po.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from a2po.envs.protocol import TaskSpec

Q_LEARNERS: tuple[str, ...] = ("qmix", "vdn")
FORMS = {
    **{name: rule.form for name, rule in RULES.items()},
    "qmix": "monotone mixing by hyper-networks, double Q",
    "vdn": "the sum of the agents' Q values",
}
"""Which of the published forms each is."""
ALGORITHMS: tuple[str, ...] = (*RULES, *Q_LEARNERS)


def check_algorithm(name: str) -> None:
    """There is an algorithm of this name.

    Raises: ConfigError: there is none.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm '{name}'{did_you_mean(name, ALGORITHMS)} (known: {', '.join(ALGORITHMS)})")


def can_train(name: str, spec: TaskSpec) -> bool:
    """Whether the algorithm is made for the task's actions: a Q value belongs to one of several."""
    return spec.discrete or name not in Q_LEARNERS


def check_trainable(name: str, spec: TaskSpec) -> None:
    """The algorithm is made for the task's actions.

    Raises: ConfigError: naming algorithms that are.
    """
    if not can_train(name, spec):
        raise ConfigError(f"{name} needs discrete actions; {spec.task} has continuous ones: use {', '.join(RULES)}")
