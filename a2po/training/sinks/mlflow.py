"""MLflow: files in the run's folder ``mlflow``, or what ``MLFLOW_TRACKING_URI`` names."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a2po.config import TrainConfig, flat
from a2po.training.sinks.protocol import known_identifier, remember_identifier

EXPERIMENT = "a2po"
WITNESSES = {"update": "time/steps_per_s", "evaluation": "return/greedy"}
"""A value that every row of a kind has."""


class MlflowSink:
    """MLflow keeps every value that it ever got, so what it has already is left out when a run goes on."""

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        """See ``Sink.start``."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (run / "mlflow").resolve().as_uri()
        with _quietly_allowed(uri):
            from mlflow.tracking import MlflowClient

            self.client = MlflowClient(tracking_uri=uri)
            self.identifier = self._find(known_identifier(run, "mlflow")) or self._create(run, config)
            self.client.update_run(self.identifier, status="RUNNING")
            self.last_steps = {name: self._last_step(name) for name in WITNESSES.values()}
        remember_identifier(run, "mlflow", self.identifier)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """See ``Sink.write``."""
        from mlflow.entities import Metric

        if any(step <= last for name, last in self.last_steps.items() if name in scalars):
            return
        now = int(time.time() * 1000)
        metrics = [Metric(_allowed_name(name), value, now, step) for name, value in scalars.items()]
        for first in range(0, len(metrics), 1000):  # the most that one call takes
            self.client.log_batch(self.identifier, metrics=metrics[first : first + 1000])

    def close(self, done: bool) -> None:
        """See ``Sink.close``."""
        self.client.set_terminated(self.identifier, status="FINISHED" if done else "KILLED")

    def _find(self, identifier: str | None) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            return identifier and self.client.get_run(identifier).info.run_id
        except MlflowException:
            return None  # it was tracked elsewhere

    def _create(self, run: Path, config: TrainConfig) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name)
        identifier: str = self.client.create_run(experiment, run_name=run.name).info.run_id
        params = [Param(_allowed_name(key), str(value)[:500]) for key, value in flat(config.model_dump(mode="json")).items()]
        self.client.log_batch(identifier, params=params)
        return identifier

    def _last_step(self, name: str) -> int:
        return max((metric.step for metric in self.client.get_metric_history(self.identifier, name)), default=-1)


def _allowed_name(name: str) -> str:
    return re.sub(r"[^\w\-. /]", "_", name)


@contextmanager
def _quietly_allowed(uri: str) -> Iterator[None]:
    """MLflow asks to be told that files are wanted, and reports each use to its makers unless told not to."""
    wanted: dict[str, Any] = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    if uri.startswith("file:"):
        wanted["MLFLOW_ALLOW_FILE_STORE"] = "true"
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in [name for name, value in before.items() if value is None]:
            os.environ.pop(name, None)
