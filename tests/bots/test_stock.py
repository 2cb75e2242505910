"""gfootball's own Python on our engine plays bit by bit what it plays on its own build, and leaves no stand-in behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2po.bots.football.stock import import_gfootball
from a2po.errors import DependencyError

HERE = Path(__file__).parent
# Of `trajectory.py --boost` with the engine that gfootball 2.10.2 builds for itself.
STOCK = {
    ("5_vs_5", "60", "agent:left_players=4"): "a3ade404ac511e18e1fe32bf6781231dda9c6c69",
    ("11_vs_11_kaggle", "120", "agent:left_players=2,right_players=1"): "76bfa69bae802b6323147b19bf7160292c7f2515",
    ("11_vs_11_easy_stochastic", "80", "bot:left_players=1", "bot:right_players=1"): "d0690a2accda21d83802c8c2410cbd6541700efc",
    ("academy_3_vs_1_with_keeper", "200", "agent:left_players=3"): "861315be03b03d4497ee1aa7c19caadb781a75e5",
}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A process of its own: gfootball stays in one that has imported it."""
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=110
    )


@pytest.mark.parametrize("arguments", STOCK, ids=lambda arguments: arguments[0])
def test_its_games_are_those_of_its_own_engine(gfootball, arguments):
    done = run(str(HERE / "trajectory.py"), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == STOCK[arguments]


def test_only_gfootball_sees_the_stand_in_for_gym(gfootball):
    code = (
        "import sys, types\n"
        "theirs = sys.modules['gym'] = types.ModuleType('gym')\n"
        "from a2po.bots.football.stock import import_gfootball\n"
        "assert import_gfootball() is import_gfootball()\n"
        "assert sys.modules['gym'] is theirs and not any(name.startswith('gym.') for name in sys.modules)\n"
        "import gfootball.env, gfootball_engine\n"
        "features = {'representation': 'simple115v2', 'rewards': 'scoring,checkpoints'}\n"
        "for options in ({}, features, {'representation': 'raw'}):\n"
        "    env = gfootball.env.create_environment(env_name='academy_empty_goal_close', **options)\n"
        "    shown, (seen, reward, done, info) = env.reset(), env.step(env.action_space.sample())\n"
        "    space = getattr(env.observation_space, 'shape', None)\n"
        "    print(type(shown).__name__, getattr(shown, 'shape', None), space, float(reward), done)\n"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ndarray (72, 96, 4) (72, 96, 4) 0.0 False", "ndarray (115,) (115,) 0.0 False", "list None None 0.0 False",
    ]  # fmt: skip


def test_a_gfootball_with_its_own_engine_is_left_alone(gfootball):
    code = (
        "import sys, types\n"
        "sys.modules['gfootball'], sys.modules['gfootball_engine'] = types.ModuleType('gfootball'), types.ModuleType('gfootball_engine')\n"
        "from a2po.bots.football.stock import import_gfootball\n"
        "import_gfootball()\n"
    )
    assert "was imported before, with its own engine" in run("-c", code).stderr


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("A2PO_FOOTBALL", str(tmp_path))
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: object())
    for name in ("gfootball", "gfootball_engine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(DependencyError, match="a2po install football"):
        import_gfootball()
    (tmp_path / "libfootball.so").touch()
    with pytest.raises(DependencyError, match="gfootball's Python is not installed beside the engine"):
        import_gfootball()
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None if name == "cv2" else object())
    with pytest.raises(DependencyError, match=r"needs the package 'cv2'.*a2po\[football\]"):
        import_gfootball()
    assert "gfootball" not in sys.modules and "gfootball_engine" not in sys.modules


def test_play_game_ends_and_counts(gfootball, five, tmp_path):
    """The stock loop, with a level of ours and the built-in lazy player."""
    command = ("-m", "a2po.bots.football.play_game", "--level", "a2po_academy_empty_goal_close", "--norender", "--seed", "1")
    done = run(*command, "--episodes", "2", "--players", "lazy:left_players=1", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["episode 1: 0:0", "episode 2: 0:0", "the left team won 0 of 2"]
    wrong = run(*command, "--players", f"a2po:left_players=1,path={five}", TMPDIR=str(tmp_path))
    assert (wrong.returncode, wrong.stderr.count("Traceback")) == (2, 0)
    assert "5 against 5 players (football/5_vs_5); this game is 2 against 1" in wrong.stderr


@pytest.mark.parametrize(
    ("players", "message"),
    [
        ("a2po:left_players=1,path=a=b", "a path without any of : , = ;"),
        ("a2po:left_players=one,path=b", "'a2po:left_players=one,path=b' cannot be read"),
        ("a2po:left_players=1,path=runs/my_agent", "refuses the word 'agent'"),
        ("lazy:left_players=9", "left_players=9: this level lets 1 players of that side be controlled"),
    ],
)
def test_players_that_gfootball_cannot_take_are_told(gfootball, players, message, tmp_path):
    command = ("-m", "a2po.bots.football.play_game", "--level", "a2po_academy_empty_goal_close", "--norender", "--episodes", "1")
    done = run(*command, "--players", players, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr.count("Traceback")) == (2, 0) and message in done.stderr
