"""Sampled play: the action that a noise gives, from the outputs of an actor's graph. The same in every language."""

from __future__ import annotations

import numpy as np


def sample_discrete(logits: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Gumbel-max: argmax(z − log(−log u)).

    Args:
        logits: [B, A] with illegal actions at −1e10.
        noise: [B, A] uniform u in [0, 1).

    Returns: [B] int64.
    """
    chosen: np.ndarray = np.argmax(logits + gumbel(noise), axis=-1)
    return chosen


def gumbel(noise: np.ndarray) -> np.ndarray:
    """-log(-log u) of noise u in [0, 1). The limits keep both logarithms finite, so that no illegal action can win."""
    limits = np.finfo(np.float32)
    uniform = np.clip(noise, limits.tiny, np.float32(1.0) - limits.eps)
    values: np.ndarray = -np.log(-np.log(uniform))
    return values


def sample_continuous(mean: np.ndarray, log_std: np.ndarray, noise: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The sample μ + σ · noise, clipped to [-1, 1] and scaled to the Box.

    Args:
        mean: [B, A] in [-1, 1].
        log_std: [B, A].
        noise: [B, A] standard normal.
        low: [A] lower bounds of the Box.
        high: [A] upper bounds.

    Returns: [B, A] float32 in the environment's units.
    """
    sample = np.clip(mean + np.exp(log_std) * noise, -1.0, 1.0)
    scaled = (low + high) / 2 + sample * ((high - low) / 2)
    clipped: np.ndarray = np.clip(scaled, low, high).astype(np.float32, copy=False)
    return clipped
