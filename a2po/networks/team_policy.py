"""TeamPolicy: the actors, critics and normalisers of a team as training sees them; ``a2po.runtime.Team`` plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from a2po.config import NetworkConfig
from a2po.envs.protocol import TaskSpec
from a2po.errors import ConfigError, TaskError
from a2po.networks import network as networks
from a2po.networks.actor import Actor, ActorShape, ObservationScale
from a2po.networks.critic import Critic
from a2po.networks.network import NetworkShape
from a2po.networks.normalise import RunningNorm, ValueNorm
from a2po.networks.stack import ParameterStack, rows_of
from a2po.streams import generator

_PARTS = ("actors", "critics", "obs_norm", "state_norm", "value_norm")


class TeamActions(NamedTuple):
    """What a team does in one step."""

    actions: Tensor  # int64 [B, N] or float32 [B, N, A], the environment's units
    samples: Tensor  # the same before scaling; log-probabilities belong to these
    state_out: Tensor  # [N, B, L, H]


class TeamPolicy:
    """N actors with separate parameters and N critics (or one), stored as stacks; or one network of each kind that all agents share.

    Args:
        spec: the task.
        network: sizes and options.
        seed: every network has its own stream of initial weights.
        device: where parameters live.
    """

    def __init__(self, spec: TaskSpec, network: NetworkConfig, *, seed: int, device: torch.device | str = "cpu") -> None:
        self.spec, self.network, self.device = spec, network, torch.device(device)
        if network.critics == "one":
            _check_one_critic(spec, network)
        agents, per_agent = spec.num_agents, network.critics == "per_agent"
        self.shared = network.share_parameters
        """All agents have one actor's weights, and one critic's."""
        self.num_critics = agents if per_agent else 1
        """Values of a sample, C: N, or 1 for the team."""
        self.critics_observe = network.critic_input == "observation"
        """Critics see their agent's observation instead of the state."""
        self.actors_need_ids = self.shared and not spec.observes_ids
        """Shared actors get the agent's id before its observation."""
        self.critics_need_ids = self.shared and per_agent and not (spec.observes_ids and (self.critics_observe or spec.state_per_agent))
        """A shared critic gets the agent's id before what it sees."""
        id_size, critic_width = agents * self.actors_need_ids, spec.max_obs_size if self.critics_observe else spec.state_size
        inputs = NetworkShape.of(network, id_size + spec.max_obs_size, spec.max_action_size)
        self.actor_shape = ActorShape(inputs, spec.discrete, id_size)
        self.critic_shape = NetworkShape.of(network, agents * self.critics_need_ids + critic_width, 1)
        self.actors = ParameterStack(self.actor_shape.parameter_shapes(), 1 if self.shared else agents, self.device)
        self.critics = ParameterStack(self.critic_shape.parameter_shapes(), 1 if self.shared else self.num_critics, self.device)
        self._initialise(seed)
        pooled = self.shared and len(set(spec.feature_names)) == 1
        self.obs_norm = RunningNorm((spec.max_obs_size,) if pooled else (agents, spec.max_obs_size)).to(self.device)
        self.state_norm = RunningNorm((agents, spec.state_size) if spec.state_per_agent else (spec.state_size,)).to(self.device)
        self.value_norm = ValueNorm((self.num_critics,)).to(self.device)
        self.action_dims = torch.tensor([[float(i < size) for i in range(spec.max_action_size)] for size in spec.action_sizes]).to(
            self.device
        )
        self._action_low, self._action_high = (bounds.to(self.device) for bounds in action_bounds(spec))
        self.actor = cache(self._actor)
        self.critic = cache(self._critic)

    def _initialise(self, seed: int) -> None:
        spec, shape = self.spec, self.actor_shape
        for index, own in enumerate(_each(self.actors)):
            inputs, actions = (shape.obs_size, spec.max_action_size) if self.shared else (spec.obs_sizes[index], spec.action_sizes[index])
            stream = generator(seed, "actor weights", index)
            networks.initialise(own, shape.network, shape.id_size + inputs, actions, self.network.head_gain, stream)
            if not spec.discrete:
                own["log_std"][:actions] = self.network.log_std_init
        for index, own in enumerate(_each(self.critics)):
            padded = self.critics_observe and not self.shared
            inputs = spec.obs_sizes[index] if padded else self.critic_shape.input_size
            networks.initialise(own, self.critic_shape, inputs, 1, 1.0, generator(seed, "critic weights", index))

    def make_actor(self, leaves: Mapping[str, nn.Parameter], agents: Sequence[int]) -> Actor:
        """The stacked actor of some agents, its rows in their order.

        Args:
            leaves: the parameters by name, [n, ...] of these agents, or [1, ...] that all agents share.
            agents: n of them, any subset in any order.
        """
        return Actor(
            self.actor_shape,
            leaves,
            scale=self._scale(self.obs_norm, agents),
            action_dims=self.action_dims[list(agents)],
            real_widths=self._real_widths(agents, self.actor_shape.id_size),
            agent_id=self._agent_id(agents) if self.actors_need_ids else None,
        )

    def make_critic(self, leaves: Mapping[str, nn.Parameter], critics: Sequence[int]) -> Critic:
        """The stacked critic that gives some of the C values, its rows in their order; (0,) where there is one for the team.

        ``leaves`` are the parameters by name, [n, ...] of these critics, or [1, ...] that all agents share.
        """
        return Critic(
            self.critic_shape,
            leaves,
            scale=self._scale(self.obs_norm if self.critics_observe else self.state_norm, critics),
            real_widths=self._real_widths(critics, self.spec.num_agents * self.critics_need_ids) if self.critics_observe else None,
            agent_id=self._agent_id(critics) if self.critics_need_ids else None,
        )

    def _actor(self, first: int, last: int) -> Actor:
        """The stacked actors of agents first..last-1, as trainable views. Called through the cache ``actor``."""
        return self.make_actor(self.actors.leaves(slice(0, 1) if self.shared else slice(first, last)), range(first, last))

    def _critic(self, first: int, last: int) -> Critic:
        """The stacked critics of the values first..last-1. Called through the cache ``critic``."""
        return self.make_critic(self.critics.leaves(slice(0, 1) if self.shared else slice(first, last)), range(first, last))

    def _agent_id(self, agents: Sequence[int]) -> Tensor:
        """[n, N], 1 in the agent's own column."""
        return torch.eye(self.spec.num_agents, device=self.device)[list(agents)]

    def _real_widths(self, agents: Sequence[int], id_size: int) -> Tensor | None:
        """[n] how much of the networks' input is the agents' own and their id, or None where all of it is."""
        sizes = [self.spec.obs_sizes[agent] for agent in agents]
        if set(sizes) == {self.spec.max_obs_size}:
            return None
        return torch.tensor(sizes, device=self.device).float() + id_size

    def _scale(self, norm: RunningNorm, rows: Sequence[int]) -> ObservationScale | None:
        if not self.network.normalise_observations:
            return None
        which = rows_of(rows)
        index = which if isinstance(which, slice) else torch.tensor(which, device=self.device)
        return ObservationScale(norm.mean, norm.inverse_std, norm.clip, index)

    def single_actor(self, agent: int) -> Actor:
        """One agent's actor as an own copy at its real sizes, for the exporter. It knows its agent's id where it needs one."""
        inputs, outputs = self.spec.obs_sizes[agent], self.spec.action_sizes[agent]
        whole = {name: view[0 if self.shared else agent] for name, view in self.actors.views(self.actors.values).items()}
        sizes = replace(self.actor_shape.network, input_size=self.actor_shape.id_size + inputs, output_size=outputs)
        shape = replace(self.actor_shape, network=sizes)
        cuts = {name: tuple(slice(size) for size in sizes) for name, sizes in shape.parameter_shapes().items()}
        copies = {name: nn.Parameter(value[cuts[name]].detach().cpu().clone().contiguous()) for name, value in whole.items()}
        norm, scale = self.obs_norm, None
        if self.network.normalise_observations:
            own = (values if values.dim() == 1 else values[agent] for values in (norm.mean, norm.inverse_std))
            mean, inverse_std = (values[:inputs].cpu().clone() for values in own)
            scale = ObservationScale(mean, inverse_std, norm.clip)
        agent_id = self._agent_id([agent])[0].cpu() if self.actors_need_ids else None
        return Actor(shape, copies, scale=scale, action_dims=torch.ones(outputs), agent_id=agent_id)

    def initial_state(self, num_envs: int) -> Tensor:
        """Zero recurrent state [N, B, L, H] of the actors."""
        return torch.zeros(self.spec.num_agents, num_envs, *self.actor_shape.state_shape, device=self.device)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Zero recurrent state [C, B, L, H] of the critics."""
        return torch.zeros(self.num_critics, num_envs, *self.actor_shape.state_shape, device=self.device)

    @property
    def critic_input_shape(self) -> tuple[int, ...]:
        """Of what critics see in one copy: (S,), (N, S) or (N, O)."""
        return (self.spec.num_agents, self.spec.max_obs_size) if self.critics_observe else self.state_norm.shape

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
        """Values [C, M] of states [M, S] or [M, N, S], in the value normaliser's units, and the critics' memory [C, M, L, H] after them.

        With ``critics_observe`` the observations [M, N, O] stand in for the states.
        """
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
            state: [T, B, S] or [T, B, N, S]; not looked at with ``critics_observe``, where nothing sees it.
            alive: [T, B, N], the observations that count.
            valid: [T, B], the steps that count: not those of episodes that a fault ended. None for all.
        """
        if self.network.normalise_observations:
            valid = torch.ones_like(alive[..., 0]) if valid is None else valid
            self.obs_norm.update(obs, alive & valid.unsqueeze(-1))
            if not self.critics_observe:
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


def _each(stack: ParameterStack) -> list[dict[str, Tensor]]:
    """The parameters of each network by name."""
    views = stack.views(stack.values)
    return [{name: view[index] for name, view in views.items()} for index in range(stack.num_networks)]


def _check_one_critic(spec: TaskSpec, network: NetworkConfig) -> None:
    """One critic for the team needs something to look at that is the team's. Raises: ConfigError."""
    if network.critic_input == "observation":
        raise ConfigError("network.critics = 'one' and network.critic_input = 'observation' exclude each other: use 'per_agent' or 'state'")
    if spec.state_per_agent:
        raise ConfigError(f"network.critics = 'one' needs a state that all agents share; {spec.task} has one per agent: use 'per_agent'")


def action_bounds(spec: TaskSpec) -> tuple[Tensor, Tensor]:
    """(low, high), both [N, A], of each agent's box; zero in the padding. Samples in [-1, 1] are scaled to it."""
    bounds = np.zeros((2, spec.num_agents, spec.max_action_size), np.float32)
    for agent, space in enumerate(spec.action_spaces):
        if isinstance(space, Box):
            bounds[:, agent, : spec.action_sizes[agent]] = space.low.reshape(-1), space.high.reshape(-1)
            if not np.isfinite(bounds[:, agent]).all():
                raise TaskError(f"{spec.task}: the action space of '{spec.agents[agent]}' is unbounded; actors scale to finite bounds")
    return torch.from_numpy(bounds[0]), torch.from_numpy(bounds[1])
