"""One preallocated buffer on the training device. The environment writes its observations straight into the slots."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from a2po.envs.protocol import Observations, Step, TaskSpec
from a2po.errors import WorkFailed
from a2po.networks.team_policy import TeamActions, TeamPolicy


class RolloutBuffer:
    """T steps of B copies. Letters as in ``a2po.envs.protocol``; observation tensors hold one slot more for the successor.

    ``state`` and ``final_state`` are what critics see: where these are the agents' observations, ``state`` is ``obs`` itself, and the
    environment's states are not kept.

    Of the recurrent states only those at the first step of each chunk are kept, and those after the last step.

    Args:
        spec: the task.
        length: T.
        num_envs: B.
        device: where training happens.
        memories: the networks' recurrent states before the first step, actors' [N, B, L, H] and critics' [C, B, L, H].
        chunk_length: steps between recurrent states that are kept; divides T.
        critics_observe: critics see the agents' observations instead of the state.
    """

    def __init__(
        self,
        spec: TaskSpec,
        length: int,
        num_envs: int,
        device: torch.device,
        *,
        memories: tuple[Tensor, Tensor] | None = None,
        chunk_length: int = 1,
        critics_observe: bool = False,
    ) -> None:
        agents, rows = spec.num_agents, (length, num_envs)
        state_shape = (agents, spec.state_size) if spec.state_per_agent else (spec.state_size,)
        reward_shape = (agents,) if spec.reward_per_agent else ()

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.length, self.num_envs, self._critics_observe = length, num_envs, critics_observe
        self.obs = zeros(length + 1, num_envs, agents, spec.max_obs_size)
        # An environment writes its states in any case. Where nobody sees them, all steps have one place for them.
        states = zeros(1 if critics_observe else length + 1, num_envs, *state_shape)
        self.state = self.obs if critics_observe else states
        mask_shape = (length + 1, num_envs, agents, spec.max_action_size)
        self.action_mask = torch.ones(mask_shape, dtype=torch.bool, device=device) if spec.discrete else None
        self.alive = torch.ones(length + 1, num_envs, agents, dtype=torch.bool, device=device)
        self.final_state = torch.empty(length, *self.state.shape[1:], device=device)  # filled where an episode was cut, see ``record``
        self.samples = zeros(*rows, agents, dtype=torch.int64) if spec.discrete else zeros(*rows, agents, spec.max_action_size)
        self.reward = zeros(*rows, *reward_shape)
        self.terminated, self.truncated, self.invalid = (zeros(*rows, dtype=torch.bool) for _ in range(3))
        self.slots = [self._slot(t, states[t % len(states)]) for t in range(length + 1)]
        nothing = zeros(agents, num_envs, 0, 0)
        self.chunk_length = chunk_length
        self.actor_memory, self.critic_memory = (
            memory.expand(length // chunk_length + 1, *memory.shape).clone() for memory in memories or (nothing, nothing)
        )  # [T / c + 1, N or C, B, L, H]

    @classmethod
    def for_team(cls, team: TeamPolicy, length: int, num_envs: int, chunk_length: int) -> Self:
        """A buffer for what ``team`` plays: on its device, with room for what its networks remember."""
        memories = team.initial_state(num_envs), team.initial_memory(num_envs)
        return cls(
            team.spec,
            length,
            num_envs,
            team.device,
            memories=memories,
            chunk_length=chunk_length if team.recurrent else 1,
            critics_observe=team.critics_observe,
        )

    def _slot(self, t: int, state: Tensor) -> Observations:
        mask = None if self.action_mask is None else self.action_mask[t]
        return Observations(self.obs[t], state, mask, self.alive[t])

    def start(self, observations: Observations) -> None:
        """Put the first observations into slot 0."""
        copy_observations(observations, self.slots[0])

    def wrap(self) -> None:
        """Move the last slot to the first: the next rollout goes on where this one ended."""
        copy_observations(self.slots[-1], self.slots[0])
        for memory in (self.actor_memory, self.critic_memory):
            memory[0] = memory[-1]

    def record(self, t: int, actions: TeamActions, step: Step) -> None:
        """Store step t. Its successor observations are in slot t + 1 already."""
        self.samples[t] = actions.samples
        for name in ("reward", "terminated", "truncated", "invalid"):
            slot, given = getattr(self, name)[t], getattr(step, name)
            if given.shape != slot.shape:  # one number would be everybody's, and nobody would notice
                raise ValueError(f"step() must give '{name}' as {list(slot.shape)}, gave {list(given.shape)}")
            slot.copy_(given)
        final = step.final.obs if self._critics_observe else step.final.state
        if self.final_state.device.type == "cpu":  # the rest is not valued: memory that nobody writes to is never taken
            cut = self.truncated[t].nonzero().flatten()
            self.final_state[t, cut] = final.to("cpu")[cut]
        else:  # where asking which would mean waiting
            self.final_state[t] = final

    def ended(self) -> Tensor:
        """[T, B] True where an episode ended with the step."""
        return self.terminated | self.truncated

    def valid(self) -> Tensor:
        """[T, B] False for the steps of episodes that a fault ended."""
        if not bool(self.invalid.any()):
            return torch.ones_like(self.invalid)
        ended = self.ended()
        dropped = torch.zeros_like(self.invalid)
        following = torch.zeros_like(self.invalid[0])
        for t in reversed(range(self.length)):
            following = self.invalid[t] | (following & ~ended[t])
            dropped[t] = following
        return ~dropped

    def drop(self, valid: Tensor) -> None:
        """Blank the steps that do not count: a fault may have left anything in them, and 0 · NaN is NaN."""
        if bool(valid.all()):
            return
        length = self.length
        for values in (self.obs[:length], self.state[:length], self.samples, self.reward):
            values[~valid] = 0
        self.final_state[self.truncated & ~valid] = 0
        self.actor_memory[:-1].transpose(1, 2)[~valid[:: self.chunk_length]] = 0  # [T / c, B, N, L, H]

    def check_finite(self, task: str) -> None:
        """No NaN and no infinity where it counts, after ``drop``; what the rollout ends with, and where it was cut, is valued too.

        Raises:
            WorkFailed: naming the task, what is not finite, the step of the rollout and the copy.
        """
        cut = self.truncated.nonzero()
        successors = self.final_state[self.truncated]
        for name, values in (("reward", self.reward), ("observation", self.obs), ("state", self.state), ("final state", successors)):
            if not _finite(values):
                place = (~torch.isfinite(values)).nonzero()[0]
                step, copy = (cut[place[0]] if values is successors else place[:2]).tolist()
                where = f"copy {copy}, step {step} of the rollout"
                raise WorkFailed(f"{task} gave a {name} that is not finite ({where}) and did not call it invalid")


def _finite(values: Tensor) -> bool:
    """No NaN and no infinity, without a tensor of the same size: extremes are neither if and only if everything is finite."""
    return values.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def copy_observations(source: Observations, target: Observations) -> None:
    """Copy every tensor, across devices where needed."""
    for values, slot in zip(source, target, strict=True):
        if slot is not None and values is not None:
            slot.copy_(values, non_blocking=True)
