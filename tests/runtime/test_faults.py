"""What a bot asks for instead of an error: a fallback action for the agent in trouble, counted, and nothing else changes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from a2po.errors import ObservationError, UserError
from a2po.runtime import Team

MEMORY = {"hidden_sizes": (16,), "recurrent_layers": 1, "recurrent_size": 12}
TASKS = {
    "discrete, one file": ("matrix/climbing", {"share_parameters": True, **MEMORY}),
    "discrete, uneven": ("matrix/uneven", MEMORY),
    "continuous, one file": ("mamujoco/HalfCheetah-2x3", {"share_parameters": True, **MEMORY}),
    "continuous, uneven": ("mamujoco/Humanoid-9|8", {}),
}


@pytest.fixture(scope="module", params=TASKS.values(), ids=TASKS)
def bundle(request, policy_at, build, tmp_path_factory):
    task, network = request.param
    return build(policy_at(tmp_path_factory.mktemp("faults") / "run", task, **network))


@pytest.fixture(scope="module")
def climbing(policy_at, build, tmp_path_factory):
    """Two agents with three actions each, one file, with memory."""
    return build(policy_at(tmp_path_factory.mktemp("climbing") / "run", "matrix/climbing", share_parameters=True, **MEMORY))


def observations(team, batch, steps, seed=0):
    task = team.manifest["task"]
    return np.random.default_rng(seed).normal(size=(steps, batch, len(team.agents), task["obs_width"])).astype(np.float32)


@pytest.mark.parametrize("noise", [None, 5])
def test_other_rows_play_as_if_nothing_had_happened(bundle, noise):
    team, healthy = Team.load(bundle, on_fault="fallback"), Team.load(bundle)
    rngs = [np.random.default_rng(noise) if noise else None for _ in range(2)]
    before = None
    for step, obs in enumerate(observations(team, 4, 6)):
        expected, memory = healthy.act(obs, noise=rngs[0]), team.memory
        ill = obs.copy()
        if step in (2, 3):
            ill[1, 0, 0] = np.nan
        actions = team.act(ill, noise=rngs[1])
        untouched = np.ones((4, len(team.agents)), bool)
        if step >= 2:  # what that agent remembers is another thing from then on
            untouched[1, 0] = False
        np.testing.assert_array_equal(actions[untouched], expected[untouched])
        if step in (2, 3):
            np.testing.assert_array_equal(actions[1, 0], before[1, 0])
            for name, kept in team.memory.items():
                same = (kept == memory[name]).all(axis=(1, 2))
                assert same.tolist() == [False, name == team.agents[0], False, False]
        before = actions
    assert team.faults == {("observation", team.agents[0]): 2}
    assert not healthy.faults


def test_the_first_action_of_all(bundle):
    team = Team.load(bundle, on_fault="fallback")
    obs = observations(team, 3, 1)[0]
    obs[:, :, 0] = np.inf
    actions = team.act(obs)
    for agent, spec in enumerate(team.bundle.agents):
        nearest = 0 if spec.discrete else np.clip(0.0, spec.low, spec.high)
        own = actions[:, agent] if spec.discrete else actions[:, agent, : spec.action_size]
        np.testing.assert_array_equal(own, np.broadcast_to(nearest, own.shape))
    if team.memory:
        assert not any(kept.any() for kept in team.memory.values())
    assert team.faults == {("observation", name): 3 for name in team.agents}


def test_masks_and_what_was_done_before_decide(climbing):
    team = Team.load(climbing, on_fault="fallback")
    obs, mask = observations(team, 1, 1)[0, 0], np.ones((2, 3), bool)
    blind = np.full_like(obs, np.nan)
    only_two = mask & (np.arange(3) == 2)
    assert team.act(obs, only_two).tolist() == [2, 2]
    assert team.act(blind, mask).tolist() == [2, 2]  # as before
    assert team.act(blind, mask & (np.arange(3) > 0) & (np.arange(3) < 2)).tolist() == [1, 1]  # no longer legal: the first that is
    assert team.act(obs, np.array([[False] * 3, [False, False, True]])).tolist() == [0, 2]  # nothing is
    assert team.act(blind, np.zeros((2, 3), bool)).tolist() == [0, 0]
    first, second = team.agents
    assert team.faults == {("observation", first): 3, ("observation", second): 3, ("mask", first): 2, ("mask", second): 1}
    team.act(obs, only_two)
    team.reset()
    assert team.act(blind).tolist() == [0, 0]  # a new episode has no action before


def test_a_reset_of_rows_forgets_their_actions(climbing):
    team = Team.load(climbing, on_fault="fallback")
    obs, mask = observations(team, 3, 1)[0], np.zeros((3, 2, 3), bool)
    mask[..., 2] = True
    team.act(obs, mask)
    team.reset([1])
    assert team.act(np.full_like(obs, np.nan)).tolist() == [[2, 2], [0, 0], [2, 2]]


def test_some_agents_by_name(climbing):
    team = Team.load(climbing, on_fault="fallback")
    first, second = team.agents
    obs, mask = observations(team, 2, 1)[0], np.array([[False, False, True]] * 2)
    assert team.act({second: obs[:, 1]}, {second: mask})[second].tolist() == [2, 2]
    blind = np.full_like(obs[:, 0], np.nan)
    chosen = team.act({first: blind, second: blind})
    assert (chosen[first].tolist(), chosen[second].tolist()) == ([0, 0], [2, 2])


def test_outputs_that_are_not_finite(climbing):
    """Finite numbers can be too large to compute with; a memory that holds one is such a case for any network."""
    broken = Team.load(climbing), Team.load(climbing, on_fault="fallback")
    obs = observations(broken[0], 2, 1)[0]
    for team in broken:
        team.act(obs)
        memory = team.memory
        memory[team.agents[1]][0, 0, 3] = np.nan
        team.memory = memory
    strict, lenient = broken
    before = strict.memory
    with pytest.raises(ObservationError, match=rf"agent '{strict.agents[1]}': its outputs for row 0 are not finite, though .* feature '"):
        strict.act(obs)
    assert all(np.array_equal(kept, before[name], equal_nan=True) for name, kept in strict.memory.items())  # all of it happened, or nothing
    actions = lenient.act(obs)
    assert lenient.faults == {("output", lenient.agents[1]): 1} and actions.shape == (2, 2)
    assert [np.isnan(kept).any() for kept in lenient.memory.values()] == [False, True]
    obs[0, 1, 0] = np.nan  # what comes of that is not counted a second time
    lenient.act(obs)
    assert lenient.faults == {("output", lenient.agents[1]): 1, ("observation", lenient.agents[1]): 1}


def test_errors_name_agent_and_game_of_a_file_that_several_share(climbing):
    team = Team.load(climbing)
    obs, mask = observations(team, 3, 1)[0], np.ones((3, 2, 3), bool)
    mask[2, 1] = False
    with pytest.raises(ObservationError, match=f"agent '{team.agents[1]}': the action mask of row 2 allows no action"):
        team.act(obs, mask)
    obs[1, 1, 0] = np.nan
    feature = team.bundle.agents[1].features[0]
    with pytest.raises(ObservationError, match=rf"agent '{team.agents[1]}': feature '{feature}' \(index 0\) is nan in row 1$"):
        team.act(obs)


def test_wrong_shapes_types_and_names_are_always_errors(climbing):
    team = Team.load(climbing, on_fault="fallback", deadline_ms=1000)
    obs = observations(team, 2, 1)[0]
    for wrong in (obs[..., :-1], obs.astype(int), {"nobody": obs[:, 0]}):
        with pytest.raises(ObservationError):
            team.act(wrong)
    assert not team.faults


def test_options_are_checked(climbing):
    with pytest.raises(UserError, match=r"on_fault: 'fallbak' is unknown; did you mean 'fallback'\?"):
        Team.load(climbing, on_fault="fallbak")
    with pytest.raises(UserError, match="threads must be at least 1, got 0"):
        Team.load(climbing, threads=0)
    for wrong in ("2", 1.5, None):
        with pytest.raises(UserError, match=f"threads must be a whole number, got {wrong!r}"):
            Team.load(climbing, threads=wrong)
    for wrong in (0, -1.0, float("nan"), float("inf"), 1e12, "8"):
        with pytest.raises(UserError, match=r"deadline_ms must be more than 0 and at most 86400000 \(a day\)"):
            Team.load(climbing, deadline_ms=wrong)


def test_a_deadline_that_is_kept_changes_nothing(bundle):
    timed, plain = Team.load(bundle, deadline_ms=60_000), Team.load(bundle)
    for obs in observations(plain, 3, 3):
        np.testing.assert_array_equal(timed.act(obs), plain.act(obs))
    assert not timed.faults


class Gate:
    """Stands between a team and its session, and lets a step through only when it is open."""

    def __init__(self, team):
        self.open = threading.Event()
        self.open.set()
        (group,) = team._groups
        self.genuine, group.memory.session = group.memory.session, self

    def run(self, *args):
        assert self.open.wait(30)
        return self.genuine.run(*args)


@pytest.mark.parametrize("read_memory_first", [True, False])
def test_a_late_step_is_a_fallback_and_still_remembered(climbing, read_memory_first):
    team, plain = Team.load(climbing, deadline_ms=100), Team.load(climbing)
    gate, (one, two, three, four) = Gate(team), observations(team, 2, 4)
    expected = [plain.act(one), plain.act(two)]
    np.testing.assert_array_equal(team.act(one), expected[0])
    gate.open.clear()
    given = two.copy()
    begun = time.monotonic()
    np.testing.assert_array_equal(team.act(given), expected[0])  # as before
    assert time.monotonic() - begun < 20
    given[:] = np.nan  # the game may write into its arrays at once
    mask = np.zeros((2, 2, 3), bool)
    mask[..., 1] = True
    assert (team.act(three, mask) == 1).all()  # what that one saw is lost, and its action is legal
    assert team.faults == {("late", name): 4 for name in team.agents}
    team._deadline.seconds = 60.0
    if read_memory_first:
        gate.open.set()
        for name, kept in team.memory.items():  # waits for the late step
            np.testing.assert_array_equal(kept, plain.memory[name])
    else:
        threading.Timer(0.2, gate.open.set).start()  # the next step waits for it, too, and is then played in time
    np.testing.assert_array_equal(team.act(four), plain.act(four))
    assert team.faults == {("late", name): 4 for name in team.agents}


def test_a_step_that_fails_in_its_thread_raises_in_the_callers(climbing):
    team = Team.load(climbing, deadline_ms=60_000)
    obs = observations(team, 3, 1)[0]
    team.act(obs)
    with pytest.raises(ObservationError, match=r"2 rows, but its memory holds 3: call team.reset\(\) first"):
        team.act(obs[:2])
    team.reset()
    team.act(obs[:2])


def test_what_a_late_step_raises_does_not_stop_a_reset(climbing):
    team = Team.load(climbing, deadline_ms=100)
    obs = observations(team, 3, 1)[0]
    team.act(obs)
    gate = Gate(team)
    gate.open.clear()
    team.memory = {name: kept * np.nan for name, kept in team.memory.items()}
    team.act(obs)
    team._deadline.seconds = 60.0
    gate.open.set()
    team.reset()
    assert team.memory == {}
    with pytest.raises(ObservationError, match="its outputs for row 0 are not finite"):
        team.act(obs)
    np.testing.assert_array_equal(team.act(obs), Team.load(climbing).act(obs))


def test_a_process_may_end_while_a_step_is_late(climbing):
    """ONNX Runtime aborts a process when a step of its is done while Python takes itself apart, which takes a while here."""
    code = f"""
import time
import numpy as np
from a2po.runtime import Team
class Large:
    def __del__(self, sleep=time.sleep):
        sleep(1)
large = Large()
team = Team.load({str(climbing)!r}, deadline_ms=0.001)
team.act(np.zeros((300_000, 2, 2), np.float32))
print(sum(team.faults.values()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "600000\n", "")


def test_the_thread_of_a_deadline_ends_with_its_team(climbing):
    before = set(threading.enumerate())
    team = Team.load(climbing, deadline_ms=1000)
    team.act(observations(team, 2, 1)[0])
    (own,) = set(threading.enumerate()) - before
    del team
    own.join(10)
    assert not own.is_alive()
