"""Lower bounds on how far one round of updates can fall short of its surrogate objectives, for the four algorithms."""

from __future__ import annotations

from collections.abc import Sequence


def monotonic_bounds(
    alphas: Sequence[float],
    epsilon: float,
    discount: float,
    order: Sequence[int],
    xi: float | Sequence[float] = 0.0,
) -> dict[str, float]:
    """Gap between the true improvement of a joint update and the sum of the agents' surrogates; smaller is tighter.

        mappo          4 ε Σ a / (1 − γ)
        coppo = happo  Σₖ 4 ε aₖ [1/(1−γ) − 1/(1 − γ (1 − Σⱼ aⱼ))]          j over all agents
        a2po           Σₖ 4 ε aₖ [1/(1−γ) − 1/(1 − γ (1 − Σⱼ aⱼ))] + Σ ξ/(1−γ)      j up to k in the order

    Args:
        alphas: [N] largest total-variation distance between the new and the old policy of each agent.
        epsilon: ε, the largest absolute advantage.
        discount: γ in [0, 1).
        order: the agent ids in the order of their updates.
        xi: [N] error of the corrected advantage for each agent, or one number for every agent.

    Returns: the bounds by algorithm name.
    Raises: ValueError: ``order`` is not a permutation of the agents, or a number is out of range.
    Source: Wang et al., "Order Matters: Agent-by-agent Policy Optimization", ICLR 2023, table of monotonic bounds.
    """
    count = len(alphas)
    errors = [float(xi)] * count if isinstance(xi, (int, float)) else [float(error) for error in xi]
    if sorted(order) != list(range(count)) or len(errors) != count:
        raise ValueError(f"order {list(order)} must be a permutation of the {count} agents, with one xi for each")
    if not 0.0 <= discount < 1.0:
        raise ValueError(f"discount is {discount}; it must be in [0, 1)")

    def single(alpha: float, moved: float) -> float:
        return 4.0 * epsilon * alpha * (1.0 / (1.0 - discount) - 1.0 / (1.0 - discount * (1.0 - moved)))

    total = sum(alphas)
    joint = sum(single(alpha, total) for alpha in alphas)
    sequential = moved = 0.0
    for agent in order:
        moved += alphas[agent]
        sequential += single(alphas[agent], moved)
    return {
        "mappo": 4.0 * epsilon * total / (1.0 - discount),
        "coppo": joint,
        "happo": joint,
        "a2po": sequential + sum(errors) / (1.0 - discount),
    }
