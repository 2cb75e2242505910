"""Training from a replay of whole episodes: QMIX and VDN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from a2po.algorithms import qmix
from a2po.algorithms.diagnostics import UpdateReport
from a2po.algorithms.q_learner import QFigures, QLearner
from a2po.config import TrainConfig
from a2po.envs.protocol import VectorEnv
from a2po.networks.distributions import MaskedCategorical
from a2po.networks.team_policy import TeamActions, TeamPolicy
from a2po.streams import generator
from a2po.training.memory import require_memory
from a2po.training.replay import EpisodeBuffer, EpisodeReplay, replay_bytes
from a2po.training.rollout import Sampler


class Explorer:
    """Plays the team greedily but for a share of random legal actions, drawn for every agent on its own."""

    def __init__(self, team: TeamPolicy, share: float) -> None:
        self.team, self.share = team, share
        self.device, self.recurrent = team.device, team.recurrent

    def act(self, obs: Tensor, action_mask: Tensor | None, state_in: Tensor, noise: torch.Generator | None) -> TeamActions:
        """See ``TeamPolicy.act``."""
        greedy = self.team.act(obs, action_mask, state_in, None)
        shape = *greedy.samples.shape, self.team.spec.max_action_size
        anything = MaskedCategorical(torch.zeros(shape, device=self.device), action_mask).sample(noise)
        explores = torch.rand(greedy.samples.shape, generator=noise, device=self.device) < self.share
        actions = torch.where(explores, anything, greedy.samples)
        return TeamActions(actions, actions, greedy.state_out)


class OffPolicy:
    """See ``a2po.training.method.Method``.

    Raises:
        ConfigError: the replay does not fit into memory.
    """

    def __init__(self, config: TrainConfig, env: VectorEnv, team: TeamPolicy) -> None:
        self.config, self.team, self.settings = config, team, config.qmix
        length, copies, episodes = config.update.rollout_length, config.env.num_envs, config.qmix.replay_episodes
        self.learner = QLearner(team, config.algorithm, config.update, config.qmix, seed=config.seed)
        require_memory(replay_bytes(team.spec, episodes, copies), team.device, self._what(), "lower qmix.replay_episodes")
        self.replay = EpisodeReplay(team.spec, episodes, copies, team.device)
        self.buffer = EpisodeBuffer.for_team(team, length, copies, length)
        self.explorer = Explorer(team, 1.0)
        self.sampler = Sampler(env, self.explorer, self.buffer, generator(config.seed, "sampling", device=team.device))
        self.draws = generator(config.seed, "replay")

    def _what(self) -> str:
        steps = self.team.spec.max_episode_steps
        return f"the replay of {self.settings.replay_episodes:,} episodes of up to {steps:,} step{'s' * (steps != 1)}"

    def notice(self) -> str:
        """How much memory the replay takes."""
        return f"{self._what()} takes {self.replay.nbytes:,} bytes on {self.team.device.type}, and its filled part that of every checkpoint"

    def start(self) -> None:
        """Reset every copy. What was played of their episodes is forgotten."""
        self.sampler.start()
        self.replay.forget_running()
        if not self.replay.episodes:  # the run begins, maybe with the weights of another one
            self.learner.copy_to_target(0)

    def collect(self, step: int) -> None:
        """Play one rollout, at random while the replay warms up. The share of random actions is that of the round's first step."""
        own = self.settings
        schedule = qmix.epsilon(step, start=own.epsilon_start, finish=own.epsilon_finish, anneal=own.epsilon_steps)
        self.explorer.share = schedule if self.replay.episodes >= own.warm_up_episodes else 1.0
        self.sampler.collect()

    def update(self, *, learning_rate_scale: float) -> UpdateReport:
        """Put the rollout's episodes into the replay and train on batches drawn from it."""
        self.buffer.drop(self.buffer.valid())
        self.buffer.check_finite(self.team.spec.task)
        self.replay.add(self.buffer)
        own, ends = self.settings, self.config.update.time_limits == "terminal"
        figures: list[QFigures] = []
        if self.replay.episodes >= max(own.warm_up_episodes, 1):
            for _ in range(own.updates_per_round):
                batch = self.replay.sample(own.batch_episodes, self.draws, truncation_ends=ends)
                figures.append(self.learner.update(batch, learning_rate_scale=learning_rate_scale))
            if self.replay.episodes - self.learner.copied_at >= own.target_every:
                self.learner.copy_to_target(self.replay.episodes)
        return self._report(figures)

    def _report(self, figures: list[QFigures]) -> UpdateReport:
        """Means over the round's batches. While the replay warms up there are none."""
        agents = self.team.spec.num_agents
        report = UpdateReport(order=list(range(agents)), positions=[1] * agents)
        report.team = {"epsilon": self.explorer.share, "replay_episodes": float(len(self.replay))}
        if figures:
            for name in figures[0].team:
                report.team[name] = float(torch.stack([own.team[name] for own in figures]).mean())
            for name in figures[0].per_agent:
                report.per_agent[name] = torch.stack([own.per_agent[name] for own in figures]).mean(0).tolist()
        return report

    def advance(self) -> None:
        """Take the rollout into the observation statistics and make its end the beginning of the next."""
        buffer = self.buffer
        self.team.update_statistics(buffer.obs[:-1], buffer.state[:-1], buffer.alive[:-1], buffer.valid())
        self.sampler.advance()

    def storage(self) -> list[Tensor]:
        """The buffer's tensors and the replay's."""
        return [*(value for value in vars(self.buffer).values() if isinstance(value, Tensor)), *self.replay.data.values()]

    def growth(self) -> int:
        """The part of the replay that is not filled yet."""
        return self.replay.open_bytes

    def state_dict(self) -> dict[str, Any]:
        """The learner's, the sampler's, the replay and the stream that draws from it."""
        states = {"learner": self.learner.state_dict(), "sampler": self.sampler.state_dict()}
        return {**states, "replay": self.replay.state_dict(), "draws": self.draws.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Go back to it. Returns: False if the random stream of sampling begins anew."""
        self.learner.load_state_dict(state["learner"])
        self.replay.load_state_dict(state["replay"])
        self.draws.set_state(state["draws"])
        return self.sampler.load_state_dict(state["sampler"])
