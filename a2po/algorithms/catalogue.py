"""All algorithms by name: the update rules of the policy learner, and those that learn Q values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2po.algorithms.update_rules import RULES, check_settings
from a2po.config import NetworkConfig, TrainConfig, UpdateConfig
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
OF_UPDATE_RULES = (
    "advantage", "advantage_normalisation", "clip_schedule", "num_blocks", "order", "others_clip",
    "rescore", "score", "trace", "two_stage", "value_target",
)  # fmt: skip
"""What can be different about an update rule (``UpdateConfig``), and says nothing to who learns Q values."""


def check_algorithm(name: str) -> None:
    """There is an algorithm of this name.

    Raises: ConfigError: there is none.
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm '{name}'{did_you_mean(name, ALGORITHMS)} (known: {', '.join(ALGORITHMS)})")


def can_train(name: str, spec: TaskSpec) -> bool:
    """Whether the algorithm is made for the task's actions: a Q value belongs to one of several."""
    return spec.discrete or name not in Q_LEARNERS


def check_trainable(config: TrainConfig, spec: TaskSpec) -> None:
    """The algorithm is made for the task's actions, and everything that the settings change about it has a meaning.

    Raises: ConfigError: naming algorithms that are, or the first setting that has none.
    """
    name = config.algorithm
    if not can_train(name, spec):
        raise ConfigError(f"{name} needs discrete actions; {spec.task} has continuous ones: use {', '.join(RULES)}")
    if name in Q_LEARNERS:
        check_q_settings(name, config.update, config.network)
    elif name in RULES:
        check_settings(RULES[name], config.update, spec.num_agents)


def check_q_settings(name: str, update: UpdateConfig, network: NetworkConfig) -> None:
    """Everything that the settings change has a meaning for QMIX or VDN.

    Raises: ConfigError: with the first setting that has none.
    """
    plain = UpdateConfig()
    for key in OF_UPDATE_RULES:
        if (value := getattr(update, key)) != getattr(plain, key):
            raise ConfigError(f"update.{key} = {value!r} has no meaning for {name}, which learns Q values instead of a policy")
    if update.time_limits == "zeroed":
        raise ConfigError(f"update.time_limits = 'zeroed' has no meaning for {name}: use 'bootstrap' or 'terminal'")
    if network.critic_input == "observation":
        raise ConfigError(f"network.critic_input = 'observation' has no meaning for {name}, which has no critics: leave it at 'state'")
