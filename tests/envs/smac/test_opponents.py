"""Who leads the enemies: what the scripts order, how often each leads, and what cannot be asked for."""

from __future__ import annotations

import math
from contextlib import closing

import numpy as np
import pytest
from scipy.stats import chisquare

from a2po.envs import make
from a2po.envs.registry import scripted_player
from a2po.envs.smac import fields as f
from a2po.envs.smac.opponents import SCRIPTS, opponent_names, parse_opponents
from a2po.envs.smac.specialise import plain
from a2po.errors import TaskError

PLAYED = ("3s5z", "MMM2", "1c3s5z", "2s_vs_1sc", "so_many_baneling")


class Seen:
    """One battle as a script sees it, in the words of the catalog; the rules' arrays are read here and nowhere else."""

    def __init__(self, env, copy):
        self.W, self.M = env.simulation.units[copy].copy(), env.simulation.marks[copy].copy()
        self.agents, self.units = env.battle.num_agents, env.battle.num_agents + env.battle.num_enemies
        self.kind = [env.battle.units[kind] for kind in self.M[f.KIND, : self.units]]
        self.walkable = env.terrain.walkable[self.M[f.CLOCK, f.VARIANT]]
        self.level = env.terrain.level

    def alive(self, unit):
        return self.M[f.ALIVE, unit] == 1

    def apart(self, one, other):
        return math.dist(*((float(self.W[f.X, unit]), float(self.W[f.Y, unit])) for unit in (one, other)))

    def hurts(self, one, other):
        weapon = self.kind[one].weapon
        return weapon is not None and self.alive(other) and bool(weapon.targets & self.kind[other].planes)

    def in_range(self, one, other):
        return self.apart(one, other) <= self.kind[one].weapon.range + self.kind[one].radius + self.kind[other].radius

    def victims(self, enemy):
        return [ally for ally in range(self.agents) if self.hurts(enemy, ally)]

    def wounded(self, enemy):
        return [
            friend
            for friend in range(self.agents, self.units)
            if friend != enemy and self.alive(friend) and self.W[f.HP, friend] < self.kind[friend].hp
            and "biological" in self.kind[friend].attributes and not self.kind[friend].flies and self.kind[friend].speed != 0
        ]  # fmt: skip

    def free(self, enemy, x, y):
        inside = 0.5 <= x <= 31.5 and 0.5 <= y <= 31.5
        unit = self.kind[enemy]
        ground = self.level if unit.walks_cliffs else self.walkable
        return inside and (unit.flies or ground[int(x), int(y)] > 0)


def focus(seen):
    """Of the allies that at least half as many have in range as have the most beset one, the one with the least hp and shield."""
    beset = {
        ally: sum(seen.alive(e) and seen.hurts(e, ally) and seen.in_range(e, ally) for e in range(seen.agents, seen.units))
        for ally in range(seen.agents)
    }
    most = max(beset.values())
    many = [ally for ally, count in beset.items() if count and count >= most / 2]
    return min(many, key=lambda ally: seen.W[f.HP, ally] + seen.W[f.SHIELD, ally], default=None)


def retreat(seen, enemy):
    """Where a kiting unit steps back to; None: it does not."""
    unit = seen.kind[enemy]
    threats = [ally for ally in range(seen.agents) if seen.hurts(ally, enemy)]
    if seen.M[f.COOLDOWN, enemy] < 4 or unit.speed == 0 or not threats:
        return None
    threat = min(threats, key=lambda ally: seen.apart(enemy, ally))
    if seen.kind[threat].weapon.range >= unit.weapon.range or not seen.in_range(enemy, threat):
        return None
    x, y = float(seen.W[f.X, enemy]), float(seen.W[f.Y, enemy])
    away = math.atan2(y - seen.W[f.Y, threat], x - seen.W[f.X, threat])
    for turn in (0, 45, -45, 90, -90):
        angle = away + math.radians(turn)
        if all(seen.free(enemy, x + far * math.cos(angle), y + far * math.sin(angle)) for far in (1, 2)):
            return x + 2 * math.cos(angle), y + 2 * math.sin(angle)
    return None


def expected(script, seen, enemy, focused):
    """(order, target or goal or None) of one enemy; None: it is left alone."""
    unit, order, target = seen.kind[enemy], seen.M[f.ORDER, enemy], int(seen.M[f.ORDER_TARGET, enemy])
    if unit.heal:
        patients = seen.wounded(enemy)
        kept = [target] if order == f.HEAL and target in patients else patients
        return (f.HEAL, min(kept, key=lambda one: seen.apart(enemy, one))) if kept else (f.STOP, None)
    if script == "kiting":
        if seen.M[f.WINDUP, enemy] >= 0 or seen.M[f.SECOND, enemy] >= 0:
            return None
        goal = retreat(seen, enemy)
        if goal is not None:
            return f.MOVE, goal
    victims = seen.victims(enemy)
    if script == "heuristic" and order == f.ATTACK and seen.alive(target):
        victims = [target]
    if focused in victims and seen.in_range(enemy, focused):
        victims = [focused]
    if not victims:
        return f.STOP, None
    victim = min(victims, key=lambda ally: seen.apart(enemy, ally))
    return (f.GUARD, None) if unit.speed == 0 and not seen.in_range(enemy, victim) else (f.ATTACK, victim)


def check_orders(script, env, copy):
    """What the rules order in this battle now is what the script's definition says; returns which orders there were."""
    seen = Seen(env, copy)
    W, M = seen.W.copy(), seen.M.copy()
    shared, found = env.simulation._shared, set()
    plain(W.shape[-1]).lead(W, M, shared[0], shared[1], *env.simulation.layout, np.zeros(64, np.int64))
    focused = focus(seen) if script == "focus_fire" else None
    for enemy in range(seen.agents, seen.units):
        wanted = expected(script, seen, enemy, focused) if seen.alive(enemy) else None
        if wanted is None:
            assert M[f.ORDER, enemy] == seen.M[f.ORDER, enemy] and M[f.WINDUP, enemy] == seen.M[f.WINDUP, enemy]
            continue
        order, what = wanted
        assert M[f.ORDER, enemy] == order, (script, seen.kind[enemy].name, wanted, M[f.ORDER, enemy])
        if order == f.MOVE:
            assert np.allclose(W[[f.GOAL_X, f.GOAL_Y], enemy], what, atol=1e-4)
        elif what is not None:
            assert M[f.ORDER_TARGET, enemy] == what
        kept = order == f.GUARD or (order == f.ATTACK and what == seen.M[f.AIM, enemy])
        assert M[f.WINDUP, enemy] == (seen.M[f.WINDUP, enemy] if kept else -1), "a begun attack on another one is broken off"
        found.add(order)
    return found


@pytest.mark.parametrize("script", ["heuristic", "focus_fire", "kiting"])
def test_scripts_order_what_their_definition_says(script):
    found, steps = set(), 0
    for name in PLAYED:
        env = make(f"smac/{name}", 2, seed=1, num_threads=1, opponent=script, robust=True)
        act = scripted_player("nearest", f"smac/{name}").make(env, 0)
        with closing(env):
            seen = env.reset()
            for _ in range(50):
                for copy in range(2):
                    found |= check_orders(script, env, copy)
                    steps += 1
                seen = env.step(act(seen, None)).observations
    assert found >= {f.ATTACK, f.HEAL, f.STOP, f.GUARD} and (f.MOVE in found) == (script == "kiting") and steps == 500


@pytest.mark.parametrize("script", SCRIPTS)
def test_compiled_scripts_do_what_plain_ones_do(script):
    env = make("smac/MMM2", 1, seed=1, num_threads=1, opponent=script)
    act = scripted_player("nearest", "smac/MMM2").make(env, 0)
    with closing(env), np.errstate(all="ignore"):
        seen, rules, attacks = env.reset(), env.simulation._play, 0
        for step in range(24):
            before = env.state_dict()
            actions = act(seen, None)
            if step % 8 == 7:
                env.simulation._play = plain(env.simulation.units.shape[-1]).play_battles
                env.step(actions)
                slow = env.state_dict()
                env.simulation._play = rules
                env.load_state_dict(before)
            seen = env.step(actions).observations
            if step % 8 == 7:
                assert np.array_equal(env.simulation.marks, slow["marks"])
                assert np.allclose(env.simulation.units, slow["units"], rtol=1e-5, atol=1e-5)
                attacks = max(attacks, env.simulation.marks[0, f.ATTACKS].sum())
        assert attacks > 20


def leaders(opponent, count=4000):
    env = make("smac/3m", count, seed=5, num_threads=1, opponent=opponent)
    with closing(env):
        env.reset()
        return np.bincount(env.simulation.marks[:, f.CLOCK, f.OPPONENT], minlength=f.OPPONENTS)


def test_a_mixture_is_drawn_by_its_weights():
    counts = leaders({"built_in": 1, "kiting": 2, "focus_fire": 5})
    assert counts[[f.HEURISTIC, f.RIVALS]].sum() == 0
    assert chisquare(counts[[f.BUILT_IN, f.FOCUS_FIRE, f.KITING]], np.array([1, 5, 2]) / 8 * 4000).pvalue > 0.001
    for name, number in SCRIPTS.items():
        assert leaders(name, 64)[number] == 64


def test_scripted_enemies_have_no_orders_before_the_first_step():
    env = make("smac/3m", 2, seed=0, num_threads=1, opponent={"built_in": 1, "heuristic": 1}, head_start=16)
    with closing(env):
        for _ in range(8):
            env.reset()
            marks, west = env.simulation.marks, env.simulation.units[:, f.X, 3:6]
            scripted = marks[:, f.CLOCK, f.OPPONENT] == f.HEURISTIC
            assert (marks[scripted, f.ORDER, 3:6] == f.STOP).all() and (west[scripted] > 22).all()
            assert (marks[~scripted, f.ORDER, 3:6] == f.ATTACK_MOVE).all() and (west[~scripted] < 22).all()


def test_a_script_against_itself_is_an_even_fight():
    """SMAC's heuristic on both sides, mirrored starts; about one standard deviation in thirty wins is 4 percent."""
    env = make("smac/8m", 400, seed=2, num_threads=1, opponent="heuristic", shoot_range=64.0, spawn_packing="mirrored")
    act = scripted_player("heuristic", "smac/8m").make(env, 0)
    with closing(env):
        seen, begun, records = env.reset(), None, []
        while len(records) < 800:
            step = env.step(act(seen, begun))
            seen, begun = step.observations, step.terminated | step.truncated
            records += env.drain_episodes()
    won, drawn = (np.mean([test(one) for one in records]) for test in (lambda one: one["won"], lambda one: one["length"] >= 120))
    assert abs(won + drawn / 2 - 0.5) < 0.07, won


def test_names():
    assert opponent_names("smac/3m") == opponent_names("smacv2/zerg_5_vs_5") == ["built_in", "heuristic", "focus_fire", "kiting"]
    assert opponent_names("mamujoco/HalfCheetah-2x3") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("kitting", "unknown opponent 'kitting'; did you mean 'kiting'"),
        (3, "option 'opponent' must be 'built_in' or 'heuristic'"),
        ({}, "option 'opponent' must be"),
        (["kiting"], "option 'opponent' must be"),
        ("", "unknown opponent ''"),
        ({"kiting": -1}, "the weight of 'kiting' must be a number from 0 on, got -1"),
        ({"kiting": "much"}, "the weight of 'kiting' must be a number from 0 on, got 'much'"),
        ({"kiting": float("nan")}, "the weight of 'kiting' must be a number"),
        ({"kiting": True}, "the weight of 'kiting' must be a number"),
        ({"kiting": 0, "built_in": 0}, "the weights add up to 0"),
        ({"focusfire": 1}, "unknown opponent 'focusfire'; did you mean 'focus_fire'"),
        ({3: 1}, "unknown opponent 3"),
    ],
)
def test_wrong_opponents_are_refused(value, words):
    with pytest.raises(TaskError) as caught:
        parse_opponents("smac/3m", value)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_shares_end_with_the_last_opponent_that_has_one():
    opponents = parse_opponents("smac/3m", {"built_in": 0.1, "heuristic": 0.2, "runs/x/bundle": 0})
    assert not opponents.bundles and opponents.thresholds.tolist() == pytest.approx([1 / 3, 1, 1, 1, 1])
    assert opponents.thresholds[1] == 1
    mixed = parse_opponents("smac/3m", {"kiting": 1, "runs/x/bundle": 1, "runs/y/bundle": 2})
    assert mixed.bundles == (("runs/x/bundle", 0.25), ("runs/y/bundle", 0.5))
    assert mixed.thresholds.tolist() == [0, 0, 0, 0.25, 1]
