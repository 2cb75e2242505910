"""The rule ``training``: ten updates and ten resumed ones give the same bits as twenty."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2po.config import TrainConfig, validate
from a2po.errors import EnvironmentFailed, foreign
from a2po.testing.broken import Broken
from a2po.testing.walk import Case
from a2po.training.checkpoints import Checkpoints
from a2po.training.loop import train
from a2po.training.metrics import read_metrics
from a2po.training.view import SilentView

NUM_ENVS, ROLLOUT_LENGTH, UPDATES = 2, 8, 20
NETWORKS = {0: "MLP", 1: "GRU"}
"""``network.recurrent_layers`` -> its name."""


def check_training(case: Case, algorithm: str, recurrent_layers: int) -> None:
    """Train 20 updates, and 10 and 10; every checkpoint's content and every metrics row agree, but for the times.

    Where ``spec.exact_state`` is False the resumed run must only come to its end.

    Raises:
        Broken: naming the algorithm, the network and the first thing that differs.
    """
    where = f"{algorithm}, {NETWORKS[recurrent_layers]}"
    with case.environment(1) as env, tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        try:
            for name, updates, resume in (("whole", UPDATES, False), ("parts", UPDATES // 2, False), ("parts", UPDATES, True)):
                result = train(_config(case, algorithm, recurrent_layers, updates), name=name, runs=runs, resume=resume, view=SilentView())
                if result.interrupted_by is not None:
                    raise KeyboardInterrupt
        except (Exception, SystemExit) as error:
            what = f"{name} run, {'resumed' if resume else 'from the start'}, stopped: {foreign(_cause(error))}"
            raise Broken("training", where, what, "The environment must play on whatever the actors do, and load what it saved") from error
        if env.spec.exact_state:
            opaque = env.opaque_state
            found = _first_difference(_content(runs / "whole"), _content(runs / "parts"), opaque)
            if found:
                what = f"{UPDATES} updates and {UPDATES // 2} + {UPDATES // 2} resumed ones differ in {found}"
                raise Broken(
                    "training", where, what, "state_dict() must hold all that the next step depends on, or set spec.exact_state to False"
                )


def _cause(error: BaseException) -> BaseException:
    """What the environment raised, if it was the environment."""
    return error.__cause__ or error if isinstance(error, EnvironmentFailed) else error


def _config(case: Case, algorithm: str, recurrent_layers: int, updates: int) -> TrainConfig:
    steps = NUM_ENVS * ROLLOUT_LENGTH * updates
    return validate(
        {
            "task": case.task,
            "algorithm": algorithm,
            "device": "cpu",
            "env": {"num_envs": NUM_ENVS, "num_threads": 1, "options": case.options},
            "network": {"hidden_sizes": (8,), "recurrent_layers": recurrent_layers, "recurrent_size": 8},
            "update": {"rollout_length": ROLLOUT_LENGTH, "chunk_length": 4, "num_epochs": 1, "num_minibatches": 2},
            "qmix": {"replay_episodes": 6, "batch_episodes": 4, "warm_up_episodes": 2, "target_every": 10, "epsilon_steps": 200},
            "run": {"total_steps": steps, "evaluate_every": 0, "checkpoint_every": 10**9, "track": ()},
        }
    )


def _content(run: Path) -> dict[str, Any]:
    """All of a run that training decides."""
    _, checkpoint = Checkpoints(run / "checkpoints").load()
    return {"checkpoint": _timeless(checkpoint), "metrics": [_timeless(row) for row in read_metrics(run / "metrics.jsonl")]}


def _timeless(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not key.endswith("_s")}


def _first_difference(one: Any, other: Any, opaque: Sequence[str] = (), path: str = "") -> str | None:
    """Where two trees differ, or None. Bit for bit, but for what lies under the names ``opaque``."""
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            return f"{path} (other names)"
        keys = [key for key in one if key not in opaque]
        return next((found for key in keys if (found := _first_difference(one[key], other[key], opaque, f"{path}/{key}"))), None)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return f"{path} (other lengths)"
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for index, pair in pairs if (found := _first_difference(*pair, opaque, f"{path}/{index}"))), None)
    if type(one) is not type(other):
        return path
    if isinstance(one, (torch.Tensor, np.ndarray)):
        mine, theirs = np.asarray(one), np.asarray(other)
        return None if (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes()) else path
    return None if repr(one) == repr(other) else path
