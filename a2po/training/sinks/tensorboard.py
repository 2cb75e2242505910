"""TensorBoard: event files in the run's folder ``tensorboard``, through the package's own small event writer."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from a2po.config import TrainConfig, to_toml

FLUSH_S = 10


class TensorBoardSink:
    """One event holds all values of a step: a seventh of the time of one event for each value."""

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        """See ``Sink.start``. TensorBoard forgets what earlier files hold from the session's first step on."""
        self.writer = EventFileWriter(str(run / "tensorboard"), flush_secs=FLUSH_S)
        first = step + 1 if step else 0  # the values of `step` itself are whole
        self._add(first, session_log=SessionLog(status=SessionLog.START))
        text = "    " + to_toml(config).replace("\n", "\n    ")  # indented is verbatim in Markdown
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        kind = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._add(first, summary=Summary(value=[Summary.Value(tag="config", metadata=kind, tensor=tensor)]))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """See ``Sink.write``."""
        self._add(step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]))

    def close(self, done: bool) -> None:
        """See ``Sink.close``."""
        self.writer.close()

    def _add(self, step: int, **what: Summary | SessionLog) -> None:
        self.writer.add_event(Event(wall_time=time.time(), step=step, **what))
