"""N sets of the same parameters in one flat tensor, so that agents are slices and one batched product serves them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
_TENSORS = ("values", "first_moments", "second_moments", "steps")


@dataclass(frozen=True)
class AdamSettings:
    """Adam with gradient clipping. ``max_grad_norm`` bounds the global norm of each network."""

    epsilon: float = 1e-5
    max_grad_norm: float = 10.0
    beta1: float = 0.9
    beta2: float = 0.999


def rows_of(ids: Sequence[int]) -> slice | list[int]:
    """The ids as an index: a range where they are neighbours in ascending order, for then what is indexed is a view."""
    first, last = ids[0], ids[0] + len(ids)
    return slice(first, last) if list(ids) == list(range(first, last)) else list(ids)


class ParameterStack:
    """Parameters and Adam moments of N equal networks, each [N, P] in one piece.

    Every network has its own moments and step count, so the ones that are not being updated do not move.
    """

    def __init__(self, shapes: Shapes, num_networks: int, device: torch.device | str = "cpu") -> None:
        self.shapes = dict(shapes)
        size = sum(prod(shape) for shape in self.shapes.values())
        self.values = torch.zeros(num_networks, size, device=device)
        self.first_moments = torch.zeros_like(self.values)
        self.second_moments = torch.zeros_like(self.values)
        self.steps = torch.zeros(num_networks, 1, device=device)

    @property
    def num_networks(self) -> int:
        """N."""
        return self.values.shape[0]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Name -> view [N, *shape] of one flat tensor [N, P]."""
        offset, views = 0, {}
        for name, shape in self.shapes.items():
            size = prod(shape)
            views[name] = flat[:, offset : offset + size].view(-1, *shape)
            offset += size
        return views

    def leaves(self, which: slice) -> dict[str, torch.nn.Parameter]:
        """Trainable views of some of the networks, in the order that ``adam_step`` wants their gradients."""
        return {name: torch.nn.Parameter(view) for name, view in self.views(self.values[which]).items()}

    def subset(self, rows: Sequence[int]) -> ParameterStack:
        """A copy of some of the networks with their optimisers."""
        copy = ParameterStack(self.shapes, len(rows), self.values.device)
        for name in _TENSORS:
            getattr(copy, name).copy_(getattr(self, name)[list(rows)])
        return copy

    def put_back(self, rows: Sequence[int], subset: ParameterStack) -> None:
        """Take over what was made of a ``subset`` of the same rows."""
        for name in _TENSORS:
            getattr(self, name)[list(rows)] = getattr(subset, name)

    @torch.no_grad()
    def adam_step(self, which: slice, gradients: Sequence[Tensor], learning_rate: float, settings: AdamSettings) -> Tensor:
        """One Adam step of some of the networks, each clipped to its own global norm.

        ``gradients``: one [n, *shape] per parameter, as ``torch.autograd.grad`` gives them for the ``leaves``.

            m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  θ ← θ - α · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)

        Returns: [n] gradient norms before clipping.
        Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
        """
        gradient = torch.cat([part.flatten(1) for part in gradients], dim=1)  # [n, P]
        first, second, steps = self.first_moments[which], self.second_moments[which], self.steps[which]
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((settings.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))
        steps.add_(1.0)
        first.lerp_(gradient, 1.0 - settings.beta1)
        second.mul_(settings.beta2).addcmul_(gradient, gradient, value=1.0 - settings.beta2)
        denominator = (second / (1.0 - settings.beta2**steps)).sqrt_().add_(settings.epsilon)
        self.values[which].sub_((first / denominator).mul_(learning_rate / (1.0 - settings.beta1**steps)))
        return norm.squeeze(1)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights by name and the optimiser's moments."""
        weights = {f"weights.{name}": view for name, view in self.views(self.values).items()}
        return {**weights, "adam.first": self.first_moments, "adam.second": self.second_moments, "adam.steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy a saved state in place. Raises: KeyError or RuntimeError where names or shapes do not fit."""
        for name, view in self.state_dict().items():
            view.copy_(state[name])

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Copy the weights alone, for evaluation and warm starts."""
        for name, view in self.views(self.values).items():
            view.copy_(state[f"weights.{name}"])
