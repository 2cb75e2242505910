"""``log.txt``: what a run said outlives the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

import a2po
from a2po.config import resolve
from a2po.errors import WorkFailed
from a2po.training.journal import Journal
from a2po.training.log import LoggedView
from a2po.training.view import SilentView


def config():
    settings = ["update.rollout_length=5", "env.num_envs=4", "env.options.length=5", "run.total_steps=40", "run.evaluate_every=0"]
    return resolve(values={"task": "matrix/penalty"}, settings=settings)


def test_a_run_writes_its_log(tmp_path: Path) -> None:
    result = a2po.train(config(), name="r", runs=tmp_path, view=SilentView())
    text = (result.run / "log.txt").read_text(encoding="utf-8")
    assert "step" in text or "steps" in text
    a2po.train(None, name="r", runs=tmp_path, view=SilentView(), resume=True)
    assert "resumed from" in (result.run / "log.txt").read_text(encoding="utf-8")


def test_a_log_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    said: list[str] = []

    class View(SilentView):
        def say(self, message: str) -> None:
            said.append(message)

    LoggedView(View(), tmp_path / "missing" / "log.txt").say("hello")
    assert said == ["hello"] and not list(tmp_path.iterdir())


def test_faults_are_said_and_a_majority_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = {"every": 4}
    original = Journal.update

    def update(self, step, number, report, episodes, times):
        faulty = [{**episode, "invalid": index % rate["every"] == 0} for index, episode in enumerate(episodes)]
        return original(self, step, number, report, faulty, times)

    monkeypatch.setattr(Journal, "update", update)
    said: list[str] = []

    class View(SilentView):
        def say(self, message: str) -> None:
            said.append(message)

    many = replace_envs(config(), 12)
    a2po.train(many, name="some", runs=tmp_path, view=View())
    assert any("simulator fault so far" in message for message in said)
    rate["every"] = 1
    with pytest.raises(WorkFailed, match=r"of the last \d+ episodes"):
        a2po.train(many, name="all", runs=tmp_path, view=View())


def replace_envs(config, num_envs: int):
    return config.model_copy(update={"env": config.env.model_copy(update={"num_envs": num_envs})})


def test_order_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    with pytest.raises(a2po.UserError, match=r"update.order.*mappo"):
        mappo = resolve(values={"task": "matrix/penalty", "algorithm": "mappo"}, settings=["update.order=greedy"])
        a2po.train(mappo, name="r", runs=tmp_path, view=SilentView())
    assert not list(tmp_path.iterdir())
