"""`a2po evaluate football/...`: what many games come to, and how it is shown. The engine plays where it is installed."""

from __future__ import annotations

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

import a2po
from a2po.cli.show import show_evaluation
from a2po.envs import make
from a2po.envs.play import steps
from a2po.envs.registry import scripted_player
from a2po.evaluation.football import FootballStatistics
from a2po.evaluation.football_observer import FootballObserver
from a2po.evaluation.football_results import PUBLISHED, pooled, reference
from a2po.evaluation.measure import Played
from a2po.evaluation.statistics import wilson_interval
from a2po.training.checkpoints import Checkpoints
from a2po.training.runs import create_run

CASES = json.loads((Path(__file__).parents[1] / "data" / "football_stats_cases.json").read_text())["cases"]
TASK = "football/academy_3_vs_1_with_keeper"


def game(*names: str) -> dict:
    """The statistics of one episode that plays the named traces in a row."""
    found = {}
    for kind in ("event", "paper"):
        statistics = FootballStatistics(kind, [1, 2, 3, 4])
        for name in names:
            for step in next(case for case in CASES if case["name"] == name)["episodes"][0]:
                statistics.observe(step["actions"], step)
        found[kind] = statistics.summary()
    return found


def test_rates_are_pooled_and_averaged():
    """One game with one pass of one, one with two of three, one without any. The paper sees one more, where two traces meet."""
    games = [game("pass_completed"), game("pass_completed", "pass_intercepted", "pass_key_held"), game("nothing")]
    table = pooled(games)["event"]["table"]
    assert (table["pass_rate_pooled"]["mean"], table["pass_rate"]["mean"]) == (3 / 4, pytest.approx((1 + 2 / 3 + 0) / 3))
    assert table["pass_rate_pooled"]["interval"] == list(wilson_interval(3, 4))
    assert (table["pass"]["mean"], table["pass_attempts"]["mean"]) == (1, pytest.approx(4 / 3))
    paper = pooled(games)["paper"]["table"]
    assert (paper["pass_rate_pooled"]["completed"], paper["pass_rate_pooled"]["attempts"]) == (4, 6)
    assert paper["pass_rate_pooled"]["interval"] is None


def test_the_columns_of_table_3():
    table = pooled([game("goal_with_assist_opponent_kicks_off"), game("goal_conceded")])
    for definition, assists in (("event", 0.5), ("paper", 0.0)):
        means = {name: figure["mean"] for name, figure in table[definition]["table"].items()}
        assert (means["goal"], means["lost"], means["assist"], means["pass"]) == (0.5, 0.5, assists, 0.5)
    assert table["event"]["statistics"]["win"]["method"] == "Wilson"


def test_networks_and_players_are_summed():
    found = pooled([game("pass_completed"), game("pass_completed"), game("pass_key_held"), game("goal_solo")])["event"]
    assert found["pass_network"] == [{"passer": 1, "receiver": 2, "passes": 2}, {"passer": 1, "receiver": 3, "passes": 1}]
    assert next(row for row in found["players"] if row["player"] == 1)["pass_attempts"] == 3
    assert next(row for row in found["players"] if row["player"] == 2)["goals"] == 1


def test_an_episode_that_a_fault_ended_counts_for_nothing():
    facts = {"seed": 1, "length": 5, "return": 0.0}
    records = [
        {**facts, "invalid": False, "statistics": game("pass_completed")},
        {**facts, "invalid": True, "statistics": game("goal_solo")},
        {**facts, "invalid": False, "statistics": game("nothing")},
    ]
    result = Played({}, records, (), 1.0, {}).result()
    assert (result["episodes"], result["invalid_episodes"], len(result["football"]["episodes"])) == (2, 1, 2)
    assert result["football"]["event"]["table"]["goal"]["mean"] == 0
    assert result["football"]["event"]["table"]["pass"]["mean"] == 0.5


@pytest.mark.parametrize(
    ("played", "trained_on", "steps", "mixed", "why"),
    [
        ("football/5_vs_5", None, None, False, "a script played here"),
        ("football/5_vs_5", "football/5_vs_5", 10**8, True, "a mixed team played here"),
        ("football/5_vs_5", TASK, 10**8, False, f"this team was trained on {TASK}, not on the full game"),
        (TASK, "football/5_vs_5", 10**8, False, "another game was played here"),
        ("football/5_vs_5", "football/5_vs_5", 2_000_000, False, "2,000,000 steps of training here, 100,000,000 in A2PO's configuration"),
        ("football/5_vs_5", "football/5_vs_5", 10**8, False, None),
    ],
)
def test_what_the_published_figures_are_good_for(played, trained_on, steps, mixed, why):
    found = reference(played, trained_on, steps, mixed=mixed)
    assert (found["why"], found["orientation_only"], found["figures"]) == (why, why is not None, PUBLISHED)


@pytest.mark.football
def test_a_scripted_player_is_shown_as_one(command):
    code, out, _ = command("evaluate", "--player", "random", "--task", TASK, "--episodes", "2", "--json")
    result = json.loads(out)
    assert code == 0 and [set(episode) for episode in result["football"]["episodes"]] == [{"event", "paper"}] * 2
    assert [episode["event"]["steps"] for episode in result["football"]["episodes"]] == result["lengths"]
    assert result["football"]["event"]["table"]["goal"]["mean"] == result["metrics"]["goals"]["mean"]
    assert result["football"]["reference"]["orientation_only"]


@pytest.mark.parametrize("columns", [80, 120])
def test_what_the_terminal_shows(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    games = [game("goal_with_assist_opponent_kicks_off"), *[game("pass_completed", "pass_intercepted", "pass_key_held")] * 11] * 3
    records = [{"seed": 1, "length": 5, "return": 0.0, "invalid": False, "statistics": statistics} for statistics in games]
    facts = {"kind": "evaluation", "policy": "random", "actions": "scripted", "bundle": None, "run": None, "options_given": {}}
    facts |= {"task": "football/5_vs_5", "task_options": {}, "copies": 1, "seed": 0, "wall_time_s": 1.0, "file": None, "report": None}
    result = facts | Played({}, records, (), 1.0, {}).result()
    result["football"]["reference"] = reference("football/5_vs_5", None, None, mixed=False)
    show_evaluation(result)
    out = capsys.readouterr().out
    rows = {line.split("  ")[0]: re.sub(r" +", " ", line) for line in out.splitlines()}
    assert max(map(len, out.splitlines())) <= columns and "…" not in out
    assert re.search(r"^Pass Rate %, pooled 67\.65 \[\d\S+, \d\S+\] 60\.71 - *$", rows["Pass Rate %, pooled"])
    assert rows["Assist"].startswith("Assist 0.08333 [") and rows["Assist"].rstrip().endswith(" 0 [0, 0]")
    assert rows["A2PO"].split() == ["A2PO", "9.01", "0.78", "0.56", "6.42", "67.1"]
    assert "orientation only: a script played here" in " ".join(out.split())


@pytest.mark.football
def test_a_teams_result_and_report_hold_the_statistics(policy_at, tmp_path):
    policy = policy_at(tmp_path / "run", TASK, hidden_sizes=[4])
    create_run(policy.run, policy.config)
    Checkpoints(policy.run / "checkpoints").save(4096, {"step": 4096, "team": policy.team.state_dict()}, best=True)
    result = a2po.evaluate(policy.run, policy="torch", episodes=2, num_envs=1, report=True, say=lambda line: None)
    assert json.loads(Path(result["file"]).read_text())["football"] == result["football"]
    assert result["football"]["reference"]["why"] == f"this team was trained on {TASK}, not on the full game"
    page = Path(result["report"]).read_text()
    assert "Football statistics" in page and "Pass Rate %, pooled" in page and "orientation only" in page


@pytest.mark.football
def test_a_real_game_is_counted_as_its_trace_says():
    """Twenty seconds of the full game, played by chance with no thought but to pass."""
    found = spec_from_file_location("football_readings", Path(__file__).with_name("football_readings.py"))
    readings = module_from_spec(found)
    found.loader.exec_module(readings)
    trace = []

    class Recorder(FootballObserver):
        def step(self, actions, frames):
            super().step(actions, frames)
            fields = {name: int(frames[0][name]) for name in ("ball_owned_team", "ball_owned_player", "game_mode")}
            trace.append({"actions": actions[0].tolist(), **fields, "score": frames[0]["score"].astype(int).tolist()})

    env = make("football/5_vs_5", 1, seed=3, num_threads=1, duration=2999)
    env.observer = Recorder()
    random = scripted_player("random", "football/5_vs_5").make(env, 0)

    def act(observations, begun):
        actions = random(observations, begun)
        return torch.where(observations.action_mask[..., 11], 11, actions)

    try:
        for _, _ in zip(range(400), steps(env, act), strict=False):
            pass
        counted = env.observer.summary(0)["statistics"]
    finally:
        env.close()
    event, (paper,) = readings.read_event(trace, [1, 2, 3, 4]), readings.read_paper([trace], [1, 2, 3, 4])
    event.pop("pass_network")
    assert {name: counted["event"][name] for name in event} == event
    assert {name: counted["paper"][name] for name in paper} == paper
    assert event["pass_attempts"] > 3 and event["opponent_owned_steps"]


@pytest.mark.football
def test_the_scripted_player_passes_and_scores(command):
    """And its assists are none of the paper's: a drill ends with the goal."""
    code, out, _ = command("evaluate", "--player", "passer", "--task", TASK, "--episodes", "4", "--num-envs", "1", "--json")
    event, paper = (json.loads(out)["football"][kind]["table"] for kind in ("event", "paper"))
    assert code == 0 and event["goal"]["mean"] > 0 and event["pass_rate_pooled"]["completed"] >= 4
    assert event["assist"]["mean"] > 0 == paper["assist"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--left", "rnadom"), "has no player 'rnadom'; did you mean 'random'"),
        (("--left", "passer", "--player", "random"), "left and player exclude each other"),
        (("--left", "passer", "--right", "bulitin"), "has no opponent 'bulitin'; did you mean 'builtin'"),
        (("--left", "passer", "--render", "engin"), "render: 'engin' is unknown; did you mean 'engine'?"),
    ],
)
def test_wrong_sides_of_a_game_are_told(command, arguments, words):
    code, _, err = command("play", TASK, *arguments)
    assert code == 2 and words in " ".join(err.split())


@pytest.mark.football
def test_the_left_and_the_right_side_are_the_player_and_the_opponent(command):
    played = [command("play", TASK, *who, "--steps", "30", "--json") for who in (("--left", "passer"), ("--player", "passer"))]
    assert [code for code, *_ in played] == [0, 0]
    first, second = (json.loads(out)["episodes"] for _, out, _ in played)
    assert first == second
    code, out, _ = command("play", TASK, "--left", "passer", "--right", "random", "--steps", "5", "--json")
    assert code == 0 and json.loads(out)["task_options"]["opponent"] == "random"
