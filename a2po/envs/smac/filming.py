"""Pictures of an environment's battles: as they stand, and as they go on through the coming step."""

from __future__ import annotations

import numpy as np

from a2po.envs.smac import fields as f
from a2po.envs.smac.rendering import BattleRenderer
from a2po.envs.smac.rules.battle import LOOPS_AFTER_DEATH, LOOPS_PER_STEP
from a2po.envs.smac.rules.damage import condemn, succumb
from a2po.envs.smac.simulation import Shown, Simulation
from a2po.envs.smac.terrain import Terrain
from a2po.envs.smac.units import Unit, unit_table

_BLANK = np.zeros((1, 1, 1), np.float32)
UNSEEN = Shown(_BLANK, _BLANK, _BLANK.astype(np.bool_), _BLANK[0].astype(np.bool_))  # single loops show the agents nothing


class Filming:
    """Draws the battles of ``simulation``, each with its own past; ``stage`` is another one, of a single battle, to play ahead in."""

    def __init__(self, simulation: Simulation, stage: Simulation, terrain: Terrain, units: tuple[Unit, ...], size: tuple[int, int]) -> None:
        self.size = size
        self._simulation, self._stage, self._terrain = simulation, stage, terrain
        self._kinds, self._table = tuple(unit.name for unit in units), unit_table(units)
        self._renderers: dict[int, BattleRenderer] = {}

    def picture(self, copy: int) -> np.ndarray:
        """A battle as it stands: uint8 [H, W, 3]."""
        return self._draw(copy, self._simulation.units[copy], self._simulation.marks[copy])

    def pictures(self, copy: int, actions: np.ndarray, rivals: np.ndarray, count: int) -> list[np.ndarray]:
        """``count`` pictures of a battle, the first as it stands, the others as ``actions`` [N] bring it forward within one step.

        ``rivals`` [E] are the actions of the enemies where another team leads them.
        """
        stage, found = self._stage, list[np.ndarray]()
        W, M = stage.units[0], stage.marks[0]
        W[...], M[...] = self._simulation.units[copy], self._simulation.marks[copy]
        condemn(W, M)  # type: ignore[no-untyped-call]
        for loop in range(LOOPS_PER_STEP):
            if loop * count // LOOPS_PER_STEP == len(found):
                found.append(self._draw(copy, W, M))
            if loop == M[f.CLOCK, f.DELAY]:
                stage.order(np.zeros(1, np.int64), actions[None], UNSEEN, rivals[None])
            if loop == LOOPS_PER_STEP - LOOPS_AFTER_DEATH:
                succumb(W, M, self._table)  # type: ignore[no-untyped-call]
            stage.loop(UNSEEN)
        return found

    def _draw(self, copy: int, W: np.ndarray, M: np.ndarray) -> np.ndarray:
        if copy not in self._renderers:
            self._renderers[copy] = BattleRenderer(self._terrain, self._kinds, self._table, self.size)
        return self._renderers[copy].render(W, M)
