"""MODEL_CARD.md: what model hubs read is what the manifest says, and nothing in a manifest can break it."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2po.errors import BundleError
from a2po.evaluation.results import note_in_manifest
from a2po.runtime import read_bundle
from a2po.runtime.card import model_card, with_card

yaml = pytest.importorskip("yaml")  # a real reader of the head; the card itself is written without one

EVALUATION = {
    "actions": "greedy", "episodes": 100, "seed": 3, "mean": 12.5, "interval": [12.0, 13.1],
    "metrics": {"won": {"mean": 0.93, "interval": [0.9, 0.96]}, "coins": {"mean": 4.0, "interval": None}},
}  # fmt: skip


def head_of(card: str) -> dict:
    opening, head, _ = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(head)


def manifest_of(path) -> dict:
    return json.loads((path / "manifest.json").read_text())


def test_a_hub_finds_library_pipeline_and_results(uneven):
    _, path = uneven
    manifest = manifest_of(path)
    head = head_of((path / "MODEL_CARD.md").read_text())
    assert head["library_name"] == "a2po" and head["pipeline_tag"] == "reinforcement-learning"
    assert {"onnx", "a2po", "matrix/uneven", "multi-agent-reinforcement-learning"} <= set(head["tags"])
    assert "model-index" not in head and "license" not in head  # nobody has played it, and we do not know whose it is
    (entry,) = head_of(model_card({**manifest, "evaluation": EVALUATION}))["model-index"]
    assert entry["name"] == "A2PO on matrix/uneven"
    (result,) = entry["results"]
    assert result["task"]["type"] == "reinforcement-learning"
    assert result["dataset"] == {"name": "matrix/uneven", "type": "matrix/uneven"}
    values = {metric["type"]: (metric["value"], metric["name"]) for metric in result["metrics"]}
    assert values.keys() == {"mean_reward", "win_rate"}
    assert values["mean_reward"] == (12.5, "mean return (95 % interval 12 to 13.1, 100 episodes, greedy actions)")
    assert values["win_rate"][0] == 0.93


def test_a_noted_evaluation_is_in_the_card_and_the_fingerprint_stays(uneven, tmp_path, build):
    policy, _ = uneven
    for name in ("team", "team.zip"):
        path = build(policy, output=tmp_path / name)
        before = read_bundle(path)
        note_in_manifest(before, EVALUATION, pytest.fail)
        after = read_bundle(path)  # every hash is checked
        assert head_of(after.files["MODEL_CARD.md"].decode())["model-index"]
        assert after.fingerprint == before.fingerprint
        changed = {file for file in after.files if after.files[file] != before.files[file]}
        assert changed == {"MODEL_CARD.md"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["team", "team.zip"]


def test_a_card_that_cannot_be_written_leaves_the_bundle_whole(uneven, tmp_path, build, monkeypatch):
    path = build(uneven[0], output=tmp_path / "team")
    before, said = read_bundle(path), []

    def full(target):
        if "MODEL_CARD" in target.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("a2po.evaluation.results.sync", full)
    note_in_manifest(before, EVALUATION, said.append)
    assert "No space left" in said[0]
    assert read_bundle(path).manifest == before.manifest
    assert not [file for file in path.iterdir() if ".tmp" in file.name]


@pytest.mark.resilience
def test_a_kill_between_manifest_and_card_leaves_a_bundle_that_is_read(uneven, tmp_path, build, monkeypatch):
    path, replace = build(uneven[0], output=tmp_path / "team"), os.replace
    before, places = read_bundle(path), []

    def killed_after_the_first(source, place):
        if places:
            raise KeyboardInterrupt
        replace(source, place)
        places.append(place)

    monkeypatch.setattr(os, "replace", killed_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        note_in_manifest(before, EVALUATION, pytest.fail)
    monkeypatch.setattr(os, "replace", replace)
    between = read_bundle(path)
    assert between.manifest["evaluation"] == EVALUATION and between.files["MODEL_CARD.md"] == before.files["MODEL_CARD.md"]
    assert between.fingerprint == before.fingerprint
    note_in_manifest(between, {**EVALUATION, "episodes": 7}, pytest.fail)
    assert "7 episodes" in read_bundle(path).files["MODEL_CARD.md"].decode()
    (path / "MODEL_CARD.md").write_text("another one")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md was altered"):
        read_bundle(path)


def test_agents_that_share_a_file_share_a_row():
    agents = {
        f"marine_{index}": {"file": "agents/marine_0.onnx", "observation": {"size": 30}, "action": {"kind": "discrete", "size": 9}}
        for index in range(27)
    }
    card = model_card({"agents": agents})
    assert "| `marine_0` to `marine_26` (27 agents) | `agents/marine_0.onnx` | 30 features | 9 choices |" in card
    assert card.count("marine_1`") == 0


def test_weights_alone_are_not_offered_as_a_team():
    agents = {"row": {"file": None, "weights": "weights/row.safetensors", "observation": {"size": 2}, "action": {"size": 2}}}
    card = model_card({"agents": agents})
    assert "Team.load" not in card and "--init-from" in card and "`weights/row.safetensors`" in card
    assert "safetensors" in head_of(card)["tags"] and "onnx" not in head_of(card)["tags"]


def test_what_was_measured_is_told():
    change = {"float": 12.0, "int8": 11.5, "difference": -0.5, "interval": [-1.0, 0.1], "episodes": 32, "seed": 0}
    card = model_card({
        "quantization": {"action_agreement": 0.998, "max_error": 0.0123, "return": change},
        "latency": {"p50_us": 31.2, "p99_us": 45.1, "processor": "Some CPU @ 2 GHz", "threads": 1},
        "parity": {"max_error": 1e-6, "tolerance": 1e-5, "steps": 200, "batches": [1, 3, 17]},
    })  # fmt: skip
    assert "99.80% of the greedy actions are the same" in card and "a difference of -0.5 (95 % interval -1 to 0.1)" in card
    assert "team step 31 us p50, 45 us p99 on Some CPU @ 2 GHz, 1 thread" in card
    assert "between the actors before quantisation and the trained policy was 1.0e-06" in card


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARTS = ("task", "training", "agents", "parity", "evaluation", "quantization", "latency")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, ANYTHING)), st.text(max_size=30))
def test_no_manifest_breaks_its_card(manifest, name):
    """A manifest comes from anywhere, and names come from people."""
    complete, card = with_card({**manifest, "files": {}})
    assert complete["files"]["MODEL_CARD.md"] == {"sha256": hashlib.sha256(card).hexdigest(), "bytes": len(card)}
    head_of(card.decode())
    named = {"task": {"name": name}, "training": {"algorithm": name}, "agents": {name: {"file": name}}, "evaluation": EVALUATION}
    head = head_of(model_card(named))
    if name:
        assert name in head["tags"]
