"""From rows to tensors: one gather builds the observations of all agents, another the global state."""

from __future__ import annotations

import numpy as np
import torch

from a2po.envs.mamujoco.factorisation import Factorisation
from a2po.envs.mamujoco.rows import RowLayout
from a2po.envs.mamujoco.scenarios import Scenario
from a2po.envs.protocol import Observations

MAX_VELOCITY = 10.0  # Hopper and Walker2d


class ObservationBuilder:
    """Fills Observations of B copies, on the CPU."""

    def __init__(self, scenario: Scenario, factorisation: Factorisation, layout: RowLayout, num_envs: int, standardise: bool) -> None:
        columns = factorisation.columns
        table = factorisation.table
        self.shape = table.shape
        self._obs_columns, self._state_columns = table.reshape(-1), np.array(factorisation.state, np.int64)
        self._layout, self._columns = layout, columns
        self._contact = layout.fields.get("cfrc_ext") if scenario.contact_clip is not None else None
        self._contact_clip = scenario.contact_clip or 0.0
        # Standardisation is float64 as in the code whose results it reproduces; else float32 halves the traffic.
        self._features = np.zeros((num_envs, columns.width), np.float64 if standardise else np.float32)
        self._features[:, columns.one] = 1.0
        sizes = np.array([len(seen) for seen in factorisation.obs])
        self._real = (np.arange(self.shape[1]) < sizes[:, None]).astype(np.float64) if standardise else None

    def allocate(self, num_envs: int, device: torch.device) -> Observations:
        """Zeroed tensors for B copies."""
        num_agents, width = self.shape
        return Observations(
            obs=torch.zeros(num_envs, num_agents, width, device=device),
            state=torch.zeros(num_envs, len(self._state_columns), device=device),
            action_mask=None,
            alive=torch.ones(num_envs, num_agents, dtype=torch.bool, device=device),
        )

    def fill(self, rows: np.ndarray, obs: np.ndarray, state: np.ndarray) -> None:
        """Write what ``rows`` [K, width] show into ``obs`` float32 [K, N, O] and ``state`` float32 [K, S]."""
        features = self._features[: len(rows)]
        features[:, : self._layout.width] = rows
        if self._contact is not None:
            contact = features[:, self._contact]
            np.clip(contact, -self._contact_clip, self._contact_clip, out=contact)
        if self._columns.clipped_qvel is not None:
            np.clip(
                rows[:, self._layout.fields["qvel"]],
                -MAX_VELOCITY,
                MAX_VELOCITY,
                out=features[:, self._columns.clipped_qvel],
                casting="same_kind",
            )
        if self._real is not None:
            self._fill_standardised(features, obs, state, self._real)
            return
        # mode="clip" spares take a buffered copy; the indices are in range by construction
        features.take(self._obs_columns, axis=1, out=obs.reshape(len(rows), -1), mode="clip")
        features.take(self._state_columns, axis=1, out=state, mode="clip")

    def _fill_standardised(self, features: np.ndarray, obs: np.ndarray, state: np.ndarray, real: np.ndarray) -> None:
        seen = features[:, self._obs_columns].reshape(obs.shape)  # [K, N * O] -> [K, N, O], padded with zeros
        sizes = real.sum(axis=1)[:, None]
        centred = (seen - seen.sum(axis=2, keepdims=True) / sizes) * real
        obs[...] = centred / _positive(np.sqrt(np.square(centred).sum(axis=2, keepdims=True) / sizes))
        whole = features[:, self._state_columns]
        centred = whole - whole.mean(axis=1, keepdims=True)
        state[...] = centred / _positive(np.sqrt(np.square(centred).mean(axis=1, keepdims=True)))


def _positive(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 0.0, deviation, 1.0)
