"""A battle from above: terrain, units, health, shields, what was shot since the last picture, and who fell.

Allies are blue, enemies red. A unit is a disc of its own radius with a beak where it looks and the mark of its type:
m marine, M marauder, + medivac, S stalker, Z zealot, C colossus, z zergling, H hydralisk, B baneling, X spine crawler. Own types have a
letter of their name that no other type has, or a digit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from a2po.envs.canvas import Canvas, Colour, Frame
from a2po.envs.smac import fields as f
from a2po.envs.smac.canvas import draw_ground, toward
from a2po.envs.smac.chronicle import REMEMBERED_LOOPS, Chronicle, Moment, units
from a2po.envs.smac.framing import around, follow, whole
from a2po.envs.smac.terrain import VOID, Terrain
from a2po.errors import require

MARKS = {
    "marine": "m", "marauder": "M", "medivac": "+", "stalker": "S", "zealot": "Z", "colossus": "C",
    "zergling": "z", "hydralisk": "H", "baneling": "B", "spine_crawler": "X",
}  # fmt: skip
SIDES: tuple[Colour, Colour] = ((70, 145, 235), (225, 85, 65))
BRIGHT: tuple[Colour, Colour] = ((150, 215, 255), (255, 190, 120))  # of what they shoot
DARK: Colour = (12, 14, 18)
WHITE: Colour = (245, 245, 245)
SHIELD: Colour = (90, 200, 255)
HEAL: Colour = (120, 255, 140)
BURST: Colour = (170, 230, 60)
FLASH_LOOPS = 3
"""A shot or a burst can be seen for so long, and in the first picture after it in any case."""

PIXELS_PER_CELL = 24
NUMBERED = 12
"""Larger teams have no numbers: they would hide each other."""


def picture_size(terrain: Terrain) -> tuple[int, int]:
    """The (width, height) that shows a whole map well."""
    width, height = (terrain.level != VOID).any(1).sum() + 1, (terrain.level != VOID).any(0).sum() + 1
    return int(width) * PIXELS_PER_CELL, int(height) * PIXELS_PER_CELL


def marks(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The mark of each type: all different, as long as there are letters and digits."""
    found = {kind: MARKS[kind] for kind in kinds if kind in MARKS}
    for kind in kinds:
        letters = [kind[0].upper(), *kind.replace("_", ""), *kind.upper().replace("_", ""), *"123456789?"]
        found.setdefault(kind, next(letter for letter in letters if letter not in found.values() or letter == "?"))
    return tuple(found[kind] for kind in kinds)


@dataclass
class BattleRenderer:
    """Draws one battle, or one after the other. ``kinds`` and ``table`` [types, TYPE_COLUMNS] are the unit types' names and numbers."""

    terrain: Terrain
    kinds: tuple[str, ...]
    table: np.ndarray
    size: tuple[int, int]
    _marks: tuple[str, ...] = field(init=False)
    _chronicle: Chronicle = field(default_factory=Chronicle)
    _frame: Frame | None = None
    _loop: int = 0

    def __post_init__(self) -> None:
        """Look up the types' marks."""
        self._marks = marks(self.kinds)

    def render(self, W: np.ndarray, M: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] of one battle's memory W [FLOATS, P] and M [INTS, P], with what happened since another moment was drawn.

        Raises:
            DependencyError: Pillow is missing.
        """
        require("the picture of a battle", PIL="report")
        now = Moment(W.copy(), M.copy())
        self._chronicle.look(now)
        canvas = Canvas(self.size, self._follow(now))
        draw_ground(canvas, self.terrain, int(M[f.CLOCK, f.VARIANT]))
        self._draw_fallen(canvas, now)
        living = sorted(now.living, key=lambda unit: (self._number(now, unit, f.T_FLIES), float(now.W[f.RADIUS, unit])))
        for unit in living:
            self._draw_body(canvas, now, unit)
        self._draw_heals(canvas, now)
        self._draw_shots(canvas, now)
        self._draw_missiles(canvas, now)
        numbered = int(now.M[f.CLOCK, f.NUM_ALLIES]) <= NUMBERED
        for unit in living:
            self._draw_bars(canvas, now, unit)
            if numbered and now.M[f.SIDE, unit] == 0:
                x, y = now.place(unit)
                canvas.text(x, y - now.W[f.RADIUS, unit] - 0.22, str(unit), 0.5, WHITE, DARK)
        return canvas.picture()

    def _follow(self, now: Moment) -> Frame:
        """What is shown: the view follows the units, and begins anew with a battle."""
        goal = around(now, whole(self.terrain, self.size[0] / self.size[1]))
        self._frame = follow(self._frame, goal, now.loop - self._loop) if self._frame and self._chronicle.goes_on else goal
        self._loop = now.loop
        return self._frame

    def _number(self, moment: Moment, unit: int, column: int) -> float:
        """A number of the unit's type."""
        return float(self.table[moment.M[f.KIND, unit], column])

    def _draw_fallen(self, canvas: Canvas, now: Moment) -> None:
        for fall in self._chronicle.falls:
            (x, y), radius, age = now.place(fall.unit), float(now.W[f.RADIUS, fall.unit]), now.loop - fall.loop
            colour, alpha, arm = SIDES[now.M[f.SIDE, fall.unit]], round(220 * (1 - age / REMEMBERED_LOOPS)), 0.6 * radius
            if self._number(now, fall.unit, f.T_AREA) == f.BURST and age <= FLASH_LOOPS:
                canvas.disc(x, y, self._number(now, fall.unit, f.T_AREA_RADIUS), BURST, 90, rim=BURST, width=0.1)
            canvas.disc(x, y, radius, DARK, alpha // 2)
            canvas.line([(x - arm, y - arm), (x + arm, y + arm)], colour, alpha, 0.12)
            canvas.line([(x - arm, y + arm), (x + arm, y - arm)], colour, alpha, 0.12)

    def _draw_body(self, canvas: Canvas, now: Moment, unit: int) -> None:
        (x, y), radius, side = now.place(unit), float(now.W[f.RADIUS, unit]), int(now.M[f.SIDE, unit])
        dx, dy = float(now.W[f.FACING_X, unit]), float(now.W[f.FACING_Y, unit])
        tip, base, wide = 1.15 * radius + 0.25, 0.8 * radius, 0.55 * radius
        root_x, root_y = x + base * dx, y + base * dy
        beak = [(x + tip * dx, y + tip * dy), (root_x - wide * dy, root_y + wide * dx), (root_x + wide * dy, root_y - wide * dx)]
        canvas.shape(beak, WHITE)
        high = self._number(now, unit, f.T_FLIES) or self._number(now, unit, f.T_CLIFFS)
        canvas.disc(x, y, radius, SIDES[side], 130 if high else 255, rim=DARK)
        canvas.text(x, y, self._marks[now.M[f.KIND, unit]], 1.5 * radius, WHITE)

    def _draw_bars(self, canvas: Canvas, now: Moment, unit: int) -> None:
        (x, y), radius = now.place(unit), float(now.W[f.RADIUS, unit])
        west, south = x - radius, y + radius + 0.08
        part = float(now.W[f.HP, unit] / max(now.W[f.HP_MAX, unit], 1e-6))
        bars = [(part, (round(255 * min(1.0, 2 - 2 * part)), round(220 * min(1.0, 2 * part)), 60))]
        if now.W[f.SHIELD_MAX, unit] > 0:
            bars.append((float(now.W[f.SHIELD, unit] / now.W[f.SHIELD_MAX, unit]), SHIELD))
        for part, colour in bars:
            canvas.box(west, south, west + 2 * radius, south + 0.14, DARK, 220)
            if part > 0:
                canvas.box(west, south, west + 2 * radius * min(part, 1.0), south + 0.14, colour)
            south += 0.16

    def _draw_heals(self, canvas: Canvas, now: Moment) -> None:
        for unit in units((now.M[f.ALIVE] == 1) & (now.M[f.TARGET] >= 0)):
            patient = int(now.M[f.TARGET, unit])
            heals = self._number(now, unit, f.T_HEAL) > 0 and now.M[f.RANK, unit] == f.FIGHTING
            if heals and now.W[f.HP, patient] < now.W[f.HP_MAX, patient]:
                canvas.line([now.place(unit), now.place(patient)], HEAL, 170, 0.16)

    def _draw_shots(self, canvas: Canvas, now: Moment) -> None:
        for shot in self._chronicle.shots:
            area, colour = self._number(now, shot.unit, f.T_AREA), BRIGHT[now.M[f.SIDE, shot.unit]]
            if now.loop - shot.loop > FLASH_LOOPS or area == f.BURST:
                continue
            start, (x, y) = now.place(shot.unit), now.place(shot.target)
            canvas.line([start, (x, y)], colour, 200, 0.1)
            canvas.disc(x, y, 0.13, WHITE, 230)
            if area == f.LINE:
                half, (_, (dx, dy)) = self._number(now, shot.unit, f.T_AREA_RADIUS), toward(start, (x, y))
                canvas.line([(x - half * dy, y + half * dx), (x + half * dy, y - half * dx)], colour, 230, 0.3)

    def _draw_missiles(self, canvas: Canvas, now: Moment) -> None:
        for unit in units((now.M[f.FLIGHT] >= 0) & (now.M[f.KIND] >= 0)):
            target, speed = int(now.M[f.FLIGHT_TARGET, unit]), self._number(now, unit, f.T_MISSILE)
            if speed == 0 or not now.alive(target):
                continue
            distance, (dx, dy) = toward(now.place(unit), now.place(target))
            left = min(distance, float(now.M[f.FLIGHT, unit]) * speed)
            (x, y), colour = now.place(target), BRIGHT[int(now.M[f.SIDE, unit])]
            x, y = x - left * dx, y - left * dy
            canvas.line([(x - 0.5 * dx, y - 0.5 * dy), (x, y)], colour, 255, 0.16)
            canvas.disc(x, y, 0.15, WHITE)
