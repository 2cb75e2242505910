"""Advantages: generalised advantage estimation and its off-policy correction PreOPC.

Everything here is a pure function of tensors, without gradient, in the dtype of its inputs. Time is the first axis; the
other axes (copies, agents) are independent columns. Memory is a few tensors of the inputs' size, for every trace.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Trace = Literal["paper", "squared", "cumulative"]
TRACES: tuple[Trace, ...] = ("paper", "squared", "cumulative")
STD_FLOOR = 1e-5


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    discount: float,
    trace_decay: float,
) -> Tensor:
    """Generalised advantage estimation of the rollout policy.

        δₜ = rₜ + γ (1 − termₜ) V′ₜ − Vₜ
        Aₜ = δₜ + γ λ (1 − termₜ)(1 − truncₜ) Aₜ₊₁,      A_T = 0

    This is ``preopc`` with ratios of 1. A truncated step bootstraps from V′ (the value of the true successor), then the
    trace is cut. Value targets are A + V.

    Args:
        rewards: [T, ...].
        values: [T, ...] V of the observation of step t.
        next_values: [T, ...] V′, the value of the true successor of step t: before a reset, not after it. Never read
            where ``terminated``, so it may hold anything there.
        terminated: [T, ...] bool or 0/1: the episode ended in a terminal state at step t.
        truncated: [T, ...] bool or 0/1: the episode was cut after step t, for instance by a step limit.
        discount: γ in [0, 1].
        trace_decay: λ in [0, 1].

    Returns: [T, ...] advantages, contiguous.
    Raises: ValueError: shapes or dtypes differ, or a number is out of range.
    Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", ICLR 2016.
    """
    _check(rewards, values, next_values, terminated, truncated, discount=discount, trace_decay=trace_decay)
    terminal, cut = _ends(terminated, truncated)
    deltas = _deltas(rewards, values, next_values, terminal, discount)
    coefficients = torch.full_like(deltas, discount * trace_decay).masked_fill_(cut, 0.0)
    return _backward_scan(deltas, coefficients)


@torch.no_grad()
def preopc(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    ratios: Tensor,
    *,
    discount: float,
    trace_decay: float,
    max_ratio: float = 1.0,
    trace: Trace = "paper",
) -> Tensor:
    """Preceding-agent off-policy correction: the advantage of the joint policy after the preceding agents' updates.

        "paper"       Aₜ = δₜ + γ λ min(c̄, ρₜ₊₁) (1 − termₜ)(1 − truncₜ) Aₜ₊₁,      ρ = ∏_{j∈P} π̂ʲ/πʲ,  A_T = 0
        "squared"     the same with λ² in place of λ: the public code's default, which applies λ twice
        "cumulative"  Aₜ = Σₘ (γ λ)ᵐ cₘ δₜ₊ₘ,   c₀ = 1,   cₘ = min(c̄, cₘ₋₁ ρₜ₊ₘ), until the episode ends: the running
                      product is clipped, so that a later ratio above 1 can repay an earlier one below 1

    δ as in ``gae``. ρₜ itself never enters Aₜ. The joint product is clipped once, from above only. The first two are one
    backward scan. "cumulative" clips a product that starts anew at every t, so it is one vectorised pass over the
    rollout per distance m: O(T) memory, O(T H) time with H the distance after which (γ λ)ᵐ is below the rounding error
    (about 300 in float32 and 600 in float64 at γ λ = 0.94; the rollout's length at γ λ = 1).

    Args:
        rewards: [T, ...].
        values: [T, ...] V, as in ``gae``.
        next_values: [T, ...] V′, as in ``gae``.
        terminated: [T, ...] bool or 0/1.
        truncated: [T, ...] bool or 0/1.
        ratios: [T, ...] ρ, the product of π_new/π_old over the agents that were already updated; 1 where none was.
        discount: γ in [0, 1].
        trace_decay: λ in [0, 1].
        max_ratio: c̄ ≥ 0, the ceiling of the trace; 1 in the paper, ``math.inf`` for none.
        trace: how the ratios form the trace, see above.

    Returns: [T, ...] advantages, contiguous.
    Raises: ValueError: shapes or dtypes differ, a number is out of range, or ``trace`` is unknown.
    Source: Wang et al., "Order Matters: Agent-by-agent Policy Optimization", ICLR 2023; the other two traces are those of
        the code published with it.
    """
    if trace not in TRACES:
        raise ValueError(f"trace is {trace!r}; known: {', '.join(TRACES)}")
    if not max_ratio >= 0.0:
        raise ValueError(f"max_ratio is {max_ratio}; it must be at least 0")
    _check(rewards, values, next_values, terminated, truncated, ratios, discount=discount, trace_decay=trace_decay)
    terminal, cut = _ends(terminated, truncated)
    deltas = _deltas(rewards, values, next_values, terminal, discount)
    # Row t of the coefficients leads from t to t + 1, so it holds the ratio of t + 1; the last row leads nowhere.
    coefficients = torch.zeros_like(deltas)
    torch.clamp(ratios[1:], max=torch.finfo(ratios.dtype).max if trace == "cumulative" else max_ratio, out=coefficients[:-1])
    coefficients.masked_fill_(cut, 0.0)
    decay = discount * (trace_decay**2 if trace == "squared" else trace_decay)
    if trace == "cumulative" and max_ratio != math.inf:
        return _clipped_product_sum(deltas, coefficients, decay, max_ratio)
    return _backward_scan(deltas, coefficients.mul_(decay))


@torch.no_grad()
def value_targets(advantages: Tensor, values: Tensor, ratios: Tensor | None, target: Literal["preopc", "vtrace"] = "preopc") -> Tensor:
    """What critics learn from corrected advantages.

        "preopc"  V + A, the target of the paper: the first step is not weighted
        "vtrace"  V + min(1, ρ) A: each step is weighted by its ratio, the first one too

    Args:
        advantages: [T, ...] of ``preopc`` with the trace "paper" for "vtrace"; any for "preopc".
        values: [T, ...] V.
        ratios: [T, ...] ρ as in ``preopc``, or None where nobody moved yet.
        target: which of the two.

    Returns: [T, ...].
    Source: Wang et al., ICLR 2023; Espeholt et al., "IMPALA", ICML 2018 (V-trace).
    """
    if target == "preopc" or ratios is None:
        return values + advantages
    return values + ratios.clamp(max=1.0) * advantages


@torch.no_grad()
def normalise(advantages: Tensor, mask: Tensor | None) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the masked-in entries, applied to every entry.

        Â = (A − mean) / (std + 1e-5),      population std

    Args:
        advantages: [...].
        mask: [...] bool or 0/1, the entries that count (alive agents, valid episodes), or None for all.

    Returns: [...] in the dtype of ``advantages``; zeros if no entry counts.
    Raises: ValueError: shapes differ or the dtype is not floating.
    Source: marlbenchmark/on-policy, ``r_mappo.py``.
    """
    if not advantages.is_floating_point():
        raise ValueError(f"advantages must be floating point, not {advantages.dtype}")
    if mask is not None and mask.shape != advantages.shape:
        raise ValueError(f"mask {list(mask.shape)} and advantages {list(advantages.shape)} differ in shape")
    # Sums in float64: a constant column then centres to exactly 0 instead of to a rounding error over 1e-5.
    wide = advantages.double()
    counts = torch.ones_like(wide, dtype=torch.bool) if mask is None else mask != 0
    count = counts.sum()
    mean = torch.where(counts, wide, 0.0).sum() / count.clamp(min=1)
    centred = wide - mean
    variance = torch.where(counts, centred, 0.0).square().sum() / count.clamp(min=1)
    scale = torch.where(count > 0, 1.0 / (variance.sqrt() + STD_FLOOR), 0.0)
    return (centred * scale).to(advantages.dtype)


def _check(rewards: Tensor, *others: Tensor, discount: float, trace_decay: float) -> None:
    """Shapes equal, floats of one dtype, numbers in range. Positions follow ``preopc``'s signature."""
    names = ("values", "next_values", "terminated", "truncated", "ratios")
    if rewards.dim() == 0 or not rewards.is_floating_point():
        raise ValueError(f"rewards must be a floating-point tensor [T, ...], not {rewards.dtype} {list(rewards.shape)}")
    for name, tensor in zip(names, others, strict=False):
        if tensor.shape != rewards.shape:
            raise ValueError(f"{name} {list(tensor.shape)} and rewards {list(rewards.shape)} differ in shape; expand the smaller one")
        if name not in ("terminated", "truncated") and tensor.dtype != rewards.dtype:
            raise ValueError(f"{name} is {tensor.dtype} and rewards is {rewards.dtype}; both must have one dtype")
    for name, number in (("discount", discount), ("trace_decay", trace_decay)):
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} is {number}; it must be in [0, 1]")


def _ends(terminated: Tensor, truncated: Tensor) -> tuple[Tensor, Tensor]:
    """([T, ...] bool terminal, [T, ...] bool the trace is cut after this step)."""
    terminal = terminated != 0
    return terminal, terminal | (truncated != 0)


def _deltas(rewards: Tensor, values: Tensor, next_values: Tensor, terminal: Tensor, discount: float) -> Tensor:
    """δₜ = rₜ + γ (1 − termₜ) V′ₜ − Vₜ as a fresh contiguous tensor, whatever the strides of the inputs."""
    deltas = torch.empty(rewards.shape, dtype=rewards.dtype, device=rewards.device)
    torch.mul(next_values, discount, out=deltas)
    return deltas.masked_fill_(terminal, 0.0).add_(rewards).sub_(values)


def _backward_scan(deltas: Tensor, coefficients: Tensor) -> Tensor:
    """Aₜ = δₜ + cₜ Aₜ₊₁ in place on ``deltas``: one fused operation per step."""
    rows, factors = deltas.unbind(0), coefficients.unbind(0)
    addcmul = torch.addcmul
    for t in range(len(rows) - 2, -1, -1):
        addcmul(rows[t], factors[t], rows[t + 1], out=rows[t])
    return deltas


def _clipped_product_sum(deltas: Tensor, ratios: Tensor, decay: float, max_ratio: float) -> Tensor:
    """Aₜ = Σₘ decayᵐ cₘ δₜ₊ₘ with cₘ = min(c̄, cₘ₋₁ ratiosₜ₊ₘ₋₁), for all t at once, one distance m after the other."""
    advantages, running = deltas.clone(), torch.ones_like(deltas)
    # What is dropped beyond the horizon is at most max|δ| c̄ decayᵐ / (1 − decay): less than one rounding error.
    negligible = torch.finfo(deltas.dtype).eps * (1.0 - decay) / max(1.0, max_ratio)
    length, weight = deltas.shape[0], decay
    for distance in range(1, length):
        if weight <= negligible:
            break
        rest = length - distance
        running = running[:rest].mul_(ratios[distance - 1 : length - 1]).clamp_(max=max_ratio)
        advantages[:rest].addcmul_(running, deltas[distance:], value=weight)
        weight *= decay
    return advantages
