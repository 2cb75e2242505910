"""The exported teams that lead the enemies in some of an environment's battles."""

from __future__ import annotations

from typing import Any

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.frozen import FrozenTeam
from a2po.envs.smac.opponents import Opponents
from a2po.envs.smac.rules.chance import mixed
from a2po.envs.smac.simulation import Simulation
from a2po.envs.smac.terrain import Terrain
from a2po.errors import CheckpointError

NONE = -1
WHICH_TEAM = 0x7EA3  # what this draw is for; the rules draw what else an episode's seed decides


class Rivals:
    """Says for B battles what the enemies do in those that a bundle leads.

    Args:
        task: the name of the environment's task.
        battle: its battle.
        terrain: its ground.
        opponents: the bundles and their shares.
        num_envs: B.
        num_threads: as of the simulation.

    Raises:
        TaskError: a bundle is missing or does not fit.
        DependencyError: onnxruntime is not installed.
    """

    def __init__(
        self, task: str, battle: BattleMap, terrain: Terrain, opponents: Opponents, num_envs: int, num_threads: int | None
    ) -> None:
        self._task = task
        self.teams = [FrozenTeam(task, path, battle, terrain, num_envs, num_threads) for path, _ in opponents.bundles]
        shares = np.cumsum([share for _, share in opponents.bundles])
        self._thresholds = shares[:-1] / shares[-1]
        self._leaders = np.full(num_envs, NONE)  # the number of the team that leads the enemies
        self._actions = np.zeros((num_envs, battle.num_enemies), np.int64)
        self._decided = False

    def begin(self, copies: np.ndarray, seeds: np.ndarray, simulation: Simulation) -> None:
        """Take note of battles ``copies`` [K] that have just begun with ``seeds`` [K]."""
        led = simulation.marks[copies, f.CLOCK, f.OPPONENT] == f.RIVALS
        self._leaders[copies] = np.where(led, np.searchsorted(self._thresholds, _shares(seeds), side="right"), NONE)
        self._decided = False
        for number, team in enumerate(self.teams):
            mine = self._leaders[copies] == number
            if mine.any():
                team.begin(copies[mine], seeds[mine], simulation)

    def decide(self, simulation: Simulation) -> np.ndarray:
        """The enemies' actions [B, E] for the coming step; asked again before that step, the same."""
        if not self._decided:
            for number, team in enumerate(self.teams):
                copies = np.flatnonzero(self._leaders == number)
                if copies.size:
                    team.decide(copies, simulation, self._actions)
            self._decided = True
        return self._actions

    def stepped(self) -> None:
        """The step that was decided on is over."""
        self._decided = False

    def state_dict(self) -> dict[str, Any]:
        """What the next decisions depend on, and which bundles they come from."""
        return {
            "bundles": {team.path: team.fingerprint for team in self.teams},
            "leaders": self._leaders.copy(),
            "actions": self._actions.copy(),
            "decided": self._decided,
            "teams": {str(number): team.state_dict() for number, team in enumerate(self.teams)},
        }

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go back to a saved state.

        Raises:
            CheckpointError: it was saved with other bundles.
        """
        saved = {} if state is None else state["bundles"]
        own = {team.path: team.fingerprint for team in self.teams}
        for path in {**own, **saved}:
            if path not in saved or path not in own:
                there, here = ("no", "one") if path in own else ("an", "none")
                raise CheckpointError(f"{self._task}: the saved environment has {there} opponent '{path}', this one has {here}")
            if saved[path] != own[path]:
                raise CheckpointError(
                    f"{self._task}: the opponent '{path}' is not the bundle that the run began with (its fingerprint is {own[path][:12]}, "
                    f"it was {saved[path][:12]}): put that one back, or start a new run"
                )
        assert state is not None  # there is a team, and it was saved
        self._leaders[...], self._actions[...], self._decided = state["leaders"], state["actions"], bool(state["decided"])
        for number, path in enumerate(saved):
            self.teams[list(own).index(path)].load_state_dict(state["teams"][str(number)])

    def close(self) -> None:
        """End the threads."""
        for team in self.teams:
            team.close()


def _shares(seeds: np.ndarray) -> np.ndarray:
    """[K]: for each episode's seed a number in [0, 1)."""
    low, high = np.ascontiguousarray(seeds, np.int64).view(np.uint32).reshape(-1, 2).T
    drawn = mixed(mixed(low, high), np.uint32(WHICH_TEAM))  # type: ignore[no-untyped-call]
    return np.asarray(drawn / 2.0**32)
