"""What an update round tells about itself, per agent."""

from __future__ import annotations

import torch
from torch import Tensor


class RoundMetrics:
    """Values per agent over the minibatches of a round, kept on the device until the round ends."""

    def __init__(self, num_agents: int) -> None:
        self.counts = [0] * num_agents
        self.parts: dict[tuple[str, int, int], list[Tensor]] = {}

    def add(self, agents: slice, **values: Tensor) -> None:
        """Add one value per agent ([n], or [1] of a critic that all share)."""
        for name, value in values.items():
            self.parts.setdefault((name, agents.start, agents.stop), []).append(value)

    def minibatch_done(self, agents: slice) -> None:
        """Count one minibatch of these agents."""
        for agent in range(agents.start, agents.stop):
            self.counts[agent] += 1

    @torch.no_grad()
    def add_policy(self, agents: slice, surrogate: Tensor, ratio: Tensor, log_ratio: Tensor, weight: Tensor, clip: float) -> None:
        """Diagnostics of one minibatch: KL(π‖π̂) ≈ E[r - 1 - log r], the share of clipped ratios and the objective."""
        clipped = ((ratio - 1.0).abs() > clip).float()
        self.add(
            agents,
            objective=(surrogate * weight).sum(1),
            kl=((ratio - 1.0 - log_ratio) * weight).sum(1),
            clip_fraction=(clipped * weight).sum(1),
        )

    def means(self) -> dict[str, list[float]]:
        """Name -> mean over the minibatches, per agent."""
        means: dict[str, list[float]] = {}
        for (name, first, last), parts in self.parts.items():
            sums = torch.stack(parts).sum(0).expand(last - first).tolist()
            row = means.setdefault(name, [0.0] * len(self.counts))
            row[first:last] = [own / max(count, 1) for own, count in zip(sums, self.counts[first:last], strict=True)]
        return means
