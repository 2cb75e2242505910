"""The Kaggle agent through a whole game, what it does about nonsense, and a submission in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from a2po.bots.football.kaggle import KaggleAgent
from a2po.bots.football.submission import main, write_submission
from a2po.bots.football.team import IDLE
from a2po.envs.football.engine import Engine
from a2po.envs.football.frames import frame_type, raw_observations
from a2po.envs.football.scenarios import scenario
from a2po.errors import BundleError, UserError


@pytest.fixture(scope="module")
def eleven(football_bundle):
    """Ten recurrent agents of Kaggle's game, who leave the goal to the engine."""
    return football_bundle("11_vs_11_kaggle", recurrent_layers=1, recurrent_size=8, hidden_sizes=(16,))


def as_kaggle_sends(frame: np.ndarray) -> dict:
    """One moment as JSON has it: arrays are lists."""
    raw = raw_observations(frame)
    return json.loads(json.dumps({"controlled_players": len(raw), "players_raw": raw}, default=lambda array: array.tolist()))


@pytest.fixture(scope="module")
def moments() -> list[dict]:
    """A whole game of one controlled player; see record_game.py."""
    with np.load(Path(__file__).parents[1] / "data" / "football" / "kaggle_game.npz") as stored:
        frames = stored["frames"].view(frame_type(11, 11, 1))[:, 0]
    found = [as_kaggle_sends(frame) for frame in frames]
    assert found[0]["players_raw"][0]["steps_left"] == 3001 and found[-1]["players_raw"][0]["steps_left"] == 0
    return found


def test_it_answers_a_whole_game_with_what_is_legal(eleven, moments):
    agent, chosen = KaggleAgent(eleven), []
    for obs in moments:
        (action,) = agent(obs)
        assert type(action) is int and 0 <= action <= 18
        chosen.append(action)
    assert not agent.faults and not agent.team.team.faults
    active = {obs["players_raw"][0]["active"] for obs in moments}
    assert len(active) > 5 and len(set(chosen)) > 3  # it is asked about many players, and does not do one thing


def test_every_player_has_a_memory_of_his_own(eleven, moments):
    agent = KaggleAgent(eleven)
    agent(moments[0])
    before = agent.team.team.memory
    other = next(obs for obs in moments if obs["players_raw"][0]["active"] not in (0, moments[0]["players_raw"][0]["active"]))
    agent(other)
    after = agent.team.team.memory
    changed = [name for name in after if (after[name] != before.get(name, 0)).any()]
    assert changed == [f"player_{other['players_raw'][0]['active']}"]


def test_a_new_game_begins_without_memories(eleven, moments):
    agent, fresh = KaggleAgent(eleven), KaggleAgent(eleven)
    for obs in moments[:40]:
        agent(obs)
    assert agent(moments[0]) == fresh(moments[0])
    for name, values in fresh.team.team.memory.items():
        np.testing.assert_array_equal(values, agent.team.team.memory[name])


def test_all_players_at_once_are_played_as_in_training(eleven):
    game = Engine()
    game.reset(scenario("11_vs_11_kaggle"), seed=3, left_agents=11)
    agent = KaggleAgent(eleven)
    for _ in range(20):
        actions = agent(as_kaggle_sends(game.frame))
        assert len(actions) == 11
        game.step(np.array(actions))
    assert not agent.faults and len(agent.team.team.memory) == 10
    game.close()


@pytest.mark.parametrize(
    ("broken", "count"),
    [
        (lambda obs: {**obs, "controlled_players": 3}, 3),
        (lambda obs: {"controlled_players": 2, "players_raw": [{}, {}]}, 2),
        (lambda obs: {"controlled_players": 1}, 1),
        (lambda obs: {}, 1),
        (lambda obs: {**obs, "players_raw": [{**obs["players_raw"][0], "ball": "?"}]}, 1),
        (lambda obs: {**obs, "players_raw": [{**obs["players_raw"][0], "sticky_actions": []}]}, 1),
    ],
)
def test_nonsense_is_answered_legally_counted_and_told_once(eleven, moments, capsys, broken, count):
    agent = KaggleAgent(eleven)
    for _ in range(2):
        assert agent(broken(moments[5])) == [IDLE] * count
    assert sum(agent.faults.values()) == 2
    assert capsys.readouterr().err.count("the team stands still") == 1
    (action,) = agent(moments[6])
    assert 0 <= action <= 18


def test_an_observation_that_is_not_finite_is_played_around(eleven, moments):
    agent = KaggleAgent(eleven)
    raw = moments[5]["players_raw"][0]
    (action,) = agent({"controlled_players": 1, "players_raw": [{**raw, "active": 3, "ball": [float("nan"), 0.0, 0.0]}]})
    assert 0 <= action <= 18 and agent.team.team.faults == {("observation", "player_3"): 1}


def test_other_team_sizes_are_refused_with_both(five, moments, capsys, tmp_path):
    with pytest.raises(BundleError, match=r"5 against 5 players \(football/5_vs_5\); this game is 11 against 11"):
        write_submission(five, tmp_path / "submission.tar.gz")
    agent = KaggleAgent(five)
    assert agent(moments[0]) == [IDLE]
    assert "5 against 5" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_submission_plays_alone(eleven, moments, tmp_path):
    """In isolated mode Python finds neither this project nor what it was installed with, but for numpy and onnxruntime."""
    assert main([str(eleven), str(tmp_path / "submission.tar.gz")]) == 0
    with tarfile.open(tmp_path / "submission.tar.gz") as archive:
        archive.extractall(tmp_path / "agent", filter="data")
    code = (
        "import builtins, json, sys\n"
        "def guarded(name, *rest, load=builtins.__import__):\n"
        "    assert name.partition('.')[0] not in ('torch', 'pydantic', 'typer', 'gymnasium'), name\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = guarded\n"
        "names = {}\n"
        "exec(compile(open('main.py').read(), 'main.py', 'exec'), names)\n"  # as Kaggle does it: without __file__
        "import a2po; assert a2po.__file__.startswith(sys.argv[1]), a2po.__file__\n"
        "agent = [value for value in names.values() if callable(value)][-1]\n"
        "print(json.dumps([agent(obs) for obs in json.load(sys.stdin)]))\n"
    )
    folder = tmp_path / "agent"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=folder, input=json.dumps(moments[:30]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    agent = KaggleAgent(eleven)
    assert json.loads(done.stdout) == [agent(obs) for obs in moments[:30]] and not done.stderr


def test_a_submission_whose_bundle_is_damaged_stands_still(eleven, moments, tmp_path):
    write_submission(eleven, tmp_path / "submission.tar.gz")
    with tarfile.open(tmp_path / "submission.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    next((tmp_path / "bundle" / "agents").iterdir()).unlink()
    code = "import json, sys\nfrom main import agent\nprint(agent(json.load(sys.stdin)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, input=json.dumps(moments[0]), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[0]" and "is missing" in done.stderr


def test_the_command_says_what_is_wrong(five, tmp_path, capsys):
    assert main([]) == 2 and "usage" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), "x.tar.gz"]) == 2 and "there is no bundle" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"a submission is a .tar.gz"):
        write_submission(five, tmp_path / "main.py")
