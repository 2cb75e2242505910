"""The callback of ``a2po.train``: told after every round, can end the training, and cannot lose what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po
from a2po.config import TrainConfig, resolve
from a2po.training.callback import Callback
from a2po.training.checkpoints import Checkpoints
from a2po.training.loop import TrainResult
from a2po.training.metrics import read_metrics
from a2po.training.runs import open_policy
from a2po.training.view import SilentView

PER_UPDATE = 8 * 8
SETTINGS = (
    *("device=cpu", "env.num_envs=8", "network.hidden_sizes=[8]", "update.rollout_length=8", "update.num_epochs=1"),
    *("run.evaluation_episodes=2", f"run.evaluate_every={2 * PER_UPDATE}", f"run.total_steps={6 * PER_UPDATE}"),
)


def small() -> TrainConfig:
    return resolve(values={"task": "matrix/uneven"}, settings=SETTINGS)


def play(runs: Path, callback: Callback | None, name: str = "run", **arguments: Any) -> TrainResult:
    return a2po.train(small(), name=name, runs=runs, view=SilentView(), callback=callback, **arguments)


def saved_actors(run: Path) -> torch.Tensor:
    return open_policy(run).team.actors.values


def saved_step(run: Path) -> int:
    return int(Checkpoints(run / "checkpoints").load(say=pytest.fail)[1]["step"])


def test_it_is_told_every_round(tmp_path: Path) -> None:
    told: list[a2po.TrainProgress] = []
    result = play(tmp_path, told.append)
    assert [progress.update for progress in told] == [1, 2, 3, 4, 5, 6] and not result.stopped
    assert [progress.step for progress in told] == [PER_UPDATE * update for update in range(1, 7)]
    assert [progress.evaluated for progress in told] == [False, True, False, True, False, True]
    rows = [row for row in read_metrics(result.run / "metrics.jsonl") if row["kind"] == "update"]
    assert [progress.metrics for progress in told] == rows
    last = told[-1]
    assert (last.run, last.total_steps, last.return_mean, last.evaluation) == (
        result.run,
        6 * PER_UPDATE,
        result.return_mean,
        result.evaluation,
    )
    assert told[0].evaluation is None and last.agents.keys() == {"row", "column"} and last.agents["row"]["kl"] >= 0
    assert torch.equal(last.team.actors.values, saved_actors(result.run))


@pytest.mark.parametrize("answer", [True, np.bool_(True)])
def test_true_ends_the_training_after_saving(answer: Any, tmp_path: Path) -> None:
    result = play(tmp_path, lambda progress: answer if progress.update == 3 else None)
    assert result.stopped and result.interrupted_by is None and result.step == 3 * PER_UPDATE == saved_step(result.run)
    assert "stopped by the callback: saved at step 192" in (result.run / "log.txt").read_text()
    whole = play(tmp_path, None, resume=True)
    assert not whole.stopped and whole.step == 6 * PER_UPDATE


def test_an_exception_loses_nothing(tmp_path: Path) -> None:
    """The run is saved, the exception arrives as it was, and what is resumed is what would have been."""

    def fail(progress: a2po.TrainProgress) -> None:
        if progress.update == 3:
            raise KeyError("a slip")

    with pytest.raises(KeyError, match="a slip"):
        play(tmp_path, fail)
    assert saved_step(tmp_path / "run") == 3 * PER_UPDATE
    assert "the callback failed: saved at step 192; go on with --name run --resume" in (tmp_path / "run" / "log.txt").read_text()
    play(tmp_path, None, resume=True)
    play(tmp_path, None, "whole")
    states = [Checkpoints(tmp_path / name / "checkpoints").load()[1]["team"] for name in ("run", "whole")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("answer", [1, "stop", [True]])
def test_another_answer_is_a_slip(answer: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="return True to stop"):
        play(tmp_path, lambda progress: answer)
    assert saved_step(tmp_path / "run") == PER_UPDATE


def test_the_public_functions_say_everything() -> None:
    """help() names every argument of the public functions, what they return and what they raise."""
    for function in (a2po.train, a2po.export, a2po.evaluate, a2po.resolve):
        text, names = function.__doc__ or "", function.__kwdefaults__ or {}
        assert all(f"{name}:" in text for name in names), function
        assert "Raises:" in text
    assert a2po.TrainProgress.__doc__ and a2po.TrainResult.__doc__ and set(a2po.__all__) >= {"TrainProgress", "TrainResult", "train"}
