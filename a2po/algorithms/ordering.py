"""In which order the agents are updated within a round, and how their clip range grows along it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from a2po.config import Order

STRATEGIES: tuple[str, ...] = get_args(Order)

_Pick = Literal["lowest_id", "random", "highest_score", "lowest_score"]
# What each strategy does at even and at odd positions, counted from 0.
_PICKS: dict[str, tuple[_Pick, _Pick]] = {
    "cyclic": ("lowest_id", "lowest_id"),
    "random": ("random", "random"),
    "greedy": ("highest_score", "highest_score"),
    "semi_greedy": ("highest_score", "random"),
    "semi_greedy_random_first": ("random", "highest_score"),
    "reverse_greedy": ("lowest_score", "lowest_score"),
    "reverse_semi_greedy": ("lowest_score", "random"),
}


def is_random(strategy: str, position: int) -> bool:
    """Whether the pick at this position (from 0) consumes a uniform number.

    Raises: ValueError: the strategy is unknown.
    """
    return _pick(strategy, position) == "random"


def next_agent(
    strategy: str, position: int, scores: Tensor | Sequence[float], remaining: Iterable[int], uniform: float | None = None
) -> int:
    """The agent to update next.

    Args:
        strategy: one of ``STRATEGIES``. The semi-greedy ones are greedy at even positions and random at odd ones;
            ``semi_greedy_random_first`` the other way round.
        position: from 0.
        scores: [N] by agent id, usually the mean absolute advantage; read by the greedy picks only.
        remaining: ids of the agents that are still to be updated.
        uniform: u in [0, 1), read by random picks only: sorted(remaining)[⌊u · len⌋].

    Returns: an id; ties go to the lowest.
    Raises: ValueError: nothing remains, the strategy is unknown, or a random pick got no uniform in [0, 1).
    Source: Wang et al., ICLR 2023, semi-greedy agent selection; the code published with it starts with a greedy pick.
    """
    ids = sorted(remaining)
    if not ids:
        raise ValueError("no agent remains to be picked")
    pick = _pick(strategy, position)
    if pick == "lowest_id":
        return ids[0]
    if pick == "random":
        if uniform is None or not 0.0 <= uniform < 1.0:
            raise ValueError(f"a random pick needs a uniform number in [0, 1), not {uniform}")
        # A u that rounds up to 1 in the product still picks the last one.
        return ids[min(math.floor(uniform * len(ids)), len(ids) - 1)]
    values = scores.tolist() if isinstance(scores, Tensor) else scores
    if pick == "highest_score":
        return max(ids, key=lambda agent: values[agent])
    return min(ids, key=lambda agent: values[agent])


def agent_order(strategy: str, scores: Tensor | Sequence[float], uniforms: Iterable[float]) -> list[int]:
    """A whole round's order from one set of scores.

    Args:
        strategy: one of ``STRATEGIES``.
        scores: [N].
        uniforms: numbers in [0, 1); one is consumed per random pick, none by the others.

    Returns: the N agent ids, first updated first.
    Raises: ValueError: the strategy is unknown or the uniforms run out.
    Source: as ``next_agent``.
    """
    values: list[float] = scores.tolist() if isinstance(scores, Tensor) else list(scores)
    supply, remaining, order = iter(uniforms), set(range(len(values))), []
    for position in range(len(values)):
        uniform = next(supply, None) if is_random(strategy, position) else None
        agent = next_agent(strategy, position, values, remaining, uniform)
        remaining.remove(agent)
        order.append(agent)
    return order


@torch.no_grad()
def advantage_scores(advantages: Tensor, mask: Tensor | None = None, values: Tensor | None = None) -> Tensor:
    """Mean absolute advantage of each agent over the samples where it counts.

        sᵢ = Σ w |Aᵢ| / Σ w,      0 where Σ w = 0;      |Aᵢ / Vᵢ| in place of |Aᵢ| where ``values`` are given

    Args:
        advantages: [M, N].
        mask: [M, N] bool or 0/1, or None for all.
        values: [M, N] predictions to divide by, as the code published with A2PO does; a size below 1e-8 counts as that.

    Returns: [N].
    Raises: ValueError: shapes differ.
    Source: Wang et al., ICLR 2023.
    """
    if advantages.dim() != 2 or (mask is not None and mask.shape != advantages.shape):
        raise ValueError(f"advantages must be [M, N] with a mask of the same shape, not {list(advantages.shape)}")
    counts = torch.ones_like(advantages, dtype=torch.bool) if mask is None else mask != 0
    sizes = advantages.abs() if values is None else advantages.abs() / values.abs().clamp(min=1e-8)
    return torch.where(counts, sizes, 0.0).sum(dim=0) / counts.sum(dim=0).clamp(min=1)


def adaptive_clip(clip: float, position: int, num_positions: int, coefficient: float) -> float:
    """The clip range of a position: it grows linearly and reaches the full range at the last one.

        C(ε, k) = ε c + ε (1 − c) k / n

    Args:
        clip: ε, the full range.
        position: k, from 1.
        num_positions: n.
        coefficient: c in [0, 1]; 1 keeps the full range everywhere, smaller values hold the first agents back more.

    Returns: C(ε, k), exactly ε at k = n.
    Raises: ValueError: the position is not in 1..n or the coefficient not in [0, 1].
    Source: Wang et al., ICLR 2023, adaptive clipping parameter.
    """
    if not 1 <= position <= num_positions:
        raise ValueError(f"position is {position}; it counts from 1 to {num_positions}")
    if not 0.0 <= coefficient <= 1.0:
        raise ValueError(f"coefficient is {coefficient}; it must be in [0, 1]")
    return clip * (1.0 - (1.0 - coefficient) * (1.0 - position / num_positions))


@torch.no_grad()
def ratio_proportional_clip(clip: float, ratios: Tensor) -> Tensor:
    """The clip range of each agent by how far the policies moved already, as the code published with A2PO has it for shared parameters.

        mᵢ = mean_b ∏_{j ≥ i} 1 / (1 + |1 − r_j|),      εᵢ = ε mᵢ / max m

    The product runs over agent ids, not over the order: the last agent always has the whole range, and all have it before anyone moved.

    Args:
        clip: ε, the full range.
        ratios: [M, N] of the agents' present policies to those that sampled.

    Returns: [N] clip ranges.
    Raises: ValueError: the shape is wrong.
    Source: the code published with Wang et al., ICLR 2023.
    """
    if ratios.dim() != 2:
        raise ValueError(f"ratios must be [M, N], not {list(ratios.shape)}")
    closeness = (1.0 + (1.0 - ratios).abs()).reciprocal().flip(1).cumprod(1).flip(1).mean(0)
    return clip * closeness / closeness.max()


def is_greedy(strategy: str) -> bool:
    """Whether some picks look at the scores."""
    return any(pick.endswith("score") for pick in _PICKS[strategy])


def block_sizes(num_agents: int, num_blocks: int | None) -> list[int]:
    """How many agents each position of the order has: as even as they can be, the larger ones first; one each for None.

    Raises: ValueError: there are more blocks than agents.
    """
    blocks = num_agents if num_blocks is None else num_blocks
    if not 1 <= blocks <= num_agents:
        raise ValueError(f"{num_agents} agents make no {num_blocks} blocks")
    size, larger = divmod(num_agents, blocks)
    return [size + (block < larger) for block in range(blocks)]


def _pick(strategy: str, position: int) -> _Pick:
    if strategy not in _PICKS:
        raise ValueError(f"unknown order '{strategy}'; known: {', '.join(STRATEGIES)}")
    return _PICKS[strategy][position % 2]
