"""Running statistics: of value targets (ValueNorm, PopArt) and of observations (RunningNorm).

Statistics are float64 whatever the data, and plain tensors: no gradient, no module. They take a shape, such as [N] for
one critic per agent, which is the trailing shape of the data; everything before it is averaged over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

CHUNK_NUMBERS = 1 << 20
"""RunningNorm widens at most this many numbers to float64 at a time (8 MB)."""


class _Statistics:
    """Named tensors that move and are saved together."""

    _names: tuple[str, ...]

    def to(self, device: torch.device | str) -> Self:
        """Move to a device, in place."""
        for name in self._names:
            setattr(self, name, getattr(self, name).to(device))
        self._refresh()
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the statistics by name."""
        return {name.lstrip("_"): getattr(self, name).clone() for name in self._names}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state_dict`` gave.

        Raises: ValueError: a name or a shape differs; nothing is changed then.
        """
        own = {name.lstrip("_"): getattr(self, name) for name in self._names}
        have, want = ({name: list(tensor.shape) for name, tensor in tensors.items()} for tensors in (state, own))
        if have != want:
            raise ValueError(f"statistics {have} do not fit {want}")
        for name, tensor in own.items():
            tensor.copy_(state[name])
        self._refresh()

    def _refresh(self) -> None:
        """Recompute what is derived from the statistics."""


class ValueNorm(_Statistics):
    """Debiased exponential moving mean and variance of value targets; a critic predicts normalised values.

        m ← β m + (1−β) E[x],   q ← β q + (1−β) E[x²],   w ← β w + (1−β)
        mean = m / max(w, 1e-5),   var = max(q / max(w, 1e-5) − mean², 1e-2)

    Before any update mean = 0 and var = 1e-2, as in the public code.

    Args:
        shape: trailing shape of the data with statistics of its own, such as (N,); () for one pair of numbers.
        beta: β per call of ``update``.

    Source: marlbenchmark/on-policy, ``valuenorm.py``.
    """

    _names = ("_first", "_second", "_weight")
    MIN_WEIGHT = 1e-5
    MIN_VARIANCE = 1e-2

    def __init__(self, shape: Sequence[int] = (), *, beta: float = 0.99999, device: torch.device | str = "cpu") -> None:
        self.shape = tuple(shape)
        self.beta = beta
        self._first = torch.zeros(self.shape, dtype=torch.float64, device=device)
        self._second = torch.zeros_like(self._first)
        self._weight = torch.zeros_like(self._first)
        self._refresh()

    @torch.no_grad()
    def update(self, batch: Tensor, mask: Tensor | None = None) -> None:
        """Move the statistics by one batch.

        Args:
            batch: [..., *shape] value targets.
            mask: like the batch, bool or 0/1: the entries that count, or None for all. Statistics without any stay.

        Raises: ValueError: shapes differ.
        """
        _check_trailing(batch, self.shape)
        if mask is not None and mask.shape != batch.shape:
            raise ValueError(f"mask {list(mask.shape)} and batch {list(batch.shape)} differ in shape")
        counts = (torch.ones_like(batch, dtype=torch.bool) if mask is None else mask != 0).reshape(-1, *self.shape)
        values = torch.where(counts, batch.detach().reshape(-1, *self.shape).double(), 0.0)
        count = counts.sum(dim=0)
        rate = (count > 0).double() * (1.0 - self.beta)
        self._first.lerp_(values.sum(dim=0) / count.clamp(min=1), rate)
        self._second.lerp_(values.square().sum(dim=0) / count.clamp(min=1), rate)
        self._weight.lerp_(torch.ones_like(self._weight), rate)
        self._refresh()

    def normalise(self, values: Tensor) -> Tensor:
        """[..., *shape] (x − mean) / std, in the dtype of ``values``."""
        return (values - self.mean.to(values.dtype)) / self.std.to(values.dtype)

    def denormalise(self, values: Tensor) -> Tensor:
        """[..., *shape] x · std + mean, in the dtype of ``values``."""
        return values * self.std.to(values.dtype) + self.mean.to(values.dtype)

    def _refresh(self) -> None:
        weight = self._weight.clamp(min=self.MIN_WEIGHT)
        self.mean = self._first / weight
        """[*shape] float64."""
        self.var = (self._second / weight - self.mean.square()).clamp(min=self.MIN_VARIANCE)
        """[*shape] float64."""
        self.std = self.var.sqrt()
        """[*shape] float64."""


class PopArt(ValueNorm):
    """ValueNorm that rescales the critic's last layer with the statistics, so that its denormalised outputs stay.

        W ← W σ/σ′,      b ← (σ b + μ − μ′)/σ′

    Source: van Hasselt et al., "Learning values across many orders of magnitude", NeurIPS 2016.
    """

    @torch.no_grad()
    def update_layer(self, batch: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None = None) -> None:
        """``update`` with the batch, then rescale the layer in place.

        Args:
            batch: [..., *shape] value targets.
            mask: like the batch, the entries that count, or None for all.
            weight: [*shape, ...] weights of the last layer, such as [1, H] for shape () or [N, H] for shape (N,).
            bias: [*shape, ...].
        """
        mean, std = self.mean, self.std
        self.update(batch, mask)
        popart_rescale(weight, bias, mean, std, self.mean, self.std)


@torch.no_grad()
def popart_rescale(weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor, new_mean: Tensor, new_std: Tensor) -> None:
    """W ← W σ/σ′ and b ← (σ b + μ − μ′)/σ′ in place: (W x + b) σ + μ is the same before and after.

    Args:
        weight: [*shape, ...] W.
        bias: [*shape, ...] b.
        mean: [*shape] μ, before.
        std: [*shape] σ, before.
        new_mean: [*shape] μ′, after.
        new_std: [*shape] σ′, after.
    """

    def beside(tensor: Tensor, like: Tensor) -> Tensor:  # [*shape] -> [*shape, 1, ...]
        return tensor.reshape(tensor.shape + (1,) * (like.dim() - tensor.dim())).to(like.dtype)

    weight.mul_(beside(std / new_std, weight))
    bias.mul_(beside(std / new_std, bias)).add_(beside((mean - new_mean) / new_std, bias))


class RunningNorm(_Statistics):
    """Exact mean and variance of every feature over all observations so far, and the normalisation by them.

        x̂ = clip((x − mean) / max(std, floor), ± clip)

    The sums are merged in float64 by Chan's formula, so neither the number of samples nor a large offset loses digits.
    ``mean`` and ``inverse_std`` are float32 copies that change in ``update`` and ``load_state_dict`` only, and in place,
    so views of them stay valid: call ``update`` between update rounds. A feature that never varied is divided by the
    floor; one that was never seen passes unchanged but for the clip.

    Args:
        shape: [*agents, O], such as (N, O), or (S,): one count per leading index, one mean and variance per feature.
        clip: largest absolute normalised value.
        min_std: the floor.

    Source: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """

    _names = ("count", "exact_mean", "m2")

    def __init__(self, shape: Sequence[int], *, clip: float = 10.0, min_std: float = 1e-2, device: torch.device | str = "cpu") -> None:
        self.shape = tuple(shape)
        if not self.shape:
            raise ValueError("shape needs at least the features' axis")
        self.clip, self.min_std = clip, min_std
        self.count = torch.zeros(*self.shape[:-1], 1, dtype=torch.float64, device=device)
        """[*agents, 1] samples seen."""
        self.exact_mean = torch.zeros(self.shape, dtype=torch.float64, device=device)
        """[*shape] float64."""
        self.m2 = torch.zeros_like(self.exact_mean)
        """[*shape] float64 sum of squared deviations from the mean."""
        self.mean = torch.zeros(self.shape, device=device)
        """[*shape] float32, what ``normalise`` subtracts."""
        self.inverse_std = torch.ones(self.shape, device=device)
        """[*shape] float32, what ``normalise`` multiplies with."""

    def to(self, device: torch.device | str) -> Self:
        """Move to a device; views of ``mean`` and ``inverse_std`` taken before stay behind."""
        self.mean, self.inverse_std = self.mean.to(device), self.inverse_std.to(device)
        return super().to(device)

    @torch.no_grad()
    def update(self, batch: Tensor, alive: Tensor | None = None) -> None:
        """Merge a batch.

        Args:
            batch: [..., *shape] observations.
            alive: [..., *agents] bool or 0/1: the observations that count, or None for all.

        Raises: ValueError: shapes differ.
        """
        _check_trailing(batch, self.shape)
        if alive is not None and alive.shape != batch.shape[:-1]:
            raise ValueError(f"alive {list(alive.shape)} does not fit batch {list(batch.shape)}")
        rows = batch.detach().reshape(-1, *self.shape)
        counts = None if alive is None else (alive != 0).reshape(-1, *self.shape[:-1], 1)
        size = max(1, CHUNK_NUMBERS // max(1, math.prod(self.shape)))
        for start in range(0, rows.shape[0], size):
            self._merge(rows[start : start + size].double(), None if counts is None else counts[start : start + size])
        self._refresh()

    def normalise(self, x: Tensor) -> Tensor:
        """[..., *shape] normalised and clipped observations."""
        return ((x - self.mean) * self.inverse_std).clamp(-self.clip, self.clip)

    def _merge(self, rows: Tensor, counts: Tensor | None) -> None:
        """Chan's merge of one chunk: rows [M, *shape] float64, counts [M, *agents, 1] bool or None."""
        if counts is None:
            count = torch.full_like(self.count, rows.shape[0])
            mean = rows.mean(dim=0)
            m2 = (rows - mean).square_().sum(dim=0)
        else:
            count = counts.sum(dim=0).double()
            mean = torch.where(counts, rows, 0.0).sum(dim=0) / count.clamp(min=1.0)
            m2 = torch.where(counts, rows - mean, 0.0).square_().sum(dim=0)
        total = self.count + count
        share = count / total.clamp(min=1.0)
        delta = mean - self.exact_mean
        self.exact_mean += delta * share
        self.m2 += m2 + delta.square() * (self.count * share)
        self.count = total

    def _refresh(self) -> None:
        std = (self.m2 / self.count.clamp(min=1.0)).sqrt().clamp(min=self.min_std)
        self.mean.copy_(self.exact_mean)
        self.inverse_std.copy_(torch.where(self.count > 0, 1.0 / std, 1.0))


def _check_trailing(batch: Tensor, shape: tuple[int, ...]) -> None:
    """The batch is floating point and ends with ``shape``."""
    if not batch.is_floating_point() or batch.dim() < len(shape) or tuple(batch.shape[batch.dim() - len(shape) :]) != shape:
        raise ValueError(f"batch must be floating point [..., {', '.join(map(str, shape))}], not {batch.dtype} {list(batch.shape)}")
