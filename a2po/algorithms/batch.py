"""The data of one update round, agent first, frozen: nothing in it changes while the networks move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """M = T · B samples in the order of time, then copy. C is the number of critics: N, or 1."""

    obs: Tensor  # [N, M, O]
    action_mask: Tensor | None  # [N, M, A]
    recurrent_state: Tensor  # [N, M, L, H]
    samples: Tensor  # [N, M] or [N, M, A]
    old_log_probs: Tensor  # [N, M]
    mask: Tensor  # [N, M] float: 1 where the agent was alive and the episode is valid
    state: Tensor  # [M, S] or [N, M, S]
    old_values: Tensor  # [C, M] in the value normaliser's units
    value_mask: Tensor  # [M] float: 1 where the episode is valid
    rewards: Tensor  # [T, B, N]
    values: Tensor  # [T, B, N] in units of the return
    next_values: Tensor  # [T, B, N] of the true successors
    terminated: Tensor  # [T, B, N]
    truncated: Tensor  # [T, B, N]

    @property
    def num_samples(self) -> int:
        """M."""
        return self.obs.shape[1]

    def agent_major(self, values: Tensor) -> Tensor:
        """[T, B, N] -> [N, M]."""
        return values.flatten(0, 1).T


Rows = Tensor | slice
"""Which samples: indices, or a range of them."""


def minibatches(num_samples: int, num_minibatches: int, stream: torch.Generator, device: torch.device) -> Iterator[Rows]:
    """Random index sets that cover all samples once; a single minibatch is all of them in their order."""
    if num_minibatches == 1:
        yield slice(0, num_samples)
        return
    shuffled = torch.randperm(num_samples, generator=stream).to(device)
    yield from shuffled.tensor_split(num_minibatches)


def passes(rows: Rows, max_rows: int) -> Iterator[Rows]:
    """A minibatch in parts of at most ``max_rows`` samples, whose gradients add up to the minibatch's."""
    if isinstance(rows, slice):
        yield from (slice(start, min(start + max_rows, rows.stop)) for start in range(rows.start, rows.stop, max_rows))
    else:
        yield from torch.split(rows, max_rows)


def pick(values: Tensor, agents: slice, rows: Rows) -> Tensor:
    """Some agents' samples: [N, M, ...] -> [n, m, ...]."""
    chosen = values[agents]
    return chosen[:, rows] if isinstance(rows, slice) else chosen.index_select(1, rows)
