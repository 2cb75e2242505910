"""The data of one update round, agent first, frozen: nothing in it changes while the networks move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from a2po.networks.stack import rows_of

Rows = Tensor | slice
"""Which samples or chunks: indices, or a range of them."""


class Selection(NamedTuple):
    """Some chunks, and their samples: all first steps, then all second steps, ... Without memory a chunk is one sample."""

    chunks: Rows
    samples: Rows


@dataclass(frozen=True)
class Batch:
    """M = T · B samples in the order of time, then copy. C is the number of values: N, or 1.

    Networks with memory are trained through chunks of c steps of one copy. There are K = M / c of them, in the order of time,
    then copy; without memory c = 1 and every sample is a chunk.
    """

    obs: Tensor  # [N, M, O]
    action_mask: Tensor | None  # [N, M, A]
    samples: Tensor  # [N, M] or [N, M, A]
    mask: Tensor  # [N, M] float: 1 where the agent was alive and the episode is valid
    state: Tensor  # [M, S] or [N, M, S]; the observations themselves where critics see these
    old_values: Tensor  # [C, M] in the value normaliser's units
    value_mask: Tensor  # [M] float: 1 where the episode is valid
    rewards: Tensor  # [T, B, N]
    values: Tensor  # [T, B, N] in units of the return
    next_values: Tensor  # [T, B, N] of the true successors
    terminated: Tensor  # [T, B, N]
    truncated: Tensor  # [T, B, N]
    actor_memory: Tensor  # [N, K, L, H] recurrent state before the chunk
    critic_memory: Tensor  # [C, K, L, H]
    keep: Tensor  # [M] float: 0 where an episode begins, which forgets the recurrent state

    @property
    def num_samples(self) -> int:
        """M."""
        return self.obs.shape[1]

    @property
    def num_chunks(self) -> int:
        """K."""
        return self.actor_memory.shape[1]

    @property
    def chunk_length(self) -> int:
        """The steps of a chunk, c."""
        return self.num_samples // self.num_chunks

    def of(self, agents: tuple[int, ...]) -> Batch:
        """The same samples of some agents, ascending, and of their critics. What the estimators need stays whole."""
        rows = rows_of(agents)
        critics = rows if len(self.old_values) > 1 else slice(0, 1)
        return replace(
            self,
            obs=self.obs[rows],
            action_mask=None if self.action_mask is None else self.action_mask[rows],
            samples=self.samples[rows],
            mask=self.mask[rows],
            state=self.state[critics] if self.state.dim() == 3 else self.state,
            old_values=self.old_values[critics],
            actor_memory=self.actor_memory[rows],
            critic_memory=self.critic_memory[critics],
        )

    def agent_major(self, values: Tensor) -> Tensor:
        """[T, B, N] -> [N, M]."""
        return values.flatten(0, 1).T

    def select(self, chunks: Rows) -> Selection:
        """The chunks with their samples."""
        length, copies = self.chunk_length, self.rewards.shape[1]
        if length == 1:
            return Selection(chunks, chunks)
        which = torch.arange(chunks.start, chunks.stop, device=self.keep.device) if isinstance(chunks, slice) else chunks
        first = which // copies * (length * copies) + which % copies
        steps = torch.arange(length, device=first.device) * copies
        return Selection(chunks, (first + steps.unsqueeze(1)).flatten())

    def everything(self) -> Selection:
        """All chunks."""
        return self.select(slice(0, self.num_chunks))

    def keep_of(self, selection: Selection) -> Tensor:
        """[c, m] float: 0 where an episode begins within a chunk. Networks without memory do not look at it."""
        if self.actor_memory.shape[2] == 0:
            return self.keep
        return self.keep[selection.samples].view(self.chunk_length, -1)


def minibatches(num_chunks: int, num_minibatches: int, stream: torch.Generator, device: torch.device) -> Iterator[Rows]:
    """Random index sets that cover all chunks once; a single minibatch is all of them in their order."""
    if num_minibatches == 1:
        yield slice(0, num_chunks)
        return
    shuffled = torch.randperm(num_chunks, generator=stream).to(device)
    yield from shuffled.tensor_split(num_minibatches)


def passes(chunks: Rows, max_chunks: int) -> Iterator[Rows]:
    """A minibatch in parts of at most ``max_chunks`` chunks, whose gradients add up to the minibatch's."""
    if isinstance(chunks, slice):
        yield from (slice(start, min(start + max_chunks, chunks.stop)) for start in range(chunks.start, chunks.stop, max_chunks))
    else:
        yield from torch.split(chunks, max_chunks)


def pick(values: Tensor, rows: Rows) -> Tensor:
    """Some samples or chunks of every agent: [n, M, ...] -> [n, m, ...]."""
    # index_select is quicker where the values lie in this order, and copies all of them first where they do not.
    return values.index_select(1, rows) if isinstance(rows, Tensor) and values.is_contiguous() else values[:, rows]
