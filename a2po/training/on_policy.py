"""Training by rollouts: each is learned from once and forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from a2po.algorithms.diagnostics import UpdateReport
from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.update_rules import rule
from a2po.config import TrainConfig
from a2po.envs.protocol import VectorEnv
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator
from a2po.training.buffer import RolloutBuffer
from a2po.training.prepare import prepare
from a2po.training.rollout import Sampler


class OnPolicy:
    """See ``a2po.training.method.Method``."""

    def __init__(self, config: TrainConfig, env: VectorEnv, team: TeamPolicy) -> None:
        update = config.update
        self.team, self.time_limits = team, update.time_limits
        self.learner = PolicyLearner(team, rule(config.algorithm), update, seed=config.seed)
        self.buffer = RolloutBuffer.for_team(team, update.rollout_length, config.env.num_envs, update.chunk_length)
        self.sampler = Sampler(env, team, self.buffer, generator(config.seed, "sampling", device=team.device))

    def start(self) -> None:
        """Reset every copy."""
        self.sampler.start()

    def collect(self, step: int) -> None:
        """Play one rollout."""
        self.sampler.collect()

    def update(self, *, learning_rate_scale: float) -> UpdateReport:
        """Learn from it."""
        return self.learner.update(prepare(self.team, self.buffer, self.time_limits), learning_rate_scale=learning_rate_scale)

    def advance(self) -> None:
        """Take the rollout into the observation statistics and make its end the beginning of the next."""
        buffer = self.buffer
        self.team.update_statistics(buffer.obs[:-1], buffer.state[:-1], buffer.alive[:-1], buffer.valid())
        self.sampler.advance()

    def notice(self) -> str | None:
        """Nothing."""
        return None

    def storage(self) -> list[Tensor]:
        """The buffer's tensors, each once: critics may see the observations themselves."""
        return list({value for value in vars(self.buffer).values() if isinstance(value, Tensor)})

    def growth(self) -> int:
        """None."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """The learner's and the sampler's."""
        return {"learner": self.learner.state_dict(), "sampler": self.sampler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Go back to it. Returns: False if the random stream of sampling begins anew."""
        self.learner.load_state_dict(state["learner"])
        return self.sampler.load_state_dict(state["sampler"])
