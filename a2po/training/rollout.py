"""Sampling: one batched forward for all agents and copies, one environment step, into one buffer."""

from __future__ import annotations

import zlib
from typing import Protocol

import torch
from torch import Tensor

from a2po.envs.play import calling
from a2po.envs.protocol import VectorEnv
from a2po.networks.team_policy import TeamActions
from a2po.training.buffer import RolloutBuffer, copy_observations


class Player(Protocol):
    """What chooses the actions: a ``TeamPolicy``, or something around it that explores."""

    @property
    def device(self) -> torch.device:
        """Where it wants observations."""
        ...

    @property
    def recurrent(self) -> bool:
        """It remembers."""
        ...

    def act(self, obs: Tensor, action_mask: Tensor | None, state_in: Tensor, noise: torch.Generator | None) -> TeamActions:
        """See ``TeamPolicy.act``."""
        ...


class Sampler:
    """Plays the team in an environment and fills a buffer, rollout after rollout."""

    def __init__(self, env: VectorEnv, team: Player, buffer: RolloutBuffer, noise: torch.Generator) -> None:
        self.env, self.team, self.buffer, self.noise = env, team, buffer, noise
        self._same_device = env.device == team.device

    def start(self) -> None:
        """Reset every copy. Whoever begins anew remembers nothing."""
        with calling(self.env):
            self.buffer.start(self.env.reset())
        for memory in (self.buffer.actor_memory, self.buffer.critic_memory):
            memory[0] = 0.0

    def collect(self) -> None:
        """Play ``buffer.length`` steps. Slot 0 holds the observations to begin with, ``actor_memory[0]`` the recurrent state."""
        buffer, env = self.buffer, self.env
        memory = buffer.actor_memory[0]
        for t in range(buffer.length):
            now, following = buffer.slots[t], buffer.slots[t + 1]
            actions = self.team.act(now.obs, now.action_mask, memory, self.noise)
            with calling(env):  # what it gives may fit nowhere, too
                step = env.step(actions.actions.to(env.device), out=following if self._same_device else None)
                if not self._same_device:
                    copy_observations(step.observations, following)
                buffer.record(t, actions, step)
            if self.team.recurrent:
                ended = buffer.terminated[t] | buffer.truncated[t]
                memory = torch.where(ended[:, None, None], 0.0, actions.state_out)  # whoever begins anew remembers nothing
                if (t + 1) % buffer.chunk_length == 0:
                    buffer.actor_memory[(t + 1) // buffer.chunk_length] = memory

    def advance(self) -> None:
        """Make the last successor the next rollout's first observation."""
        self.buffer.wrap()

    def state_dict(self) -> dict[str, Tensor]:
        """The observations to go on from, the recurrent states and the random stream."""
        now = self.buffer.slots[0]._asdict()
        held = {f"now.{name}": value for name, value in now.items() if value is not None}
        memories = {"actor_memory": self.buffer.actor_memory[0], "critic_memory": self.buffer.critic_memory[0]}
        return {**held, **memories, "noise": self.noise.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> bool:
        """Go on from a saved state.

        Returns: False if the random stream could not be continued, because it was that of another kind of device; it begins anew then.
        """
        for name, slot in self.buffer.slots[0]._asdict().items():
            if slot is not None:
                slot.copy_(state[f"now.{name}"])
        self.buffer.actor_memory[0] = state["actor_memory"]
        self.buffer.critic_memory[0] = state["critic_memory"]
        same_kind = state["noise"].shape == self.noise.get_state().shape
        if same_kind:
            self.noise.set_state(state["noise"])
        else:
            self.noise.manual_seed(zlib.crc32(state["noise"].numpy().tobytes()))
        return same_kind
