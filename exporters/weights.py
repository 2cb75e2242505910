"""Weights as safetensors, for people who want the numbers rather than the graph."""

from __future__ import annotations

import hashlib

import numpy as np
from gymnasium.spaces import Box
from safetensors.torch import save

from a2po.exporters.wrapper import ActorGraph
from a2po.networks.actor import Actor


def weights_bytes(graph: ActorGraph) -> bytes:
    """All numbers of one graph at their real sizes. Equal numbers give equal bytes."""
    tensors = {name.removeprefix("actor.weights."): value.detach().contiguous() for name, value in graph.state_dict().items()}
    content: bytes = save(tensors)
    return content


def sharing_key(actor: Actor, box: Box | None) -> str:
    """Equal for agents that one graph can serve: the same numbers in the same architecture, the same bounds of their actions."""
    scale, bounds = actor.scale, b"" if box is None else np.stack([box.low, box.high]).tobytes()
    about = repr((actor.shape, scale and scale.clip)).encode()
    numbers = save({name: value.detach().contiguous() for name, value in actor.weights.items()})
    return hashlib.sha256(about + bounds + numbers).hexdigest()
