"""The seam between the training loop and what it trains by: rollouts (``on_policy``) or a replay of episodes (``off_policy``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from a2po.algorithms.catalogue import Q_LEARNERS, check_trainable
from a2po.algorithms.diagnostics import UpdateReport
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.q_learner import QLearner
from a2po.config import TrainConfig
from a2po.envs.protocol import VectorEnv
from a2po.networks.team_policy import TeamPolicy
from a2po.training.buffer import RolloutBuffer
from a2po.training.rollout import Sampler


class Method(Protocol):
    """One round is ``collect``, ``update``, ``advance``. It owns what a round needs beyond the environment and the team."""

    @property
    def buffer(self) -> RolloutBuffer:
        """The rollout of this round."""
        ...

    @property
    def sampler(self) -> Sampler:
        """What plays it."""
        ...

    @property
    def learner(self) -> PolicyLearner | QLearner:
        """What learns from it."""
        ...

    def start(self) -> None:
        """Reset every copy."""
        ...

    def collect(self, step: int) -> None:
        """Play one rollout, from ``step`` environment steps on."""
        ...

    def update(self, *, learning_rate_scale: float) -> UpdateReport:
        """Learn."""
        ...

    def advance(self) -> None:
        """Take the rollout into the observation statistics and make its end the beginning of the next."""
        ...

    def notice(self) -> str | None:
        """What a person should know before the run begins, beyond the headline."""
        ...

    def storage(self) -> list[Tensor]:
        """The tensors that data lie in."""
        ...

    def growth(self) -> int:
        """Bytes by which a checkpoint may still grow."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on, beyond environment and team."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Go back to it. Returns: False if the random stream of sampling could not be continued and begins anew."""
        ...


def method_for(config: TrainConfig, env: VectorEnv, team: TeamPolicy) -> Method:
    """What the configuration's algorithm trains by.

    Raises:
        ConfigError: it cannot train the task, or not so.
    """
    from a2po.training.off_policy import OffPolicy
    from a2po.training.on_policy import OnPolicy

    check_trainable(config, env.spec)
    return OffPolicy(config, env, team) if config.algorithm in Q_LEARNERS else OnPolicy(config, env, team)
