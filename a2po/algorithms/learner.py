"""PolicyLearner: one update round of any ``UpdateRule``. The difference between the algorithms is the rule alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from a2po.algorithms import advantages as estimators
from a2po.algorithms import objectives, ordering
from a2po.algorithms.batch import Batch, Rows, Selection, minibatches, passes, pick
from a2po.algorithms.diagnostics import RoundMetrics
from a2po.algorithms.update_rules import UpdateRule
from a2po.config import UpdateConfig
from a2po.errors import ConfigError
from a2po.networks.distributions import MaskedCategorical, TanhMeanGaussian
from a2po.networks.stack import AdamSettings
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator

Distribution = MaskedCategorical | TanhMeanGaussian
CPU_ROWS = 2048
"""On a CPU a minibatch goes through the networks in parts of this many samples, so that activations stay in the cache."""


@dataclass
class UpdateReport:
    """What one round did. ``per_agent`` holds means over all minibatches, [N] each."""

    order: list[int] = field(default_factory=list)
    clips: list[float] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    per_agent: dict[str, list[float]] = field(default_factory=dict)
    team: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Turn:
    """What stays the same while some agents, n of them, are updated."""

    agents: slice
    batch: Batch
    advantages: Tensor  # [n, M] normalised
    targets: Tensor  # [c, M] of their critics
    old_log_probs: Tensor  # [n, M]
    entropy: Tensor  # [n] mean over the active samples, of the policies that sampled
    others: Tensor  # [M], ρ of the agents updated before
    clip: float


class PolicyLearner:
    """Updates the agents of a team, all at once or one after another.

    Args:
        team: the networks to train.
        rule: who is updated when, and with which advantage, weight and clip range.
        settings: epochs, minibatches, step sizes.
        seed: separate streams for the order and for each agent's minibatches.
    """

    def __init__(self, team: TeamPolicy, rule: UpdateRule, settings: UpdateConfig, *, seed: int) -> None:
        self.team, self.rule, self.settings = team, rule, settings
        self.num_agents = team.spec.num_agents
        if settings.order and rule.simultaneous:
            raise ConfigError(f"update.order = '{settings.order}' has no meaning for {rule.name}, which updates all agents at once")
        self.order = settings.order or rule.order
        self.adam = AdamSettings(settings.adam_epsilon, settings.max_grad_norm)
        self.order_stream = generator(seed, "update order")
        self.minibatch_streams = [generator(seed, "minibatches", agent) for agent in range(self.num_agents)]

    def update(self, batch: Batch, *, learning_rate_scale: float = 1.0) -> UpdateReport:
        """Improve the team on one batch, then return what happened.

        Position k of the order sees the ratios of the agents before it: ρ = ∏_{j before k} π̂ʲ/πʲ.
        """
        report, metrics = UpdateReport(), RoundMetrics(self.num_agents)
        log_rho = torch.zeros_like(batch.mask[0])  # [M], log ρ
        entropies = torch.zeros_like(batch.mask[:, 0])  # [N]
        advantages = self._advantages(batch, None)
        self.team.value_norm.update(*self._valid_returns(batch, advantages))
        remaining = list(range(self.num_agents))
        num_positions = self.num_agents if self.order else 1
        for position in range(num_positions):
            if position > 0 and self.rule.correct_advantage:
                advantages = self._advantages(batch, log_rho)
            agents = self._next_agents(position, batch, advantages, remaining, report)
            turn = self._turn(agents, batch, advantages, log_rho.exp(), self._clip(position, num_positions))
            self._train(turn, learning_rate_scale, metrics)
            report.clips.append(turn.clip)
            entropies[agents] = turn.entropy
            remaining = [agent for agent in remaining if not agents.start <= agent < agents.stop]
            if remaining:
                log_ratios = (self._evaluate(agents, batch)[0] - turn.old_log_probs) * batch.mask[agents]
                log_rho = log_rho + log_ratios.sum(0)
        report.per_agent = {**metrics.means(), "entropy": entropies.tolist()}
        return report

    def _advantages(self, batch: Batch, log_rho: Tensor | None) -> Tensor:
        """[T, B, N]: plain GAE before anybody moved, else corrected for what the preceding agents changed."""
        discount, trace_decay = self.settings.discount, self.settings.trace_decay
        data = (batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated)
        if log_rho is None:
            return estimators.gae(*data, discount=discount, trace_decay=trace_decay)
        ratios = log_rho.exp().view(batch.rewards.shape[:2]).unsqueeze(-1).expand_as(batch.rewards)
        return estimators.preopc(*data, ratios, discount=discount, trace_decay=trace_decay, trace=self.settings.trace)

    def _next_agents(self, position: int, batch: Batch, advantages: Tensor, remaining: list[int], report: UpdateReport) -> slice:
        """The agents to update now: all of them, or the next one in the order."""
        if not self.order:
            report.order = remaining
            return slice(0, self.num_agents)
        if position == 0 or self.settings.rescore == "per_agent":
            report.scores.append(ordering.advantage_scores(advantages.flatten(0, 1), batch.mask.T).tolist())
        uniform = None
        if ordering.is_random(self.order, position):
            uniform = float(torch.rand((), generator=self.order_stream, dtype=torch.float64))
        agent = ordering.next_agent(self.order, position, report.scores[-1], remaining, uniform)
        report.order.append(agent)
        return slice(agent, agent + 1)

    def _clip(self, position: int, num_positions: int) -> float:
        if not self.rule.adaptive_clip:
            return self.settings.clip
        return ordering.adaptive_clip(self.settings.clip, position + 1, num_positions, self.settings.clip_coefficient)

    def _turn(self, agents: slice, batch: Batch, advantages: Tensor, others: Tensor, clip: float) -> _Turn:
        """A turn on ``advantages`` [T, B, N]. ``others`` [M] is ρ, not its logarithm."""
        own = zip(batch.agent_major(advantages)[agents], batch.mask[agents], strict=True)
        normalised = torch.stack([estimators.normalise(values, mask) for values, mask in own])
        targets, (log_probs, entropy) = self._targets(batch, advantages, agents), self._evaluate(agents, batch)
        return _Turn(agents, batch, normalised, targets, log_probs, entropy, others, clip)

    def _train(self, turn: _Turn, rate_scale: float, metrics: RoundMetrics) -> None:
        """All epochs of the turn's actors and of their critics."""
        team, settings, batch, agents = self.team, self.settings, turn.batch, turn.agents
        critics = self._critics(agents)
        actor, critic = team.actor(agents.start, agents.stop), team.critic(critics.start, critics.stop)
        leaves = [*(actor.weights[name] for name in team.actors.shapes), *(critic.weights[name] for name in team.critics.shapes)]
        split = len(team.actors.shapes)
        stream = self.minibatch_streams[agents.start]
        for _ in range(settings.num_epochs):
            for minibatch in minibatches(batch.num_chunks, settings.num_minibatches, stream, team.device):
                samples = batch.select(minibatch).samples
                weights = _weights(batch.mask[agents], samples), _weights(batch.value_mask[None], samples)
                gradients: list[Tensor] = []
                for chunks in passes(minibatch, self._max_chunks(batch)):
                    part = batch.select(chunks)
                    policy_loss = self._policy_loss(turn, part, weights[0], metrics)
                    value_loss = self._value_loss(turn, part, weights[1])
                    own = torch.autograd.grad(policy_loss + value_loss.sum(), leaves)
                    gradients = [total + more for total, more in zip(gradients, own, strict=True)] if gradients else list(own)
                    metrics.add(agents, value_loss=value_loss.detach())
                actor_norm = team.actors.adam_step(agents, gradients[:split], settings.actor_learning_rate * rate_scale, self.adam)
                critic_norm = team.critics.adam_step(critics, gradients[split:], settings.critic_learning_rate * rate_scale, self.adam)
                metrics.add(agents, actor_grad_norm=actor_norm, critic_grad_norm=critic_norm)
                metrics.minibatch_done(agents)

    def _policy_loss(self, turn: _Turn, part: Selection, weights: Tensor, metrics: RoundMetrics) -> Tensor:
        """Negative surrogate and entropy bonus, summed over the agents; each is a mean over the agent's active samples."""
        agents, batch, rows = turn.agents, turn.batch, part.samples
        distribution = self._distribution(agents, batch, part)
        weight = pick(batch.mask, agents, rows) * weights
        log_ratio = distribution.log_prob(pick(batch.samples, agents, rows)) - pick(turn.old_log_probs, slice(None), rows)
        ratio = log_ratio.exp()
        others = pick(turn.others.expand_as(batch.mask), agents, rows)
        surrogate = objectives.surrogate(self.rule, ratio, others, pick(turn.advantages, slice(None), rows), clip=turn.clip)
        loss = -(surrogate * weight).sum()
        if self.settings.entropy_coefficient:
            loss = loss - self.settings.entropy_coefficient * (distribution.entropy() * weight).sum()
        metrics.add_policy(agents, surrogate.detach(), ratio.detach(), log_ratio.detach(), weight, turn.clip)
        return loss

    def _distribution(self, agents: slice, batch: Batch, part: Selection) -> Distribution:
        """What the agents' actors would do now, in the samples of ``part``, from the memories that they had then."""
        actor, rows = self.team.actor(agents.start, agents.stop), part.samples
        action_mask = None if batch.action_mask is None else pick(batch.action_mask, agents, rows)
        memory = pick(batch.actor_memory, agents, part.chunks)
        return actor.distribution(actor.unroll(pick(batch.obs, agents, rows), action_mask, memory, batch.keep_of(part)))

    def _critics(self, agents: slice) -> slice:
        """Theirs, or the one of the team."""
        return agents if self.team.num_critics > 1 else slice(0, 1)

    def _value_loss(self, turn: _Turn, part: Selection, weights: Tensor) -> Tensor:
        """[c] mean value loss of each critic over the valid samples."""
        critics, batch, rows = self._critics(turn.agents), turn.batch, part.samples
        critic = self.team.critic(critics.start, critics.stop)
        state = pick(batch.state, critics, rows) if batch.state.dim() == 3 else pick(batch.state[None], slice(None), rows)[0]
        values = critic.unroll(state, pick(batch.critic_memory, critics, part.chunks), batch.keep_of(part))
        weight = pick(batch.value_mask[None], slice(None), rows) * weights
        old, target = pick(batch.old_values, critics, rows), pick(turn.targets, slice(None), rows)
        clip = self.settings.clip if self.settings.clip_value else None
        losses = objectives.value_loss(values, old, target, clip=clip, huber_delta=self.settings.huber_delta or None)
        return (losses * weight).sum(1)

    def _valid_returns(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """[M, C] returns and the mask of the valid ones, for the value normaliser."""
        returns = batch.agent_major(advantages + batch.values).T
        returns = returns if self.team.num_critics > 1 else returns.mean(1, keepdim=True)
        return returns, batch.value_mask.unsqueeze(-1).expand_as(returns)

    def _targets(self, batch: Batch, advantages: Tensor, agents: slice) -> Tensor:
        """[c, M] normalised returns for the agents' critics; for a team's one critic the mean over all agents."""
        returns = batch.agent_major(advantages + batch.values)
        if self.team.num_critics > 1:
            return self.team.normalise_returns(returns)[agents]
        return self.team.normalise_returns(returns.mean(0, keepdim=True))

    @torch.no_grad()
    def _evaluate(self, agents: slice, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-probabilities [n, M] of the batch's samples under the agents' policies as they are now, and the policies' mean entropy [n].

        The policy that sampled is asked again, in the form that training asks in, so that the first ratios are 1 to the last bit or two:
        products of other shapes round differently, and a recurrent state carries that along.
        """
        log_probs, entropy = torch.empty_like(batch.mask[agents]), torch.empty_like(batch.mask[agents])
        for chunks in passes(slice(0, batch.num_chunks), self._max_chunks(batch)):
            part = batch.select(chunks)
            distribution = self._distribution(agents, batch, part)
            log_probs[:, part.samples] = distribution.log_prob(pick(batch.samples, agents, part.samples))
            entropy[:, part.samples] = distribution.entropy()
        mask = batch.mask[agents]
        return log_probs, (entropy * mask).sum(1) / mask.sum(1).clamp(min=1.0)

    def _max_chunks(self, batch: Batch) -> int:
        """How many chunks go through the networks at once."""
        return max(CPU_ROWS // batch.chunk_length, 1) if self.team.device.type == "cpu" else batch.num_chunks

    def state_dict(self) -> dict[str, Tensor]:
        """The random streams. Weights and optimisers belong to the team."""
        streams = {f"minibatches.{agent}": stream.get_state() for agent, stream in enumerate(self.minibatch_streams)}
        return {"order": self.order_stream.get_state(), **streams}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on with saved random streams."""
        self.order_stream.set_state(state["order"])
        for agent, stream in enumerate(self.minibatch_streams):
            stream.set_state(state[f"minibatches.{agent}"])


def _weights(mask: Tensor, rows: Rows) -> Tensor:
    """[n, 1] one over the number of samples that count: their weight in the mean. A guard where none counts."""
    return 1.0 / pick(mask, slice(None), rows).sum(1, keepdim=True).clamp(min=1.0)
