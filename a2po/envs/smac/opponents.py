"""Who leads the enemies: the option ``opponent`` of all battles.

``opponent="kiting"``, ``opponent="runs/one/bundle"``, or a table of weights from which each episode draws:
``opponent={"built_in": 0.5, "kiting": 0.25, "runs/one/bundle": 0.25}``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from a2po.envs.smac import fields as f
from a2po.errors import TaskError, did_you_mean

SCRIPTS: Mapping[str, int] = {"built_in": f.BUILT_IN, "heuristic": f.HEURISTIC, "focus_fire": f.FOCUS_FIRE, "kiting": f.KITING}
"""By name, what M[CLOCK, OPPONENT] says of those that need no bundle."""


def opponent_names(task: str) -> list[str]:
    """The opponents that need no bundle, of a task of the families ``smac`` and ``smacv2``; none of another one."""
    return list(SCRIPTS) if task.startswith(("smac/", "smacv2/")) else []


@dataclass(frozen=True)
class Opponents:
    """What leads the enemies, and how often."""

    scripts: tuple[float, ...] = (1.0, *(0.0,) * (len(SCRIPTS) - 1))
    """The share of the episodes that each of ``SCRIPTS`` has."""
    bundles: tuple[tuple[str, float], ...] = ()
    """(path, share) of the teams that lead the enemies in the others."""

    @property
    def thresholds(self) -> np.ndarray:
        """float32 [OPPONENTS]: the share that each kind of opponent and those before it have; 1 from the last one on that has any."""
        shares = np.array([*self.scripts, sum(share for _, share in self.bundles)])
        sums = np.cumsum(shares)
        sums[np.flatnonzero(shares)[-1] :] = 1.0  # no rounding leaves a gap behind the last
        return sums.astype(np.float32)


def parse_opponents(task: str, value: Any) -> Opponents:
    """Read the option: a name, a bundle's path, or a table from these to weights.

    Raises:
        TaskError: it is none of these, a name is unknown, or the weights are no shares.
    """
    if isinstance(value, Opponents):
        return value
    table = {value: 1.0} if isinstance(value, str | os.PathLike) else value
    if not isinstance(table, Mapping) or not table:
        raise TaskError(
            f"{task}: option 'opponent' must be {' or '.join(map(repr, SCRIPTS))}, the path of a bundle, or a table of these with weights, "
            f"got {value!r}"
        )
    weights = {_known(task, name): _weight(task, name, weight) for name, weight in table.items()}
    total = sum(weights.values())
    if total <= 0:
        raise TaskError(f"{task}: option 'opponent': the weights add up to 0; one of {', '.join(weights)} needs more")
    shares = {name: weight / total for name, weight in weights.items() if weight > 0}
    bundles = tuple((name, share) for name, share in shares.items() if name not in SCRIPTS)
    return Opponents(tuple(shares.get(name, 0.0) for name in SCRIPTS), bundles)


def _known(task: str, name: Any) -> str:
    """A script's name, or what can be the path of a bundle."""
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
    if text in SCRIPTS or os.sep in text or "/" in text or text.endswith(".zip") or (text and Path(text).exists()):
        return str(text)
    known = ", ".join(SCRIPTS)
    raise TaskError(f"{task}: unknown opponent {name!r}{did_you_mean(str(name), SCRIPTS)} (there are: {known}; or the path of a bundle)")


def _weight(task: str, name: Any, weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e9 or not math.isfinite(weight):
        raise TaskError(f"{task}: option 'opponent': the weight of '{name}' must be a number from 0 on, got {weight!r}")
    return float(weight)
