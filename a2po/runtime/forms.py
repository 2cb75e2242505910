"""The forms in which a team is told what it sees and says what it does: padded arrays, or dicts by agent name.

Inside, the n agents of one file play together as R = B · n rows, game by game: row b · n + i is agent i of game b.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from a2po.errors import ObservationError, did_you_mean
from a2po.runtime import guard
from a2po.runtime.bundle import AgentSpec


@dataclass(frozen=True)
class Kind:
    """One of the things that a team is given."""

    what: str
    convert: Callable[[Any, str], np.ndarray]
    size: Callable[[AgentSpec], int]
    faultless: Callable[[np.ndarray], bool]


OBSERVATION = Kind("observation", guard.float_array, attrgetter("obs_size"), guard.all_finite)
MASK = Kind("action mask", guard.mask_array, attrgetter("action_size"), guard.all_legal)
NOISE = Kind("noise", guard.float_array, attrgetter("action_size"), guard.all_finite)


@dataclass(frozen=True)
class Part:
    """The agents of one file that play in a step."""

    group: int
    agents: tuple[AgentSpec, ...]
    columns: slice | list[int]
    """Where they stand in padded arrays."""
    places: list[int] | None = None
    """Which of the file's agents they are; None for all of them."""
    alone: bool = False
    """They are the whole team, in its order."""

    def rows(self, padded: np.ndarray, size: int) -> np.ndarray:
        """[R, size] out of [B, N, width]; a view where nothing has to be left out."""
        own = padded if self.alone and padded.shape[2] == size else padded[:, self.columns, :size]
        return own.reshape(len(padded) * len(self.agents), size)


@dataclass(frozen=True)
class Form:
    """How the observations of one step were given, and so how the actions are returned."""

    parts: Sequence[Part]
    names: tuple[str, ...] | None
    """The keys of a dict; None for a padded array."""
    batch: int
    batched: bool
    """There was an axis of B."""
    faultless: bool
    """All of it has been looked at together and nothing is wrong, so nobody has to look at the parts."""


class Forms:
    """Reads and writes the forms of one team.

    Args:
        groups: the agents of each file.
        agents: all of them, in the order of padded arrays.
        widths: what observations and actions are padded to.
    """

    def __init__(self, groups: Sequence[Sequence[AgentSpec]], agents: Sequence[AgentSpec], widths: tuple[int, int]) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self._groups = [tuple(group) for group in groups]
        self._obs_width, self._action_width = widths
        self._every_action = all(agent.action_size == self._action_width for agent in agents)
        order = {name: column for column, name in enumerate(self.agents)}
        self._everyone = [
            _part(index, group, [order[agent.name] for agent in group], len(agents)) for index, group in enumerate(self._groups)
        ]

    def read(self, kind: Kind, value: Any, like: Form | None = None) -> tuple[list[np.ndarray], Form]:
        """The rows [R, size] of every part, and the form. ``like`` is that of the observations, when this is something else.

        Raises:
            ObservationError: a wrong shape, type or name, or rows that do not agree.
        """
        return self._read_dict(kind, value, like) if isinstance(value, Mapping) else self._read_padded(kind, value, like)

    def write(self, form: Form, actions: Sequence[np.ndarray]) -> Any:
        """The actions [R] or [R, A] of every part in the form of the observations."""
        if form.names is None:
            padded = self._padded(form, actions)
            return padded if form.batched else padded[0]
        own = {
            agent.name: rows[index :: len(part.agents)]
            for part, rows in zip(form.parts, actions, strict=True)
            for index, agent in enumerate(part.agents)
        }
        return {name: own[name] if form.batched else own[name][0] for name in form.names}

    def check_known(self, what: str, value: Any) -> None:
        """``value`` is a dict, and all of its keys are agents.

        Raises:
            ObservationError: naming what is not.
        """
        if not isinstance(value, Mapping):
            raise ObservationError(f"{what}: expected a dict by agent name, got {type(value).__name__}")
        unknown = [name for name in value if name not in self.agents]
        if unknown:
            raise ObservationError(
                f"{what}: no agent '{unknown[0]}'{did_you_mean(str(unknown[0]), self.agents)} (there are: {', '.join(self.agents)})"
            )

    def _read_padded(self, kind: Kind, value: Any, like: Form | None) -> tuple[list[np.ndarray], Form]:
        padded = kind.convert(value, kind.what)
        shape = (len(self.agents), self._obs_width if kind is OBSERVATION else self._action_width)
        if padded.shape[-2:] != shape or padded.ndim > 3:
            hint = guard.width_hint(self.agents.values(), padded.shape) if kind is OBSERVATION else ""
            guard.check_shape(padded, [shape], f"{kind.what} of {len(self.agents)} agents", hint)
        batched = padded.ndim == 3
        if not batched:
            padded = padded[None]
        whole = kind is not MASK or self._every_action  # an action that is legal in the padding is none
        form = Form(self._everyone, None, len(padded), batched, faultless=whole and kind.faultless(padded))
        if like is not None and (like.parts is not self._everyone or like.batch != form.batch):
            _check_agreement(kind, dict.fromkeys(self.agents, form.batch), like)
        return [part.rows(padded, kind.size(part.agents[0])) for part in form.parts], form

    def _read_dict(self, kind: Kind, value: Mapping[str, Any], like: Form | None) -> tuple[list[np.ndarray], Form]:
        self._check_names(kind, value, like)
        arrays = {name: kind.convert(part, f"agent '{name}': {kind.what}") for name, part in value.items()}
        for name, array in arrays.items():
            hint = guard.width_hint([self.agents[name]], array.shape) if kind is OBSERVATION else ""
            guard.check_shape(array, [(kind.size(self.agents[name]),)], f"agent '{name}': {kind.what}", hint)
        batched = next(iter(arrays.values())).ndim == 2
        batches = {name: -1 if batched != (array.ndim == 2) else len(array) if batched else 1 for name, array in arrays.items()}
        _check_agreement(kind, batches, like)
        parts = self._everyone if len(arrays) == len(self.agents) else self._parts_of(arrays)
        stacked = [np.stack([arrays[agent.name] for agent in part.agents], axis=-2) for part in parts]
        form = Form(parts, tuple(arrays), next(iter(batches.values())), batched, faultless=False)
        return [rows.reshape(-1, rows.shape[-1]) for rows in stacked], form

    def _parts_of(self, names: Iterable[str]) -> list[Part]:
        """The parts of a step in which only these agents play."""
        chosen, parts = set(names), []
        for index, group in enumerate(self._groups):
            places = [place for place, agent in enumerate(group) if agent.name in chosen]
            if places:
                parts.append(Part(index, tuple(group[place] for place in places), [], places if len(places) < len(group) else None))
        return parts

    def _check_names(self, kind: Kind, value: Mapping[str, Any], like: Form | None) -> None:
        self.check_known(kind.what, value)
        expected = None if like is None else _names(like)
        if not value or (expected is not None and set(value) != set(expected)):
            against = " given" if expected is None else f", but observations for {expected}"
            raise ObservationError(f"{kind.what}: agents {list(value)}{against}")

    def _padded(self, form: Form, actions: Sequence[np.ndarray]) -> np.ndarray:
        """[B, N] or [B, N, A], zeros where an agent has no action."""
        shape = (form.batch, len(self.agents), *([self._action_width] if actions[0].ndim == 2 else []))
        if form.parts[0].alone and actions[0].shape[1:] == shape[2:]:
            return actions[0].reshape(shape)
        padded = np.zeros(shape, actions[0].dtype)
        for part, rows in zip(form.parts, actions, strict=True):
            own = rows.reshape(form.batch, len(part.agents), *rows.shape[1:])
            padded[(slice(None), part.columns, *(slice(size) for size in rows.shape[1:]))] = own
        return padded


def _part(index: int, group: tuple[AgentSpec, ...], columns: list[int], team: int) -> Part:
    """All agents of a file. A slice of columns is cheaper than a list of them."""
    adjoining = columns == list(range(columns[0], columns[0] + len(columns)))
    where = slice(columns[0], columns[0] + len(columns)) if adjoining else columns
    return Part(index, group, where, alone=adjoining and len(columns) == team)


def _names(form: Form) -> list[str]:
    return list(form.names or (agent.name for part in form.parts for agent in part.agents))


def _check_agreement(kind: Kind, batches: dict[str, int], like: Form | None) -> None:
    """Every agent has as many rows as the others, and as it has observations."""
    expected = batches if like is None else dict.fromkeys(_names(like), like.batch)
    if batches != expected or len(set(batches.values())) != 1:
        against = "" if like is None else f" with the observations' {expected}"
        raise ObservationError(f"{kind.what}: rows per agent {batches} do not agree{against}")
