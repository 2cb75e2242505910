"""Players that follow a script instead of a network. A family of tasks offers its own by a function ``scripted_players``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2po.envs.play import Act
    from a2po.envs.protocol import VectorEnv


@dataclass(frozen=True)
class ScriptedPlayer:
    """Who plays for all agents at once, and what it asks of the environment."""

    make: Callable[[VectorEnv, int], Act]  # (environment, seed) -> actions
    options: Mapping[str, Any] = field(default_factory=dict)  # of the task


def _at_random(env: VectorEnv, seed: int) -> Act:
    from a2po.testing import RandomPlayer

    random = RandomPlayer(env, seed)
    return lambda observations, begun: random(observations)


RANDOM = ScriptedPlayer(_at_random)
"""Random legal actions: every task has this player."""
