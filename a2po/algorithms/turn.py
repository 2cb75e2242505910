"""One turn of an update round: some agents' actors and critics are trained on data that stands still."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from a2po.algorithms import objectives
from a2po.algorithms.batch import Batch, Rows, Selection, minibatches, passes, pick
from a2po.algorithms.diagnostics import RoundMetrics
from a2po.algorithms.update_rules import UpdateRule
from a2po.config import UpdateConfig
from a2po.networks.actor import Actor
from a2po.networks.distributions import MaskedCategorical, TanhMeanGaussian
from a2po.networks.group import Group
from a2po.networks.stack import AdamSettings

CPU_ROWS = 2048
"""On a CPU a minibatch goes through the networks in parts of at most this many samples, so that activations stay in the cache ..."""
CPU_ROWS_OF_ALL = 8192
"""... and of at most this many samples of all agents together: 27 agents' take 1.9 times as much memory and 1.2 times as long without."""


@dataclass(frozen=True)
class Turn:
    """What stays the same while some agents, n of them, are trained. Their critics are c."""

    group: Group
    batch: Batch
    """Of these agents."""
    advantages: Tensor  # [n, M] normalised
    targets: Tensor  # [c, M] of the critics
    old_log_probs: Tensor  # [n, M]
    others: Tensor  # [M] log of the product of the ratios of all agents outside the group
    clip: float | Tensor  # of all, or [n, 1]
    others_clip: float | None
    """Half of ``clip`` if None."""

    @property
    def agents(self) -> tuple[int, ...]:
        """Their ids."""
        return self.group.agents


class TurnTrainer:
    """Epochs and minibatches of a turn, for any rule.

    Args:
        rule: how the ratios form the surrogate.
        settings: minibatches, step sizes, losses.
        pooled: the agents share their parameters: the losses are means over the samples of all of them, else each agent has its own.
    """

    def __init__(self, rule: UpdateRule, settings: UpdateConfig, *, pooled: bool) -> None:
        self.rule, self.settings, self.pooled = rule, settings, pooled
        self.adam = AdamSettings(settings.adam_epsilon, settings.max_grad_norm)

    def train(
        self,
        turn: Turn,
        epochs: int,
        stream: torch.Generator,
        rate_scale: float,
        metrics: RoundMetrics,
        *,
        actors: bool = True,
        critics: bool = True,
    ) -> None:
        """All epochs. In the first of two stages, where there are two, an epoch trains the critics alone."""
        for _ in range(epochs):
            if critics and self.settings.two_stage:
                self._epoch(turn, stream, rate_scale, metrics, actors=False, critics=True)
            self._epoch(turn, stream, rate_scale, metrics, actors=actors, critics=critics)
        turn.group.put_back()

    def _epoch(self, turn: Turn, stream: torch.Generator, rate_scale: float, metrics: RoundMetrics, *, actors: bool, critics: bool) -> None:
        group, batch, settings = turn.group, turn.batch, self.settings
        leaves = [*(group.actor_leaves if actors else ()), *(group.critic_leaves if critics else ())]
        split = len(group.actor_leaves) if actors else 0
        for minibatch in minibatches(batch.num_chunks, settings.num_minibatches, stream, batch.obs.device):
            samples = batch.select(minibatch).samples
            counts, value_count = pick(batch.mask, samples).sum(1, keepdim=True), batch.value_mask[samples].sum()
            gradients: list[Tensor] = []
            for chunks in passes(minibatch, max_chunks(batch)):
                part = batch.select(chunks)
                losses = [self._policy_loss(turn, part, counts, metrics)] if actors else []
                if critics:
                    losses.append(self._value_loss(turn, part, value_count, metrics))
                own = torch.autograd.grad(sum(losses[1:], losses[0]), leaves)
                gradients = [total + more for total, more in zip(gradients, own, strict=True)] if gradients else list(own)
            if actors:
                rate = settings.actor_learning_rate * rate_scale
                metrics.add(turn.agents, actor_grad_norm=group.step_actors(gradients[:split], rate, self.adam))
            if critics:
                rate = settings.critic_learning_rate * rate_scale
                metrics.add(turn.agents, critic_grad_norm=group.step_critics(gradients[split:], rate, self.adam))
            metrics.minibatch_done()

    def _policy_loss(self, turn: Turn, part: Selection, counts: Tensor, metrics: RoundMetrics) -> Tensor:
        """Negative surrogate and entropy bonus: the mean over each agent's active samples, summed, or over all of theirs together.

        ``counts`` [n, 1] are those samples in the minibatch that ``part`` belongs to.
        """
        batch, rows = turn.batch, part.samples
        distribution = distribution_of(turn.group.actor, batch, part)
        mask = pick(batch.mask, rows)
        log_ratio = distribution.log_prob(pick(batch.samples, rows)) - pick(turn.old_log_probs, rows)
        ratio = log_ratio.exp()
        others = self._others(turn, log_ratio.detach() * mask, rows)
        advantages, clip = pick(turn.advantages, rows), turn.clip
        surrogate = objectives.surrogate(self.rule, ratio, others, advantages, clip=clip, others_clip=turn.others_clip)
        own = mask / counts.clamp(min=1.0)
        weight = own * (counts / counts.sum().clamp(min=1.0)) if self.pooled else own
        loss = -(surrogate * weight).sum()
        if self.settings.entropy_coefficient:
            loss = loss - self.settings.entropy_coefficient * (distribution.entropy() * weight).sum()
        metrics.add_policy(turn.agents, surrogate.detach(), ratio.detach(), own, clip)
        return loss

    def _others(self, turn: Turn, log_ratios: Tensor, rows: Rows) -> Tensor | None:
        """[n, m] for each agent the product of the ratios of those outside the group and of its other members, as they are now."""
        if self.rule.others == "none":
            return None
        outside = pick(turn.others[None], rows)
        inside = log_ratios.sum(0, keepdim=True) - log_ratios
        return (outside + inside).exp()

    def _value_loss(self, turn: Turn, part: Selection, count: Tensor, metrics: RoundMetrics) -> Tensor:
        """Mean value loss of each critic over the minibatch's valid samples, ``count`` of them, summed, or the mean of all critics'."""
        batch, rows, critic = turn.batch, part.samples, turn.group.critic
        state = pick(batch.state, rows) if batch.state.dim() == 3 else pick(batch.state[None], rows)[0]
        values = critic.unroll(state, pick(batch.critic_memory, part.chunks), batch.keep_of(part))
        clip = self.settings.clip if self.settings.clip_value else None
        losses = objectives.value_loss(
            values, pick(batch.old_values, rows), pick(turn.targets, rows), clip=clip, huber_delta=self.settings.huber_delta or None
        )
        losses = (losses * (batch.value_mask[rows] / count.clamp(min=1.0))).sum(1)  # [c]
        metrics.add(turn.agents, value_loss=losses.detach())
        return losses.mean() if self.pooled else losses.sum()


@torch.no_grad()
def evaluate(actor: Actor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log-probabilities [n, M] of the batch's samples under the agents' policies as they are now, and the policies' mean entropy [n].

    The policy that sampled is asked again, in the form that training asks in, so that the first ratios are 1 to the last bit or two:
    products of other shapes round differently, and a recurrent state carries that along.

    Args:
        actor: of n agents.
        batch: of these agents.
    """
    log_probs, entropy = torch.empty_like(batch.mask), torch.empty_like(batch.mask)
    for chunks in passes(slice(0, batch.num_chunks), max_chunks(batch)):
        part = batch.select(chunks)
        distribution = distribution_of(actor, batch, part)
        log_probs[:, part.samples] = distribution.log_prob(pick(batch.samples, part.samples))
        entropy[:, part.samples] = distribution.entropy()
    return log_probs, (entropy * batch.mask).sum(1) / batch.mask.sum(1).clamp(min=1.0)


def distribution_of(actor: Actor, batch: Batch, part: Selection) -> MaskedCategorical | TanhMeanGaussian:
    """What the agents' actors would do now, in the samples of ``part``, from the memories that they had then."""
    rows = part.samples
    action_mask = None if batch.action_mask is None else pick(batch.action_mask, rows)
    memory = pick(batch.actor_memory, part.chunks)
    return actor.distribution(actor.unroll(pick(batch.obs, rows), action_mask, memory, batch.keep_of(part)))


def max_chunks(batch: Batch) -> int:
    """How many chunks go through the networks at once."""
    if batch.obs.device.type != "cpu":
        return batch.num_chunks
    return max(rows_at_once(len(batch.obs)) // batch.chunk_length, 1)


def rows_at_once(num_agents: int) -> int:
    """How many samples of each agent go through the networks at once on a CPU."""
    return min(CPU_ROWS, CPU_ROWS_OF_ALL // num_agents)
