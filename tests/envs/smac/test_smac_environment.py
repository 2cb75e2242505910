"""The family smac behind the contract: actions, rewards, ends, episodes, options; what battles do is looked at elsewhere."""

from __future__ import annotations

import copy as copying
from contextlib import closing
from dataclasses import fields as fields_of

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.protocol import Observations
from a2po.envs.registry import scripted_player
from a2po.envs.smac import fields as f
from a2po.envs.smac.fields import SIZE
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import CHOICES, FLAGS, POSITIVE, RANGES_OF_SHARES, RULES, SHARES, Options, parse_options
from a2po.envs.smac.simulation import SMALLEST_SHARE
from a2po.envs.smac.specialise import plain
from a2po.errors import ActionError, CheckpointError, DependencyError, TaskError
from a2po.testing import RandomPlayer

NOTHING, STOP, NORTH, SOUTH, EAST, WEST, TARGET = range(7)


@pytest.fixture
def battles():
    """Make environments that are closed at the end."""
    made = []

    def begin(name, num_envs=1, seed=3, num_threads=1, **options):
        made.append(make(f"smac/{name}", num_envs, seed=seed, num_threads=num_threads, **options))
        return made[-1], made[-1].reset()

    yield begin
    for env in made:
        env.close()


def everybody(env, action):
    return torch.full((env.num_envs, env.spec.num_agents), action)


def stay(env):
    """Stop, or nothing if dead."""
    return torch.from_numpy(np.where(env._mask[:, :, STOP], STOP, NOTHING))


def play_out(env, seen, player="heuristic"):
    """The steps of copy 0's first episode."""
    act, steps = scripted_player(player, env.spec.task).make(env, 0), []
    while not steps or not (steps[-1].terminated | steps[-1].truncated)[0]:
        steps.append(copying.deepcopy(env.step(act(seen, None))))
        seen = steps[-1].observations
    return steps


def kill(env, columns, copy=0):
    """As if these units had died in the last step: nothing else of the battle changes."""
    units, marks = env.simulation.units[copy], env.simulation.marks[copy]
    for column in columns:
        marks[f.ALIVE, column] = 0
        units[[f.HP, f.SHIELD], column] = 0
        units[[f.X, f.Y, f.NEXT_X, f.NEXT_Y], column] = f.FAR


def trace(env, seen, steps, copies):
    """Everything that the first copies see and get in random play."""
    player, found = RandomPlayer(env), [values[:copies].clone() for values in seen]
    for _ in range(steps):
        step = env.step(player(seen))
        seen = step.observations
        found += [values[:copies].clone() for values in (*seen, step.reward, step.terminated, step.truncated)]
    return found


# Actions.


def test_an_illegal_action_names_copy_agent_action_and_what_is_legal(battles):
    env, seen = battles("2s3z", 3)
    actions = everybody(env, STOP)
    actions[2, 3] = TARGET + 1
    before = env.state_dict()
    with pytest.raises(ActionError) as caught:
        env.step(actions)
    legal = np.flatnonzero(seen.action_mask[2, 3].numpy())
    can = ", ".join(f"{action} {env.spec.action_names[3][action]}" for action in legal)
    names = f"action 7 ({env.spec.action_names[3][7]}) of 'zealot_1' in copy 2 is not legal now; legal are: {can}"
    assert str(caught.value) == f"smac/2s3z: {names}" and "1 stop" in can and "7 " not in can
    after = env.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in ("units", "marks", "mask"))
    assert after["tracker"]["length"].tolist() == [0, 0, 0]
    for wrong in (-1, 11):
        actions[2, 3] = wrong
        with pytest.raises(ActionError, match=rf"action {wrong} of 'zealot_1' in copy 2 is not legal"):
            env.step(actions)
    with pytest.raises(ActionError, match=r"action 0 .* of 'stalker_0' in copy 0 is not legal"):
        env.step(everybody(env, NOTHING))  # only the dead do nothing
    env.step(everybody(env, STOP))


def test_the_dead_can_only_do_nothing(battles):
    env, _ = battles("3m")
    kill(env, [1])
    seen = env.step(everybody(env, STOP)).observations
    assert seen.alive[0].tolist() == [True, False, True] and not seen.obs[0, 1].any()
    assert np.flatnonzero(seen.action_mask[0, 1]).tolist() == [NOTHING]
    with pytest.raises(ActionError, match=r"action 1 .* of 'marine_1' in copy 0 .* legal are: 0 "):
        env.step(everybody(env, STOP))


@pytest.mark.parametrize("actions", [torch.ones(2, 2, dtype=torch.int64), torch.ones(3, dtype=torch.int64), torch.ones(2, 3)])
def test_actions_of_another_shape_or_type(battles, actions):
    env, _ = battles("3m", 2)
    with pytest.raises(ActionError, match=r"actions must be int64 \[2, 3\], got"):
        env.step(actions)


def test_a_step_before_the_reset():
    with closing(make("smac/3m", 1)) as env:
        with pytest.raises(RuntimeError, match=r"reset\(\)"):
            env.step(torch.ones(1, 3, dtype=torch.int64))
        env.close()  # twice, with the one that follows


# Rewards.


def won(env, seen):
    """A whole win: its steps."""
    for _ in range(20):
        steps = play_out(env, seen)
        if env.drain_episodes()[-1]["won"]:
            return steps
        seen = steps[-1].observations
    raise AssertionError("the heuristic lost 20 times")


@pytest.mark.parametrize("name", ["3m", "8m"])
@pytest.mark.parametrize("rate", [20.0, 1.0])
def test_a_win_without_regeneration_returns_the_rate(battles, name, rate):
    env, seen = battles(name, shoot_range=64.0, reward_scale_rate=rate)
    steps = won(env, seen)
    assert sum(float(step.reward[0]) for step in steps) == pytest.approx(rate, abs=1e-4 * rate)


def test_a_win_without_scale_is_what_there_is_to_win(battles):
    env, seen = battles("8m", shoot_range=64.0, reward_scale=False)
    assert sum(float(step.reward[0]) for step in won(env, seen)) == pytest.approx(8 * (45 + 10) + 200, abs=0.02)


def test_shields_that_grow_back_pay_and_without_the_quirk_cost(battles):
    rewards = {}
    for quirk in (True, False):
        env, _ = battles("2s3z", reward_only_positive=quirk, reward_scale=False)
        units, marks = env.simulation.units[0], env.simulation.marks[0]
        enemy = 5
        units[f.SHIELD, enemy] -= 20
        units[f.BEFORE, enemy] -= 20
        marks[f.CALM, enemy] = 0
        rewards[quirk] = float(env.step(stay(env)).reward[0])
        assert units[f.SHIELD, enemy] - (units[f.SHIELD_MAX, enemy] - 20) == pytest.approx(rewards[True], abs=1e-3)
    assert rewards[True] > 0 and rewards[False] == -rewards[True]


def test_own_losses_cost_half_without_the_quirk(battles):
    for quirk, wanted in ((True, 0.0), (False, -0.5 * (45 + 10))):
        env, _ = battles("3m", reward_only_positive=quirk, reward_scale=False)
        kill(env, [0])
        assert float(env.step(stay(env)).reward[0]) == pytest.approx(wanted)


@pytest.mark.parametrize("scale", [True, False])
def test_sparse_rewards_are_scaled_as_smac_does(battles, scale):
    unit = 20 / MAPS["3m"].max_reward if scale else 1.0
    for losers, sign in (((3, 4, 5), 1), ((0, 1, 2), -1), (range(6), 0)):
        env, _ = battles("3m", reward_sparse=True, reward_scale=scale)
        assert float(env.step(stay(env)).reward[0]) == 0.0
        kill(env, losers)
        step = env.step(stay(env))
        assert float(step.reward[0]) == pytest.approx(sign * unit) and bool(step.terminated[0])


# Ends.


def test_the_step_limit_is_a_truncation_and_final_the_true_successor(battles):
    short, seen = battles("2s3z", 2, max_episode_steps=6)
    longer, _ = battles("2s3z", 2)
    seeds, player = short.episode_seeds, RandomPlayer(short)
    for time in range(1, 7):
        actions = player(seen)
        step, other = short.step(actions), longer.step(actions)
        seen = step.observations
        assert step.truncated.tolist() == [time == 6] * 2 and not step.terminated.any() and not step.invalid.any()
    assert short.spec.max_episode_steps == 6 and longer.spec.max_episode_steps == 120
    for mine, theirs in zip(step.final, other.observations, strict=True):
        assert torch.equal(mine, theirs)
    fresh, _ = battles("2s3z", 2)
    for mine, theirs in zip(step.observations, fresh.reset(short.episode_seeds), strict=True):
        assert torch.equal(mine, theirs)
    records = short.drain_episodes()
    assert [record["seed"] for record in records] == seeds.tolist() and not any(record["won"] for record in records)
    terminal, _ = battles("2s3z", 2, max_episode_steps=1, timeouts_as_terminal=True)
    step = terminal.step(stay(terminal))
    assert step.terminated.all() and not step.truncated.any()


def test_episodes_know_who_won_and_who_died(battles):
    env, _ = battles("3m", 3)
    for copy, losers in enumerate([(3, 4, 5), (0, 1, 2, 4), (0, 3, 4, 5)]):
        kill(env, losers, copy)
    step = env.step(stay(env))
    assert step.terminated.all() and not step.truncated.any() and (step.reward[[0, 2]] > step.reward[1]).all()
    records = [tuple(record[name] for name in ("won", "dead_allies", "dead_enemies", "length")) for record in env.drain_episodes()]
    assert records == [(True, 0.0, 3.0, 1), (False, 3.0, 1.0, 1), (True, 1.0, 3.0, 1)]


@pytest.mark.parametrize(
    ("name", "allies", "enemies", "ends", "wins"),
    [
        ("MMM", {"medivac"}, {"marine", "medivac"}, True, False),  # only a medivac is left: defeat
        ("MMM", {"marine"}, {"medivac"}, True, True),
        ("MMM", {"medivac"}, {"medivac"}, True, False),  # defeat is looked at first
        ("MMM", {"medivac"}, set(), True, False),
        ("MMM", {"marine", "medivac"}, {"marine"}, False, False),
        ("MMM2", {"marauder"}, {"medivac"}, True, True),
    ],
)
def test_medivacs_cannot_win_alone(battles, name, allies, enemies, ends, wins):
    battle = MAPS[name]
    env, _ = battles(name)
    kill(env, [column for column, kind in enumerate(battle.ally_kinds) if kind not in allies])
    kill(env, [battle.num_agents + column for column, kind in enumerate(battle.enemy_kinds) if kind not in enemies])
    step = env.step(stay(env))
    assert bool(step.terminated[0]) is ends and [record["won"] for record in env.drain_episodes()] == ([wins] if ends else [])


# Buffers, seeds, states.


def test_out_is_written_in_place(battles):
    env, seen = battles("2s3z", 2)
    other, _ = battles("2s3z", 2)
    buffer = Observations(*(torch.full((30, *values.shape), 1, dtype=values.dtype) for values in seen))
    player = RandomPlayer(env)
    for time in range(30):
        actions = player(seen)
        slot = Observations(*(values[time] for values in buffer))
        written = []
        play, env.simulation.step = env.simulation.step, lambda *given: (written.append(given[1]), play(*given))  # noqa: B023
        seen = env.step(actions, slot).observations
        env.simulation.step = play
        assert seen is slot and written[0].obs.ctypes.data == slot.obs.data_ptr()  # no copy in between
        assert written[0].state.ctypes.data == slot.state.data_ptr() and written[0].alive.ctypes.data == slot.alive.data_ptr()
        for mine, theirs in zip(slot, other.step(actions).observations, strict=True):
            assert torch.equal(mine, theirs)
    strided = Observations(*(torch.zeros(*values.shape, 2, dtype=values.dtype)[..., 0] for values in seen))
    actions = player(seen)
    env.step(actions, strided)
    for mine, theirs in zip(strided, other.step(actions).observations, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", ["MMM2", "3s_vs_5z"])
def test_nothing_depends_on_the_number_of_copies_or_threads(battles, name):
    wanted = trace(*battles(name, 7, num_threads=1, max_episode_steps=20, robust=True), 30, 7)
    for num_envs, num_threads in ((1, 1), (7, 3), (1024, 1), (1024, 2), (1024, 3), (SMALLEST_SHARE * 2 + 1, 2)):
        env, seen = battles(name, num_envs, num_threads=num_threads, max_episode_steps=20, robust=True)
        copies = min(num_envs, 7)
        found = trace(env, seen, 30, copies)
        assert all(torch.equal(mine, theirs[:copies]) for mine, theirs in zip(found, wanted, strict=True))


def test_a_state_of_something_else_is_refused(battles):
    env, _ = battles("3m", 2)
    saved = env.state_dict()
    for name, num_envs in (("3m", 3), ("8m", 2)):
        with pytest.raises(CheckpointError, match=rf"2 copies of smac/3m, this one {num_envs} of smac/{name}"):
            battles(name, num_envs)[0].load_state_dict(saved)
    with pytest.raises(CheckpointError, match="another layout: another version of a2po saved it"):
        env.load_state_dict(saved | {"units": saved["units"][:, :-1]})


def test_a_snapshot_is_a_copy_of_what_is(battles):
    env, _ = battles("MMM", 2)
    for _ in range(3):
        env.step(stay(env))
    snapshot = env.snapshot()
    assert snapshot.alive.all() and snapshot.x.shape == (2, 20) and snapshot.step.tolist() == [3, 3]
    assert (snapshot.last_action == STOP).all() and snapshot.last_action.shape == (2, 10)
    snapshot.x[...] = 0
    assert (env.snapshot().x > 0).all()


def test_robust_battles_differ_and_are_reproducible(battles):
    drawn = [battles("3m", 40, robust=True)[0].simulation.units[:, f.RULE, : f.RULES].copy() for _ in range(2)]
    assert np.array_equal(*drawn)
    ranges = parse_options("smac/3m", {"robust": True}).ranges
    open_rules = ranges[:, 0] < ranges[:, 1]
    assert ((drawn[0] >= ranges[:, 0]) & (drawn[0] <= ranges[:, 1])).all()
    assert all(len(np.unique(drawn[0][:, rule])) > 1 for rule in np.flatnonzero(open_rules)) and open_rules.sum() >= 8
    other = battles("3m", 40, seed=4, robust=True)[0].simulation.units[:, f.RULE, : f.RULES]
    assert not np.array_equal(drawn[0], other)
    fixed = battles("3m", 40, robust=True, missile_flight=0.5)[0].simulation.units[:, f.RULE, f.FLIGHT_SCALE]
    assert (fixed == 0.5).all()
    plain = battles("3m", 40)[0].simulation.units[:, f.RULE, : f.RULES]
    assert (plain == plain[0]).all()


# Options.


WRONG = [
    *((name, value) for name in CHOICES for value in ("smack", 1, None, True)),
    *((name, value) for name in POSITIVE for value in (0, -1.0, float("nan"), float("inf"), 1e200, 10**309, True, "9", None)),
    *(("opponent", value) for value in (3, None, {}, ["kiting"], True)),
    *(("max_episode_steps", value) for value in (0, -1, 1.5, 2**40, True, "60")),
    *(("num_fov_actions", value) for value in (0, 2, 65, 12.5, True, "12")),
    *((name, value) for name in (*SHARES, *RANGES_OF_SHARES) for value in (-0.1, 1.5, float("nan"), True, "0.5", None, {})),
    *((name, value) for name in RANGES_OF_SHARES for value in ([0.5, 0.2], [0.1], [0.1, 0.2, 0.3], [0.0, 1.1], [0.0, True])),
    ("health_level", 1.0),
    *((name, value) for name in FLAGS if isinstance(getattr(Options(), name), bool) for value in (0, 1, "true", None)),
    *((name, value) for name, rule in RULES.items() for value in (rule.limits[0] - 1, rule.limits[1] + 1, "much", None, [], [1, 2, 3], {})),
    *((name, [rule.limits[1], rule.limits[0]]) for name, rule in RULES.items() if not rule.names),
    *((name, 0.5) for name, rule in RULES.items() if rule.whole),
    *((name, [names[1], names[0]]) for name, names in ((name, rule.names) for name, rule in RULES.items()) if names),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={value!r}" for name, value in WRONG])
def test_a_wrong_value_is_told_in_one_line_with_what_is_allowed(name, value):
    options = {name: value, "observation": "on_policy"} if name == "state" else {name: value}
    with pytest.raises(TaskError) as caught:
        make("smac/3m", 1, **options)
    text = str(caught.value)
    assert text.startswith(f"smac/3m: option '{name}' must be ") and f"got {value!r}" in text and "\n" not in text


def test_nobody_is_put_off_the_map_however_far_units_stand_off_their_places():
    with closing(make("smac/corridor", 64, seed=1, num_threads=1, spawn_jitter=2.0, head_start=0)) as env:
        env.reset()
        places = env.simulation.units[:, f.X : f.Y + 1, : env.battle.num_agents + env.battle.num_enemies]
    assert places.min() >= 0.5 and places.max() <= SIZE - 0.5


def test_a_drawn_rule_stays_within_its_range(monkeypatch):
    rules = plain(16)
    monkeypatch.setitem(rules.draw_rules.__globals__, "uniform", lambda *_: np.float32(1 - 2**-24))  # the largest draw
    for value in (0.0, 1.0, 7.0):
        W, M = np.zeros((f.FLOATS, 16), np.float32), np.zeros((f.INTS, 16), np.int32)
        rules.draw_rules(W, M, np.full((f.RULES, 2), value, np.float32))
        assert W[f.RULE, : f.RULES].tolist() == [value] * f.RULES


def test_every_option_is_looked_at():
    assert {name for name, _ in WRONG} == {*FLAGS, *RULES} and set(FLAGS) == {each.name for each in fields_of(Options)} - {"ranges"}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_a_value_or_a_range(name):
    rule = RULES[name]
    low, high = rule.names[:2] if rule.names else (int(rule.limits[0]), int(rule.limits[1]))
    for value, wanted in ((high, rule.limits[1:] * 2), ([low, high], rule.limits), ((low, low), rule.limits[:1] * 2)):
        ranges = parse_options("smac/3m", {name: value}).ranges
        found = [ranges[rule.columns[0], 0], ranges[rule.columns[-1], 1 if len(rule.columns) == 1 else 0]]
        assert found == list(wanted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terain": "cliff"}, ["unknown option 'terain'", "did you mean 'terrain'"]),
        ({"observation": "on_polcy"}, ["'smac' or 'on_policy'", "did you mean 'on_policy'"]),
        ({"terrain": "clif"}, ["'plateau' or 'cliff'", "did you mean 'cliff'"]),
        ({"state": "shared"}, ["'state' is for observation='on_policy'"]),
        ({"shuffle_enemies": "yes"}, ["'shuffle_enemies' must be false or true, or"]),
        ({"observation": "on_policy", "conic_fov": True}, ["option 'conic_fov' is for observation='smac'"]),
        ({"observation": "on_policy", "health_level": 0.5}, ["option 'health_level' is for observation='smac'"]),
    ],
)
def test_wrong_options_get_a_way_out(options, words):
    with pytest.raises(TaskError) as caught:
        make("smac/3m", 1, **options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("given", "meant"), [("smac/3m5z", "smac/3s5z"), ("smac/mmm2", "smac/MMM2"), ("MMM2", "smac/MMM2"), ("3m", "smac/3m")]
)
def test_an_unknown_map_gets_a_suggestion(given, meant):
    with pytest.raises(TaskError, match=rf"unknown task '{given}'; did you mean [^?]*'{meant}'"):
        make(given, 1)


@pytest.mark.parametrize("package", ["numba", "gymnasium"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None if name == package else True)
    with pytest.raises(DependencyError, match=rf"^the task 'smac/3m' needs the package '{package}'.*a2po\[train\]"):
        make("smac/3m", 1)
