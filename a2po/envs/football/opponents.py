"""Who leads the right team: the option ``opponent``. ``builtin``: the engine, ``random``: nobody with a plan, else the path of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from a2po.envs.football.encoder import Encoder
from a2po.envs.football.frames import MIRRORED_ACTIONS, mirrored
from a2po.envs.football.options import BUILTIN, OPPONENTS, RANDOM, encoder_for, trained_with
from a2po.envs.football.scenarios import Scenario
from a2po.errors import BundleError, CheckpointError, TaskError, require


class Opponent(Protocol):
    """Plays the right team of B games."""

    agents: int
    """How many of its players it controls."""

    def begin(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """Games begin in ``copies`` [K], whose episodes' ``seeds`` [K] they are."""
        ...

    def act(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Actions [B, agents], as seen on the pitch, for ``frames`` [B] that show games of ``lengths`` [B] steps so far."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next actions depend on, but for what ``act`` is given."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        ...


def opponent_for(task: str, name: str, played: Scenario, num_envs: int) -> Opponent | None:
    """Who leads the right team in copies of ``played``; None: the engine does.

    Raises:
        TaskError: a bundle cannot play there.
        DependencyError: onnxruntime is missing.
    """
    if name == BUILTIN:
        return None
    if name == RANDOM:
        return AtRandom(played, num_envs)
    require(f"the opponent '{name}'", onnxruntime="cpu")
    return Exported(task, name, played, num_envs)


def opponent_name(option: str) -> str:
    """The opponent in a word or two: of a run's bundle, the run's name."""
    if option in OPPONENTS:
        return option
    path = Path(option)
    return path.parent.name if path.name == "bundle" and path.parent.name else path.stem


class AtRandom:
    """Plays any of the legal actions; the same ones for the same seed of an episode."""

    def __init__(self, played: Scenario, num_envs: int) -> None:
        self.agents = played.controllable("right")
        self._encoder = Encoder(len(played.right), len(played.left), self.agents)
        self._seeds = np.zeros(num_envs, np.int64)

    def begin(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """See ``Opponent``."""
        self._seeds[copies] = seeds

    def act(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See ``Opponent``."""
        masks = self._encoder.masks(mirrored(frames))
        drawn = np.stack(
            [np.random.default_rng((seed, length)).random(masks.shape[1:]) for seed, length in zip(self._seeds, lengths, strict=True)]
        )
        return np.asarray(MIRRORED_ACTIONS[np.where(masks, drawn, -1.0).argmax(axis=-1)])

    def state_dict(self) -> dict[str, Any]:
        """See ``Opponent``."""
        return {"seeds": self._seeds.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Opponent``."""
        self._seeds[...] = state["seeds"]


class Exported:
    """An exported team, which plays the most likely actions."""

    def __init__(self, task: str, path: str, played: Scenario, num_envs: int) -> None:
        from a2po.runtime.team import Team

        try:
            self._team = Team.load(path)
            trained, options = trained_with(self._team.bundle)
        except (BundleError, TaskError) as error:
            raise TaskError(f"{task}: option 'opponent': {error}") from None
        self.agents = len(self._team.agents)
        self._encoder, self._masked = encoder_for(trained, options, self.agents), options.action_masks
        _check_fits(task, path, trained, played, self.agents)
        self._last = np.full((num_envs, self.agents), -1, np.int64)

    def begin(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """See ``Opponent``."""
        self._team.reset(copies)
        self._last[copies] = -1

    def act(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See ``Opponent``."""
        seen = mirrored(frames)
        self._last = self._team.act(self._encoder.features(seen, self._last), self._encoder.masks(seen) if self._masked else None)
        return MIRRORED_ACTIONS[self._last]

    def state_dict(self) -> dict[str, Any]:
        """See ``Opponent``."""
        return {"bundle": self._team.bundle.fingerprint, "last": self._last.copy(), "memory": self._team.memory}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Opponent``. Raises: CheckpointError: another team played when it was saved."""
        if state["bundle"] != self._team.bundle.fingerprint:
            raise CheckpointError(f"the opponent '{self._team.bundle.path}' is not the bundle that the run began with")
        self._last, self._team.memory = np.array(state["last"]), {name: np.asarray(held) for name, held in state["memory"].items()}


def _check_fits(task: str, path: str, trained: Scenario, played: Scenario, agents: int) -> None:
    """Raises: TaskError: the team was trained for other sizes, or controls more than can be controlled."""
    own: Sequence[int] = (len(trained.left), len(trained.right))
    if own != (len(played.right), len(played.left)):
        raise TaskError(
            f"{task}: the opponent '{path}' was trained on {own[0]} against {own[1]} players; as the right team of this task "
            f"it would be {len(played.right)} against {len(played.left)}"
        )
    controllable = played.controllable("right")
    if agents > controllable:
        raise TaskError(
            f"{task}: the opponent '{path}' has {agents} agents, but {controllable} players of the right team can be controlled"
        )
