"""An exported football team at play on raw observations, as gfootball, Kaggle and a2po's own engine give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from a2po.envs.football.encoder import Encoder
from a2po.envs.football.frames import ACTIONS, frames_of
from a2po.envs.football.options import encoder_for, trained_with
from a2po.errors import BundleError
from a2po.runtime.bundle import Bundle, read_bundle
from a2po.runtime.team import Team

IDLE, LONG_PASS = ACTIONS.index("idle"), ACTIONS.index("long_pass")


class FootballTeam:
    """One team in one game.

    Agents of the bundle that are named after a player (``player_3``) play that player, whoever else is controlled, and remember his
    game; those named after a place (``agent_3``) play the observation at that place, as in training. A player whom nobody was trained
    to play passes the ball on when he has it.

    Args:
        bundle: of a football task.

    Raises:
        BundleError: there is none, it is altered, or it plays something else.
        DependencyError: onnxruntime is missing.
    """

    def __init__(self, bundle: Path | str | Bundle) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self._scenario, self._options = trained_with(self.bundle)
        self.sizes = len(self._scenario.left), len(self._scenario.right)
        """Players of the own team and of the other one."""
        self.team = Team(self.bundle, on_fault="fallback")
        self._encoder = cache(self._new_encoder)
        self._check_features()
        numbers = [re.fullmatch(r"player_(\d+)", name) for name in self.team.agents]
        self._by_player = {int(found[1]): found[0] for found in numbers if found}
        self._last: dict[str, int] = {}

    def reset(self) -> None:
        """A game begins."""
        self.team.reset()
        self._last.clear()

    def check_sizes(self, left: int, right: int) -> None:
        """Raises: BundleError: the team does not play games of ``left`` against ``right`` players."""
        if (left, right) != self.sizes:
            raise BundleError(
                f"the bundle '{self.bundle.path}' was trained on {self.sizes[0]} against {self.sizes[1]} players ({self.bundle.task}); "
                f"this game is {left} against {right}"
            )

    def act(self, observations: Sequence[Mapping[str, Any]]) -> list[int]:
        """What the controlled players do.

        Args:
            observations: raw, one for each of them, at one moment; they are on the left.

        Returns: for each a number of ``frames.ACTIONS``.

        Raises:
            BundleError: the team was trained for other team sizes, or for fewer agents.
            KeyError, ValueError: the observations are none.
        """
        if not observations:
            return []
        self.check_sizes(len(observations[0]["left_team"]), len(observations[0]["right_team"]))
        frames = frames_of(observations)
        names = [self._name(place, int(seen["active"])) for place, seen in enumerate(observations)]
        encoder = self._encoder(len(observations))
        last = np.array([[self._last.get(name or "", -1) for name in names]])
        rows, masks = encoder.features(frames, last)[0], encoder.masks(frames)[0]
        given = {name: place for place, name in enumerate(names) if name}
        legal = {name: masks[place] for name, place in given.items()} if self._options.action_masks else None
        chosen = self.team.act({name: rows[place] for name, place in given.items()}, legal) if given else {}
        self._last |= {name: int(action) for name, action in chosen.items()}
        return [int(chosen[name]) if name else _clearing(masks[place]) for place, name in enumerate(names)]

    def _name(self, place: int, player: int) -> str | None:
        """The agent that plays an observation; None: nobody was trained to."""
        if self._by_player:
            return self._by_player.get(player)
        if place >= len(self.team.agents):
            raise BundleError(
                f"the bundle '{self.bundle.path}' has {len(self.team.agents)} agents that play whoever is theirs to play; "
                f"more than that are controlled in this game"
            )
        return self.team.agents[place]

    def _new_encoder(self, agents: int) -> Encoder:
        return encoder_for(self._scenario, self._options, agents)

    def _check_features(self) -> None:
        """Raises: BundleError: this a2po shows other features than the one that trained the team."""
        shown = self._encoder(len(self.team.agents)).feature_names
        for agent in self.bundle.agents:
            if agent.features != shown or agent.action_names != ACTIONS:
                raise BundleError(
                    f"the bundle '{self.bundle.path}' sees or does something else than this a2po's football: train and export again"
                )


def _clearing(mask: np.ndarray) -> int:
    return LONG_PASS if mask[LONG_PASS] else IDLE
