"""What happened in a battle between one look at it and the next: who shot at whom, who fell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from a2po.envs.smac import fields as f

Point = tuple[float, float]

REMEMBERED_LOOPS = 40


@dataclass(frozen=True)
class Moment:
    """One battle at one time: its memory W [FLOATS, P] and M [INTS, P], as fields.py describes it."""

    W: np.ndarray
    M: np.ndarray

    @property
    def loop(self) -> int:
        """Game loops since the battle began."""
        return int(self.M[f.CLOCK, f.LOOP])

    @property
    def battle(self) -> tuple[int, int]:
        """Tells battles apart."""
        return int(self.M[f.CLOCK, f.SEED_LOW]), int(self.M[f.CLOCK, f.SEED_HIGH])

    @property
    def living(self) -> list[int]:
        """The units that live."""
        return units(self.M[f.ALIVE] == 1)

    def alive(self, unit: int) -> bool:
        """The unit lives."""
        return bool(self.M[f.ALIVE, unit])

    def place(self, unit: int) -> Point:
        """Where a unit is, or fell."""
        x, y = (f.X, f.Y) if self.alive(unit) else (f.GOAL_X, f.GOAL_Y)
        return float(self.W[x, unit]), float(self.W[y, unit])


@dataclass(frozen=True)
class Shot:
    """An attack that began, and when it was first seen."""

    unit: int
    target: int
    loop: int


@dataclass(frozen=True)
class Fall:
    """A death, and when it was first seen."""

    unit: int
    loop: int


@dataclass
class Chronicle:
    """The last things that happened in one battle, or in one after the other."""

    shots: list[Shot] = field(default_factory=list)
    falls: list[Fall] = field(default_factory=list)
    goes_on: bool = False
    """The last look was at the battle of the look before, not at its beginning or at another one."""

    _last: Moment | None = None

    def look(self, now: Moment) -> None:
        """Note what is new. The same moment twice changes nothing; another battle begins without a past."""
        last, self._last = self._last, now
        self.goes_on = last is not None and now.battle == last.battle and now.loop >= last.loop
        if last is None or not self.goes_on:
            self.shots, self.falls = [], []
            return
        oldest = now.loop - REMEMBERED_LOOPS
        self.falls = [fall for fall in self.falls if fall.loop > oldest]
        self.falls += [Fall(unit, now.loop) for unit in last.living if not now.alive(unit)]
        self.shots = [shot for shot in self.shots if shot.loop > oldest]
        for unit in units(now.M[f.ATTACKS] > last.M[f.ATTACKS]):
            target = _aimed_at(unit, last, now)
            if target is not None:
                self.shots.append(Shot(unit, target, now.loop))


def units(chosen: np.ndarray) -> list[int]:
    """The columns that are chosen."""
    found: list[int] = np.flatnonzero(chosen).tolist()
    return found


def _aimed_at(unit: int, last: Moment, now: Moment) -> int | None:
    """Whom the unit attacked: the newest that is known who lived at the last look."""
    known = (now.M[f.AIM, unit], now.M[f.TARGET, unit], last.M[f.AIM, unit], last.M[f.TARGET, unit])
    return next((int(target) for target in known if target >= 0 and last.alive(target)), None)
