"""The gate: an actor that is not the trained one gets no bundle."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from a2po.errors import UserError, WorkFailed
from a2po.exporters import build as building
from a2po.exporters import parity
from a2po.exporters.onnx_model import fill
from a2po.exporters.recording import record
from a2po.runtime.differences import ILLEGAL_LOGIT


def tampered(change):
    """``fill``, and then one initialiser changed."""

    def filled(template, graph, metadata):
        model = onnx.load_from_string(fill(template, graph, metadata))
        for tensor in model.graph.initializer:
            value = onnx.numpy_helper.to_array(tensor)
            changed = change(tensor.name, value.copy())
            if changed is not None:
                tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
        return model.SerializeToString()

    return filled


def nudge(name, value):
    if name != "actor.weights.linear1_weight":
        return None
    value[3, 5] += 1e-2
    return value


@pytest.mark.parametrize("task", ["matrix/uneven", "mamujoco/HalfCheetah-2x3"])
def test_a_tampered_weight_is_refused_and_nothing_is_written(make_policy, build, monkeypatch, task):
    policy = make_policy(task)
    monkeypatch.setattr(building, "fill", tampered(nudge))
    with pytest.raises(parity.ParityError, match="is not the trained one") as caught:
        build(policy)
    assert isinstance(caught.value, WorkFailed)
    assert not isinstance(caught.value, UserError)
    assert not policy.run.exists() or not list(policy.run.iterdir())


def test_rounding_that_grows_in_torch_as_well_is_allowed_and_told(make_policy, build, monkeypatch):
    policy = make_policy(recurrent_layers=1, recurrent_size=32)
    policy.team.actors.values.mul_(4.0)
    proof = json.loads((build(policy) / "manifest.json").read_text())["parity"]
    assert 1e-5 < proof["max_error"] < proof["tolerance"] <= parity.WIDEST
    monkeypatch.setattr(building, "fill", tampered(lambda name, value: value * np.float32(1.001) if "state_weight" in name else None))
    with pytest.raises(parity.ParityError, match="is not the trained one"):
        build(policy)


def test_a_refused_export_leaves_the_bundle_before(make_policy, build, monkeypatch):
    policy = make_policy()
    path = build(policy)
    before = (path / "manifest.json").read_bytes()
    monkeypatch.setattr(building, "fill", tampered(nudge))
    with pytest.raises(parity.ParityError):
        build(policy)
    assert (path / "manifest.json").read_bytes() == before


def test_an_ignored_mask_is_refused(make_policy, monkeypatch, build):
    def unmask(name, value):
        is_the_illegal_logit = value.dtype == np.float32 and value.size == 1 and value.item() < -1e9
        return np.zeros_like(value) if is_the_illegal_logit else None

    monkeypatch.setattr(building, "fill", tampered(unmask))
    with pytest.raises(parity.ParityError, match=r"greedy actions differ|outputs differ"):
        build(make_policy())


def test_nan_is_a_difference_of_the_agent_that_has_it():
    tally = parity.Tally(["a", "b"], ["mean"], 1, (1,))
    tally.add(0, {"mean": np.zeros((2, 2), np.float32)}, {"mean": np.float32([[0.0, 0.0], [0.0, np.nan]])})
    assert [report.passed for report in tally.reports()] == [True, False]


def test_ties_do_not_count_and_real_differences_do():
    tally = parity.Tally(["a"], ["action", "logits"], 1, (3,))
    logits = np.float32([[1.0, 1.0 + 1e-6], [1.0, 1.1], [5.0, -1e10]])
    tally.add(0, {"action": np.array([1, 1, 0]), "logits": logits}, {"action": np.array([0, 0, 1]), "logits": logits})
    (report,) = tally.reports()
    assert (report.actions, report.ties, report.mismatches) == (3, 1, 2)


def test_the_worst_step_is_each_agents_own():
    tally = parity.Tally(["a", "b"], ["mean"], 2, (2,))
    zeros = np.zeros((4, 1), np.float32)
    tally.add(0, {"mean": zeros}, {"mean": np.float32([[0.1], [0.2], [0.3], [0.0]])})  # two copies of a and b
    tally.add(1, {"mean": zeros}, {"mean": np.float32([[0.1], [0.0], [0.0], [0.4]])})
    assert [(round(report.max_error["mean"], 6), report.worst_step) for report in tally.reports()] == [(0.3, 0), (0.4, 1)]


def test_what_was_replayed_is_reported(exported):
    policy, path = exported
    proof = json.loads((path / "manifest.json").read_text())["parity"]
    assert proof["passed"]
    assert proof["steps"] >= 200
    assert proof["batches"] == [1, 3, 17]
    assert proof["max_error"] <= 1e-5
    for entry in proof["agents"].values():
        if policy.team.spec.discrete:
            assert entry["actions"] == 200 * (1 + 3 + 17)
            assert entry["mismatches"] == 0


def test_recording_holds_real_observations_and_single_choices(make_policy):
    from contextlib import closing

    from a2po.training.runs import make_env

    policy = make_policy()
    with closing(make_env(policy.config, 17, seed=1)) as env:
        recording = record(env, policy.team, 31)
    assert recording.obs.shape == (31, 17, 2, 2)
    np.testing.assert_allclose(recording.obs[:4, 0, 0, 0], [0, 1 / 3, 2 / 3, 0], atol=1e-6)
    assert recording.begun[0].all() and recording.begun[3].all() and not recording.begun[1].any()
    counts = recording.action_mask.sum(axis=-1)
    assert (counts[::10] == 1).all()
    assert (counts[1] == [2, 3]).all()
    assert {int(row.argmax()) for row in recording.action_mask[0, :, 1]} == {0, 2}


@pytest.mark.parametrize(("error", "passed"), [(1e-4, True), (1e-2, False)])
def test_logits_are_held_against_the_largest_of_their_row(error: float, passed: bool) -> None:
    """A trained team is sure of itself: beside a logit of 200 the rounding of a small one is that of sums of such terms."""
    expected = {"logits": np.array([[200.0, 0.0, ILLEGAL_LOGIT]], np.float32), "action": np.array([0])}
    actual = {"logits": expected["logits"] + np.array([0.0, error, 0.0], np.float32), "action": np.array([0])}
    tally = parity.Tally(["marine"], ["logits"], 1, (1,))
    tally.add(0, expected, actual)
    assert tally.reports()[0].passed == passed
