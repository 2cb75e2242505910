"""Scripts in the place of a team: who is found, what is said of it, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from a2po.envs import matrix
from a2po.envs.registry import scripted_player, scripted_players
from a2po.envs.scripted import RANDOM, ScriptedPlayer
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.play import play


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder: no run, no bundle."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def script(monkeypatch):
    """The matrix games have a player ``first`` for the time of a test, which plays two rounds."""

    def make(env, seed):
        return lambda observations, begun: torch.zeros((env.num_envs, 2), dtype=torch.int64)

    monkeypatch.setattr(matrix, "scripted_players", lambda: {"first": ScriptedPlayer(make, {"length": 2})}, raising=False)


def test_random_plays_every_task_without_a_bundle(folder):
    result, again, other = (evaluate(player="random", task="matrix/climbing", episodes=40, seed=seed) for seed in (1, 1, 2))
    assert (result["policy"], result["actions"], result["task"]) == ("random", "scripted", "matrix/climbing")
    assert [result[key] for key in ("run", "bundle", "algorithm", "step", "checkpoint", "file", "report")] == [None] * 7
    assert result["returns"] == again["returns"] != other["returns"] and len(set(result["returns"])) > 2
    assert list(folder.iterdir()) == []  # nothing says whose result it would be


def test_a_familys_own_player_brings_its_options(folder, script):
    assert list(scripted_players("matrix/climbing")) == ["random", "first"] and scripted_players("tabular/x") == {"random": RANDOM}
    result = evaluate(player="first", task="matrix/climbing", episodes=4)
    assert result["returns"] == [22.0] * 4 and result["task_options"] == {"length": 2}  # two rounds of 11
    played = play(player="first", task="matrix/climbing")
    assert played["episodes"][0]["return"] == 22.0 and (played["policy"], played["task_options"]) == ("first", {"length": 2})


def test_an_own_environment_has_random_alone():
    assert list(scripted_players("my_env:make")) == ["random"] and scripted_player("random", "my_env:make") is RANDOM


def test_table_and_json(folder, script, command):
    code, out, err = command("evaluate", "--player", "first", "--task", "matrix/climbing", "--episodes", "5")
    assert (code, err) == (0, "") and "matrix/climbing: the player first (length = 2)" in out
    assert "nothing: --json prints the result" in out and "trained team" not in out
    code, out, err = command("evaluate", "--player", "random", "--task", "matrix/penalty", "--episodes", "5", "--json")
    assert (code, err) == (0, "") and json.loads(out)["policy"] == "random"
    for arguments in (("--random",), ("--player", "random")):
        code, out, err = command("play", "matrix/penalty", *arguments, "--json")
        assert (code, err) == (0, "") and json.loads(out)["policy"] == "random"
    assert "matrix/penalty: the player random" in command("play", "matrix/penalty", "--random")[1]


@pytest.mark.parametrize("name", ["evaluate", "play"])
@pytest.mark.parametrize(
    ("task", "player", "message"),
    [
        ("matrix/climbing", "frist", "'matrix/climbing' has no player 'frist'; did you mean 'first'? (it has: random, first)"),
        ("tabular/chain", "first", "unknown task 'tabular/chain'"),
        ("mamujoco/HalfCheetah-2x3", "first", "has no player 'first'; tasks of matrix have (it has: random)"),
        ("matrix/climbign", "first", "did you mean 'matrix/climbing'"),
    ],
)
def test_who_is_not_there(folder, script, command, name, task, player, message):
    code, out, err = command(name, *(("--task", task) if name == "evaluate" else (task,)), "--player", player)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "runs/first"), "player random and bundle exclude each other"),
        (("evaluate", "--policy", "torch"), "player random and policy torch exclude each other"),
        (("evaluate", "--sampled"), "player random and sampled actions exclude each other"),
        (("evaluate", "--report"), "player random and report exclude each other"),
        (("play", "--bundle", "runs/first"), "bundle and player exclude each other"),
        (("play", "--run", "runs/first"), "run and player exclude each other"),
        (("play", "--sampled"), "player random and sampled actions exclude each other"),
        (("play", "--random"), "--random and --player random exclude each other"),
    ],
)
def test_what_excludes_a_player(run, command, arguments, message):
    code, out, err = command(*arguments, "--player", "random")
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not Path("runs/first/results").exists()
