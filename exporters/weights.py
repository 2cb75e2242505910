"""Weights as safetensors, for people who want the numbers rather than the graph."""

from __future__ import annotations

import hashlib

from safetensors.torch import save

from a2po.exporters.wrapper import ActorGraph


def weights_bytes(graph: ActorGraph) -> bytes:
    """All numbers of one actor at its real sizes. Equal numbers give equal bytes."""
    tensors = {name.removeprefix("actor.weights."): value.detach().contiguous() for name, value in graph.state_dict().items()}
    content: bytes = save(tensors)
    return content


def weights_key(graph: ActorGraph, content: bytes) -> str:
    """Equal for actors that compute the same: the same numbers in the same architecture."""
    return hashlib.sha256(repr((graph.actor.shape, graph.clip)).encode() + content).hexdigest()
