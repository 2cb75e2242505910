"""Separate random streams: one per purpose and agent, so that a change in one place never shifts another's numbers."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def stream_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A fixed hash of (seed, purpose, index) in [0, 2**63)."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), index]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for one purpose (and one agent)."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, purpose, index))
