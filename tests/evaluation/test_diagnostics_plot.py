"""The picture of what update rounds did: its numbers, its panels, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from matplotlib.figure import Figure

import a2po
from a2po.config import resolve
from a2po.evaluation.diagnostics_plot import diagnostics_picture, draw_rounds
from a2po.evaluation.rounds import Rounds
from a2po.training.metrics import read_metrics
from a2po.training.view import SilentView


def trained(runs: Path, algorithm: str, task: str = "matrix/penalty", *settings: str) -> Path:
    small = ["update.rollout_length=5", "env.num_envs=4", "update.num_epochs=1", "run.total_steps=120", "run.track=[]", *settings]
    return a2po.train(
        resolve(values={"task": task, "algorithm": algorithm}, settings=small), name=algorithm, runs=runs, view=SilentView()
    ).run


def rounds_of(run: Path) -> Rounds:
    rounds = Rounds.of(read_metrics(run / "metrics.jsonl"))
    assert rounds is not None
    return rounds


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_shares_of_positions_and_numbers_by_position(tmp_path: Path) -> None:
    rounds = rounds_of(trained(tmp_path, "a2po"))
    rows = [row for row in read_metrics(tmp_path / "a2po" / "metrics.jsonl") if row["kind"] == "update"]
    figure = draw_rounds(rounds, "a2po")
    assert len(titles(figure)) == 9
    order, kl = figure.axes[0], figure.axes[3]
    first = [sum(row["order"][0] == agent for row in rows) / len(rows) for agent in (0, 1)]
    np.testing.assert_allclose(np.asarray(order.images[0].get_array())[:, 0], first)
    assert {text.get_text() for text in order.texts} == {f"{share:.0%}" for share in first}
    late = [row["agents"][("row", "column")[row["order"][1]]]["kl"] for row in rows[3:]]
    assert kl.lines[3].get_ydata()[1] == pytest.approx(np.median(late))  # 0 to 2 are the first half with its caps
    bounds = figure.axes[7].lines
    assert [line.get_label() for line in bounds] == ["MAPPO", "CoPPO and HAPPO", "A2PO without ξ"]
    assert bounds[2].get_ydata().tolist() == pytest.approx([row["bounds_estimated"]["a2po"] for row in rows])


def test_the_only_round_can_be_seen(tmp_path: Path) -> None:
    figure = draw_rounds(rounds_of(trained(tmp_path, "happo", "matrix/penalty", "run.total_steps=20")))
    for axes in figure.axes[1:]:
        for line in axes.lines:
            assert len(line.get_xdata()) != 1 or line.get_marker() != "None"
    assert figure.axes[3].get_ylim()[1] > 1.05 * max(figure.axes[3].lines[0].get_ydata())


def test_panels_without_an_order_or_without_bounds(tmp_path: Path) -> None:
    together = draw_rounds(rounds_of(trained(tmp_path, "mappo")))
    assert len(titles(together)) == 6 and not any("came when" in title or "Score" in title for title in titles(together))
    assert [label.get_text() for label in together.axes[1].get_xticklabels()] == ["row", "column"]
    undiscounted = draw_rounds(rounds_of(trained(tmp_path, "happo", "matrix/penalty", "update.discount=1.0")))
    assert len(titles(undiscounted)) == 7 and not any("Bounds" in title for title in titles(undiscounted))


def test_agents_that_rounds_left_alone_are_left_out(tmp_path: Path) -> None:
    rounds = rounds_of(trained(tmp_path, "rpisa"))
    assert rounds.positions.tolist() == [[1, 0], [0, 2]] * 3
    assert np.isfinite(rounds.figures["kl"]).tolist() == [[True, False], [False, True]] * 3
    figure = draw_rounds(rounds)
    assert [text.get_text() for text in figure.axes[0].texts] == ["50%", "0%", "0%", "50%"]
    assert len(figure.axes[2].lines[0].get_xdata()) == 3


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    trained(tmp_path / "runs", "a2po")
    code, out, err = command("plot", "--diagnostics")
    assert (code, out, err) == (0, "update rounds of runs/a2po -> diagnostics.png\n", "")
    picture = imageio.imread(tmp_path / "diagnostics.png")
    assert picture.shape[0] > 1500 and picture.std() > 10
    code, out, err = command("plot", "a2po", "--diagnostics", "--output", "own.svg", "--json")
    assert json.loads(out) == {"output": "own.svg", "run": "runs/a2po"} and "<svg" in Path("own.svg").read_text()
    trained(tmp_path / "runs", "mappo")
    code, out, err = command("plot", "a2po", "mappo", "--diagnostics")
    assert code == 2 and "draws one run, not 2" in err
    code, out, err = command("plot", "a2po", "--diagnostics", "--metric", "kl")
    assert code == 2 and "--metric" in err
    code, out, err = command("plot", "a2po", "--diagnostics", "--output", "own.pgn")
    assert code == 2 and "did you mean '.png'" in err


@pytest.mark.parametrize("kind", ["qmix", "older"])
def test_a_run_without_such_numbers_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    algorithm, own = ("qmix", ["qmix.warm_up_episodes=4", "qmix.batch_episodes=4"]) if kind == "qmix" else ("a2po", [])
    run = trained(tmp_path / "runs", algorithm, "matrix/penalty", *own)
    rows = [row for row in read_metrics(run / "metrics.jsonl") if row["kind"] == "update"]
    if kind == "older":  # before there were diagnostics
        for row in rows:
            del row["positions"]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = command("plot", algorithm, "--diagnostics")
    assert code == 2 and "no diagnostics of update rounds" in err and "qmix" in err and len(err.splitlines()) == 1
    assert not Path("diagnostics.png").exists() and diagnostics_picture(rows) is None
