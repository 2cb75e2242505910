"""The scripts against positions made by hand: whom they attack, whom they heal, where they walk."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.protocol import Observations
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.players import PLAYERS, FocusFire, Heuristic, Kiting, Nearest
from a2po.envs.smac.units import KINDS, UNITS

NOTHING, STOP, NORTH, SOUTH, EAST, WEST, TARGET = range(7)


class Field:
    """One battle of 2 marauders, 1 marine and 1 medivac against 2 marines and 1 medivac; every agent may do everything."""

    def __init__(self):
        self.battle = SimpleNamespace(num_agents=4, num_enemies=3, num_actions=10, units=tuple(UNITS.values()))
        self.kinds = ("marauder", "marauder", "marine", "medivac", "marine", "marine", "medivac")
        self.place = np.array([(5, 5), (5, 7), (5, 9), (4, 7), (12, 9), (12, 5.5), (8, 5)], np.float32)
        self.hp = np.array([UNITS[kind].hp for kind in self.kinds], np.float32)
        self.cooldown = np.zeros(7, np.float32)
        self.mask = np.ones((1, 4, 10), bool)
        self.mask[:, :3, 9] = False  # only the medivac has a fourth target

    def snapshot(self):
        alive, kind = self.hp > 0, np.array([KINDS.index(name) for name in self.kinds])
        place = np.where(alive[:, None], self.place, 1e9).astype(np.float32)
        empty = {"x": 1e9, "y": 1e9, "hp": 0, "shield": 0, "cooldown": 0, "alive": 0, "kind": -1}  # columns without a unit
        rows = {"x": place[:, 0], "y": place[:, 1], "hp": self.hp, "alive": alive, "kind": kind}
        rows |= {"shield": np.zeros(7, np.float32), "cooldown": self.cooldown}
        padded = {name: np.append(row, np.full(9, empty[name], row.dtype))[None] for name, row in rows.items()}
        return SimpleNamespace(**padded)

    def kill(self, unit):
        self.hp[unit] = 0

    def ask(self, player, begun=None):
        mask = torch.from_numpy(self.mask)
        seen = Observations(torch.zeros(1, 4, 1), torch.zeros(1, 1), mask, torch.from_numpy(self.hp[None, :4] > 0))
        actions = player(seen, None if begun is None else torch.tensor([begun]))
        assert actions.shape == (1, 4) and actions.dtype == torch.int64
        return actions[0].tolist()


def test_the_heuristic_attacks_the_nearest_and_marauders_leave_medivacs_alone():
    field = Field()
    assert field.ask(Heuristic(field)) == [TARGET + 1, TARGET + 1, TARGET + 2, STOP]


def test_the_heuristic_keeps_its_target_until_it_is_dead():
    field = Field()
    player = Heuristic(field)
    field.ask(player)
    field.place[4] = (6, 6)  # a nearer one
    assert field.ask(player, begun=False) == [TARGET + 1, TARGET + 1, TARGET + 2, STOP]
    field.kill(5)
    assert field.ask(player, begun=False) == [TARGET + 0, TARGET + 0, TARGET + 2, STOP]
    field.kill(6)
    assert field.ask(player, begun=False)[2] == TARGET + 0


def test_the_heuristic_forgets_its_targets_when_an_episode_begins():
    field = Field()
    player = Heuristic(field)
    field.ask(player)
    field.place[4] = (6, 6)
    assert field.ask(player, begun=True)[:2] == [TARGET + 0, TARGET + 0]


def test_the_heuristics_medivac_stays_with_a_patient_until_it_is_whole():
    field = Field()
    player = Heuristic(field)
    field.hp[0] -= 100  # badly, but farther away than the next
    field.hp[1] -= 1
    field.hp[3] -= 50  # medivacs are not patients
    assert field.ask(player)[3] == TARGET + 1
    field.place[0] = field.place[3]
    assert field.ask(player, begun=False)[3] == TARGET + 1
    field.hp[1] = 125
    assert field.ask(player, begun=False)[3] == TARGET + 0
    field.kill(0)
    assert field.ask(player, begun=False)[3] == STOP


@pytest.mark.parametrize("player", [Heuristic, Nearest])
def test_the_dead_do_nothing_and_without_enemies_nobody_fights(player):
    field = Field()
    field.kill(1)
    field.mask[:, :, TARGET:] = False
    assert field.ask(player(field))[1] == NOTHING
    for unit in (4, 5, 6):
        field.kill(unit)
    assert field.ask(player(field)) == ([STOP, NOTHING, STOP, STOP] if player is Heuristic else [EAST, NOTHING, EAST, EAST])


def test_nearest_attacks_what_the_mask_allows():
    field = Field()
    assert field.ask(Nearest(field))[:3] == [TARGET + 2, TARGET + 2, TARGET + 2]
    field.mask[:, :, TARGET + 2] = False
    assert field.ask(Nearest(field))[:3] == [TARGET + 1, TARGET + 1, TARGET + 0]


def test_nearest_heals_who_has_the_smallest_part_of_its_life():
    field = Field()
    field.hp[[0, 2]] = 60, 30  # 48 %, 67 %
    assert field.ask(Nearest(field))[3] == TARGET + 0
    field.mask[:, 3, TARGET] = False
    assert field.ask(Nearest(field))[3] == TARGET + 2


def test_nearest_walks_to_who_is_in_sight():
    field = Field()
    field.mask[:, :, TARGET:] = False
    field.place[4:] = [(14, 5), (5, 30), (30, 30)]
    assert field.ask(Nearest(field)) == [EAST, EAST, EAST, EAST]  # nobody within 9
    field.place[5] = (4, 14.5)
    assert field.ask(Nearest(field)) == [EAST, NORTH, NORTH, NORTH]
    field.mask[:, :, NORTH] = False
    assert field.ask(Nearest(field)) == [EAST, WEST, WEST, STOP]  # the next best; the medivac is right below
    field.place[5] = (5, 0)
    assert field.ask(Nearest(field))[0] == SOUTH


def test_who_may_not_attack_its_target_walks_to_it():
    field = Field()
    field.mask[:, :, TARGET:] = False
    for player in (Heuristic, FocusFire, Kiting):
        assert field.ask(player(field)) == [EAST, EAST, SOUTH, STOP]


def test_focus_fire_is_on_the_weakest_that_many_reach():
    field = Field()
    field.place[4:] = [(10, 7), (10, 8), (9, 7)]
    field.hp[4:] = 45, 20, 150
    assert field.ask(FocusFire(field))[:3] == [TARGET + 1] * 3  # in range of all
    field.hp[4:] = 5, 20, 150
    assert field.ask(FocusFire(field))[:3] == [TARGET + 0, TARGET + 0, TARGET + 0]
    field.place[4] = (11.5, 2)  # now only one marauder, or nobody, has it in range: too few
    assert field.ask(FocusFire(field))[:3] == [TARGET + 1] * 3
    field.kill(5)
    assert field.ask(FocusFire(field))[2] == TARGET + 2  # the marine alone can hurt the medivac


def test_kiting_steps_back_from_who_has_the_shorter_range():
    field = Field()
    field.place[4] = (8, 5)  # a marine: range 5 against the marauders' 6
    assert field.ask(Kiting(field))[0] == TARGET + 0
    field.cooldown[0] = 10
    assert field.ask(Kiting(field))[0] == WEST
    field.mask[:, 0, WEST] = False
    assert field.ask(Kiting(field))[0] == TARGET + 0  # nowhere to go
    field.mask[:, 0, WEST], field.place[4] = True, (13, 5)
    assert field.ask(Kiting(field))[0] == TARGET + 1  # beyond its range: it comes nearer to the nearest
    field.place[4], field.cooldown[2] = (8, 9), 10
    assert field.ask(Kiting(field))[2] == TARGET + 0  # a marine does not outrange a marine


def test_every_battle_has_targets_of_its_own():
    """Two battles in one batch decide as each does alone."""
    one, other = Field(), Field()
    other.place[4] = (5, 4)
    batch = SimpleNamespace(battle=one.battle)
    batch.snapshot = lambda: SimpleNamespace(
        **{name: np.concatenate([row, vars(other.snapshot())[name]]) for name, row in vars(one.snapshot()).items()}
    )
    for player in (Heuristic, Nearest):
        mask = torch.from_numpy(np.concatenate([one.mask, other.mask]))
        seen = Observations(torch.zeros(2, 4, 1), torch.zeros(2, 1), mask, torch.ones(2, 4, dtype=torch.bool))
        assert player(batch)(seen, None).tolist() == [one.ask(player(one)), other.ask(player(other))]


@pytest.mark.parametrize("task", ["smac/2s3z", "smacv2/protoss_5_vs_5"])
def test_the_heuristics_orders_reach_across_every_map(task):
    heuristic = PLAYERS["heuristic"]
    with closing(make(task, 2, seed=1, num_threads=1, **heuristic.options)) as env:
        assert (heuristic.make(env, 0)(env.reset(), None) >= TARGET).all()


def test_only_the_heuristic_needs_options_and_all_types_have_scripts():
    assert not any(PLAYERS[name].options for name in ("nearest", "focus_fire", "kiting"))
    assert {kind for battle in MAPS.values() for kind in battle.ally_kinds} <= set(KINDS)
