"""Where metrics go besides ``metrics.jsonl``, which stays the record that resume and every other command read."""

from a2po.training.sinks.tracking import Sinks

__all__ = ["Sinks"]
