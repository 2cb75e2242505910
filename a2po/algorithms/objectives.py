"""What the policy and value networks are trained on: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from a2po.algorithms.update_rules import UpdateRule


def surrogate(
    rule: UpdateRule,
    ratio: Tensor,
    others: Tensor | None,
    advantages: Tensor,
    *,
    clip: float | Tensor,
    others_clip: float | None = None,
) -> Tensor:
    """Clipped surrogate of one agent per sample, to be maximised.

        MAPPO, one agent, first position:  L = min(r A, clip(r, 1 ± ε) A)
        others inside (A2PO, CoPPO):       L = min(l A, clip(l, 1 ± ε) A),   l = r clip(o, 1 ± ε′)
        others outside (HAPPO):            L = o min(r A, clip(r, 1 ± ε) A)

    Args:
        rule: which form, see ``UpdateRule``.
        ratio: [M] r = π_now/π_old of the agent. Any shape will do; all tensors share it.
        others: [M] o, the unclipped product of the ratios that the rule looks at, or None for 1. No gradient flows
            through it. Ignored by a rule that looks at none.
        advantages: [M], without gradient.
        clip: ε, the range in force at this position; a tensor that broadcasts to the samples where they differ in it.
        others_clip: ε′; half of ``clip`` by default.

    Returns: [M].
    Raises: ValueError: shapes differ, dtypes are not floating, or a clip range given as a number is negative.
    Source: Wang et al., ICLR 2023 (A2PO); Wu et al., NeurIPS 2021 (CoPPO); Kuba et al., ICLR 2022 (HAPPO).
    """
    _check_samples("ratio", ratio, advantages=advantages)
    advantages = advantages.detach()
    weight_clip = _ranges(clip, others_clip)
    if rule.others == "none" or others is None:
        return _clipped_minimum(ratio, advantages, clip)
    _check_samples("ratio", ratio, others=others)
    weight = others.detach()
    if rule.clip_others:
        weight = _clipped(weight, weight_clip)
    if rule.others_inside:
        return _clipped_minimum(ratio * weight, advantages, clip)
    return weight * _clipped_minimum(ratio, advantages, clip)


def surrogate_loss(
    rule: UpdateRule,
    ratios: Tensor,
    agent: int,
    others: Sequence[int],
    advantages: Tensor,
    mask: Tensor | None,
    *,
    clip: float,
    others_clip: float | None = None,
) -> Tensor:
    """Masked mean of one agent's negative surrogate.

        loss = − Σ w L / Σ w,      0 where Σ w = 0

    Args:
        rule: which form, see ``UpdateRule``.
        ratios: [M, N] ratios of all agents; gradient flows through column ``agent`` only.
        agent: the agent that is being updated.
        others: ids of the agents whose ratios are multiplied: the preceding ones or all others, as the rule wants.
        advantages: [M].
        mask: [M] bool or weights w, the samples that count, or None for all.
        clip: ε, the range in force at this position.
        others_clip: ε′; half of ``clip`` by default.

    Returns: scalar.
    Raises: ValueError: shapes differ, an agent id is out of range, or ``agent`` is one of ``others``.
    Source: as ``surrogate``.
    """
    if ratios.dim() != 2:
        raise ValueError(f"ratios must be [M, N], not {list(ratios.shape)}")
    ids = [int(other) for other in others]
    wrong = [i for i in (agent, *ids) if not 0 <= i < ratios.shape[1]]
    if wrong or agent in ids or len(set(ids)) != len(ids):
        raise ValueError(f"agent {agent} with others {ids}: ids must be distinct and below {ratios.shape[1]}")
    product = ratios.detach()[:, ids].prod(dim=1) if ids else None
    gains = surrogate(rule, ratios[:, agent], product, advantages, clip=clip, others_clip=others_clip)
    if mask is None:
        return -gains.mean()
    if mask.shape != gains.shape:
        raise ValueError(f"mask {list(mask.shape)} and advantages {list(gains.shape)} differ in shape")
    weights = mask.to(gains.dtype)
    total = weights.sum()
    return -torch.where(weights != 0, gains * weights, 0.0).sum() / torch.where(total > 0, total, 1.0)


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    *,
    clip: float | None = None,
    huber_delta: float | None = None,
) -> Tensor:
    """Loss of a value prediction per sample.

        ℓ(e) = e²/2 if |e| ≤ δ else δ (|e| − δ/2)
        loss = max(ℓ(R − v), ℓ(R − v_clip)),      v_clip = v_old + clip(v − v_old, ± ε)

    Args:
        values: [M] v. Any shape will do; all tensors share it.
        old_values: [M] v_old, the prediction of the rollout, without gradient.
        returns: [M] R, without gradient.
        clip: ε, or None to leave out the clipped form.
        huber_delta: δ, or None for the plain square.

    Returns: [M].
    Raises: ValueError: shapes differ, dtypes are not floating, or a number is not positive.
    Source: marlbenchmark/on-policy after its issue #47 (both tails of the Huber loss).
    """
    _check_samples("values", values, old_values=old_values, returns=returns)
    for name, number in (("clip", clip), ("huber_delta", huber_delta)):
        if number is not None and not number > 0.0:
            raise ValueError(f"{name} is {number}; it must be positive, or None to do without")
    returns, old_values = returns.detach(), old_values.detach()
    loss = _huber(returns - values, huber_delta)
    if clip is None:
        return loss
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum(loss, _huber(returns - clipped, huber_delta))


def _clipped_minimum(ratio: Tensor, advantages: Tensor, clip: float | Tensor) -> Tensor:
    """min(r A, clip(r, 1 ± ε) A)."""
    return torch.minimum(ratio * advantages, _clipped(ratio, clip) * advantages)


def _clipped(ratio: Tensor, clip: float | Tensor) -> Tensor:
    """clip(r, 1 ± ε)."""
    return ratio.clamp(1.0 - clip, 1.0 + clip)  # type: ignore[arg-type] # either overload


def _huber(error: Tensor, delta: float | None) -> Tensor:
    """Half the square, linear beyond ± delta on both sides."""
    half_square = error.square() * 0.5
    if delta is None:
        return half_square
    size = error.abs()
    return torch.where(size <= delta, half_square, delta * (size - 0.5 * delta))


def _ranges(clip: float | Tensor, others_clip: float | None) -> float | Tensor:
    """The clip range of the others, with both ranges checked; tensors are not looked into, which would wait for the device."""
    chosen = clip / 2 if others_clip is None else others_clip
    if not all(isinstance(limit, Tensor) or limit >= 0.0 for limit in (clip, chosen)):
        raise ValueError(f"clip is {clip} and others_clip is {chosen}; neither may be negative")
    return chosen


def _check_samples(first: str, tensor: Tensor, **others: Tensor) -> None:
    """All floating point, all of the first one's shape."""
    for name, other in ((first, tensor), *others.items()):
        if not other.is_floating_point():
            raise ValueError(f"{name} must be floating point, not {other.dtype}")
        if other.shape != tensor.shape:
            raise ValueError(f"{name} {list(other.shape)} and {first} {list(tensor.shape)} differ in shape")
