"""Options of the task in place of the team's own: played, recorded, and never mistaken for the team's own evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from a2po.errors import BundleError, TaskError
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.play import play
from a2po.runtime import read_bundle


def noted(run):
    return read_bundle(run / "bundle").manifest["evaluation"]


def test_given_options_replace_the_teams_own_and_are_recorded(run):
    result = evaluate(run, episodes=2, options={"length": 7})
    assert (result["task_options"], result["options_given"], result["lengths"]) == ({"length": 7}, {"length": 7}, [7, 7])
    assert json.loads((run / "results" / result["file"].rsplit("/", 1)[-1]).read_text())["options_given"] == {"length": 7}
    plain = evaluate(run, episodes=2)
    assert (plain["task_options"], plain["options_given"], plain["lengths"]) == ({"length": 3}, {}, [3, 3])


def test_the_bundle_keeps_the_summary_of_its_own_options(run):
    own = evaluate(run, episodes=3)
    evaluate(run, episodes=4, options={"length": 7})
    assert (noted(run)["episodes"], noted(run)["mean"]) == (3, own["mean"])
    evaluate(run, episodes=5, options={"length": 3})  # what the team was trained with, said aloud
    assert noted(run)["episodes"] == 5


def test_another_task_gets_the_given_options_alone(run):
    result = evaluate(run, episodes=1, task="matrix/uneven", options={"length": 2})
    assert result["task_options"] == {"length": 2}
    result = evaluate(player="random", task="matrix/penalty", episodes=1, options={"penalty": -30, "length": 4})
    assert result["lengths"] == [4] and result["task_options"] == result["options_given"] == {"penalty": -30, "length": 4}


def test_a_checkpoint_and_a_play_take_them_too(run):
    assert evaluate(run, episodes=1, policy="torch", options={"length": 7})["lengths"] == [7]
    played = play(run / "bundle", task_options={"length": 5})
    assert played["episodes"][0]["length"] == 5 and played["options_given"] == {"length": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lenght": 7}, "matrix/uneven has no option 'lenght'; did you mean 'length'?"),
        ({"length": 0}, "option 'length' must be a whole number of at least 1, got 0"),
        ({"seed": 3}, "'seed' is not an option of a task"),
        ({"length": np.zeros(2)}, "option 'length' must be a number, text"),
        ({"length": float("nan")}, "option 'length' must be a number, text"),
    ],
)
def test_what_no_option_can_be(run, options, message):
    for call in (lambda: evaluate(run, episodes=1, options=options), lambda: play(run / "bundle", task_options=options)):
        with pytest.raises(TaskError, match=message.replace("?", r"\?")):
            call()
    assert not (run / "results").exists() and noted(run) is None


def test_an_option_that_changes_what_the_team_sees(cheetah):
    with pytest.raises(BundleError, match="does not fit"):
        evaluate(cheetah, episodes=1, options={"profile": "paper"})


def test_on_the_command_line(run, command):
    code, out, err = command("evaluate", "--episodes", "2", "--option", "length = 6", "--json")
    assert (code, err) == (0, "") and json.loads(out)["lengths"] == [6, 6]
    assert "options" not in command("evaluate", "--episodes", "2")[1]
    code, out, _ = command("evaluate", "--episodes", "2", "--option", "length=6", "--report")
    assert code == 0 and "length = 6, given in place of the team's own" in out
    page = (run / "report.html").read_text()
    assert page.count("length = 6</td>") == 2 and "Played with length = 6 in place of the team's own options." in page.replace("&#39;", "'")
    code, out, _ = command("play", "--option", "length=6")
    assert code == 0 and "length = 6, given in place of the team's own" in out


@pytest.mark.parametrize("name", ["evaluate", "play"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("length", "--option length: expected KEY=VALUE, an option of the task"),
        ("=3", "--option =3: expected KEY=VALUE"),
        ("lenght=3", "did you mean 'length'?"),
        ("length=three", "option 'length' must be a whole number of at least 1, got 'three'"),
        ("num_threads=1", "'num_threads' is not an option of a task"),
    ],
)
def test_what_a_user_can_mend(run, command, name, text, message):
    code, out, err = command(name, "--option", text)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
