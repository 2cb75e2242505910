"""QLearner: QMIX and VDN. The actors of a team output Q values; what the team is worth is their mix, or their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from a2po.algorithms import qmix
from a2po.algorithms.catalogue import check_q_settings
from a2po.config import QmixConfig, UpdateConfig
from a2po.networks.mixer import QMixer
from a2po.networks.stack import AdamSettings
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator


@dataclass(frozen=True)
class EpisodeBatch:
    """E whole episodes from their first step, padded with zeros to the longest one's T steps."""

    obs: Tensor  # [T + 1, E, N, O], the last one of an episode is its true end
    state: Tensor  # [T + 1, E, S] or [T + 1, E, N, S]
    action_mask: Tensor  # [T + 1, E, N, A] bool
    actions: Tensor  # [T, E, N] int64
    rewards: Tensor  # [T, E] of the team
    terminated: Tensor  # [T, E] bool: the episode truly ended with this step
    mask: Tensor  # [T, E] bool: the step was played


@dataclass(frozen=True)
class QFigures:
    """What one training batch did."""

    team: dict[str, Tensor]  # scalars
    per_agent: dict[str, Tensor]  # [N]


class QLearner:
    """Trains the actors of a team as Q networks, against copies that follow now and then.

    Args:
        team: the networks to train; its critics stay as they are.
        mixing: ``qmix`` for a mixer, ``vdn`` for the sum.
        update: step size (that of the actors, for the mixer too), discount, gradient clipping of every network on its own.
        settings: the rest.
        seed: stream of the mixer's initial weights.

    Raises:
        ConfigError: a setting is one that only policy gradients have.
    """

    def __init__(self, team: TeamPolicy, mixing: str, update: UpdateConfig, settings: QmixConfig, *, seed: int) -> None:
        check_q_settings(mixing, update, team.network)
        self.team, self.update_settings, self.settings = team, update, settings
        self.adam = AdamSettings(update.adam_epsilon, update.max_grad_norm)
        self.target = TeamPolicy(team.spec, team.network, seed=seed, device=team.device)
        self.target.obs_norm = team.obs_norm  # one set of statistics, which both networks see change
        self.mixer, self.target_mixer = (self._new_mixer(mixing, seed) for _ in range(2))
        self.copied_at = 0
        """Episodes there were when the target networks were last copied."""
        self.copy_to_target(0)

    def _new_mixer(self, mixing: str, seed: int) -> QMixer | None:
        if mixing == "vdn":
            return None
        spec, own = self.team.spec, self.settings
        return QMixer(
            spec.num_agents,
            spec.state_size * (spec.num_agents if spec.state_per_agent else 1),
            mixer_size=own.mixer_size,
            hypernet_size=own.hypernet_size,
            hypernet_layers=own.hypernet_layers,
            generator=generator(seed, "mixer weights"),
            device=self.team.device,
        )

    def copy_to_target(self, episodes: int) -> None:
        """The target networks become what the live ones are. ``episodes``: how many there were so far."""
        self.target.actors.values.copy_(self.team.actors.values)
        if self.mixer and self.target_mixer:
            self.target_mixer.stack.values.copy_(self.mixer.stack.values)
        self.copied_at = episodes

    def update(self, batch: EpisodeBatch, *, learning_rate_scale: float = 1.0) -> QFigures:
        """One gradient step on the mean of (Q_tot - target)² over the steps that were played."""
        team, actor = self.team, self.team.actor(0, self.team.spec.num_agents)
        loss, team_figures, q_agents = self.loss(batch)
        leaves = [actor.weights[name] for name in team.actors.shapes]
        mixer_leaves = [self.mixer.weights[name] for name in self.mixer.stack.shapes] if self.mixer else []
        gradients = torch.autograd.grad(loss, [*leaves, *mixer_leaves])
        rate = self.update_settings.actor_learning_rate * learning_rate_scale
        norms = team.actors.adam_step(slice(0, team.actors.num_networks), gradients[: len(leaves)], rate, self.adam)
        if self.mixer:
            [mixer_norm] = self.mixer.stack.adam_step(slice(0, 1), gradients[len(leaves) :], rate, self.adam)
            team_figures["mixer_grad_norm"] = mixer_norm
        per_agent = {"q": _mean(q_agents, batch.mask.unsqueeze(-1)), "actor_grad_norm": norms.expand(team.spec.num_agents)}
        return QFigures(team_figures, per_agent)

    def loss(self, batch: EpisodeBatch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The loss, figures about it, and the Q values [T, E, N] of the actions that were played."""
        live = self._q_values(self.team, batch)  # [T + 1, E, N, A]
        legal, state = batch.action_mask, self._mixer_state(batch.state)
        chosen = live[:-1].gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
        chosen = torch.where(legal[:-1].any(-1), chosen, 0.0)  # who does not exist in this episode adds nothing
        q_tot = self._mix(self.mixer, chosen, state[:-1])
        targets = self._targets(batch, live.detach(), state)
        error = torch.where(batch.mask, q_tot - targets, 0.0)
        loss = error.square().sum() / batch.mask.sum().clamp(min=1)
        figures = {
            "loss": loss.detach(),
            "td_error": _mean(error.detach().abs(), batch.mask),
            "q_mean": _mean(q_tot.detach(), batch.mask),
            "target_mean": _mean(targets, batch.mask),
        }
        return loss, figures, chosen.detach()

    @torch.no_grad()
    def _targets(self, batch: EpisodeBatch, live: Tensor, state: Tensor) -> Tensor:
        """[T, E] what Q_tot should have been. ``live`` [T + 1, E, N, A], ``state`` [T + 1, E, S] as the mixer sees it."""
        target = self._q_values(self.target, batch)
        best = qmix.double_q_targets(live, target, batch.action_mask, double_q=self.settings.double_q)
        return qmix.td_lambda_targets(
            batch.rewards,
            batch.terminated,
            batch.mask,
            self._mix(self.target_mixer, best, state),
            discount=self.update_settings.discount,
            td_lambda=self.settings.td_lambda,
        )

    def _q_values(self, team: TeamPolicy, batch: EpisodeBatch) -> Tensor:
        """[T + 1, E, N, A] of every step of the episodes, each from its beginning."""
        steps, episodes, agents, _ = batch.obs.shape
        keep = torch.ones(steps, episodes, device=batch.obs.device)
        rows = batch.obs.flatten(0, 1).transpose(0, 1)  # [N, (T + 1)·E, O]
        (values,) = team.actor(0, agents).unroll(rows, None, team.initial_state(episodes), keep)
        return values.view(agents, steps, episodes, -1).permute(1, 2, 0, 3)

    def _mixer_state(self, state: Tensor) -> Tensor:
        """[T + 1, E, S]: normalised like observations; where every agent has a state of its own, all of them."""
        if self.team.network.normalise_observations:
            state = self.team.state_norm.normalise(state)
        return state.flatten(2)

    def _mix(self, mixer: QMixer | None, q_agents: Tensor, state: Tensor) -> Tensor:
        """[..., N] and [..., S] -> [...]."""
        mixed: Tensor = mixer(q_agents, state) if mixer else q_agents.sum(-1)
        return mixed

    def state_dict(self) -> dict[str, Any]:
        """The mixer with its optimiser and the target networks. The live actors belong to the team."""
        state: dict[str, Any] = {"copied_at": self.copied_at, "target": _weights(self.target.actors.state_dict())}
        if self.mixer and self.target_mixer:
            state |= {"mixer": self.mixer.stack.state_dict(), "target_mixer": _weights(self.target_mixer.stack.state_dict())}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.copied_at = int(state["copied_at"])
        self.target.actors.load_weights(state["target"])
        if self.mixer and self.target_mixer:
            self.mixer.stack.load_state_dict(state["mixer"])
            self.target_mixer.stack.load_weights(state["target_mixer"])


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over steps and episodes, the first two axes, where the mask is True."""
    return torch.where(mask, values, 0.0).sum((0, 1)) / mask.sum().clamp(min=1)


def _weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith("weights.")}
