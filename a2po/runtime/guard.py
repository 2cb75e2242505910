"""The input guard: what an actor was not trained on is an error with a name, never a confident action.

onnxruntime's message about a wrong shape names no agent, and several of its kernels turn NaN into ordinary numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from a2po.errors import ObservationError
from a2po.runtime.bundle import AgentSpec


def float_array(value: Any, what: str) -> np.ndarray:
    """``value`` as float32.

    Raises:
        ObservationError: it is not an array of floats.
    """
    array = _array(value, what)
    if array.dtype == np.float32:
        return array
    if array.dtype.kind != "f":
        raise ObservationError(f"{what}: expected floats, got {array.dtype}; convert with .astype(numpy.float32)")
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite and is named below
        return array.astype(np.float32, copy=False)


def mask_array(value: Any, what: str) -> np.ndarray:
    """``value`` as bool.

    Raises:
        ObservationError: it is not an array of bools or of zeros and ones.
    """
    array = _array(value, what)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind not in "iuf" or not bool(np.isin(array, (0, 1)).all()):
        raise ObservationError(f"{what}: expected bools (or zeros and ones), got {array.dtype}")
    mask: np.ndarray = array != 0
    return mask


def rows_array(value: Any, batch: int, what: str) -> np.ndarray:
    """``value`` as something that picks rows out of ``batch``: [B] bool, or indices, of which there may be none.

    Raises:
        ObservationError: it is neither, there are no such rows, or one is given twice: zeros and ones in place of bools would
            be taken for indices.
    """
    array = _array(value, what)
    if not array.size:
        return np.zeros(0, np.int64)
    if array.dtype.kind == "b" and array.shape == (batch,):
        return array
    if array.dtype.kind in "iu" and array.ndim <= 1 and bool((array < batch).all() and (array >= -batch).all()):
        if len(np.unique(array)) == array.size:
            return array
        raise ObservationError(f"{what}: expected [{batch}] bools or indices of {batch} rows, got the index {_twice(array)} twice")
    raise ObservationError(f"{what}: expected [{batch}] bools or indices of {batch} rows, got {array.dtype} of shape {list(array.shape)}")


def check_shape(array: np.ndarray, shapes: Sequence[tuple[int, ...]], what: str, hint: str = "") -> None:
    """The array has one of the shapes, behind a batch axis or without. ``hint`` ends the message.

    Raises:
        ObservationError: it has not.
    """
    for shape in shapes:
        if array.shape == shape or (array.ndim == len(shape) + 1 and array.shape[1:] == shape):
            return
    expected = " or ".join(f"{list(shape)} or [batch, {', '.join(map(str, shape))}]" for shape in shapes)
    raise ObservationError(f"{what}: expected shape {expected}, got {list(array.shape)}{hint}")


def width_hint(agents: Iterable[AgentSpec], shape: tuple[int, ...]) -> str:
    """Which feature of which agent a wrong width misses, or where the widest agent's features end."""
    widest = max(agents, key=lambda agent: agent.obs_size)
    width = shape[-1] if shape else 0
    if width < widest.obs_size:
        return f": agent '{widest.name}' misses feature '{widest.features[width]}' (index {width})"
    return f": the last feature of agent '{widest.name}' is '{widest.features[-1]}' (index {widest.obs_size - 1})"


def all_finite(values: np.ndarray) -> bool:
    """No NaN and no infinity. Counting takes half the time of ``.all()``, which matters to an array of a few numbers."""
    return bool(np.count_nonzero(np.isfinite(values)) == values.size)


def not_finite(obs: np.ndarray) -> np.ndarray | None:
    """Which rows of observations [R, O] hold a NaN or an infinity: [R] bool, None if none does."""
    return None if all_finite(obs) else ~np.isfinite(obs).all(axis=1)


def all_legal(action_mask: np.ndarray) -> bool:
    """Every row of masks [..., A] allows an action."""
    legal = np.logical_or.reduce(action_mask, axis=-1)
    return bool(np.count_nonzero(legal) == legal.size)


def nothing_legal(action_mask: np.ndarray) -> np.ndarray | None:
    """Which rows of masks [R, A] allow no action: [R] bool, None if none does."""
    return None if all_legal(action_mask) else ~np.asarray(action_mask.any(axis=1))


def check_finite(agents: Sequence[AgentSpec], obs: np.ndarray) -> None:
    """No NaN and no infinity in the observations [R, O] of agents that take turns in the rows.

    Raises:
        ObservationError: naming the agent, the feature and the row of the game.
    """
    if not_finite(obs) is None:
        return
    for agent, own in _by_agent(agents, obs):
        found = np.argwhere(~np.isfinite(own))
        if len(found):
            row, index = (int(place) for place in found[0])
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise ObservationError(
                f"agent '{agent.name}': feature '{agent.features[index]}' (index {index}) is {own[row, index]} in row {row}{more}"
            )


def check_legal(agents: Sequence[AgentSpec], action_mask: np.ndarray) -> None:
    """At least one legal action in every row of masks [R, A] of agents that take turns in the rows.

    Raises:
        ObservationError: naming the agent and the row of the game.
    """
    stuck = nothing_legal(action_mask)
    if stuck is not None:
        agent, own = next((agent, own) for agent, own in _by_agent(agents, stuck) if own.any())
        raise ObservationError(f"agent '{agent.name}': the action mask of row {int(own.argmax())} allows no action")


def check_outputs(agents: Sequence[AgentSpec], obs: np.ndarray, broken: np.ndarray | None) -> None:
    """No row [R] is ``broken``, which is None if none is: finite numbers [R, O] can be too large to compute with.

    Raises:
        ObservationError: naming the agent, the row of the game and the largest feature there.
    """
    if broken is not None:
        agent, rows, seen = next(
            (agent, own, seen)
            for (agent, own), (_, seen) in zip(_by_agent(agents, broken), _by_agent(agents, obs), strict=True)
            if own.any()
        )
        row = int(rows.argmax())
        index = int(np.abs(seen[row]).argmax())
        raise ObservationError(
            f"agent '{agent.name}': its outputs for row {row} are not finite, though what it sees is; "
            f"the largest there is feature '{agent.features[index]}' (index {index}), {seen[row, index]:.3g}"
        )


def _by_agent(agents: Sequence[AgentSpec], rows: np.ndarray) -> list[tuple[AgentSpec, np.ndarray]]:
    return [(agent, rows[place :: len(agents)]) for place, agent in enumerate(agents)]


def _twice(array: np.ndarray) -> int:
    values, counts = np.unique(array, return_counts=True)
    return int(values[counts.argmax()])


def _array(value: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a torch tensor that requires grad
        raise ObservationError(f"{what}: not an array ({error})") from None
