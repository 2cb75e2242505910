"""FootballStatistics against the stored traces, and against a second implementation (football_readings.py)."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from a2po.errors import UserError
from a2po.evaluation.football import FootballStatistics

CASES = json.loads((Path(__file__).parents[1] / "data" / "football_stats_cases.json").read_text())["cases"]
AGENTS = [1, 2, 3]
FREE = (-1, -1)


def readings():
    found = spec_from_file_location("football_readings", Path(__file__).with_name("football_readings.py"))
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


READINGS = readings()


def moment(owner=FREE, actions=(0, 0, 0), mode=0, score=(0, 0)) -> dict:
    """``owner``: (team, player); a number is a player of ours."""
    team, player = (0, owner) if isinstance(owner, int) else owner
    return {"actions": list(actions), "ball_owned_team": team, "ball_owned_player": player, "game_mode": mode, "score": list(score)}


def played(trace, definition="event", agents=AGENTS) -> dict:
    statistics = FootballStatistics(definition, agents)
    statistics.reset()
    return watched(statistics, trace)


def watched(statistics, trace) -> dict:
    for step in trace:
        statistics.observe(step["actions"], {name: value for name, value in step.items() if name != "actions"})
    return statistics.summary()


@pytest.mark.parametrize("definition", ["paper", "event"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_stored_traces(case, definition):
    statistics = FootballStatistics(definition=definition, players=case["player_ids"])
    for trace, expected in zip(case["episodes"], case[f"expected_{definition}"], strict=True):
        statistics.reset()
        summary = watched(statistics, trace)
        assert {name: summary[name] for name in expected} == expected


OWNERS = st.sampled_from([FREE, FREE, (0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2)])
ACTIONS = st.tuples(*[st.sampled_from([0, 0, 5, 9, 11, 12])] * 3)
SPELLS = st.tuples(OWNERS, st.integers(1, 13), ACTIONS, st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6]), st.sampled_from([0, 0, 0, 0, 1, 2]))


@st.composite
def traces(draw):
    """Spells of an owner, the action at their first step (mostly pressed at no other), and goals."""
    steps, score = [], [0, 0]
    for owner, length, actions, mode, goal in draw(st.lists(SPELLS, max_size=14)):
        if goal:
            score = [score[0] + (goal == 1), score[1] + (goal == 2)]
        held = draw(st.integers(1, 3))
        steps += [moment(owner, actions if at < held else (0, 0, 0), mode, score) for at in range(length)]
    return steps


@given(traces())
@example([moment(1, (11, 0, 0)), *[moment(1)] * 9, moment(FREE), moment(2)])  # the ball leaves in the last step of the window
@example([moment(1, (11, 0, 0)), *[moment(1)] * 10, moment(FREE), moment(2)])
def test_event_is_what_the_whole_trace_says(trace):
    expected, summary = READINGS.read_event(trace, AGENTS), played(trace)
    network = {(row["passer"], row["receiver"]): row["passes"] for row in summary["pass_network"]}
    assert {**{name: summary[name] for name in expected}, "pass_network": network} == expected
    for name in ("pass_attempts", "pass_completed", "possession_steps", "shots"):
        assert sum(row.get(name, 0) for row in summary["players"]) == summary[name]
    assert sum(row["goals"] for row in summary["assist_pairs"]) == summary["team_assist"]


@given(st.lists(traces(), min_size=1, max_size=4))
def test_paper_is_what_all_records_say(episodes):
    statistics = FootballStatistics("paper", AGENTS)
    for trace, expected in zip(episodes, READINGS.read_paper(episodes, AGENTS), strict=True):
        statistics.reset()
        summary = watched(statistics, trace)
        assert {name: summary[name] for name in expected} == expected


def test_a_pass_leaves_within_ten_steps():
    """Pressed at step s, it counts if the ball is no longer his at step s + 10 or before."""
    for waited, attempts in ((9, 1), (10, 0)):
        assert played([moment(1, (9, 0, 0)), *[moment(1)] * waited, moment(FREE), moment(2)])["pass_attempts"] == attempts


def test_the_newest_press_decides():
    """An old press has run out, the newer one has not; and it is the newer one that is a serve, or none."""
    held = [moment(1, (9, 0, 0), mode=5), *[moment(1)] * 8, moment(1, (10, 0, 0)), *[moment(1)] * 5, moment(2)]
    summary = played(held)
    assert (summary["pass_attempts"], summary["serve_attempts"]) == (1, 0)
    served = played([moment(1, (9, 0, 0), mode=0), moment(1, (10, 0, 0), mode=4), moment(FREE), moment(3)])
    assert (served["serve_attempts"], served["serve_completed"], served["serve_rate"]) == (1, 1, 1.0)


def test_a_one_two_gives_the_assist_to_who_played_it_back():
    trace = [moment(1), moment(FREE), moment(2), moment(1), moment(FREE), moment(FREE, score=(1, 0))]
    summary = played(trace)
    assert summary["assist_pairs"] == [{"assister": 2, "scorer": 1, "goals": 1}] and summary["assist"] == 1


def test_an_own_goal_has_no_scorer():
    summary = played([moment(1), moment((1, 2)), moment(FREE, score=(1, 0))])
    assert (summary["goals"], summary["own_goals"], summary["team_assist"]) == (1, 1, 0)
    assert not any("goals" in row for row in summary["players"])


def test_a_goal_in_the_last_step_and_in_the_first():
    assert played([moment(2), moment(1), moment(FREE, score=(1, 0))])["assist"] == 1
    assert played([moment(FREE, score=(0, 1))])["conceded"] == 1


def test_a_pass_that_becomes_a_goal_reached_nobody():
    """The goal ends what was on its way; the ball that left the foot in the very step of the goal was no pass."""
    in_flight = played([moment(1, (9, 0, 0)), moment(FREE), moment(FREE, score=(1, 0)), moment(2, score=(1, 0))])
    assert (in_flight["pass_attempts"], in_flight["pass_completed"]) == (1, 0)
    at_once = played([moment(1, (9, 0, 0)), moment(FREE, score=(1, 0)), moment(2, score=(1, 0))])
    assert (at_once["pass_attempts"], at_once["pass_completed"]) == (0, 0)


def test_a_keeper_without_an_agent_passes_nothing_but_may_receive():
    summary = played([moment(0), moment(1, (11, 0, 0)), moment(0), moment(2)])
    assert (summary["pass_attempts"], summary["pass_completed"]) == (1, 1)
    assert summary["pass_network"] == [{"passer": 1, "receiver": 0, "passes": 1}]


def test_losses_and_interceptions_are_of_the_team_and_in_open_play():
    trace = [moment(0), moment(FREE), moment((1, 3)), moment((1, 4)), moment(2), moment((1, 4), mode=3), moment(1)]
    summary = played(trace)
    assert (summary["ball_losses"], summary["interceptions"]) == (1, 2)
    kick_off = [moment(1), moment(FREE, score=(1, 0)), moment((1, 0), score=(1, 0))]
    assert played(kick_off)["ball_losses"] == 0
    assert summary["possession_share"] == pytest.approx(3 / 6)


def test_shots_leave_as_passes_do():
    shot = [moment(2, (0, 12, 0)), moment(2), moment(FREE), moment((1, 0))]
    assert [row for row in played(shot)["players"] if "shots" in row] == [{"player": 2, "possession_steps": 2, "shots": 1}]
    assert played([moment(2, (0, 12, 0)), moment(2, (0, 11, 0)), moment(FREE)])["shots"] == 0  # he passed in the end
    assert played([moment(2, (0, 12, 0)), *[moment(2)] * 10, moment(FREE)])["shots"] == 0  # and here he lost it long after
    assert played([moment(2, (0, 12, 0)), moment(FREE, score=(1, 0))])["shots"] == 1


def test_a_phantom_assist_of_the_paper():
    """Its walk back begins before the newest record and looks at the number alone: the shooter may be an opponent."""
    trace = [moment(3), moment(2), moment((1, 2)), moment(1, score=(1, 0))]
    summary = played(trace, "paper")
    assert (summary["assist"], summary["shoot"]) == (1, 1) and summary["assist_pairs"] == [{"assister": 3, "shooter": 2, "goals": 1}]
    assert played(trace)["team_assist"] == 0


def test_the_paper_keeps_no_more_than_it_can_look_at():
    statistics = FootballStatistics("paper", AGENTS)
    trace = [moment((0, at % 4)) for at in range(8)]
    watched(statistics, trace)
    before = len(pickle.dumps(statistics))
    for _ in range(50):
        statistics.reset()
        watched(statistics, trace * 10)
    assert len(pickle.dumps(statistics)) < before + 100


def test_agents_that_change_their_player():
    """The second agent takes over player 4 and passes with him: 4 is an agent's player then, 2 is none any more."""
    statistics = FootballStatistics("event", AGENTS)
    statistics.reset()
    statistics.observe([0, 0, 0], moment(2))
    statistics.observe([0, 11, 0], moment(4), players=[1, 4, 3])
    statistics.observe([0, 11, 0], moment(2), players=[1, 4, 3])
    statistics.observe([0, 0, 0], moment(FREE), players=[1, 4, 3])
    summary = statistics.summary()
    assert summary["pass_network"] == [{"passer": 4, "receiver": 2, "passes": 1}]
    assert (summary["pass_attempts"], summary["possession_steps"]) == (1, 2)


def test_arrays_lists_and_more_fields_than_are_read():
    trace = CASES[0]["episodes"][0]
    expected = played(trace, agents=[1, 2, 3, 4])
    statistics = FootballStatistics(players=np.array([1, 2, 3, 4]))
    for step in trace:
        raw = {name: np.asarray(value, np.float32) for name, value in step.items()}
        statistics.observe(np.array(step["actions"]), {**raw, "active": 3, "ball": [0.0, 0.0, 0.1]})
    assert statistics.summary() == expected == json.loads(json.dumps(expected))


def test_a_summary_is_a_copy_and_an_unplayed_game_a_draw():
    statistics = FootballStatistics("event", AGENTS)
    first = statistics.summary()
    assert (first["draw"], first["goals"], first["pass_rate"], first["possession_share"]) == (1, 0, 0.0, 0.0)
    first["players"].append("changed")
    assert statistics.summary()["players"] == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: FootballStatistics("events", AGENTS), "unknown definition 'events'; did you mean 'event'? (there are: event, paper)"),
        (lambda: FootballStatistics("event"), "at least one"),
        (lambda: FootballStatistics("event", [1, 1]), "each once"),
        (lambda: FootballStatistics("event", ["left"]), "numbers of the players"),
        (lambda: FootballStatistics("event", AGENTS).observe([0, 0], moment()), "2 actions for 3 agents"),
        (lambda: FootballStatistics("event", AGENTS).observe(["pass"] * 3, moment()), "a whole number for each of the 3 agents"),
        (lambda: FootballStatistics("event", AGENTS).observe([0] * 3, {"ball_owned_team": -1}), "no 'ball_owned_player'"),
        (lambda: FootballStatistics("event", AGENTS).observe([0] * 3, {**moment(), "score": 1}), "two of them for the score"),
        (lambda: FootballStatistics("event", AGENTS).observe([0] * 3, moment(), players=[1]), "1 players in this step"),
    ],
)
def test_what_cannot_be_counted(wrong, words):
    with pytest.raises(UserError) as raised:
        wrong()
    assert words in str(raised.value)


def test_no_torch_is_needed():
    code = "import sys, a2po.evaluation.football; assert not {'torch', 'numpy', 'gymnasium'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
