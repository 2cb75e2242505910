"""Curves over runs: their numbers against slow, obvious ones, and the files that are drawn."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import imageio.v3 as imageio
import numpy as np
import pytest

from a2po.config import TrainConfig, resolve, to_toml
from a2po.errors import DependencyError, RunError, UserError
from a2po.evaluation.curves import GRID_POINTS, MAX_POINTS, group_curves, plot_runs
from a2po.evaluation.locate import find_runs

T_97_5_OF_11 = 2.2009851600916  # from a table of Student's t
CLIMBING = "matrix/climbing"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def write(folder: Path, config: TrainConfig, rows: list[dict]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def updates(steps, values, seconds=None) -> list[dict]:
    seconds = [step / 100 for step in steps] if seconds is None else seconds
    rows = zip(steps, values, seconds, strict=True)
    return [{"kind": "update", "step": step, "time_s": time, "return_mean": value, "clip": value / 10} for step, value, time in rows]


def config(seed: int = 0, algorithm: str = "a2po", task: str = CLIMBING, settings=(), **values) -> TrainConfig:
    return resolve(values={"task": task, "algorithm": algorithm, "seed": seed, **values}, settings=settings)


def silent(message: str) -> None:
    raise AssertionError(message)


def test_shared_points_need_no_grid(folder):
    lines = [[1.0, 2.0, 6.0], [3.0, 2.0, 0.0], [5.0, 5.0, 3.0]]
    runs = [write(folder / str(seed), config(seed), updates([10, 20, 40], line)) for seed, line in enumerate(lines)]
    (group,) = group_curves(runs, say=silent)
    assert group.x.tolist() == [10, 20, 40]
    assert group.mean.tolist() == [3.0, 3.0, 3.0]
    assert group.low.tolist() == [1.0, 2.0, 0.0] and group.high.tolist() == [5.0, 5.0, 6.0]
    assert group.legend == "A2PO: mean of 3 seeds, band min to max" and group.shows_runs


def interpolated(points: list[tuple[float, float]], at: float) -> float:
    for (left, low), (right, high) in zip(points[:-1], points[1:], strict=True):  # noqa: RUF007 - as one writes it down
        if left <= at <= right:
            return low + (high - low) * (at - left) / (right - left)
    raise AssertionError(at)


def test_other_points_meet_on_a_grid_over_the_common_range(folder):
    lines = [[(0, 0.0), (30, 6.0), (70, 2.0)], [(10, 1.0), (50, 5.0), (100, 0.0)], [(5, 4.0), (60, 4.0)]]
    runs = [write(folder / str(seed), config(seed), updates(*zip(*line, strict=True))) for seed, line in enumerate(lines)]
    (group,) = group_curves(runs, say=silent)
    assert len(group.x) == GRID_POINTS and (group.x[0], group.x[-1]) == (10.0, 60.0)
    for at, mean, low, high in zip(group.x, group.mean, group.low, group.high, strict=True):
        values = [interpolated(line, at) for line in lines]
        assert mean == pytest.approx(sum(values) / 3)
        assert (low, high) == (pytest.approx(min(values)), pytest.approx(max(values)))


def test_long_curves_are_thinned_to_means_of_neighbours(folder):
    steps, values = list(range(1, 1001)), np.random.default_rng(0).normal(size=1000).tolist()
    (group,) = group_curves([write(folder / "a", config(), updates(steps, values))], say=silent)
    assert len(group.x) == MAX_POINTS and group.legend == "A2PO: 1 seed"
    for index in range(MAX_POINTS):
        assert group.x[index] == pytest.approx(sum(steps[10 * index : 10 * index + 10]) / 10)
        assert group.mean[index] == pytest.approx(sum(values[10 * index : 10 * index + 10]) / 10)


def test_twelve_seeds_get_an_interval_of_the_mean(folder):
    lines = np.random.default_rng(1).normal(size=(12, 5)).tolist()
    runs = [write(folder / str(seed), config(seed), updates(range(1, 6), line)) for seed, line in enumerate(lines)]
    (group,) = group_curves(runs, say=silent)
    for index in range(5):
        values = [line[index] for line in lines]
        mean = sum(values) / 12
        half = T_97_5_OF_11 * math.sqrt(sum((value - mean) ** 2 for value in values) / 11) / math.sqrt(12)
        assert group.mean[index] == pytest.approx(mean)
        assert group.low[index] == pytest.approx(mean - half) and group.high[index] == pytest.approx(mean + half)
    assert group.legend == "A2PO: mean of 12 seeds, band 95 % t-interval of the mean" and not group.shows_runs


def test_ranges_that_do_not_meet_have_no_mean(folder):
    runs = [write(folder / str(seed), config(seed), updates([1 + 10 * seed, 5 + 10 * seed], [0.0, 1.0])) for seed in range(2)]
    (group,) = group_curves(runs, say=silent)
    assert group.x.size == group.mean.size == 0 and group.shows_runs
    assert plot_runs(runs, "curves.png", say=silent).is_file()


def test_time_metric_and_evaluations_are_kept_apart(folder):
    rows = [*updates([1, 2], [10.0, 20.0], [0.5, 1.0]), {"kind": "evaluation", "step": 2, "time_s": 1.0, "return_mean": 99.0}]
    runs = [write(folder / "a", config(), [*rows, {"kind": "update", "step": 3, "time_s": 2.0, "return_mean": math.nan}])]
    assert group_curves(runs)[0].mean.tolist() == [10.0, 20.0]
    assert group_curves(runs, x="time")[0].x.tolist() == [0.5, 1.0]
    assert group_curves(runs, metric="evaluation")[0].mean.tolist() == [99.0]
    assert group_curves(runs, metric="clip")[0].mean.tolist() == [1.0, 2.0]


def test_groups_by_task_algorithm_and_difference(folder):
    shown = [
        config(0),
        config(1),
        config(2, settings=["run.total_steps=5", "env.num_threads=1"], device="cpu"),  # makes no other curve
        config(0, settings=["update.clip=0.1"]),
        config(0, algorithm="mappo"),
        config(0, algorithm="mappo", preset="paper"),
        config(0, task="matrix/penalty"),
    ]
    runs = [write(folder / str(index), each, updates([1, 2], [0.0, index])) for index, each in enumerate(shown)]
    groups = {(group.task, group.label): len(group.runs) for group in group_curves(runs, say=silent)}
    assert groups == {
        (CLIMBING, "A2PO, clip=0.2"): 3,
        (CLIMBING, "A2PO, clip=0.1"): 1,
        (CLIMBING, "MAPPO, preset fast"): 1,
        (CLIMBING, "MAPPO, preset paper"): 1,
        ("matrix/penalty", "A2PO"): 1,
    }


def test_same_seed_twice_is_not_two_seeds(folder):
    runs = [write(folder / name, config(), updates([1, 2], [0.0, 1.0])) for name in "ab"]
    (group,) = group_curves(runs)
    assert group.legend == "A2PO: mean of 2 runs, band min to max" and group.seeds == 1
    text = plot_runs(runs, "curves.svg").read_text()
    assert group.legend in text and f"{CLIMBING} (thin lines: single runs)" in text


def test_finding_runs(folder):
    names = ["one", "two", "sweep/a", "sweep/b"]
    paths = [write(folder / name, config(), updates([1], [0.0])) for name in names]
    assert find_runs(["runs/one"]) == [paths[0]]
    assert find_runs(["two", Path("runs/one"), "runs/two"]) == [paths[1], paths[0]]
    assert find_runs(["runs/sweep"]) == find_runs(["sweep"]) == find_runs(["sweep/*"]) == find_runs(["runs/s*"]) == paths[2:]
    assert find_runs(["runs"]) == sorted(paths)
    assert find_runs([Path("runs").resolve() / "o*"]) == [Path("runs").resolve() / "one"]
    assert find_runs([]) == [paths[1]]
    for name, hint in (("runs/oen", "did you mean 'runs/one'"), ("tow", "did you mean 'two'"), ("runs/x*", "no run in 'runs/x*'")):
        with pytest.raises(RunError) as caught:
            find_runs([name])
        assert hint in str(caught.value)


@pytest.fixture
def two(folder) -> list[Path]:
    return [write(folder / f"{name}", config(0, name), updates([1000, 2000, 3000], [0.0, 1.0, 3.0])) for name in ("a2po", "mappo")]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_files(two, suffix):
    path = plot_runs(two, f"curves{suffix}", x="both")
    first = path.read_bytes()
    if suffix == ".png":
        picture = imageio.imread(path)
        assert picture.shape[1] > picture.shape[0] > 300 and picture.std() > 10
    elif suffix == ".svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        for text in ("A2PO: 1 seed", "MAPPO: 1 seed", "environment steps", "time spent training (s)", CLIMBING, "sampled actions"):
            assert text in path.read_text()
    else:
        assert first.startswith(b"%PDF")
    assert plot_runs(two, path, x="both").read_bytes() == first  # replaced by the same picture
    assert sorted(entry.name for entry in Path().iterdir()) == [path.name, "runs"]  # nothing temporary stays


def test_what_is_drawn_is_what_was_computed(two, monkeypatch):
    """The lines of the figure, by their labels."""
    from matplotlib.figure import Figure

    drawn = {}
    save = Figure.savefig

    def keep(self, *args, **kwargs):
        for axes in self.axes:
            drawn[axes.get_xlabel()] = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    plot_runs(two, "curves.png", x="both")
    assert drawn["environment steps"]["A2PO: 1 seed"] == [[1000.0, 0.0], [2000.0, 1.0], [3000.0, 3.0]]
    assert drawn["time spent training (s)"]["MAPPO: 1 seed"] == [[10.0, 0.0], [20.0, 1.0], [30.0, 3.0]]


def test_many_tasks_get_a_panel_each(folder):
    tasks = (CLIMBING, "matrix/penalty", "matrix/uneven", "mamujoco/HalfCheetah-2x3")
    runs = [write(folder / str(i), config(task=task), updates([1, 2], [0.0, 1.0])) for i, task in enumerate(tasks)]
    text = plot_runs(runs, "curves.svg").read_text()
    assert all(task in text for task in tasks)


def test_runs_without_points_are_left_out_and_said(two, folder):
    fresh = write(folder / "fresh", config(), [])
    said = []
    assert len(group_curves([*two, fresh], say=said.append)) == 2
    assert said == ["left out: 'runs/fresh' has no metrics yet (metrics.jsonl is missing or empty)"]
    with pytest.raises(RunError, match="has no metrics yet"):
        group_curves([fresh])


def test_command(two, command):
    code, out, err = command("plot", "runs", "--json")
    assert (code, err) == (0, "")
    groups = json.loads(out)["groups"]
    assert [group["label"] for group in groups] == ["A2PO", "MAPPO"] and groups[0]["last"]["mean"] == 3.0
    assert Path("curves.png").is_file()
    code, out, err = command("plot", "--x", "time", "--output", "newest.svg")
    assert code == 0 and "newest.svg" in out and "MAPPO" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a2op",), "did you mean 'a2po'"),
        (("a2po", "--output", "curves.pgn"), "did you mean '.png'"),
        (("a2po", "--output", "nowhere/curves.png"), "there is no folder 'nowhere'"),
        (("a2po", "--output", "runs.svg"), "'runs.svg' is a folder"),
        (("a2po", "--metric", "clpi"), "did you mean 'clip'"),
        (("a2po", "--metric", "evaluation"), "it was not evaluated"),
        (("broken",), "cannot be read"),
    ],
)
def test_what_the_user_can_mend(two, folder, command, arguments, message):
    shutil.copytree(two[0], folder / "broken")
    (folder / "broken" / "config.toml").write_text("seed = ")
    Path("runs.svg").mkdir()
    code, out, err = command("plot", *arguments)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err and len(err.splitlines()) == 1


def test_no_runs_and_no_matplotlib(tmp_path, monkeypatch, two):
    with pytest.raises(UserError, match="no run to draw"):
        plot_runs([], "curves.png")
    with pytest.raises(UserError, match="did you mean 'steps'"):
        plot_runs(two, "curves.png", x="stpes")
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"matplotlib.*a2po\[report\]"):
        plot_runs(two, "curves.png")


def test_a_full_disk_names_the_file(two, folder):
    """A limit on the size of files, in a process of its own, stands for it."""
    code = f"""
import resource, sys
from a2po.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.argv = ["a2po", "plot", {str(two[0])!r}, "--output", "full.png"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "MPLCONFIGDIR": "."}
    )
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (1, "", "a2po: 'full.png': File too large")
    assert not list(Path().glob("*full*"))


def test_configurations_are_read_without_being_judged(folder):
    """A run of another version, with a setting that this one does not know, still has a curve."""
    run = write(folder / "a", config(), updates([1], [2.0]))
    (run / "config.toml").write_text((run / "config.toml").read_text() + "\n[future]\nsetting = 1\n")
    assert tomllib.loads((run / "config.toml").read_text())["future"] == {"setting": 1}
    assert group_curves([run])[0].mean.tolist() == [2.0]
