"""Evaluation plays the exported actors, by quota, on the task that they fit."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from a2po.envs.episodes import episode_seed
from a2po.envs.matrix.game import MatrixGame
from a2po.envs.registry import make
from a2po.errors import BundleError, UserError, WorkFailed
from a2po.evaluation import results
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.locate import find_bundle
from a2po.exporters.export import export
from a2po.runtime import read_bundle
from a2po.streams import stream_seed
from a2po.training import fit


def silent(message):
    raise AssertionError(message)


def test_result_is_written_returned_and_noted(run, capfd):
    before = read_bundle(run / "bundle")
    result = evaluate(run / "bundle", episodes=12, say=silent)
    assert capfd.readouterr() == ("", "")
    files = list((run / "results").iterdir())
    assert [str(file) for file in files] == [result["file"]]
    assert files[0].name.endswith("-onnx.json")
    written = json.loads(files[0].read_text())
    assert {**written, "file": result["file"], "report": None} == result
    assert (written["episodes"], written["invalid_episodes"], written["copies"]) == (12, 0, 12)
    assert (written["policy"], written["actions"], written["task"]) == ("onnx", "greedy", "matrix/uneven")
    assert written["task_options"] == {"length": 3}
    assert written["mean"] == pytest.approx(np.mean(written["returns"]))
    assert len(set(written["seeds"])) == 12
    assert written["metrics"].keys() == {"best_rounds"}
    assert written["bundle"]["manifest_sha256"] == before.manifest_sha256
    after = read_bundle(run / "bundle")  # every hash still holds
    assert after.fingerprint == before.fingerprint == written["bundle"]["fingerprint"]
    assert after.manifest["evaluation"]["mean"] == written["mean"]
    assert after.manifest["evaluation"]["interval"] == written["interval"]


def test_same_seed_same_result(run):
    first, second, other = (evaluate(run, episodes=6, seed=seed) for seed in (1, 1, 2))
    assert first["returns"] == second["returns"]
    assert first["seeds"] == second["seeds"]
    assert not set(first["seeds"]) & set(other["seeds"])
    assert len(list((run / "results").iterdir())) == 3


def test_exported_and_trained_play_alike(run):
    """In a game without chaos, closed-loop play is equal too."""
    exported, trained = (evaluate(run, episodes=20, policy=policy) for policy in ("onnx", "torch"))
    assert exported["returns"] == trained["returns"]
    assert exported["seeds"] == trained["seeds"]
    assert trained["checkpoint"] == "step_000000004096"
    assert trained["bundle"] is None
    assert read_bundle(run / "bundle").manifest["evaluation"]["policy"] == "onnx"


def test_sampled_play_differs_from_greedy_and_repeats(run):
    greedy = evaluate(run, episodes=40)
    sampled, again = (evaluate(run, episodes=40, deterministic=False) for _ in range(2))
    assert sampled["actions"] == "sampled"
    assert sampled["returns"] == again["returns"] != greedy["returns"]
    trained = evaluate(run, episodes=400, deterministic=False, policy="torch")
    many = evaluate(run, episodes=400, deterministic=False)
    spread = (many["std"] + trained["std"]) / 20
    assert abs(many["mean"] - trained["mean"]) < 4 * spread


def test_every_copy_plays_its_quota(run):
    """10 episodes over 4 copies: 3, 3, 2, 2, whatever ends first."""
    result = evaluate(run, episodes=10, num_envs=4)
    seed = stream_seed(0, "bundle evaluation")
    expected = [episode_seed(seed, copy, episode) for copy, quota in enumerate((3, 3, 2, 2)) for episode in range(quota)]
    assert result["seeds"] == expected
    assert result["copies"] == 4


def test_progress_reaches_the_number_of_episodes(run):
    seen = []
    evaluate(run, episodes=9, num_envs=4, progress=seen.append)
    assert seen[-1] == 9
    assert seen == sorted(seen)


def test_episodes_of_a_fault_are_counted_and_dropped(run, monkeypatch):
    faults = {3}
    drain = MatrixGame.drain_episodes

    def faulty(self):
        records = drain(self)
        for record in records:
            self.played = getattr(self, "played", 0) + 1
            record["invalid"] = self.played in faults
        return records

    monkeypatch.setattr(MatrixGame, "drain_episodes", faulty)
    result = evaluate(run, episodes=8, num_envs=4)
    assert (result["episodes"], result["invalid_episodes"], len(result["returns"])) == (8, 1, 8)
    faults.update(range(1000))
    with pytest.raises(WorkFailed, match="ended in a fault"):
        evaluate(run, episodes=4)


def test_real_physics(cheetah):
    result = evaluate(cheetah, episodes=2)
    assert result["lengths"] == [1000, 1000]
    assert result["method"] == "Student t"
    assert result["task"] == "mamujoco/HalfCheetah-2x3"
    assert np.isfinite(result["returns"]).all()


@pytest.mark.parametrize(
    ("task", "difference"),
    [
        ("matrix/climbing", r"agent 'row': number of actions is 2, the task has 3"),
        ("mamujoco/HalfCheetah-2x3", r"its agents differ \(it lacks agent_0, agent_1 and the task has no row, column\)"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(run, task, difference):
    with pytest.raises(BundleError, match=difference):
        evaluate(run, episodes=2, task=task)
    assert not (run / "results").exists()


@pytest.mark.parametrize("key", ["features", "action names", "lower bounds", "upper bounds", "observation size"])
def test_every_difference_is_found(key):
    with closing(make("mamujoco/HalfCheetah-2x3", 1)) as env:
        team = fit.describe_task(env.spec)
        fit.check_fits("the team", team, env.spec)
        value = team["agent_1"][key]
        team["agent_1"][key] = [*value[:-1], "other"] if isinstance(value, list) else value + 1
        with pytest.raises(BundleError, match=rf"the team does not fit .*agent 'agent_1': {key}"):
            fit.check_fits("the team", team, env.spec)


def test_wrong_arguments(run):
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        evaluate(run, policy="onxx")
    with pytest.raises(UserError, match="episodes must be at least 1"):
        evaluate(run, episodes=0)
    with pytest.raises(BundleError, match=r"there is no 'runs/frist'; did you mean 'runs/first'"):
        evaluate("runs/frist")


def test_missing_package_names_the_extra(run, monkeypatch):

    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None if package == "jinja2" else object())
    with pytest.raises(UserError, match=r'pip install "a2po\[report\]"'):
        evaluate(run, episodes=2, report=True)


def test_newest_bundle_is_the_default(run, tmp_path):
    older = shutil.copytree(run, tmp_path / "runs" / "second")
    manifest = json.loads((older / "bundle" / "manifest.json").read_text())
    manifest["export"]["created"] = "2001-01-01T00:00:00+00:00"
    (older / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    assert find_bundle() == run / "bundle"
    assert evaluate(episodes=2)["bundle"]["path"] == "runs/first/bundle"
    manifest["export"]["created"] = "2999-01-01T00:00:00+00:00"
    (older / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    assert find_bundle().parent.name == "second"


def test_run_without_a_bundle(run):
    shutil.rmtree(run / "bundle")
    with pytest.raises(BundleError, match="has no bundle yet: a2po export runs/first"):
        evaluate(run)
    with pytest.raises(BundleError, match="no bundle in 'runs' yet"):
        evaluate()
    assert evaluate(run, episodes=2, policy="torch")["step"] == 4096
    assert evaluate(episodes=2, policy="torch")["step"] == 4096


def test_bundle_alone_keeps_its_results_beside_it(run, tmp_path):
    shutil.move(run / "bundle", tmp_path / "team")
    result = evaluate(tmp_path / "team", episodes=2)
    assert list((tmp_path / "team-results").iterdir()) == [tmp_path / "team-results" / result["file"].rsplit("/", 1)[-1]]
    with pytest.raises(UserError, match="lies in no run folder"):
        evaluate(tmp_path / "team", policy="torch")


def test_zip_is_played_and_its_evaluation_noted(run, tmp_path):
    shutil.make_archive(str(tmp_path / "team"), "zip", run / "bundle")
    before = read_bundle(tmp_path / "team.zip")
    result = evaluate(tmp_path / "team.zip", episodes=4)
    after = read_bundle(tmp_path / "team.zip")
    assert after.fingerprint == before.fingerprint
    assert after.manifest["evaluation"]["mean"] == result["mean"]


def test_altered_bundle_is_not_played(run):
    (run / "bundle" / "agents" / "row.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="was altered"):
        evaluate(run)


def test_exported_again_meanwhile_keeps_its_own_manifest(run):
    """The summary of other actors is never put into a new bundle."""
    bundle = read_bundle(run / "bundle")
    manifest = json.loads((run / "bundle" / "manifest.json").read_text())
    name = next(name for name in manifest["files"] if name.startswith("weights/"))
    content = (run / "bundle" / name).read_bytes() + b"\n"
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (run / "bundle" / name).write_bytes(content)
    (run / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    said = []
    results.note_in_manifest(bundle, {"mean": 1.0}, said.append)
    assert "exported again meanwhile" in said[0]
    assert read_bundle(run / "bundle").manifest["evaluation"] is None


def test_pruned_checkpoint_is_said(run):
    later = shutil.move(run / "checkpoints" / "step_000000004096", run / "checkpoints" / "step_000000008192")
    manifest = Path(later) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"step": 4096', '"step": 8192'))
    said = []
    result = evaluate(run, episodes=2, policy="torch", say=said.append)
    assert "is gone; playing the newest one" in said[0]
    assert result["checkpoint"] == "step_000000008192"


OWN = """
from a2po.envs.registry import make as known

def make(task, num_envs, *, seed, device, num_threads, length=5):
    print("own code runs")
    return known("matrix/uneven", num_envs, seed=seed, device=device, num_threads=num_threads, length=length)
"""


def name_own_task(run, tmp_path, monkeypatch, module):
    """Let the run and its bundle name an environment of the user's own."""
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = run / "config.toml"
    config.write_text(config.read_text().replace('task = "matrix/uneven"', f'task = "{module}:make"'))
    export(run)


def test_a_manifest_alone_runs_no_code(run, tmp_path, monkeypatch, capfd):
    name_own_task(run, tmp_path, monkeypatch, "own_unasked")
    assert "own code runs" in capfd.readouterr().out
    with pytest.raises(UserError, match="add --task own_unasked:make"):
        evaluate(run / "bundle", episodes=2)
    assert "own code runs" not in capfd.readouterr().out


def test_an_own_environment_keeps_its_name_and_options(run, tmp_path, monkeypatch):
    name_own_task(run, tmp_path, monkeypatch, "own_asked")
    exported = evaluate(run / "bundle", episodes=2, task="own_asked:make")
    trained = evaluate(run, episodes=2, policy="torch")
    for result in (exported, trained):
        assert (result["task"], result["task_options"], result["lengths"]) == ("own_asked:make", {"length": 3}, [3, 3])
    assert read_bundle(run / "bundle").manifest["evaluation"]["task"] == "own_asked:make"


def test_inside_the_bundle_folder(run, monkeypatch):
    bundle = (run / "bundle").resolve()
    before = sorted(bundle.iterdir())
    monkeypatch.chdir(bundle)
    result = evaluate(".", episodes=2, report=True)
    assert result["bundle"]["path"] == "../bundle"
    assert (result["file"].rsplit("/", 1)[0], result["report"]) == ("../results", "../report.html")
    assert sorted(bundle.iterdir()) == before
    read_bundle(".")
    assert results.Home(None, Path(".")).results.resolve() == bundle.parent / "bundle-results"


def test_torch_plays_the_checkpoint_of_the_bundle_that_was_named(run):
    shutil.copytree(run / "checkpoints" / "step_000000004096", run / "checkpoints" / "step_000000008192")
    checkpoint = run / "checkpoints" / "step_000000008192" / "manifest.json"
    checkpoint.write_text(checkpoint.read_text().replace('"step": 4096', '"step": 8192'))
    shutil.copytree(run / "bundle", run / "later")
    manifest = json.loads((run / "later" / "manifest.json").read_text())
    manifest["training"]["checkpoint"] = "step_000000008192"
    (run / "later" / "manifest.json").write_text(json.dumps(manifest))
    assert evaluate(run / "later", episodes=1, policy="torch", say=silent)["checkpoint"] == "step_000000008192"
    assert evaluate(run, episodes=1, policy="torch", say=silent)["checkpoint"] == "step_000000004096"


def test_a_bundle_that_does_not_say_its_checkpoint(run):
    path = run / "bundle" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": None}))
    said = []
    assert evaluate(run, episodes=1, policy="torch", say=said.append)["checkpoint"] == "step_000000004096"
    assert "is gone; playing the newest one" in said[0]


def test_a_place_that_cannot_be_written_is_said_before_playing(run):
    (run / "results").write_text("in the way")
    seen = []
    with pytest.raises(UserError, match=r"cannot be written to 'runs/first/results'"):
        evaluate(run, episodes=2, progress=seen.append)
    assert seen == []


def test_a_result_that_cannot_be_written_is_not_lost(run, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_json", full)
    monkeypatch.setattr("a2po.evaluation.report.replace_text", full)
    said = []
    result = evaluate(run, episodes=2, report=True, say=said.append)
    assert (result["file"], result["report"], result["episodes"]) == (None, None, 2)
    assert len(said) == 2 and all("No space left on device" in line for line in said)


def test_bool_metrics_are_rates_and_nothing_else_is(run, monkeypatch):
    drain = MatrixGame.drain_episodes

    def marked(self):
        return [{**record, "best_rounds": record["seed"] % 2 == 0, "return": 1.0} for record in drain(self)]

    monkeypatch.setattr(MatrixGame, "drain_episodes", marked)
    result = evaluate(run, episodes=4)
    assert (result["metrics"]["best_rounds"]["method"], result["method"], result["length"]["method"]) == ("Wilson", *["Student t"] * 2)


def test_no_seed_below_zero_and_no_evaluation_without_gymnasium(run, monkeypatch):
    with pytest.raises(UserError, match="seed must be at least 0, got -1"):
        evaluate(run, seed=-1)
    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None if package == "gymnasium" else object())
    with pytest.raises(UserError, match=r'pip install "a2po\[train\]"'):
        evaluate(run, episodes=2)
