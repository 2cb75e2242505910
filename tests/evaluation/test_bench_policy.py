"""One team under changed rules: the same episodes, paired differences, a verdict, a table, a file and a picture."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import a2po
from a2po.cli.show_bench import show_bench
from a2po.envs import matrix
from a2po.envs.perturbation import Perturbation
from a2po.errors import UserError
from a2po.evaluation.bench_policy import bench_policy
from a2po.evaluation.bench_rows import difference_of
from a2po.evaluation.bench_verdict import verdict
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.paired import newcombe_interval
from a2po.evaluation.statistics import wilson_interval

FEW = {"episodes": 40, "only": ["enemy_damage", "action_delay"]}


def silent(message):
    raise AssertionError(message)


@pytest.fixture
def longer(monkeypatch):
    """The matrix games have a rule that can be changed: how many rounds are played."""

    def perturbations(env):
        return [Perturbation("length", f"{length} rounds", {"length": length}, "how long it takes") for length in (1, 6)]

    monkeypatch.setattr(matrix, "perturbations", perturbations, raising=False)


def test_rows_are_paired_with_the_trained_rules(marines):
    result = bench_policy(marines, **FEW, say=silent)
    trained, rows = result["trained"], {(row["rule"], row["value"]): row for row in result["rows"]}
    assert list(rows) == [(row["rule"], row["value"]) for row in sorted(result["rows"], key=lambda row: row["difference"]["mean"])]
    assert len(rows) == 6 and (result["measure"], result["rate"], result["task"]) == ("won", True, "smac/3m")
    assert len(trained["values"]) == len(set(result["seeds"])) == 40 and set(trained["values"]) <= {0.0, 1.0}
    assert trained["interval"] == list(wilson_interval(int(sum(trained["values"])), 40))
    harder = rows["enemy_damage", "1.25 times"]
    assert harder["options"] == {"enemy_damage": 1.25} and harder["stands_for"]
    assert trained["mean"] > 0.8 > harder["mean"] == np.mean(harder["values"])
    difference = harder["difference"]
    assert difference["mean"] == pytest.approx(np.mean([x - y for x, y in zip(harder["values"], trained["values"], strict=True)]))
    for name, confidence in (("interval", 0.95), ("corrected_interval", 1 - 0.05 / 6)):
        expected = newcombe_interval(np.array(harder["values"]), np.array(trained["values"]), confidence)
        assert difference[name] == pytest.approx(expected)
    assert difference["worse"] and not difference["better"] and difference["pairs"] == 40
    assert not rows["enemy_damage", "0.75 times"]["difference"]["worse"]


def test_episodes_are_those_of_an_evaluation(marines):
    result = bench_policy(marines, episodes=12, only=["enemy_damage"], seed=3)
    own = evaluate(marines, episodes=12, seed=3)
    assert result["seeds"] == own["seeds"] and result["trained"]["mean"] == own["metrics"]["won"]["mean"]
    row = next(row for row in result["rows"] if row["value"] == "1.1 times")
    assert row["mean"] == evaluate(marines, episodes=12, seed=3, options={"enemy_damage": 1.1})["metrics"]["won"]["mean"]


def test_the_file_holds_the_result(marines):
    result = a2po.bench_policy(marines, **FEW)
    (file,) = (marines / "results").iterdir()
    assert str(file) == result["file"] and file.name.endswith("-bench.json")
    written = json.loads(file.read_text())
    assert {**written, "file": result["file"], "plot": None} == result
    assert set(written) == {
        "kind", "policy", "actions", "run", "algorithm", "step", "checkpoint", "bundle", "task", "task_options", "copies", "seed",
        "wall_time_s", "measure", "rate", "episodes", "confidence", "corrected_confidence", "seeds", "trained", "rows", "provenance",
        "verdict",
    }  # fmt: skip
    assert set(written["rows"][0]) == {*written["trained"], "rule", "value", "options", "stands_for", "difference"}
    assert json.loads((marines / "bundle" / "manifest.json").read_text())["evaluation"] is None


def test_what_the_team_was_trained_with_stays(marines):
    path = marines / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["task"]["options"] = {"action_delay": 1, "enemy_damage": 0.5}
    path.write_text(json.dumps(manifest))
    result = bench_policy(marines, episodes=10, only=["action_delay"])
    assert result["task_options"] == {"action_delay": 1, "enemy_damage": 0.5} and result["trained"]["mean"] == 1.0
    assert {row["value"] for row in result["rows"]} == {"0 loops", "2 loops"}


def test_a_task_without_victories_compares_returns(run, longer):
    """Each round of the game pays the greedy team the same."""
    result = bench_policy(run, episodes=8)
    assert (result["measure"], result["rate"]) == ("return", False)
    pay = result["trained"]["mean"] / 3
    assert [(row["value"], row["mean"]) for row in result["rows"]] == [
        ("1 rounds", pytest.approx(pay)),
        ("6 rounds", pytest.approx(6 * pay)),
    ]
    assert [row["difference"]["worse"] for row in result["rows"]] == [True, False]
    assert result["rows"][1]["difference"]["better"]
    assert "1 of 2 changes lowers the return beyond chance" in result["verdict"]


def test_episodes_that_a_row_lacks_are_left_out_of_its_pairs(run, longer, monkeypatch):
    drain, spoilt = matrix.game.MatrixGame.drain_episodes, []

    def faulty(self):
        records = drain(self)
        for record in records:
            if record["length"] == 6 and not spoilt:
                spoilt.append(record["seed"])
                record["invalid"] = True
        return records

    monkeypatch.setattr(matrix.game.MatrixGame, "drain_episodes", faulty)
    row = next(row for row in bench_policy(run, episodes=8)["rows"] if row["value"] == "6 rounds")
    assert (row["difference"]["pairs"], row["invalid_episodes"], row["values"].count(None)) == (7, 1, 1)


def test_many_rows_ask_for_more_than_one_row_does():
    """36 episodes that were won stay so, 12 of the others are lost now and 2 are won: beyond chance alone, but not among 21 rows."""
    trained = dict(enumerate([1.0] * 48 + [0.0] * 2))
    changed = dict(enumerate([1.0] * 36 + [0.0] * 12 + [1.0] * 2))
    alone, among = (difference_of(changed, trained, True, 1 - 0.05 / rows) for rows in (1, 21))
    assert alone["worse"] and not among["worse"] and alone["interval"] == among["interval"] == alone["corrected_interval"]
    back = difference_of(trained, changed, True, 0.95)
    assert back["better"] and not back["worse"] and back["mean"] == -alone["mean"] == 0.2


def test_progress_counts_all_rows(marines):
    told = []
    bench_policy(marines, episodes=5, only=["steering"], progress=lambda done, total, what: told.append((done, total, what)))
    assert told[-1] == (10, 10, "steering straight") and told[0][1:] == (10, "trained rules")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def row(mean, low, high, *, worse=False):
    difference = {"mean": mean, "interval": [low, high], "corrected_interval": [low, high], "worse": worse, "better": low > 0}
    return {"rule": "steering", "value": "straight", "mean": 0.9 + mean, "difference": {**difference, "method": "Newcombe"}}


def judged(*rows, rate=True, mean=0.9):
    return verdict({"rows": list(rows), "rate": rate, "trained": {"mean": mean}, "episodes": 100})


def test_verdicts():
    drop, dip = row(-0.3, -0.4, -0.2, worse=True), row(-0.02, -0.08, 0.04)
    assert judged(drop, drop, dip) == (
        "Largest drop: steering straight, -30.0 points [-40.0, -20.0], from 90.0 % to 60.0 %. "
        "2 of 3 changes lower the win rate beyond chance."
    )
    assert judged(drop, dip).endswith("1 of 2 changes lowers the win rate beyond chance.")
    assert judged(drop).endswith("The one change lowers the win rate beyond chance.")
    assert judged(dip, dip) == (
        "None of 2 changes lowers the win rate beyond chance; 100 episodes show drops from about 6.0 points on. "
        "Worst: steering straight, -2.0 points [-8.0, +4.0], from 90.0 % to 88.0 %."
    )
    assert judged(dip).startswith("The change does not lower the win rate")
    assert "wins no episode" in judged(row(0.0, -0.1, 0.1), mean=0.0)
    assert judged(drop, rate=False).startswith("Largest drop: steering straight, -0.3 [-0.4, -0.2], from 0.9 to 0.6.")


def test_on_the_command_line(marines, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command("bench-policy", "--episodes", "40", "--only", "enemy_damage", "--only", "steering", "--plot", "bench.png")
    assert (code, err) == (0, "")
    assert "Largest drop: enemy_damage 1.25 times, -" in out.replace("\n", " ") and "bench.png" in out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["trained", "enemy_damage", "enemy_damage"]
    assert max(map(len, lines)) <= 80 and lines[3].rstrip().endswith("worse")
    code, out, err = command("bench-policy", "--episodes", "5", "--only", "steering", "--json")
    assert (code, err) == (0, "") and json.loads(out)["rows"][0]["rule"] == "steering"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_picture(marines, suffix):
    result = bench_policy(marines, **FEW, plot=f"bench.{suffix}")
    content = (marines.parents[1] / f"bench.{suffix}").read_bytes()
    assert result["plot"] == f"bench.{suffix}"
    if suffix == "png":
        width, height = struct.unpack(">II", content[16:24])
        assert width >= 1000 and height >= 400
    elif suffix == "svg":
        text = content.decode()
        assert all(f"{each['rule']}  {each['value']}" in text for each in result["rows"]) and "worse beyond chance" in text
    else:
        assert content.startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "robus"), "no rule 'robus' matters in 'smac/3m'; did you mean 'robust'? (there are: enemy_damage, "),
        (("--task", "smax/3m"), "unknown task 'smax/3m'; did you mean 'smac/3m'"),
        (("--only", "enemy_medivac"), "no rule 'enemy_medivac' matters in 'smac/3m'"),
        (("--plot", "bench.jpg"), "no format '.jpg'"),
        (("--plot", "nowhere/bench.png"), "there is no folder 'nowhere'"),
        (("--task", "smac/8m"), "does not fit"),
        (("--task", "matrix/climbing"), "'matrix/climbing' has no rules that bench-policy could change; tasks of smac and smacv2 have"),
        (("--task", "my_env:make"), "'my_env:make' has no rules that bench-policy could change"),
        (("runs/marine",), "did you mean 'runs/marines'"),
    ],
)
def test_what_a_user_can_mend(marines, command, arguments, message):
    code, out, err = command("bench-policy", "--episodes", "3", *arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not (marines / "results").exists()


def test_wrong_arguments_and_missing_packages(marines, monkeypatch):
    with pytest.raises(UserError, match="episodes must be at least 1, got 0"):
        bench_policy(marines, episodes=0)
    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None if package == "matplotlib" else object())
    with pytest.raises(UserError, match=r'pip install "a2po\[report\]"'):
        bench_policy(marines, episodes=1, plot="bench.png")


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self): ...

    def isatty(self):
        return True


@pytest.mark.parametrize("lines", [24, 50])
def test_all_of_it_fits_the_terminal(marines, monkeypatch, lines):
    """The worst rows and the verdict are seen together; what is left out is said."""
    result = bench_policy(marines, episodes=10)
    terminal = Terminal()
    for name, value in {"COLUMNS": "80", "LINES": str(lines), "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", terminal)
    show_bench(result)
    shown = terminal.text.splitlines()
    assert len(shown) < lines and ("others from" in terminal.text) == (lines == 24)
    assert "Largest drop" in terminal.text and "results/" in terminal.text
