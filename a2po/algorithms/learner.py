"""PolicyLearner: one update round of any ``UpdateRule``. The difference between the algorithms is the rule alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import torch
from torch import Tensor

from a2po.algorithms import advantages as estimators
from a2po.algorithms import diagnostics, ordering
from a2po.algorithms.batch import Batch
from a2po.algorithms.diagnostics import RoundMetrics, UpdateReport
from a2po.algorithms.turn import Turn, TurnTrainer, evaluate
from a2po.algorithms.update_rules import UpdateRule, check_settings, corrects
from a2po.config import UpdateConfig
from a2po.networks.group import Group
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator


@dataclass
class _Round:
    """What changes while a round goes on. M samples, N agents."""

    batch: Batch
    advantages: Tensor  # [T, B, N] each agent's, as it was last estimated
    log_ratios: Tensor  # [N, M] of the present policies to those that sampled; 0 where an agent was not alive
    old_log_probs: Tensor  # [N, M] of the policies that sampled, of the agents in ``asked``
    entropies: Tensor  # [N] of the same
    targets: Tensor  # [C, M] of the critics, as their agents' turns had them
    asked: set[int] = field(default_factory=set)
    moved: bool = False

    @classmethod
    def begin(cls, batch: Batch, advantages: Tensor) -> _Round:
        log_ratios, old_log_probs = torch.zeros_like(batch.mask), torch.zeros_like(batch.mask)
        return cls(batch, advantages, log_ratios, old_log_probs, torch.zeros_like(batch.mask[:, 0]), torch.zeros_like(batch.old_values))

    def ratios(self) -> Tensor:
        """[T, B, 1] ρ = ∏ π̂ʲ/πʲ over all agents: those that did not move add a factor of 1."""
        return self.log_ratios.sum(0).exp().view(self.batch.rewards.shape[:2]).unsqueeze(-1)


@dataclass(frozen=True)
class _Place:
    """Who is trained next, for how many epochs, at which of how many positions (from 1)."""

    agents: tuple[int, ...]
    position: int
    num_positions: int
    epochs: int


class PolicyLearner:
    """Updates the agents of a team, all at once or one after another.

    Args:
        team: the networks to train.
        rule: who is updated when, and with which advantage, weight and clip range.
        settings: epochs, minibatches, step sizes, and what of the rule is to be different.
        seed: separate streams for the order and for each agent's minibatches.

    Raises:
        ConfigError: a setting has no meaning for the rule or the team.
    """

    def __init__(self, team: TeamPolicy, rule: UpdateRule, settings: UpdateConfig, *, seed: int) -> None:
        check_settings(rule, settings, team.spec.num_agents)
        self.team, self.rule, self.settings = team, rule, settings
        self.num_agents = team.spec.num_agents
        self.order = settings.order or rule.order
        self.blocks = [self.num_agents] if self.order is None else ordering.block_sizes(self.num_agents, settings.num_blocks)
        self.corrects = corrects(rule, settings)
        self.clip_schedule = settings.clip_schedule or ("adaptive" if rule.adaptive_clip else "constant")
        self.pooled = team.shared if settings.advantage_normalisation is None else settings.advantage_normalisation == "pooled"
        self.critics_last = rule.critics_last or self._critics_can_wait()
        self.trainer = TurnTrainer(rule, settings, pooled=team.shared)
        self.waiting = list(range(self.num_agents))
        """Who has not had a rollout yet, where one serves one agent."""
        self.order_stream = generator(seed, "update order")
        self.critic_stream = generator(seed, "critic minibatches")
        self.minibatch_streams = [generator(seed, "minibatches", agent) for agent in range(self.num_agents)]

    def update(self, batch: Batch, *, learning_rate_scale: float = 1.0) -> UpdateReport:
        """Improve the team on one batch, then return what happened."""
        report, metrics = UpdateReport(), RoundMetrics(self.num_agents)
        plain = self._estimate(batch, None, slice(None))
        now = _Round.begin(batch, plain.clone())
        self.team.value_norm.update(*self._valid_returns(batch, plain))
        positions: dict[int, int] = {}
        for place in self._places(now, report):
            turn = self._turn(place, now)
            for agent in place.agents:
                positions.setdefault(agent, place.position)
            if len(report.clips) < place.num_positions:
                report.clips.append(turn.clip if isinstance(turn.clip, float) else float(turn.clip.mean()))
            stream = self.minibatch_streams[place.agents[0]]
            self.trainer.train(turn, place.epochs, stream, learning_rate_scale, metrics, critics=not self.critics_last)
            self._note_ratios(place, now)
        if self.critics_last:
            everyone = replace(turn, group=Group(self.team, range(self.num_agents)), batch=batch, targets=now.targets)
            self.trainer.train(everyone, self.settings.num_epochs, self.critic_stream, learning_rate_scale, metrics, actors=False)
        report.positions = [positions.get(agent, 0) for agent in range(self.num_agents)]
        self._diagnose(now, plain, metrics, report)
        return report

    def _critics_can_wait(self) -> bool:
        """Critics of their own, of agents that take turns, are trained as one stack at the end: on the targets of the agents' turns.

        Nothing in a round looks at a critic that moved, and one stack costs less than one critic after the other.
        """
        separate = not self.team.shared and self.team.num_critics == self.num_agents
        return separate and len(self.blocks) > 1 and not self.rule.one_per_rollout

    def _diagnose(self, now: _Round, plain: Tensor, metrics: RoundMetrics, report: UpdateReport) -> None:
        """What the round did, from the policies as it left them. ``plain`` is the advantage of those that sampled."""
        batch, mask = now.batch, now.batch.mask
        values = batch.agent_major(batch.values)
        measured = diagnostics.policy_change(now.log_ratios, mask)
        measured["explained_variance"] = diagnostics.explained_variance(values, values + batch.agent_major(plain), batch.value_mask)
        measured["entropy"] = now.entropies
        report.per_agent = {**metrics.means(), **{name: figures.tolist() for name, figures in measured.items()}}
        epsilon = diagnostics.largest_advantage(batch.agent_major(plain), mask)
        alphas = report.per_agent["total_variation"]
        report.bounds = diagnostics.estimated_bounds(alphas, epsilon, self.settings.discount, report.order, report.positions)

    def _places(self, now: _Round, report: UpdateReport) -> Iterator[_Place]:
        """Who is trained when. Each place is chosen after the one before was trained.

        Separate parameters: the blocks of the order one after another, all epochs each. Shared parameters: an order for each of
        ⌈epochs / blocks⌉ sweeps, whose places are the first block, the first two, ..., all: every step changes everybody. Scores that
        are looked at once are those of the first sweep.
        """
        blocks, epochs = len(self.blocks), self.settings.num_epochs
        if self.rule.one_per_rollout:
            self.waiting = self.waiting or list(range(self.num_agents))
            position = self.num_agents - len(self.waiting)
            yield _Place(self._choose(1, position, self.waiting, now, report), position + 1, self.num_agents, epochs)
            return
        cumulative = self.team.shared and self.order is not None and self.num_agents > 1
        for sweep in range(ceil(epochs / blocks) if cumulative else 1):
            chosen: tuple[int, ...] = ()
            remaining, heard = list(range(self.num_agents)), report if sweep == 0 else UpdateReport(scores=report.scores[:1])
            for position, size in enumerate(self.blocks):
                block = self._choose(size, self.num_agents - len(remaining), remaining, now, heard)
                chosen = tuple(sorted((*chosen, *block))) if cumulative else block
                if self.corrects and now.moved and not self._rescores:
                    # The team's one critic learns the mean over all agents, so all of them are looked at anew.
                    self._correct(now, list(chosen) if self.team.num_critics > 1 else slice(None))
                yield _Place(chosen, position + 1, blocks, 1 if cumulative else epochs)

    @property
    def _rescores(self) -> bool:
        """The order looks at the advantages before every choice."""
        return self.order is not None and self.settings.rescore == "per_agent" and ordering.is_greedy(self.order)

    def _choose(self, size: int, position: int, remaining: list[int], now: _Round, report: UpdateReport) -> tuple[int, ...]:
        """The next ``size`` agents in the order, ascending, taken out of ``remaining``. ``position`` counts agents, from 0."""
        if self.order is None:
            report.order = list(remaining)
            return tuple(remaining)
        if self.corrects and now.moved and self._rescores:
            self._correct(now, slice(None))
        if not report.scores or self._rescores:
            report.scores.append(self._scores(now).tolist())
        chosen = []
        for offset in range(size):
            uniform = None
            if ordering.is_random(self.order, position + offset):
                uniform = float(torch.rand((), generator=self.order_stream, dtype=torch.float64))
            chosen.append(ordering.next_agent(self.order, position + offset, report.scores[-1], remaining, uniform))
            remaining.remove(chosen[-1])
        report.order += chosen
        return tuple(sorted(chosen))

    def _scores(self, now: _Round) -> Tensor:
        """[N] what the greedy orders compare."""
        mask = now.batch.mask.T
        if self.settings.score == "advantage":
            return ordering.advantage_scores(now.advantages.flatten(0, 1), mask)
        normalised = estimators.normalise(now.advantages.flatten(0, 1), mask)
        return ordering.advantage_scores(normalised, mask, now.batch.old_values.T.expand_as(mask))

    def _estimate(self, batch: Batch, ratios: Tensor | None, agents: slice | Sequence[int]) -> Tensor:
        """[T, B, n] of some agents: plain GAE before anybody moved, else corrected by the ratios ρ [T, B, 1]."""
        discount, trace_decay = self.settings.discount, self.settings.trace_decay
        rewards, values, successors, terminated, truncated = (
            x[..., agents] for x in (batch.rewards, batch.values, batch.next_values, batch.terminated, batch.truncated)
        )
        data = (rewards, values, successors, terminated, truncated)
        if ratios is None:
            return estimators.gae(*data, discount=discount, trace_decay=trace_decay)
        return estimators.preopc(*data, ratios.expand_as(rewards), discount=discount, trace_decay=trace_decay, trace=self.settings.trace)

    def _correct(self, now: _Round, agents: slice | Sequence[int]) -> None:
        """Estimate the advantages of some agents anew, for what changed since the rollout."""
        now.advantages[..., agents] = self._estimate(now.batch, now.ratios(), agents)

    def _turn(self, place: _Place, now: _Round) -> Turn:
        """Everything that the agents of a place are trained with."""
        group, batch = Group(self.team, place.agents), now.batch.of(place.agents)
        self._ask(place.agents, now)
        now.targets[list(group.critics)] = targets = self._targets(place.agents, now)
        outside = [agent for agent in range(self.num_agents) if agent not in place.agents]
        return Turn(
            group,
            batch,
            advantages=self._normalised(place.agents, now),
            targets=targets,
            old_log_probs=now.old_log_probs[list(place.agents)],
            others=now.log_ratios[outside].sum(0),
            clip=self._clip(place, now),
            others_clip=self.settings.clip / 2 if self.settings.others_clip == "fixed" else None,
        )

    def _clip(self, place: _Place, now: _Round) -> float | Tensor:
        if self.clip_schedule == "constant":
            return self.settings.clip
        if self.clip_schedule == "adaptive":
            return ordering.adaptive_clip(self.settings.clip, place.position, place.num_positions, self.settings.clip_coefficient)
        return ordering.ratio_proportional_clip(self.settings.clip, now.log_ratios.exp().T)[list(place.agents)].unsqueeze(1)

    def _normalised(self, agents: tuple[int, ...], now: _Round) -> Tensor:
        """[n, M] advantages with mean 0 and spread 1, each agent's by itself or all agents' together."""
        advantages, mask = now.batch.agent_major(now.advantages), now.batch.mask
        if self.pooled:
            return estimators.normalise(advantages, mask)[list(agents)]
        return torch.stack([estimators.normalise(advantages[agent], mask[agent]) for agent in agents])

    def _targets(self, agents: tuple[int, ...], now: _Round) -> Tensor:
        """[c, M] normalised returns for the agents' critics; for a team's one critic the mean over all agents."""
        batch, ratios = now.batch, now.ratios() if now.moved and self.corrects else None
        ratios = None if ratios is None else ratios.expand_as(now.advantages)
        returns = batch.agent_major(estimators.value_targets(now.advantages, batch.values, ratios, self.settings.value_target))
        if self.team.num_critics > 1:
            return self.team.normalise_returns(returns)[list(agents)]
        return self.team.normalise_returns(returns.mean(0, keepdim=True))

    def _valid_returns(self, batch: Batch, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """[M, C] returns and the mask of the valid ones, for the value normaliser."""
        returns = batch.agent_major(advantages + batch.values).T
        returns = returns if self.team.num_critics > 1 else returns.mean(1, keepdim=True)
        return returns, batch.value_mask.unsqueeze(-1).expand_as(returns)

    def _changed_with(self, agents: tuple[int, ...]) -> tuple[int, ...]:
        """Whose policies change when these agents are trained."""
        return tuple(range(self.num_agents)) if self.team.shared else agents

    def _ask(self, agents: tuple[int, ...], now: _Round) -> None:
        """Ask the policies that sampled, before they change, for the probabilities of what was played."""
        concerned = self._changed_with(agents)
        if not now.asked.issuperset(concerned):
            rows = list(concerned)
            now.old_log_probs[rows], now.entropies[rows] = evaluate(Group(self.team, concerned).actor, now.batch.of(concerned))
            now.asked.update(concerned)

    def _note_ratios(self, place: _Place, now: _Round) -> None:
        """Ask the policies that changed again."""
        concerned = self._changed_with(place.agents)
        rows = list(concerned)
        log_probs, _ = evaluate(Group(self.team, concerned).actor, now.batch.of(concerned))
        now.log_ratios[rows] = (log_probs - now.old_log_probs[rows]) * now.batch.mask[rows]
        now.moved = True

    def state_dict(self) -> dict[str, Tensor]:
        """The random streams, and who waits for a rollout. Weights and optimisers belong to the team."""
        streams = {f"minibatches.{agent}": stream.get_state() for agent, stream in enumerate(self.minibatch_streams)}
        return {
            "order": self.order_stream.get_state(), "critics": self.critic_stream.get_state(), **streams,
            "waiting": torch.tensor(self.waiting, dtype=torch.int64),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on with a saved state."""
        self.order_stream.set_state(state["order"])
        self.critic_stream.set_state(state["critics"])
        for agent, stream in enumerate(self.minibatch_streams):
            stream.set_state(state[f"minibatches.{agent}"])
        self.waiting = state["waiting"].tolist()
