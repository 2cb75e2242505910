"""What torch computes, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode


class Products(TorchDispatchMode):
    """Within it ``batches`` gets the number of matrices that each batched product takes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation.overloadpacket.__name__ in ("bmm", "baddbmm", "baddbmm_"):
            self.batches.append(args[-1].shape[0])
        return operation(*args, **(kwargs or {}))


@pytest.fixture
def products() -> Callable[[], Products]:
    return Products
