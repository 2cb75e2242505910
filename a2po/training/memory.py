"""Does it fit into memory? Asked before anything large is allocated: the system hands out more than it has, and kills later."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from a2po.errors import ConfigError

CGROUP = Path("/sys/fs/cgroup")


def require_memory(needed: int, device: torch.device, what: str, mend: str) -> None:
    """There is room for ``needed`` bytes on the device.

    Args:
        needed: bytes.
        device: where.
        what: wants them, in words.
        mend: what a person can do, in words.

    Raises:
        ConfigError: there is not.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        raise ConfigError(f"{what} takes {needed:,} bytes on {device.type}, where {free:,} are free: {mend}")


def free_memory(device: torch.device) -> int | None:
    """Bytes that a process may still take on the device; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [amount for amount in (_of_system(), _of_container()) if amount is not None]
    return min(found, default=None)


def _of_system() -> int | None:
    """What Linux could free without swapping; elsewhere what the machine has."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _of_container() -> int | None:
    """What the container's limit leaves."""
    try:
        return int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or no limit ("max")
        return None
