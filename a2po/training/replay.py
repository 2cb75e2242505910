"""Whole episodes on the training device, in a ring: the newest that fit, from which training draws at random."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from a2po.algorithms.q_learner import EpisodeBatch
from a2po.envs.protocol import Step, TaskSpec
from a2po.errors import WorkFailed
from a2po.networks.team_policy import TeamActions
from a2po.training.buffer import RolloutBuffer

Fields = dict[str, tuple[tuple[int, ...], torch.dtype]]
SMALL_ACTIONS = 256
"""Up to this many actions of an agent fit into a byte."""


class EpisodeBuffer(RolloutBuffer):
    """A rollout that also keeps the true successors' observations and masks: an episode in the replay ends with them."""

    def __init__(self, spec: TaskSpec, length: int, num_envs: int, device: torch.device, **memories: Any) -> None:
        super().__init__(spec, length, num_envs, device, **memories)
        self.final_obs = torch.zeros_like(self.obs[:length])
        self.final_action_mask = None if self.action_mask is None else torch.zeros_like(self.action_mask[:length])

    def record(self, t: int, actions: TeamActions, step: Step) -> None:
        """Store step t."""
        super().record(t, actions, step)
        self.final_obs[t] = step.final.obs
        if self.final_action_mask is not None and step.final.action_mask is not None:
            self.final_action_mask[t] = step.final.action_mask


def fields(spec: TaskSpec) -> Fields:
    """Name -> shape and type of what one step of an episode takes. Those before ``actions`` have one step more than the others."""
    agents = spec.num_agents
    small = torch.uint8 if spec.max_action_size <= SMALL_ACTIONS else torch.int32
    return {
        "obs": ((agents, spec.max_obs_size), torch.float32),
        "state": ((agents, spec.state_size) if spec.state_per_agent else (spec.state_size,), torch.float32),
        "action_mask": ((agents, spec.max_action_size), torch.bool),
        "actions": ((agents,), small),
        "rewards": ((), torch.float32),
    }


OBSERVED = ("obs", "state", "action_mask")
"""What there is of the end of an episode, too."""


def replay_bytes(spec: TaskSpec, num_episodes: int, num_envs: int) -> int:
    """What an ``EpisodeReplay`` of these sizes takes: room for its episodes and for those that are being played, each of full length."""
    steps = spec.max_episode_steps
    sizes = {name: prod(shape) * dtype.itemsize * (steps + (name in OBSERVED)) for name, (shape, dtype) in fields(spec).items()}
    return (num_episodes + num_envs) * sum(sizes.values())


class EpisodeReplay:
    """The last ``num_episodes`` whole episodes, oldest first, and the episodes of ``num_envs`` copies that are being played.

    All of them lie in slots of full length: an episode is written once, and the slot of the oldest one is the next to be written.

    Args:
        spec: the task.
        num_episodes: E.
        num_envs: B.
        device: where training happens.
    """

    def __init__(self, spec: TaskSpec, num_episodes: int, num_envs: int, device: torch.device) -> None:
        self.spec, self.num_episodes, self.device = spec, num_episodes, device
        slots, steps = num_episodes + num_envs, spec.max_episode_steps
        self.data = {
            name: torch.zeros(slots, steps + (name in OBSERVED), *shape, dtype=dtype, device=device)
            for name, (shape, dtype) in fields(spec).items()
        }
        self.lengths = torch.zeros(slots, dtype=torch.int64)
        self.terminated = torch.zeros(slots, dtype=torch.bool)
        self.played = [0] * num_envs
        """Steps of each copy's running episode that are here."""
        self.episodes = 0
        """Valid ones so far, those that made room included."""
        self._arrange([])

    def _arrange(self, lengths: list[int]) -> None:
        """Whole episodes of these lengths take the first slots, running ones the next."""
        count, num_envs = len(lengths), len(self.played)
        self.order = deque(range(count))
        """Slots of whole episodes, oldest first."""
        self.open = list(range(count, count + num_envs))
        """The slot that each copy's running episode is written to."""
        self.free = list(range(count + num_envs, len(self.lengths)))
        self.lengths[:count] = torch.tensor(lengths, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.order)

    def add(self, buffer: EpisodeBuffer) -> None:
        """Take in a rollout, which goes on where the one before ended. Episodes that a fault ended are dropped."""
        invalid, terminated, starts = buffer.invalid.cpu(), buffer.terminated.cpu(), [0] * buffer.num_envs
        for t, copy in (buffer.ended() | buffer.invalid).nonzero().tolist():
            self._write(buffer, copy, starts[copy], t + 1)
            self._finish(buffer, copy, t, bool(invalid[t, copy]), bool(terminated[t, copy]))
            starts[copy] = t + 1
        for copy, start in enumerate(starts):
            self._write(buffer, copy, start, buffer.length)

    def forget_running(self) -> None:
        """Every copy begins anew."""
        self.played = [0] * len(self.played)

    def _write(self, buffer: EpisodeBuffer, copy: int, start: int, stop: int) -> None:
        """Append the rollout's steps start..stop-1 of one copy to its running episode."""
        slot, first = self.open[copy], self.played[copy]
        last = first + stop - start
        if last > self.spec.max_episode_steps:
            raise WorkFailed(f"{self.spec.task} plays on after spec.max_episode_steps = {self.spec.max_episode_steps:,} steps")
        reward = buffer.reward[start:stop, copy]
        rewards = reward.mean(-1) if self.spec.reward_per_agent else reward
        values = {"obs": buffer.obs, "state": buffer.state, "action_mask": buffer.action_mask, "actions": buffer.samples}
        for name, value in values.items():
            if value is not None:
                self.data[name][slot, first:last] = value[start:stop, copy].to(self.data[name].dtype)
        self.data["rewards"][slot, first:last] = rewards
        self.played[copy] = last

    def _finish(self, buffer: EpisodeBuffer, copy: int, t: int, invalid: bool, terminated: bool) -> None:
        """The running episode of a copy ended with step t of the rollout."""
        slot, length = self.open[copy], self.played[copy]
        self.played[copy] = 0
        if invalid:
            return  # its slot serves the next one
        for name, value in (("obs", buffer.final_obs), ("state", buffer.final_state), ("action_mask", buffer.final_action_mask)):
            # Nothing is asked about what follows a true end, and it may hold anything.
            self.data[name][slot, length] = 0 if terminated or value is None else value[t, copy]
        self.lengths[slot], self.terminated[slot] = length, terminated
        self.order.append(slot)
        self.episodes += 1
        self.open[copy] = self.free.pop(0) if self.free else self.order.popleft()

    def sample(self, num_episodes: int, stream: torch.Generator, *, truncation_ends: bool = False) -> EpisodeBatch:
        """Different episodes at random, as many as there are at most.

        Args:
            num_episodes: E.
            stream: on the CPU.
            truncation_ends: episodes that the time limit cut count as truly ended.
        """
        ages = torch.randperm(len(self.order), generator=stream)[:num_episodes]
        slots = torch.tensor(list(self.order))[ages]
        lengths = self.lengths[slots]
        steps = int(lengths.max())
        ends = self.terminated[slots] | truncation_ends
        step = torch.arange(steps + 1).unsqueeze(1)
        played, last = step < lengths, step == lengths - 1  # [T + 1, E]
        observed, played, ended = (flags.to(self.device) for flags in (step <= lengths, played[:-1], (last & ends)[:-1]))
        where = slots.to(self.device)

        def pick(name: str, count: int, there: Tensor) -> Tensor:
            """[count, E, ...], zero behind the end of each episode."""
            values = self.data[name][where, :count].transpose(0, 1)
            return values * there.view(*there.shape, *(1,) * (values.dim() - 2)).to(values.dtype)

        obs, state, mask = (pick(name, steps + 1, observed) for name in OBSERVED)
        actions, rewards = pick("actions", steps, played).long(), pick("rewards", steps, played)
        return EpisodeBatch(obs, state, mask, actions, rewards, ended, played)

    @property
    def nbytes(self) -> int:
        """Bytes of the slots."""
        return sum(value.numel() * value.element_size() for value in self.data.values())

    @property
    def open_bytes(self) -> int:
        """Those of them that no whole episode uses yet: what a checkpoint may grow by."""
        slots, steps = self.data["rewards"].shape
        filled = sum(int(self.lengths[slot]) for slot in self.order)
        return round(self.nbytes * (1.0 - filled / (slots * steps)))

    def state_dict(self) -> dict[str, Any]:
        """The steps that were played, one episode behind the other and none twice: whole episodes by age, then the running ones."""
        slots = [*self.order, *self.open]
        counts = [*(int(self.lengths[slot]) for slot in self.order), *self.played]
        whole = len(self.order)

        def packed(name: str) -> Tensor:
            more = [name in OBSERVED] * whole + [False] * len(self.open)  # the end of an episode
            pieces = [self.data[name][slot, : count + also] for slot, count, also in zip(slots, counts, more, strict=True)]
            return torch.cat(pieces)

        return {
            "counts": torch.tensor(counts), "episodes": self.episodes, "terminated": self.terminated[list(self.order)],
            "data": {name: packed(name) for name in self.data},
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state.

        Raises: ValueError: it is of a larger replay, another number of copies or another task.
        """
        counts = state["counts"].tolist()
        whole = len(counts) - len(self.played)
        if not 0 <= whole <= self.num_episodes:
            raise ValueError(f"the saved replay has {whole} whole episodes, this one has room for {self.num_episodes}")
        self.played, self.episodes = counts[whole:], state["episodes"]
        self._arrange(counts[:whole])
        self.terminated[:whole] = state["terminated"]
        for name, values in self.data.items():
            more = [name in OBSERVED] * whole + [False] * len(self.open)
            sizes = [count + also for count, also in zip(counts, more, strict=True)]
            for slot, piece in enumerate(state["data"][name].split(sizes)):
                values[slot, : len(piece)] = piece
