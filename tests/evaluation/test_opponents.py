"""An evaluation against one opponent by name or by path, and against each that the task knows."""

from __future__ import annotations

import json

import pytest

import a2po
from a2po.cli.show_bench import show_opponents
from a2po.envs import matrix
from a2po.errors import TaskError, UserError
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.opponents import evaluate_opponents
from a2po.runtime import read_bundle

ROUNDS = {"tame": 2, "wild": 5, "runs/first/bundle": 7}


@pytest.fixture
def opposed(run, monkeypatch):
    """The matrix games have opponents for the time of a test: each plays another number of rounds."""
    make = matrix.make

    def opposed_make(task, num_envs, *, opponent=None, length=3, **arguments):
        return make(task, num_envs, length=ROUNDS[opponent] if opponent else length, **arguments)

    monkeypatch.setattr(matrix, "make", opposed_make)
    monkeypatch.setattr(matrix, "opponent_names", lambda task: ["tame", "wild"], raising=False)
    return run


def test_an_opponent_is_an_option_of_the_task(opposed):
    result = evaluate(opposed, episodes=2, opponent="wild", options={"length": 4})
    assert result["lengths"] == [5, 5] and result["options_given"] == {"length": 4, "opponent": "wild"}
    assert result["task_options"] == {"length": 4, "opponent": "wild"}
    assert read_bundle(opposed / "bundle").manifest["evaluation"] is None


def test_a_run_stands_for_its_bundle(opposed):
    for path in ("runs/first", "runs/first/bundle"):
        result = evaluate(opposed, episodes=1, opponent=path)
        assert result["lengths"] == [7] and result["options_given"] == {"opponent": "runs/first/bundle"}


def test_each_opponent_in_turn_with_the_same_seeds(opposed):
    told = []
    result = a2po.evaluate_opponents(opposed, episodes=4, seed=2, progress=lambda *parts: told.append(parts))
    assert list(result["opponents"]) == ["tame", "wild"]
    tame, wild = result["opponents"].values()
    assert tame["seeds"] == wild["seeds"] and tame["seed"] == 2 and (tame["lengths"], wild["lengths"]) == ([2] * 4, [5] * 4)
    assert sorted(str(file) for file in (opposed / "results").iterdir()) == sorted([tame["file"], wild["file"]])
    assert told[-1] == (8, 8, "wild") and (4, 8, "tame") in told
    assert wild == {**evaluate(opposed, episodes=4, seed=2, opponent="wild"), **{key: wild[key] for key in changing(wild)}}


def changing(result):
    return [key for key in result if key in ("file", "provenance", "steps_per_s", "wall_time_s")]


def test_a_script_meets_them_too(opposed):
    result = evaluate_opponents(player="random", task="matrix/climbing", episodes=2)
    assert [found["file"] for found in result["opponents"].values()] == [None, None]
    assert [found["lengths"] for found in result["opponents"].values()] == [[2, 2], [5, 5]]


def test_one_table(opposed, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command("evaluate", "--episodes", "4", "--opponent", "all")
    lines = out.splitlines()
    assert (code, err) == (0, "") and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:4]] == ["opponent", "tame", "wild"] and "4 against each, the same seeds" in out
    assert "2 results, the last runs/first/results/" in " ".join(out.split())
    code, out, err = command("evaluate", "--episodes", "4", "--opponent", "all", "--json")
    assert (code, err) == (0, "") and json.loads(out)["opponents"]["wild"]["lengths"] == [5] * 4
    code, out, err = command("evaluate", "--episodes", "2", "--opponent", "wild")
    assert code == 0 and 'opponent = "wild", given in place of the team\'s own' in out


def test_win_rates_come_first(opposed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = evaluate_opponents(opposed, episodes=2)
    for found, mean in zip(result["opponents"].values(), (0.5, 0.25), strict=True):
        found["metrics"]["won"] = {**found["metrics"].pop("best_rounds"), "mean": mean, "interval": [0.1, 0.7], "method": "Wilson"}
    show_opponents(result)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["opponent", "won", "95"] and lines[3].split()[:4] == ["wild", "0.25", "[0.1,", "0.7]"]
    assert max(map(len, lines)) <= 80


def test_the_scripts_of_real_battles(marines, command):
    code, out, err = command("evaluate", "--episodes", "10", "--opponent", "all", "--json")
    results = json.loads(out)["opponents"]
    assert (code, err) == (0, "") and list(results) == ["built_in", "heuristic", "focus_fire", "kiting"]
    assert (
        len({tuple(found["returns"]) for found in results.values()}) > 1 and len({tuple(found["seeds"]) for found in results.values()}) == 1
    )
    assert results["built_in"]["returns"] == evaluate(marines, episodes=10)["returns"]
    code, out, err = command("evaluate", "--opponent", "kitnig")
    assert (code, out) == (2, "") and "'smac/3m' has no opponent 'kitnig'; did you mean 'kiting'?" in err


@pytest.mark.parametrize("opponent", ["wild", "all"])
def test_tasks_without_opponents(run, command, opponent):
    code, out, err = command("evaluate", "--opponent", opponent)
    assert (
        (code, out) == (2, "")
        and "'matrix/uneven' has no opponents to choose from; tasks of smac, smacv2, football have" in err
        and len(err.splitlines()) == 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--opponent", "wlid"), "'matrix/uneven' has no opponent 'wlid'; did you mean 'wild'? (it has: tame, wild; or name a bundle or a"),
        (("--opponent", "runs/frist"), "did you mean 'runs/first'"),
        (("--opponent", "all", "--task", "matrix/unevn"), "did you mean 'matrix/uneven'"),
        (("--opponent", "runs"), "'runs' is neither a bundle nor a run folder"),
        (("--opponent", "wild", "--option", "opponent=tame"), "opponent wild and the option 'opponent' exclude each other"),
        (("--opponent", "all", "--option", "opponent=tame"), "opponent tame and the option 'opponent' exclude each other"),
        (("--opponent", "all", "--player", "random", "--sampled"), "player random and sampled actions exclude each other"),
    ],
)
def test_what_a_user_can_mend(opposed, command, arguments, message):
    code, out, err = command("evaluate", "--episodes", "1", *arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not (opposed / "results").exists()


def test_wrong_arguments_of_all(opposed):
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        evaluate_opponents(opposed, policy="onxx")
    with pytest.raises(TaskError, match="unknown task"):
        evaluate_opponents(opposed, task="smac/33m")
