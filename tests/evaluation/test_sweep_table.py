"""The table of a sweep from outcomes as the runs write them."""

from __future__ import annotations

import json

import pytest

from a2po.cli.show import show_sweep
from a2po.evaluation.seed_statistics import paired_difference_over_seeds
from a2po.evaluation.sweep_results import collect
from a2po.evaluation.sweep_table import markdown, notes, tables
from a2po.sweeps.folder import OUTCOME, SweepFolder
from a2po.sweeps.plan import SweepPlan, planned_runs

MEANS = {"a2po": {0: 10.0, 1: 12.0, 2: 17.0}, "mappo": {0: 9.0, 1: 8.0, 2: 13.0}}


def outcome(mean, *, won=None):
    metrics = {"score": {"mean": 3.0, "rate": False}}
    if won is not None:
        metrics["won"] = {"mean": won, "rate": True}
    evaluation = {"mean": mean, "interval": [mean - 1, mean + 1], "metrics": metrics, "returns": [mean] * 4}
    times = {"wall_s": 20.0, "cpu_s": 10.0, "times_complete": True, "judge_s": 1.0}
    return {"run": "x", "step": 100, "checkpoint": "c", "evaluation": evaluation, "training": {}, "commit": "c0ffee", **times}


@pytest.fixture
def make(tmp_path):
    def results(tasks=("matrix/climbing",), reasons=None, **changes):
        plan = SweepPlan(tasks=tasks, algorithms=tuple(MEANS), evaluation_episodes=4)
        folder = SweepFolder(tmp_path / "mine")
        for run in planned_runs(plan):
            (folder.runs / run.name).mkdir(parents=True)
            content = outcome(MEANS[run.cell.algorithm][run.seed], **changes)
            (folder.runs / run.name / OUTCOME).write_text(json.dumps(content))
        return collect(folder, plan, reasons or {})

    return results


def test_means_seeds_and_differences(make):
    results = make()
    assert [row["return"]["value"] for row in results["cells"]] == [13.0, 10.0]
    assert [row["best_seed"] for row in results["cells"]] == [2, 2]
    (difference,) = results["differences"]
    expected = paired_difference_over_seeds(MEANS["a2po"], MEANS["mappo"])
    assert (difference["first"], difference["difference"]["value"]) == ("a2po", expected.value)
    assert all(row["median"]["interval"] is None and row["interquartile_mean"]["interval"] is None for row in results["cells"])
    means, seeds, differences = tables(results)
    assert means.rows[0][:4] == ["a2po", "3", "13", "[4.043, 21.96]"] and means.rows[0][-3:] == ["100", "20 s", "10 s"]
    assert seeds.rows == [["a2po", "10", "12", "17"], ["mappo", "9", "8", "13"]]
    assert differences.rows[0][:3] == ["a2po − mappo", "3", "3"]


def test_each_value_of_an_override_against_its_first(tmp_path):
    """An ablation: every preset minus the first one, for each algorithm and never across two changes."""
    plan = SweepPlan(
        tasks=("matrix/climbing",),
        algorithms=tuple(MEANS),
        vary={"preset": ["fast", "no-preopc", "blocks"], "update.clip": [0.1, 0.2]},
        evaluation_episodes=4,
    )
    folder = SweepFolder(tmp_path / "mine")
    for run in planned_runs(plan):
        worse = {"fast": 0.0, "no-preopc": 2.0 + run.seed, "blocks": 1.0}[run.cell.overrides["preset"]] + 4.0 * run.cell.overrides[
            "update.clip"
        ]
        (folder.runs / run.name).mkdir(parents=True)
        (folder.runs / run.name / OUTCOME).write_text(json.dumps(outcome(MEANS[run.cell.algorithm][run.seed] - worse)))
    results = collect(folder, plan, {})
    rows = {tuple(row[:2]): row[2:4] for row in tables(results)[2].rows}
    assert rows["a2po", "clip=0.1: preset=no-preopc − preset=fast"] == ["3", "-3"]
    assert rows["mappo", "clip=0.2: preset=blocks − preset=fast"] == ["3", "-1"]
    assert rows["a2po", "preset=blocks: clip=0.2 − clip=0.1"] == ["3", "-0.4"]
    assert rows["a2po − mappo", "preset=fast clip=0.1"] == ["3", "3"]
    assert len(rows) == len(results["differences"]) == 2 * 2 * 2 + 2 * 3 + 6, "presets to the first, clips to the first, algorithms"


def test_rates_get_a_column(make):
    results = make(won=0.75)
    assert results["cells"][0]["rates"]["won"] == {"value": 0.75, "interval": [0.75, 0.75], "seeds": 3, "method": "Student t over seeds"}
    assert list(results["cells"][0]["rates"]) == ["won"]
    means = tables(results)[0]
    assert means.rows[0][means.headings.index("won 95 %")] == "0.75 [0.75, 0.75]"


def test_gaps_are_shown_and_named(make):
    reasons = {f"climbing-mappo-s{seed}": "training diverged" for seed in (0, 1, 2)} | {"climbing-a2po-s1": "killed by SIGKILL"}
    results = make(reasons=reasons)
    means, seeds, differences = tables(results)
    assert means.rows[0][1] == "2/3" and set(means.rows[1][2:]) == {"–"} and means.rows[1][1] == "0/3"
    assert seeds.rows == [["a2po", "10", "–", "17"], ["mappo", "–", "–", "–"]]
    assert differences.rows[0][1:] == ["0", "–", "–"]
    assert "Missing: climbing-a2po-s1: killed by SIGKILL" in notes(results)


def test_lower_bounds_and_mixed_versions_are_said(make):
    results = make()
    assert not any(line.startswith(("≥", "The runs")) for line in notes(results))
    results["cells"][0]["times_complete"] = False
    results["cells"][0]["runs"]["1"]["commit"] = "decade"
    assert tables(results)[0].rows[0][-2:] == ["≥ 20 s", "≥ 10 s"]
    assert any(line.startswith("≥") for line in notes(results)) and any("2 versions" in line for line in notes(results))


def test_equal_seeds_are_no_certainty(make, monkeypatch):
    monkeypatch.setitem(MEANS, "mappo", {0: 7.0, 1: 7.0, 2: 7.0})
    results = make()
    assert results["cells"][1]["return"]["interval"] == [7.0, 7.0]
    assert any("without width" in line for line in notes(results))
    del results["cells"][1]
    assert not any("without width" in line for line in notes(results))


def test_several_tasks_are_a_column_and_bars_do_not_break_markdown(make):
    results = make(tasks=("matrix/climbing", "own/9|8"))
    text = markdown(results)
    assert tables(results)[0].headings[0] == "task" and "own/9\\|8" in text
    widths = {line.replace("\\|", "").count("|") for line in text.partition("## ")[2].split("\n\n")[1].splitlines()}
    assert len(widths) == 1
    assert len(results["differences"]) == 2, "never between tasks"


def test_a_small_sweep_fits_eighty_columns(make, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show_sweep(make(), ["sweeps/mine/table.md"])
    out = capsys.readouterr().out
    assert "[4.043, 21.96]" in out and "a2po − mappo" in out and "…" not in out
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_number_is_cut_off_in_a_narrow_terminal(make, monkeypatch, capsys, width):
    """The columns that do not fit are named instead."""
    results = make(tasks=("matrix/climbing", "matrix/penalty"), won=0.5)
    run = {"evaluation": {"mean": -12345.678}}
    results["plan"]["seeds"] = list(range(20))
    for row in results["cells"]:
        row["runs"] = {str(seed): {**run, "commit": "c0ffee"} for seed in range(20)}
    monkeypatch.setenv("COLUMNS", str(width))
    show_sweep(results, ["sweeps/mine/table.md"])
    out = capsys.readouterr().out
    assert all(len(line) <= width for line in out.splitlines())
    means, rest = out.split("Mean return of each seed")
    seeds = rest.split("Difference of the mean return")[0]
    shown = [word for word in seeds.split() if word.startswith("-12")]
    assert set(shown) == {"-12,345.7"} and len(shown) % 4 == 0
    left_out = " ".join(seeds.split("Too wide for here, but in table.md: ")[1].split())
    assert left_out == ", ".join(f"s{seed}" for seed in range(len(shown) // 4, 20))
    assert ("[4.043, 21.96]" in means) == (width > 40) and ("0.5 [0.5, 0.5]" in means) == (width > 60)


def test_nothing_is_left_out_of_what_fits(make, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show_sweep(make(), ["sweeps/mine/table.md"])
    assert "Too wide" not in capsys.readouterr().out
