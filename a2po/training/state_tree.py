"""Nested state as two parts that need no pickle: tensors for safetensors, everything else as plain JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def split_state(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors and arrays by references into ``tensors``, which is filled; everything else must be plain JSON.

    Raises:
        TypeError: naming the place of what cannot be saved.
    """
    if isinstance(value, dict):
        return {str(key): split_state(item, f"{path}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [split_state(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    key = f"{len(tensors)}:{path}"  # numbered, so that no two paths can meet
    if isinstance(value, Tensor):
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"$tensor": key}
    if isinstance(value, np.ndarray):
        tensors[key] = torch.from_numpy(value.copy(order="C"))
        return {"$array": key}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__} at '{path}'")


def join_state(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of ``split_state``, but for tuples, which come back as lists.

    Raises:
        KeyError: the tree names a tensor that is not there.
    """
    if isinstance(tree, list):
        return [join_state(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"$tensor"}:
        return tensors[tree["$tensor"]]
    if set(tree) == {"$array"}:
        return tensors[tree["$array"]].numpy()
    return {key: join_state(item, tensors) for key, item in tree.items()}
