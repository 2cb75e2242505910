"""TensorBoard: event files in the run's folder ``tensorboard``, through the package's record writer.

Its event writer would do that in a thread of its own, which prints a traceback when the disk is full.
"""

from __future__ import annotations

import errno
import os
import time
from io import BytesIO
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from a2po.config import TrainConfig, to_toml


class TensorBoardSink:
    """One event holds all values of a step: a seventh of the time of one event for each value."""

    def start(self, run: Path, config: TrainConfig, step: int) -> None:
        """See ``Sink.start``. TensorBoard forgets what earlier files hold from the session's first step on."""
        folder = run / "tensorboard"
        folder.mkdir(exist_ok=True)
        # Without a buffer, so that nothing is left to be written by whoever clears up after a full disk.
        self.file = (folder / f"events.out.tfevents.{time.time_ns():020d}").open("wb", buffering=0)
        self._add(step, file_version="brain.Event:2")
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
        self.file.close()

    def _add(self, step: int, **what: Summary | SessionLog | str) -> None:
        record = BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), step=step, **what).SerializeToString())
        if self.file.write(record.getbuffer()) < record.tell():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
