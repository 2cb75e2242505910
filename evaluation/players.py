"""An exported team at an environment's table: tensors in, actions out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from a2po.envs.protocol import Observations
from a2po.runtime.team import Team


class BundlePlayer:
    """Plays a bundle's actors. The noise is None for greedy play."""

    def __init__(self, team: Team, device: torch.device, noise: np.random.Generator | None = None) -> None:
        self.team, self.device, self.noise = team, device, noise
        team.reset()

    def __call__(self, observations: Observations, begun: Tensor | None) -> Tensor:
        """Actions int64 [B, N] or float32 [B, N, A]; ``begun`` [B] says whose episode has just begun."""
        if begun is not None:
            self.team.reset(begun.cpu().numpy())
        mask = observations.action_mask
        if mask is not None:
            # An agent that does not exist may have no legal action. What it does is of no effect, so all are allowed.
            mask = mask | ~(mask.any(dim=-1) | observations.alive).unsqueeze(-1)
        legal = None if mask is None else mask.cpu().numpy()
        actions = self.team.act(observations.obs.cpu().numpy(), legal, noise=self.noise)
        return torch.from_numpy(actions).to(self.device)
