"""Action distributions: a masked categorical and a diagonal Gaussian with tanh mean.

Small own classes: ``torch.distributions`` validates and allocates as much as a whole actor costs. All illegal or padded
parts are finite numbers that contribute exactly nothing, so that no NaN can arise and the same formulas export to ONNX.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

ILLEGAL_LOGIT = -1e10
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def mask_logits(logits: Tensor, action_mask: Tensor) -> Tensor:
    """[..., A] the logits where legal, −1e10 elsewhere; the mask is bool or 0/1."""
    legal = action_mask if action_mask.dtype == torch.bool else action_mask != 0
    return torch.where(legal, logits, ILLEGAL_LOGIT)


def clamp_log_std(log_std: Tensor) -> Tensor:
    """The log standard deviation within [−20, 2]."""
    return log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


class MaskedCategorical:
    """Categorical distribution over the legal actions.

        log p(a) = z_a − log Σ_b exp z_b,      z = logits where legal, −1e10 elsewhere

    A row without any legal action (an agent that does not exist) is uniform and finite.

    Args:
        logits: [..., A].
        action_mask: [..., A] bool or 0/1, broadcastable to the logits, or None if every action is legal. Padded
            actions of an agent with fewer of them are illegal.

    Raises: ValueError: the dtype is not floating or the mask does not fit.
    Source: marlbenchmark/on-policy, ``distributions.py`` (the same −1e10).
    """

    def __init__(self, logits: Tensor, action_mask: Tensor | None = None) -> None:
        if not logits.is_floating_point() or logits.dim() == 0:
            raise ValueError(f"logits must be a floating-point tensor [..., A], not {logits.dtype} {list(logits.shape)}")
        if action_mask is not None:
            _check_broadcast("action_mask", action_mask, logits)
            logits = mask_logits(logits, action_mask)
        self.logits = logits
        """[..., A] with the illegal ones at −1e10."""

    @cached_property
    def log_probs(self) -> Tensor:
        """[..., A] normalised log-probabilities, computed once for ``log_prob`` and ``entropy``."""
        return torch.log_softmax(self.logits, dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """[...] log-probability of the action [...] int64."""
        if action.shape != self.logits.shape[:-1]:
            raise ValueError(f"action {list(action.shape)} does not fit logits {list(self.logits.shape)}")
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """[...] −Σ p log p over the legal actions, in nats."""
        return -(self.log_probs.exp() * self.log_probs).sum(dim=-1)

    @torch.no_grad()
    def sample(self, noise: Tensor | torch.Generator | None = None) -> Tensor:
        """[...] int64 action by the Gumbel-max trick: argmax(z − log(−log u)).

        Args:
            noise: [..., A] uniform u in [0, 1), or the generator to draw it from (on the logits' device), or None for
                torch's own.
        """
        if not isinstance(noise, Tensor):
            noise = torch.rand(self.logits.shape, generator=noise, dtype=self.logits.dtype, device=self.logits.device)
        elif noise.shape != self.logits.shape:
            raise ValueError(f"noise {list(noise.shape)} does not fit logits {list(self.logits.shape)}")
        # The limits keep both logarithms finite, so that no illegal action can win.
        limits = torch.finfo(noise.dtype)
        exponential = noise.clamp(limits.tiny, 1.0 - limits.eps).log_().neg_()
        return (self.logits - exponential.log_()).argmax(dim=-1)

    def mode(self) -> Tensor:
        """[...] int64 most likely action."""
        return self.logits.argmax(dim=-1)


class TanhMeanGaussian:
    """Diagonal Gaussian with mean tanh(raw mean) and a standard deviation that does not depend on the state.

        log p(a) = Σ_d −½ ((a_d − μ_d)/σ_d)² − log σ_d − ½ log 2π,      μ = tanh(raw),  log σ ∈ [−20, 2]

    The sum runs over the agent's real action dimensions. The sample is unscaled and not clipped; mapping it to the
    environment's Box is done elsewhere and does not change the log-probability.

    Args:
        raw_mean: [..., A], or [N, M, A] for stacked agents (agents first).
        log_std: [A], or [N, A] for stacked agents, or any shape of the same rank that broadcasts to ``raw_mean``.
        action_dims: 1 for real and 0 for padded dimensions, shaped as ``log_std`` may be; None if all are real.

    Raises: ValueError: the dtype is not floating or shapes do not fit.
    Source: the code published with A2PO (tanh mean, log-std clamped to [−20, 2]).
    """

    def __init__(self, raw_mean: Tensor, log_std: Tensor, action_dims: Tensor | None = None) -> None:
        if not raw_mean.is_floating_point() or raw_mean.dim() == 0:
            raise ValueError(f"raw_mean must be a floating-point tensor [..., A], not {raw_mean.dtype} {list(raw_mean.shape)}")
        self._set(torch.tanh(raw_mean), log_std, action_dims)

    @classmethod
    def from_mean(cls, mean: Tensor, log_std: Tensor, action_dims: Tensor | None = None) -> Self:
        """The same from the mean itself, which an actor that already applied the tanh gives."""
        self = cls.__new__(cls)
        self._set(mean, log_std, action_dims)
        return self

    def _set(self, mean: Tensor, log_std: Tensor, action_dims: Tensor | None) -> None:
        self.mean = mean
        """[..., A] mean of the unscaled action."""
        self.log_std = clamp_log_std(_aligned("log_std", log_std, mean))
        """Clamped, broadcastable to the mean."""
        self._dims = None if action_dims is None else _aligned("action_dims", action_dims, mean).to(mean.dtype)

    def log_prob(self, action: Tensor) -> Tensor:
        """[...] log-probability of the unscaled action [..., A]: one number per agent and sample."""
        if action.shape != self.mean.shape:
            raise ValueError(f"action {list(action.shape)} does not fit mean {list(self.mean.shape)}")
        # The padding is masked in the small tensors: four operations of full size remain.
        return ((action - self.mean) * self._real(torch.exp(-self.log_std))).square().sum(dim=-1) * -0.5 - self._log_scale

    def entropy(self) -> Tensor:
        """[...] Σ_d log σ_d + ½ log 2πe, in nats."""
        half = self._real(torch.full_like(self.log_std, 0.5)).expand_as(self.log_std).sum(dim=-1)
        return (self._log_scale + half).expand(self.mean.shape[:-1])

    @torch.no_grad()
    def sample(self, noise: Tensor | torch.Generator | None = None) -> Tensor:
        """[..., A] μ + σ · noise, with zeros in padded dimensions.

        Args:
            noise: [..., A] standard normal, or the generator to draw it from (on the mean's device), or None for
                torch's own.
        """
        if not isinstance(noise, Tensor):
            noise = torch.randn(self.mean.shape, generator=noise, dtype=self.mean.dtype, device=self.mean.device)
        elif noise.shape != self.mean.shape:
            raise ValueError(f"noise {list(noise.shape)} does not fit mean {list(self.mean.shape)}")
        return self._real(torch.addcmul(self.mean, self.log_std.exp(), noise))

    def mode(self) -> Tensor:
        """[..., A] the mean, with zeros in padded dimensions."""
        return self._real(self.mean)

    @cached_property
    def _log_scale(self) -> Tensor:
        """Σ_d log σ_d + ½ log 2π over the real dimensions, broadcastable to the samples."""
        return self._real(self.log_std + _HALF_LOG_TWO_PI).sum(dim=-1)

    def _real(self, tensor: Tensor) -> Tensor:
        return tensor if self._dims is None else tensor * self._dims


def _aligned(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    """[N, A] beside [N, M, A] gets an axis for M; everything else must broadcast as it is."""
    if tensor.dim() > 1 and tensor.dim() == like.dim() - 1:
        tensor = tensor.unsqueeze(-2)
    _check_broadcast(name, tensor, like)
    return tensor


def _check_broadcast(name: str, tensor: Tensor, like: Tensor) -> None:
    """``tensor`` broadcasts to the shape of ``like`` without enlarging it, and has its last axis."""
    fits = 0 < tensor.dim() <= like.dim() and tensor.shape[-1] == like.shape[-1]
    if not fits or any(a not in (1, b) for a, b in zip(reversed(tensor.shape), reversed(like.shape), strict=False)):
        raise ValueError(f"{name} {list(tensor.shape)} does not fit {list(like.shape)}")
