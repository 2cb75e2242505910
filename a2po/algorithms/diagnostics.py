"""What an update round tells about itself: how far each policy moved, how good the critics are, what the theory says about it.

Everything here is measured on the samples of the rollout, so all of it is an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from a2po.algorithms.bounds import monotonic_bounds


@dataclass
class UpdateReport:
    """What one round did.

    Attributes:
        order: the ids of the agents in the order of their updates; all of them where they are updated together. Of several sweeps (shared
            parameters) the first one's, and so are positions and clips.
        positions: [N] by agent id, its place in the order from 1 (its block's, where blocks are updated together); the same number
            for agents that are updated together, 0 for an agent that this round left alone.
        clips: the clip range at each position.
        scores: [N] by agent id for each time that the order looked at the advantages.
        per_agent: [N] by name, all finite: means over the minibatches (``RoundMetrics``), and after the round ``policy_change``
            and ``explained_variance``.
        bounds: ``estimated_bounds``, or None where there are none.
        team: figures of the team as a whole, by name.
    """

    order: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    clips: list[float] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    per_agent: dict[str, list[float]] = field(default_factory=dict)
    bounds: dict[str, float] | None = None
    team: dict[str, float] = field(default_factory=dict)


class RoundMetrics:
    """Values per agent over the minibatches of a round, kept on the device until the round ends."""

    def __init__(self, num_agents: int) -> None:
        self.num_agents = num_agents
        self.counts: dict[tuple[str, int], int] = {}
        self.parts: dict[tuple[str, tuple[int, ...]], list[Tensor]] = {}
        self._open: set[tuple[str, tuple[int, ...]]] = set()

    def add(self, agents: tuple[int, ...], **values: Tensor) -> None:
        """Add one value per agent ([n], or [1] of a network that all share) to the minibatch."""
        for name, value in values.items():
            self.parts.setdefault((name, agents), []).append(value)
            self._open.add((name, agents))

    def minibatch_done(self) -> None:
        """What was added since the last call belongs to one minibatch."""
        for name, agents in self._open:
            for agent in agents:
                self.counts[name, agent] = self.counts.get((name, agent), 0) + 1
        self._open.clear()

    @torch.no_grad()
    def add_policy(self, agents: tuple[int, ...], surrogate: Tensor, ratio: Tensor, weight: Tensor, clip: float | Tensor) -> None:
        """The objective and the share of clipped ratios in a part of a minibatch; ``weight`` adds up to 1 over the minibatch."""
        clipped = ((ratio - 1.0).abs() > clip).float()
        self.add(agents, objective=(surrogate * weight).sum(1), clip_fraction=(clipped * weight).sum(1))

    def means(self) -> dict[str, list[float]]:
        """Name -> [N] mean over the minibatches; 0 for an agent that had none."""
        means: dict[str, list[float]] = {}
        for (name, agents), parts in self.parts.items():
            row = means.setdefault(name, [0.0] * self.num_agents)
            for agent, total in zip(agents, torch.stack(parts).sum(0).expand(len(agents)).tolist(), strict=True):
                row[agent] += total / self.counts[name, agent]
        return means


@torch.no_grad()
def policy_change(log_ratios: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """How far each policy has moved from the one that sampled.

    Args:
        log_ratios: [n, M] log π(a|o) − log π̂(a|o) of the sampled actions, π after the agent's update and π̂ before.
        mask: [n, M] bool or 0/1: the samples that count. What stands in the others is not read.

    Returns: [n] each; 0 where no sample counts. ``kl`` and ``total_variation`` as below; ``ratio``, the mean of π/π̂, whose
        expectation is 1 whatever the update did, so that its distance from 1 says how far the samples can be trusted; ``ratio_max``.
    """
    ratios = torch.where(mask != 0, log_ratios, 0.0).exp()
    return {
        "kl": kl(log_ratios, mask),
        "total_variation": total_variation(log_ratios, mask),
        "ratio": _mean(ratios, mask),
        "ratio_max": torch.where(mask != 0, ratios, 0.0).amax(1),
    }


@torch.no_grad()
def kl(log_ratios: Tensor, mask: Tensor) -> Tensor:
    """Estimate of KL(π̂ ‖ π), averaged over the states of the rollout: the mean of r − 1 − log r, never negative.

    Args:
        log_ratios: [n, M], see ``policy_change``.
        mask: [n, M] bool or 0/1.

    Returns: [n] in nats.
    Source: Schulman, "Approximating KL divergence", 2020, estimator k3.
    """
    kept = torch.where(mask != 0, log_ratios, 0.0)
    return _mean(kept.expm1() - kept, mask)


@torch.no_grad()
def total_variation(log_ratios: Tensor, mask: Tensor) -> Tensor:
    """Estimate of the total-variation distance between the new and the old policy: the mean of ½ |r − 1|.

    The expectation over the rollout policy's actions in one state is that state's distance. The theory's α is the largest over all
    states; this is the mean over the states of the rollout, so usually smaller. From few samples it can exceed 1.

    Args:
        log_ratios: [n, M], see ``policy_change``.
        mask: [n, M] bool or 0/1.

    Returns: [n].
    """
    return _mean(torch.where(mask != 0, log_ratios, 0.0).expm1().abs() / 2, mask)


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """The share of the returns' variance that the critics foresaw: 1 − Var(G − V) / Var(G).

    Args:
        values: [C, M] predictions before the round.
        returns: [C, M] what was learned, in the same units.
        mask: [M] bool or 0/1: the samples that count. What stands in the others is not read.

    Returns: [C]: 1 for perfect predictions, 0 for no better than a constant and where there is nothing to explain, negative if worse.
    """
    wanted = (mask != 0).expand_as(returns)
    total, missed = _variance(returns, wanted), _variance(returns - values, wanted)
    # Returns that are all alike have a variance of about their squared rounding error, which is nothing to explain.
    rounding = (10 * torch.finfo(returns.dtype).eps * torch.where(wanted, returns, 0.0).abs().amax(1)) ** 2
    return torch.where(total > rounding, 1.0 - missed / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


@torch.no_grad()
def largest_advantage(advantages: Tensor, mask: Tensor) -> float:
    """ε of the bounds, estimated: the largest |A| among the samples that count, in units of the return.

    Args:
        advantages: any shape, not normalised.
        mask: the same shape, bool or 0/1.
    """
    return float(torch.where(mask != 0, advantages, 0.0).abs().max())


def estimated_bounds(
    alphas: Sequence[float], epsilon: float, discount: float, order: Sequence[int], positions: Sequence[int] | None = None
) -> dict[str, float] | None:
    """The four ``monotonic_bounds`` of what this round did, from estimated α and ε; A2PO's without ξ, which no sample shows.

    They compare the guarantees that the theory gives for policies that moved this far, whichever algorithm moved them: estimates, and
    no bounds in the strict sense.

    Args:
        alphas: [N] ``total_variation`` by agent id. Their sum may exceed 1: the formulas stay what they are.
        epsilon: ``largest_advantage``.
        discount: γ.
        order: agent ids in the order of their updates. Agents that are missing did not move.
        positions: [N] by agent id, as in ``UpdateReport``. A block, which was updated together, counts as one agent that moved by their
            sum; but where everybody was updated at once, A2PO's bound is the one it would have in ``order``.

    Returns: the bounds by algorithm name, or None where γ is 1: the theory has none then.
    """
    if not 0.0 <= discount < 1.0:
        return None
    in_blocks = positions is not None and len({positions[agent] for agent in order}) > 1
    moved: dict[int, float] = {}
    for place, agent in enumerate(order):
        block = positions[agent] if positions is not None and in_blocks else place
        moved[block] = moved.get(block, 0.0) + alphas[agent]
    return monotonic_bounds([moved[block] for block in sorted(moved)], epsilon, discount, range(len(moved)))


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over the samples that count, [n, M] -> [n]; 0 where none does."""
    counts = mask != 0
    return torch.where(counts, values, 0.0).sum(1) / counts.sum(1).clamp(min=1)


def _variance(values: Tensor, mask: Tensor) -> Tensor:
    """Over the samples that count, [C, M] -> [C]."""
    return _mean((values - _mean(values, mask).unsqueeze(1)) ** 2, mask)
