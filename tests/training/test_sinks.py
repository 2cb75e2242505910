"""Metric sinks, with the real packages: what they wrote is read back, and one that fails costs nothing but itself."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import a2po
from a2po import errors
from a2po.config import TrainConfig, override, resolve
from a2po.training.metrics import read_metrics
from a2po.training.sinks import protocol, tracking
from a2po.training.sinks.protocol import scalars
from a2po.training.view import SilentView, Status

NAME = "my run"
PER_UPDATE = 20


class View(SilentView):
    """Remembers what was said; the power may fail at an update."""

    def __init__(self, fails_at: int = 0) -> None:
        self.said: list[str] = []
        self.fails_at, self.shown = fails_at, 0

    def say(self, message: str) -> None:
        self.said.append(message)

    def show(self, status: Status) -> None:
        self.shown += 1
        if self.shown == self.fails_at:
            raise RuntimeError("power cut")


def config(*track: str, **values: Any) -> TrainConfig:
    """Eight updates, a checkpoint and an evaluation every three."""
    every = 3 * PER_UPDATE
    settings = [
        "update.rollout_length=5",
        "env.num_envs=4",
        "env.options.length=5",
        "update.num_epochs=1",
        f"run.total_steps={8 * PER_UPDATE}",
    ]
    settings += [f"run.evaluate_every={every}", f"run.checkpoint_every={every}", f"run.track={list(track)}"]
    return resolve(values={"task": "matrix/penalty", **values}, settings=settings)


def train_through_a_power_cut(runs: Path, track: str) -> Path:
    """Update 5 is the last before the cut, 3 the one it goes on from, 8 the last."""
    with pytest.raises(RuntimeError, match="power cut"):
        a2po.train(config(track), name=NAME, runs=runs, view=View(fails_at=5))
    view = View()
    a2po.train(None, name=NAME, runs=runs, view=view, resume=True)
    assert not [message for message in view.said if "tracking" in message]
    return runs / NAME


def expected(run: Path) -> dict[str, dict[int, float]]:
    """Name -> step -> value, from metrics.jsonl."""
    values: dict[str, dict[int, float]] = {}
    for row in read_metrics(run / "metrics.jsonl"):
        for name, value in scalars(row).items():
            values.setdefault(name, {})[row["step"]] = value
    return values


def assert_tracked(run: Path, name: str, steps: list[int], values: list[float]) -> None:
    """Every step once, with its value; times differ where a step was played twice."""
    assert steps == list(expected(run)[name]), name
    if not name.startswith("time/"):
        np.testing.assert_allclose(values, list(expected(run)[name].values()), rtol=1e-6, err_msg=name)


def test_names(tmp_path: Path) -> None:
    run = a2po.train(config(), name=NAME, runs=tmp_path, view=View()).run
    rows = read_metrics(run / "metrics.jsonl")
    row, evaluation = rows[0], next(row for row in rows if row["kind"] == "evaluation")
    found = scalars(row)
    assert found["return/train"] == row["return_mean"] and found["episode/best_rounds"] == row["best_rounds_mean"]
    assert found["time/steps_per_s"] == row["steps_per_s"] and found["episode/invalid_episodes"] == 0
    first, second = (("row", "column")[agent] for agent in row["order"])
    assert (found[f"agent/{first}/position"], found[f"agent/{second}/position"]) == (1, 2)
    assert [found[f"agent/{name}/clip"] for name in (first, second)] == row["clips"]
    assert found["agent/column/kl"] == row["agents"]["column"]["kl"]
    bounds = row["bounds_estimated"]
    assert found["bounds_estimated/a2po"] == bounds["a2po"] <= found["bounds_estimated/coppo"] <= found["bounds_estimated/mappo"]
    assert list(bounds) == ["mappo", "coppo", "happo", "a2po"] and bounds["mappo"] > 0
    greedy = {f"greedy/{name}": evaluation[f"{name}_mean"] for name in ("length", "best_rounds")}
    assert scalars(evaluation) == {"return/greedy": evaluation["return_mean"], **greedy}
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "config.toml",
        "lock",
        "log.txt",
        "metrics.jsonl",
        "provenance.json",
    ]


def test_names_where_all_agents_move_at_once(tmp_path: Path) -> None:
    run = a2po.train(config(algorithm="mappo"), name=NAME, runs=tmp_path, view=View()).run
    row = read_metrics(run / "metrics.jsonl")[0]
    assert scalars(row)["agent/row/clip"] == scalars(row)["agent/column/clip"] == row["clips"][0]


def test_an_agent_that_a_round_left_alone_has_no_numbers(tmp_path: Path) -> None:
    run = a2po.train(config(algorithm="rpisa"), name=NAME, runs=tmp_path, view=View()).run
    first, second = read_metrics(run / "metrics.jsonl")[:2]
    assert (first["positions"], second["positions"]) == ([1, 0], [0, 2])
    assert first["agents"]["column"] == {} == second["agents"]["row"] and set(first["agents"]["row"]) == set(second["agents"]["column"])
    names = [{name for name in scalars(row) if name.startswith("agent/")} for row in (first, second)]
    assert names[1] == {name.replace("row", "column") for name in names[0]} and "agent/row/position" in names[0]


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_through_a_power_cut(tmp_path, "tensorboard")
    assert len(list((run / "tensorboard").iterdir())) == 2
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    assert set(events.Tags()["scalars"]) == set(expected(run))
    for name in expected(run):
        points = events.Scalars(name)
        assert_tracked(run, name, [point.step for point in points], [point.value for point in points])
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert 'task = "matrix/penalty"' in text


def test_tensorboard_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = config()
    default = default.model_copy(update={"run": default.run.model_copy(update={"track": None})})
    run = a2po.train(default, name="with", runs=tmp_path, view=View()).run
    assert list((run / "tensorboard").iterdir())
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    run = a2po.train(default, name="without", runs=tmp_path, view=View()).run
    assert not (run / "tensorboard").exists()


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of an offline file: LevelDB's log format (blocks of 32 KiB, headers of 7 bytes) after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    run = train_through_a_power_cut(tmp_path, "wandb")
    import wandb

    wandb.teardown()  # its process writes the end of the file after finish() has returned, at the latest when we exit
    assert capfd.readouterr() == ("", "")
    files = sorted((run / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    sessions = [list(wandb_records(path)) for path in files]
    started = [record.run for session in sessions for record in session if record.HasField("run")]
    assert len(files) == 2 and len({own.run_id for own in started}) == 1 and {own.display_name for own in started} == {NAME}
    settings = {item.key: item.value_json for item in started[0].config.update}
    assert settings["task"] == '"matrix/penalty"' and settings["update.rollout_length"] == "5"
    exits = [record.exit.exit_code for session in sessions for record in session if record.HasField("exit")]
    assert exits == [1, 0]
    steps = [[record.history.step.num for record in session if record.HasField("history")] for session in sessions]
    assert [own[0] // PER_UPDATE for own in steps] == [1, 4] and [own[-1] // PER_UPDATE for own in steps] == [5, 8]
    history = {record.history.step.num: record.history for session in sessions for record in session if record.HasField("history")}
    for name in expected(run):
        found = {}
        for step, own in history.items():
            items = {item.key or ".".join(item.nested_key): float(item.value_json) for item in own.item}
            found |= {step: items[name]} if name in items else {}
        assert_tracked(run, name, list(found), list(found.values()))


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    run = train_through_a_power_cut(tmp_path, "mlflow")
    assert capfd.readouterr() == ("", "") and not [name for name in os.environ if name.startswith("MLFLOW_")]
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(run / "mlflow").as_uri())
    [tracked] = client.search_runs([client.get_experiment_by_name("a2po").experiment_id])
    assert tracked.info.run_name == NAME and tracked.info.status == "FINISHED"
    assert tracked.data.params["task"] == "matrix/penalty" and tracked.data.params["update.rollout_length"] == "5"
    assert set(tracked.data.metrics) == set(expected(run))
    for name in expected(run):
        points = client.get_metric_history(tracked.info.run_id, name)
        assert_tracked(run, name, [point.step for point in points], [point.value for point in points])


def test_an_interrupted_run_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setattr(View, "show", lambda self, status: signal.raise_signal(signal.SIGINT))
    assert a2po.train(config("mlflow"), name=NAME, runs=tmp_path, view=View()).interrupted_by == signal.SIGINT
    from mlflow.tracking import MlflowClient

    tracked = MlflowClient().get_run(protocol.known_identifier(tmp_path / NAME, "mlflow"))
    assert tracked.info.status == "KILLED" and tracked.info.end_time and tracked.data.metrics["return/train"]


def test_mlflow_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own place is used, and a run that is resumed with another one begins anew there."""
    a2po.train(config("mlflow"), name=NAME, runs=tmp_path, view=View())
    before = protocol.known_identifier(tmp_path / NAME, "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    longer = override(config("mlflow"), settings=[f"run.total_steps={9 * PER_UPDATE}"])
    view = View()
    a2po.train(longer, name=NAME, runs=tmp_path, view=view, resume=True)
    after = protocol.known_identifier(tmp_path / NAME, "mlflow")
    assert before != after and list((tmp_path / "store").glob(f"*/{after}/metrics")), view.said


class Broken:
    """A sink that fails in one of its methods."""

    where = "start"
    log: tuple[str, ...] = ()

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        self._do("start")

    def write(self, step: int, scalars: dict[str, float]) -> None:
        self._do("write" if step > PER_UPDATE else "first write")

    def close(self, done: bool) -> None:
        self._do("close")

    def _do(self, what: str) -> None:
        type(self).log += (what,)
        if what == self.where:
            raise ConnectionError("no route\nto host")


@pytest.mark.resilience
@pytest.mark.parametrize(("where", "log"), [("start", 1), ("write", 4), ("close", 13)])
def test_a_failing_sink_is_switched_off(where: str, log: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message; the other sinks and metrics.jsonl get everything."""
    Broken.where, Broken.log = where, ()
    monkeypatch.setitem(tracking.SINKS, "wandb", (__name__, "Broken"))
    monkeypatch.setattr(
        tracking, "import_module", lambda name: sys.modules[__name__] if name == __name__ else __import__(name, fromlist="x")
    )
    view = View()
    result = a2po.train(config("wandb", "tensorboard"), name=NAME, runs=tmp_path, view=view)
    told = [message for message in view.said if "wandb" in message]
    assert told == ["tracking with wandb is switched off, training and metrics.jsonl go on: no route to host"]
    assert told[0] in (result.run / "log.txt").read_text(encoding="utf-8")
    assert len(Broken.log) == log and Broken.log[-1] == ("start" if where == "start" else "close")  # what it holds open is given back
    assert result.step == 8 * PER_UPDATE and len(expected(result.run)["return/train"]) == 8
    assert "return/train" in read_tensorboard(result.run)


def read_tensorboard(run: Path) -> list[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    names: list[str] = EventAccumulator(str(run / "tensorboard")).Reload().Tags()["scalars"]
    return names


@pytest.mark.resilience
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real packages, and a file where their folder should be."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    short = override(config("mlflow"), settings=[f"run.total_steps={PER_UPDATE}"])
    a2po.train(short, name=NAME, runs=tmp_path, view=View())
    (tmp_path / NAME / "tensorboard").write_text("in the way")
    view = View()
    both = config("tensorboard", "mlflow")
    result = a2po.train(both, name=NAME, runs=tmp_path, view=view, resume=True)
    assert result.step == 8 * PER_UPDATE
    assert sorted(message.split()[2] for message in view.said if "switched off" in message) == ["mlflow", "tensorboard"]


def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(errors.DependencyError, match=r"run\.track = 'wandb' needs .*pip install \"a2po\[tracking\]\""):
        a2po.train(config("tensorboard", "wandb"), name=NAME, runs=tmp_path, view=View())
    assert not list(tmp_path.iterdir())


def test_nothing_is_imported_that_is_not_used(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import a2po
from a2po.config import resolve
from a2po.training.view import SilentView
config = resolve(values={{"task": "matrix/penalty"}}, settings=["run.total_steps=1", "run.track=[]"])
a2po.train(config, runs=Path({str(tmp_path)!r}), view=SilentView())
print(sorted({{"tensorboard", "wandb", "mlflow", "tensorflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "[]\n", done.stderr
