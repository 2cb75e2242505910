"""a2po trains cooperative multi-agent policies, exports each agent as an ONNX actor and plays what it exported."""

from __future__ import annotations

from a2po.lazy import lazy_names

__version__ = "0.1.0"

_PUBLIC = {
    "train": "a2po.training.loop",
    "export": "a2po.exporters.export",
    "evaluate": "a2po.evaluation.evaluate",
    "evaluate_opponents": "a2po.evaluation.opponents",
    "bench_policy": "a2po.evaluation.bench_policy",
    "play": "a2po.evaluation.play",
    "plot_runs": "a2po.evaluation.curves",
    "sweep": "a2po.evaluation.sweep",
    "SweepPlan": "a2po.sweeps.plan",
    "TrainConfig": "a2po.config",
    "TrainResult": "a2po.training.loop",
    "TrainProgress": "a2po.training.callback",
    "resolve": "a2po.config",
    "UserError": "a2po.errors",
    "verify": "a2po.runtime.verify",
}
__all__ = ["__version__", *sorted(_PUBLIC)]
__getattr__ = lazy_names(__name__, _PUBLIC)
