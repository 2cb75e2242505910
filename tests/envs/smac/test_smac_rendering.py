"""Pictures of battles made by hand: what is there, and what happened since the last picture."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.envs.smac import fields as f
from a2po.envs.smac.canvas import GROUND
from a2po.envs.smac.framing import SMALLEST, whole
from a2po.envs.smac.rendering import HEAL, SHIELD, SIDES, BattleRenderer, picture_size
from a2po.envs.smac.terrain import LOW, TERRAIN_NAMES, load_terrain
from a2po.envs.smac.units import KINDS, UNITS, unit_table
from a2po.errors import DependencyError

TABLE = unit_table()


class Battle:
    """Units of a side and a kind at places of the open band, all whole, in the memory's rows."""

    def __init__(self, *units, terrain="open_band", size=(640, 360)):
        self.W, self.M = np.zeros((f.FLOATS, 16), np.float32), np.zeros((f.INTS, 16), np.int32)
        self.W[f.X] = self.W[f.Y] = f.FAR
        self.M[[f.KIND, f.SIDE, f.TARGET, f.AIM, f.WINDUP, f.SECOND, f.FLIGHT, f.FLIGHT_TARGET]] = -1
        for column, (side, kind, x, y) in enumerate(units):
            row = TABLE[KINDS.index(kind)]
            self.W[[f.X, f.Y, f.FACING_X], column] = x, y, 1
            self.W[[f.HP, f.HP_MAX, f.SHIELD, f.SHIELD_MAX, f.RADIUS], column] = row[[f.T_HP, f.T_HP, f.T_SHIELD, f.T_SHIELD, f.T_RADIUS]]
            self.M[[f.KIND, f.SIDE, f.ALIVE], column] = KINDS.index(kind), side, 1
        self.M[f.CLOCK, f.NUM_ALLIES] = sum(side == 0 for side, *_ in units)
        self.renderer = BattleRenderer(load_terrain(terrain), KINDS, TABLE, size)

    def draw(self, loops=0):
        self.M[f.CLOCK, f.LOOP] += loops
        return self.renderer.render(self.W, self.M)

    def kill(self, unit):
        self.W[[f.GOAL_X, f.GOAL_Y], unit] = self.W[[f.X, f.Y], unit]
        self.W[[f.X, f.Y], unit] = f.FAR
        self.M[f.ALIVE, unit] = self.W[f.HP, unit] = 0

    def around(self, picture, x, y, reach=1.5):
        """The part of a picture around a place."""
        frame = self.renderer._frame
        scale = picture.shape[1] / frame.width
        column, row = picture.shape[1] / 2 + (x - frame.x) * scale, picture.shape[0] / 2 - (y - frame.y) * scale
        west, east, north, south = (
            max(0, round(side)) for side in (column - reach * scale, column + reach * scale, row - reach * scale, row + reach * scale)
        )
        return picture[north:south, west:east]


def near(picture, colour, tolerance=60):
    """How many pixels have about this colour."""
    return int((np.abs(picture.astype(int) - colour).max(-1) < tolerance).sum())


def changed(one, other):
    return (np.abs(one.astype(int) - other) > 24).any(-1)


def test_units_are_discs_of_their_side_and_size():
    battle = Battle((0, "marine", 9, 16), (1, "spine_crawler", 20, 16), size=(660, 380))
    picture = battle.draw()
    assert picture.shape == (380, 660, 3) and picture.dtype == np.uint8
    assert near(battle.around(picture, 9, 16), SIDES[0]) > 60 and near(battle.around(picture, 9, 16), SIDES[1], 40) == 0
    marine, crawler = near(battle.around(picture, 9, 16), SIDES[0]), near(battle.around(picture, 20, 16), SIDES[1])
    assert 3 < crawler / marine < 9  # the radii are as 1 to 2.3, and both wear marks
    assert near(picture, GROUND[LOW], 16) > 0.7 * picture.shape[0] * picture.shape[1]


def test_bars_show_life_and_shield():
    whole, hurt = (Battle((1, "stalker", 16, 16)) for _ in range(2))
    hurt.W[f.HP, 0], hurt.W[f.SHIELD, 0] = 20, 0
    before, after = (battle.around(battle.draw(), 16, 17, 0.6) for battle in (whole, hurt))
    green = (20, 210, 60)
    assert near(before, green) > 3 * near(after, green) and near(before, SHIELD) > 20 and near(after, SHIELD) == 0
    assert near(after, (255, 110, 60)) > 5
    assert not changed(whole.draw(), whole.draw()).any()


def test_facing_turns_the_beak():
    east, north = (Battle((0, "zealot", 16, 16)) for _ in range(2))
    north.W[[f.FACING_X, f.FACING_Y], 0] = 0, 1
    where = np.argwhere(changed(east.draw(), north.draw()))
    assert len(where) > 10


def test_shots_are_drawn_once_from_shooter_to_target():
    battle = Battle((0, "marine", 12, 16), (1, "marine", 18, 16))
    still = battle.draw()
    battle.M[f.ATTACKS, 0], battle.M[f.AIM, 0] = 1, 1
    shot = battle.draw(8)
    assert (
        changed(shot, battle.around(still, 0, 0, 99)).any()
        and changed(battle.around(shot, 15, 16, 1), battle.around(still, 15, 16, 1)).any()
    )
    assert not changed(shot, battle.draw()).any()  # the same moment again
    assert not changed(battle.around(battle.draw(8), 15, 16, 1), battle.around(still, 15, 16, 1)).any()


def test_missiles_fly_towards_their_target():
    battle = Battle((0, "stalker", 10, 16), (1, "stalker", 20, 16))
    still = battle.draw()
    battle.M[[f.FLIGHT, f.FLIGHT_TARGET], 0] = 4, 1
    far = np.argwhere(changed(battle.draw(1), still))[:, 1].mean()
    battle.M[f.FLIGHT, 0] = 1
    near_target = np.argwhere(changed(battle.draw(1), still))[:, 1].mean()
    assert near_target > far + 30


def test_the_fallen_leave_a_mark_that_fades():
    battle = Battle((0, "marine", 12, 16), (0, "marine", 20, 16), (1, "zealot", 16, 16))
    battle.draw()
    battle.kill(2)
    marks = [battle.around(battle.draw(loops), 16, 16) for loops in (8, 8, 60)]
    left = [(mark.shape[0] * mark.shape[1]) - near(mark, GROUND[LOW], 16) for mark in marks]
    assert left[0] >= left[1] > 100 and left[2] < 20  # a line of the grid runs there


def test_the_view_follows_the_units():
    battle = Battle((0, "marine", 6, 12), (1, "marine", 9, 12))
    battle.draw()
    first, limit = battle.renderer._frame, whole(battle.renderer.terrain, 640 / 360)
    assert first.width == SMALLEST and first.width / first.height == pytest.approx(640 / 360)
    battle.W[f.X, :2] += 14
    battle.draw(4)
    soon = battle.renderer._frame
    battle.draw(200)
    late = battle.renderer._frame
    assert first.x < soon.x < late.x and late.x == pytest.approx(21.5, abs=0.01)
    battle.W[[f.X, f.Y], 0], battle.W[[f.X, f.Y], 1] = (0.5, 0.5), (31.5, 31.5)
    battle.draw(500)
    far = battle.renderer._frame
    assert [far.x, far.y, far.width, far.height] == pytest.approx([limit.x, limit.y, limit.width, limit.height], abs=0.01)


@pytest.mark.parametrize("x", [1, 31])
def test_the_view_stays_on_the_map(x):
    battle = Battle((0, "marine", x, 16))
    battle.draw()
    frame, limit = battle.renderer._frame, whole(battle.renderer.terrain, 640 / 360)
    assert abs(frame.x - limit.x) <= (limit.width - frame.width) / 2 + 1e-9 and abs(frame.x - x) < frame.width / 2


def test_banelings_burst_and_medivacs_heal():
    battle = Battle((0, "medivac", 10, 16), (0, "marine", 10, 13), (1, "baneling", 20, 16))
    before = battle.draw(8)
    assert near(before, HEAL) == 0
    battle.kill(2)
    battle.W[f.HP, 1] = 20
    battle.M[f.TARGET, 0], battle.M[f.RANK, 0] = 1, f.FIGHTING
    picture = battle.draw(8)
    assert changed(battle.around(picture, 20, 16, 2), battle.around(before, 20, 16, 2)).mean() > 0.7
    assert near(battle.around(picture, 10, 14.7, 0.6), HEAL, 90) > 10


def test_a_new_battle_has_no_past():
    battle = Battle((0, "marine", 12, 16), (1, "marine", 18, 16))
    first = battle.draw()
    battle.M[f.ATTACKS, 0], battle.M[f.AIM, 0] = 1, 1
    assert changed(battle.draw(8), first).any()
    battle.M[f.CLOCK, f.SEED_LOW] = 7
    battle.M[f.ATTACKS, 0] = 2
    assert not changed(battle.draw(8), first).any()


@pytest.mark.parametrize("name", TERRAIN_NAMES)
def test_every_terrain_fills_a_picture(name):
    size = picture_size(load_terrain(name))
    battles = [Battle(terrain=name, size=size) for _ in range(2)]
    battles[1].M[f.CLOCK, f.VARIANT] = 1
    plateau, cliff = (battle.draw() for battle in battles)
    assert plateau.shape == (size[1], size[0], 3) and all(side % 2 == 0 and 300 < side < 900 for side in size)
    assert changed(plateau, cliff).any() == bool((load_terrain(name).walkable[0] != load_terrain(name).walkable[1]).any())


def test_without_pillow_there_is_one_line(monkeypatch):
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None if name == "PIL" else object())
    with pytest.raises(DependencyError, match=r"picture of a battle needs the package 'PIL'.*a2po\[report\]"):
        Battle((0, "marine", 9, 16)).draw()


def test_every_type_has_a_mark():
    from a2po.envs.smac.rendering import MARKS

    assert set(MARKS) == set(UNITS) and len(set(MARKS.values())) == len(MARKS)
