"""TeamPolicy: the actors, critics and normalisers of a team as training sees them; ``a2po.runtime.Team`` plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from a2po.config import NetworkConfig
from a2po.envs.protocol import TaskSpec
from a2po.errors import ConfigError, TaskError
from a2po.networks import network as networks
from a2po.networks.actor import Actor, ActorShape, ObservationScale
from a2po.networks.critic import Critic
from a2po.networks.network import NetworkShape
from a2po.networks.normalise import RunningNorm, ValueNorm
from a2po.networks.stack import ParameterStack
from a2po.streams import generator

_PARTS = ("actors", "critics", "obs_norm", "state_norm", "value_norm")


class TeamActions(NamedTuple):
    """What a team does in one step."""

    actions: Tensor  # int64 [B, N] or float32 [B, N, A], the environment's units
    samples: Tensor  # the same before scaling; log-probabilities belong to these
    state_out: Tensor  # [N, B, L, H]


class TeamPolicy:
    """N actors with separate parameters and N critics (or one), stored as stacks.

    Args:
        spec: the task.
        network: sizes and options.
        seed: every network has its own stream of initial weights.
        device: where parameters live.
    """

    def __init__(self, spec: TaskSpec, network: NetworkConfig, *, seed: int, device: torch.device | str = "cpu") -> None:
        self.spec, self.network, self.device = spec, network, torch.device(device)
        self.actor_shape = ActorShape(NetworkShape.of(network, spec.max_obs_size, spec.max_action_size), spec.discrete)
        self.critic_shape = NetworkShape.of(network, spec.state_size, 1)
        if spec.state_per_agent and network.critics == "one":
            raise ConfigError(
                f"network.critics = 'one' needs a state that all agents share; {spec.task} has one per agent: use 'per_agent'"
            )
        self.num_critics = spec.num_agents if network.critics == "per_agent" else 1
        self.actors = ParameterStack(self.actor_shape.parameter_shapes(), spec.num_agents, self.device)
        self.critics = ParameterStack(self.critic_shape.parameter_shapes(), self.num_critics, self.device)
        self._initialise(seed)
        self.obs_norm = RunningNorm((spec.num_agents, spec.max_obs_size)).to(self.device)
        state_shape = (spec.num_agents, spec.state_size) if spec.state_per_agent else (spec.state_size,)
        self.state_norm = RunningNorm(state_shape).to(self.device)
        self.value_norm = ValueNorm((self.num_critics,)).to(self.device)
        self.action_dims = torch.tensor([[float(i < size) for i in range(spec.max_action_size)] for size in spec.action_sizes]).to(
            self.device
        )
        self._action_low, self._action_high = (bounds.to(self.device) for bounds in action_bounds(spec))
        self.shared = False
        self.actor = cache(self._actor)
        self.critic = cache(self._critic)

    def _initialise(self, seed: int) -> None:
        views, spec = self.actors.views(self.actors.values), self.spec
        for agent in range(spec.num_agents):
            own = {name: view[agent] for name, view in views.items()}
            stream = generator(seed, "actor weights", agent)
            networks.initialise(
                own, self.actor_shape.network, spec.obs_sizes[agent], spec.action_sizes[agent], self.network.head_gain, stream
            )
            if not spec.discrete:
                own["log_std"][: spec.action_sizes[agent]] = self.network.log_std_init
        views = self.critics.views(self.critics.values)
        for critic in range(self.num_critics):
            own = {name: view[critic] for name, view in views.items()}
            networks.initialise(own, self.critic_shape, spec.state_size, 1, 1.0, generator(seed, "critic weights", critic))

    def _actor(self, first: int, last: int) -> Actor:
        """The stacked actors of agents first..last-1, as trainable views. Called through the cache ``actor``."""
        which = slice(first, last)
        sizes = self.spec.obs_sizes[which]
        widths = None if len(set(sizes)) == 1 and sizes[0] == self.spec.max_obs_size else torch.tensor(sizes, device=self.device).float()
        return Actor(
            self.actor_shape,
            self.actors.leaves(which),
            scale=self._scale(self.obs_norm, which),
            action_dims=self.action_dims[which],
            real_widths=widths,
        )

    def _critic(self, first: int, last: int) -> Critic:
        """The stacked critics first..last-1. Called through the cache ``critic``."""
        which = slice(first, last)
        rows = which if self.spec.state_per_agent and self.num_critics > 1 else slice(None)
        return Critic(self.critic_shape, self.critics.leaves(which), scale=self._scale(self.state_norm, rows))

    def make_actor(self, leaves: Mapping[str, torch.nn.Parameter], agents: Sequence[int]) -> Actor:
        """The stacked actor of these agents, rows in this order, with ``leaves`` as its parameters."""
        rows = list(agents)
        sizes = [self.spec.obs_sizes[agent] for agent in rows]
        real = len(set(sizes)) == 1 and sizes[0] == self.spec.max_obs_size
        widths = None if real else torch.tensor(sizes, device=self.device).float()
        return Actor(
            self.actor_shape, leaves, scale=self._scale(self.obs_norm, rows), action_dims=self.action_dims[rows], real_widths=widths
        )

    def make_critic(self, leaves: Mapping[str, torch.nn.Parameter], critics: Sequence[int]) -> Critic:
        """The stacked critic of these, with ``leaves`` as its parameters."""
        rows = list(critics) if self.spec.state_per_agent and self.num_critics > 1 else slice(None)
        return Critic(self.critic_shape, leaves, scale=self._scale(self.state_norm, rows))

    def _scale(self, norm: RunningNorm, which: slice | list[int]) -> ObservationScale | None:
        if not self.network.normalise_observations:
            return None
        rows = (norm.mean, norm.inverse_std) if norm.mean.dim() == 1 else (norm.mean[which], norm.inverse_std[which])
        return ObservationScale(*rows, clip=norm.clip)

    def single_actor(self, agent: int) -> Actor:
        """One agent's actor as an own copy at its real sizes, for the exporter."""
        inputs, outputs = self.spec.obs_sizes[agent], self.spec.action_sizes[agent]
        whole = {name: view[agent] for name, view in self.actors.views(self.actors.values).items()}
        shape = replace(self.actor_shape, network=replace(self.actor_shape.network, input_size=inputs, output_size=outputs))
        cuts = {name: tuple(slice(size) for size in sizes) for name, sizes in shape.parameter_shapes().items()}
        parameters = {name: value[cuts[name]] for name, value in whole.items()}
        scale = self._scale(self.obs_norm, slice(agent, agent + 1))
        if scale is not None:
            scale = ObservationScale(scale.mean[0, :inputs].cpu().clone(), scale.inverse_std[0, :inputs].cpu().clone(), scale.clip)
        copies = {name: torch.nn.Parameter(value.detach().cpu().clone().contiguous()) for name, value in parameters.items()}
        return Actor(shape, copies, scale=scale, action_dims=torch.ones(outputs))

    def initial_state(self, num_envs: int) -> Tensor:
        """Zero recurrent state [N, B, L, H] of the actors."""
        return torch.zeros(self.spec.num_agents, num_envs, *self.actor_shape.state_shape, device=self.device)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Zero recurrent state [C, B, L, H] of the critics."""
        return torch.zeros(self.num_critics, num_envs, *self.actor_shape.state_shape, device=self.device)

    @property
    def recurrent(self) -> bool:
        """The networks remember."""
        return self.network.recurrent_layers > 0

    @torch.no_grad()
    def act(self, obs: Tensor, action_mask: Tensor | None, state_in: Tensor, noise: torch.Generator | None) -> TeamActions:
        """One step of the whole team in one batched product.

        Args:
            obs: [B, N, O].
            action_mask: [B, N, A] or None.
            state_in: [N, B, L, H].
            noise: the stream to sample from, or None to act greedily.
        """
        actor = self.actor(0, self.spec.num_agents)
        masks = None if action_mask is None else action_mask.transpose(0, 1)
        parameters, state_out = actor(obs.transpose(0, 1), masks, state_in)  # [B, N, O] -> [N, B, O]
        distribution = actor.distribution(parameters)
        samples = (distribution.mode() if noise is None else distribution.sample(noise)).transpose(0, 1)  # [N, B] -> [B, N]
        return TeamActions(self.to_env_units(samples), samples, state_out)

    def values(self, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Values [C, M] of states [M, S] or [M, N, S], in the value normaliser's units, and the critics' memory [C, M, L, H] after them."""
        values, memory = self.critic(0, self.num_critics)(state.transpose(0, 1) if state.dim() == 3 else state, memory)
        return values, memory

    def denormalise_values(self, values: Tensor) -> Tensor:
        """[C, M] from the normaliser's units to returns."""
        return self.value_norm.denormalise(values.T).T if self.network.normalise_values else values

    def normalise_returns(self, returns: Tensor) -> Tensor:
        """[C, M] from returns to the normaliser's units."""
        return self.value_norm.normalise(returns.T).T if self.network.normalise_values else returns

    def update_statistics(self, obs: Tensor, state: Tensor, alive: Tensor, valid: Tensor | None = None) -> None:
        """Merge a rollout into the observation statistics. Between update rounds only: within one they are frozen.

        Args:
            obs: [T, B, N, O].
            state: [T, B, S] or [T, B, N, S].
            alive: [T, B, N], the observations that count.
            valid: [T, B], the steps that count: not those of episodes that a fault ended. None for all.
        """
        if self.network.normalise_observations:
            valid = torch.ones_like(alive[..., 0]) if valid is None else valid
            self.obs_norm.update(obs, alive & valid.unsqueeze(-1))
            self.state_norm.update(state, valid.unsqueeze(-1).expand_as(alive) if self.spec.state_per_agent else valid)

    def to_env_units(self, samples: Tensor) -> Tensor:
        """Scale samples in [-1, 1] to the agents' boxes and clip them to these; discrete actions stay as they are."""
        if self.spec.discrete:
            return samples
        middle, half = (self._action_low + self._action_high) / 2, (self._action_high - self._action_low) / 2
        # The outer clip catches the rounding of the product, too.
        return torch.addcmul(middle, samples, half).clamp(self._action_low, self._action_high)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, optimisers and normalisers."""
        return {f"{part}.{name}": value for part in _PARTS for name, value in getattr(self, part).state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy a saved state in place."""
        for part in _PARTS:
            own = {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
            getattr(self, part).load_state_dict(own)


def action_bounds(spec: TaskSpec) -> tuple[Tensor, Tensor]:
    """(low, high), both [N, A], of each agent's box; zero in the padding. Samples in [-1, 1] are scaled to it."""
    bounds = np.zeros((2, spec.num_agents, spec.max_action_size), np.float32)
    for agent, space in enumerate(spec.action_spaces):
        if isinstance(space, Box):
            bounds[:, agent, : spec.action_sizes[agent]] = space.low.reshape(-1), space.high.reshape(-1)
            if not np.isfinite(bounds[:, agent]).all():
                raise TaskError(f"{spec.task}: the action space of '{spec.agents[agent]}' is unbounded; actors scale to finite bounds")
    return torch.from_numpy(bounds[0]), torch.from_numpy(bounds[1])
