"""All sinks of a run, each behind a guard: one that fails is switched off, said once, and costs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from a2po.config import TrainConfig
from a2po.errors import require
from a2po.training.sinks.protocol import Sink, scalars

SINKS = {
    "tensorboard": ("a2po.training.sinks.tensorboard", "TensorBoardSink"),
    "wandb": ("a2po.training.sinks.wandb", "WandbSink"),
    "mlflow": ("a2po.training.sinks.mlflow", "MlflowSink"),
}
"""Name in ``run.track``, which is the package's too -> module and class. Loaded when used."""


class Sinks:
    """The sinks that ``run.track`` asks for.

    Args:
        config: of the run.
        run: its folder; nothing is written before ``start``.
        say: is told when a sink is switched off.

    Raises:
        DependencyError: a package that ``run.track`` names is not installed.
    """

    def __init__(self, config: TrainConfig, run: Path, say: Callable[[str], None]) -> None:
        self.config, self.run, self.say = config, run, say
        default = ["tensorboard"] if find_spec("tensorboard") else []
        self.names = default if config.run.track is None else list(dict.fromkeys(config.run.track))
        for name in self.names:
            require(f"run.track = '{name}'", **{name: "tracking"})
        self.open: dict[str, Sink] = {}

    def start(self, step: int) -> None:
        """Open every sink. ``step``: where the run begins or goes on."""
        for name in self.names:
            self._guarded(name, partial(self._start, name, step))

    def _start(self, name: str, step: int) -> None:
        module, kind = SINKS[name]
        sink: Sink = getattr(import_module(module), kind)()
        sink.start(self.run, self.config, step)
        self.open[name] = sink

    def write(self, row: dict[str, Any]) -> None:
        """Hand on a row of ``metrics.jsonl``."""
        if self.open:
            step, values = row["step"], scalars(row)
            for name, sink in list(self.open.items()):
                self._guarded(name, partial(sink.write, step, values))

    def close(self, done: bool) -> None:
        """Close every sink that is open. ``done``: all steps were played."""
        for name in list(self.open):
            sink = self.open.pop(name)
            self._guarded(name, partial(sink.close, done))

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever a foreign package raises, training goes on
            sink = self.open.pop(name, None)
            if sink is not None:
                with suppress(Exception):  # what it holds open is given back, if it still can
                    sink.close(False)
            reason = " ".join(str(error).split()) or type(error).__name__
            self.say(f"tracking with {name} is switched off, training and metrics.jsonl go on: {reason[:300]}")
