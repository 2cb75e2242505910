"""A run on an own battle needs its file once: everything after that plays what the file said when the run began."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import a2po
from a2po.config import TrainConfig, resolve
from a2po.errors import TaskError
from a2po.exporters.export import export
from a2po.sweeps.folder import SweepFolder
from a2po.sweeps.plan import SweepPlan, cells, run_config
from a2po.training.loop import run_to_train
from a2po.training.runs import open_run
from a2po.training.view import SilentView

ARENA = '[[allies]]\nunit = "guard"\ncount = 2\n[[enemies]]\nunit = "zergling"\n[units.guard]\nbase = "marine"\nhp = 70\n'
SMALL = ["run.total_steps=40", "run.evaluate_every=0", "env.num_envs=2", "env.num_threads=1", "update.rollout_length=20", "run.track=[]"]


def config(*settings: str) -> TrainConfig:
    return resolve(values={"task": "smac/battles/arena.toml"}, settings=[*SMALL, *settings])


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "battles").mkdir()
    path = tmp_path / "battles" / "arena.toml"
    path.write_text(ARENA)
    return path


def test_a_run_is_resumed_exported_and_evaluated_without_its_file(arena: Path, tmp_path: Path):
    run = a2po.train(config(), name="guards", view=SilentView()).run
    assert open_run(run).env.options["battle_file"] == ARENA
    arena.write_text(ARENA.replace("count = 2", "count = 3"))
    longer = config("run.total_steps=80")
    assert a2po.train(longer, name="guards", resume=True, view=SilentView()).step == 80  # the edited file changes nothing
    arena.unlink()
    moved = tmp_path / "elsewhere" / "guards"
    shutil.move(run, moved)
    bundle = export(moved)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["task"]["name"], manifest["task"]["options"]["battle_file"]) == ("smac/arena.toml", ARENA)
    assert "battles/" not in json.dumps(manifest)  # whoever gets the bundle need not know the trainer's folders
    assert (bundle / "battle.toml").read_text() == ARENA
    alone = tmp_path / "bundle"
    shutil.move(bundle, alone)
    assert a2po.evaluate(alone, episodes=2)["task"] == "smac/arena.toml"


def test_a_wrong_file_stops_before_anything_is_written(arena: Path, tmp_path: Path):
    arena.write_text(ARENA.replace('"zergling"', '"zerglin"'))
    with pytest.raises(TaskError, match=r"^battles/arena.toml, line 5: .*did you mean 'zergling'"):
        a2po.train(config(), name="guards", view=SilentView())
    assert not (tmp_path / "runs").exists()


def test_a_run_is_named_after_the_battle(arena: Path):
    _, folder = run_to_train(config(), None, False, Path("runs"))
    assert folder.name.startswith("arena-a2po-s0-")


def test_a_sweep_keeps_the_battle_for_all_its_runs(arena: Path, tmp_path: Path):
    plan = SweepPlan(tasks=("smac/battles/arena.toml", "smac/3m"))
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.make(plan)
    arena.write_text("broken")
    sweep.check(plan)
    sweep.make(plan.model_copy(update={"seeds": (0, 1, 2, 3)}))
    kept = sweep.read_plan()
    own, other = (run_config(kept, cell, 0) for cell in cells(kept))
    assert own.env.options == {"battle_file": ARENA} and "battle_file" not in other.env.options
