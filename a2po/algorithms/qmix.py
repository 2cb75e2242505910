"""The formulas of QMIX and VDN: targets over several steps, double Q, exploration.

Pure functions of tensors, without gradient, in the dtype of their inputs. Time is the first axis; the others are independent columns.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def td_lambda_targets(
    rewards: Tensor, terminated: Tensor, mask: Tensor, target_qtot: Tensor, *, discount: float, td_lambda: float
) -> Tensor:
    """What Q_tot learns: λ-weighted returns of every length to the end of the episode, each ended by the target network's Q_tot.

        Gₜ = maskₜ (Rₜ + γ (1 − termₜ) [(1 − λ) Qₜ₊₁ + λ Gₜ₊₁]),      Gₜ₊₁ is Qₜ₊₁ behind the last step that counts

    So λ = 0 looks one step ahead, and a truncated episode bootstraps from the Q_tot of its true successor. The public code writes
    the same sum but lets what lies behind a truncated and padded episode leak into it; here nothing there is looked at.

    Args:
        rewards: [T, ...] R, of the team.
        terminated: [T, ...] bool or 0/1: the episode ended in a terminal state at step t.
        mask: [T, ...] bool or 0/1: the step was played; 0 for the padding behind the end of an episode.
        target_qtot: [T + 1, ...] Q, the target network's value of the observation of step t, the last one of what followed step T.
        discount: γ in [0, 1].
        td_lambda: λ in [0, 1].

    Returns: [T, ...], 0 where the mask is.
    Raises: ValueError: shapes do not fit or a number is out of range.
    Source: Rashid et al., "QMIX", ICML 2018; TD(λ) as in hijkzzz/pymarl2.
    """
    if terminated.shape != rewards.shape or mask.shape != rewards.shape:
        raise ValueError(f"rewards {list(rewards.shape)}, terminated {list(terminated.shape)} and mask {list(mask.shape)} differ in shape")
    if rewards.dim() == 0 or target_qtot.shape != (rewards.shape[0] + 1, *rewards.shape[1:]):
        raise ValueError(f"target_qtot {list(target_qtot.shape)} must have one step more than rewards {list(rewards.shape)}")
    for name, number in (("discount", discount), ("td_lambda", td_lambda)):
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} is {number}; it must be in [0, 1]")
    counts, terminal = mask != 0, terminated != 0
    targets, following = torch.zeros_like(rewards), target_qtot[-1]
    for t in reversed(range(rewards.shape[0])):
        ahead = torch.lerp(target_qtot[t + 1], following, td_lambda)
        targets[t] = torch.where(counts[t], rewards[t] + torch.where(terminal[t], 0.0, discount * ahead), 0.0)
        following = torch.where(counts[t], targets[t], target_qtot[t])
    return targets


@torch.no_grad()
def double_q_targets(live_q: Tensor, target_q: Tensor, available: Tensor, *, double_q: bool = True) -> Tensor:
    """The target network's Q of the best legal action: the one that the live network would pick, or the target network's own maximum.

    An agent without any legal action does not exist in this episode: its Q is 0.

    Args:
        live_q: [..., A].
        target_q: [..., A].
        available: [..., A] bool or 0/1: the action is legal.
        double_q: False for the plain maximum.

    Returns: [...].
    Raises: ValueError: shapes differ.
    Source: van Hasselt et al., "Deep Reinforcement Learning with Double Q-learning", AAAI 2016.
    """
    shapes = [list(tensor.shape) for tensor in (live_q, target_q, available)]
    if not shapes[0] == shapes[1] == shapes[2]:
        raise ValueError(f"live_q, target_q and available differ in shape: {shapes}")
    legal = available != 0
    picking = live_q if double_q else target_q
    best = torch.where(legal, picking, -torch.inf).argmax(-1, keepdim=True)
    return torch.where(legal.any(-1), target_q.gather(-1, best).squeeze(-1), 0.0)


def epsilon(t: float, *, start: float, finish: float, anneal: float) -> float:
    """The share of random actions after ``t`` environment steps: linear from ``start`` to ``finish`` over ``anneal`` steps, then constant.

    Raises: ValueError: ``anneal`` is not positive or ``t`` negative.
    """
    if anneal <= 0 or t < 0:
        raise ValueError(f"anneal is {anneal} and t is {t}; they must be positive and at least 0")
    return start - (start - finish) * t / anneal if t < anneal else finish
