"""The time of a step is measured with what the team really takes, and leaves no trace in it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from a2po.runtime import Team
from a2po.runtime.latency import drawn_inputs, measure


@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/HalfCheetah-2x3"])
def test_measure(make_policy, build, task):
    team = Team.load(build(make_policy(task, hidden_sizes=(8,), recurrent_layers=1, recurrent_size=4)))
    team.act(drawn_inputs(team, 3, seed=0)[0])
    found = measure(team, steps=200, seed=1)
    assert 0 < found["p50_us"] <= found["p99_us"] < 1e6
    assert (found["steps"], found["rows"], found["provider"], found["threads"]) == (200, 1, "cpu", 1)
    assert found["onnxruntime"] == onnxruntime.__version__ and found["processor"]
    assert not team.memory


def test_inputs_are_legal_and_the_same_for_one_seed(uneven):
    team = Team.load(uneven[1], on_fault="fallback")
    obs, masks = drawn_inputs(team, 100, seed=4)
    team.act(obs, masks)
    assert not team.faults
    again, other = drawn_inputs(team, 100, seed=4), drawn_inputs(team, 100, seed=5)
    assert np.array_equal(obs, again[0]) and np.array_equal(masks, again[1]) and not np.array_equal(obs, other[0])
