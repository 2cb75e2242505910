"""The report is one file that needs nothing else and hides nothing."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser

import pytest

from a2po.errors import DependencyError
from a2po.evaluation.evaluate import evaluate
from a2po.evaluation.plots import learning_curve
from a2po.evaluation.report import write_report
from a2po.evaluation.results import Home, read_results, write_result

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Balanced(HTMLParser):
    """Every tag that opens also closes."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text), "the page loads something"
    assert "<script" not in text


def test_report_after_an_evaluation(run):
    result = evaluate(run, episodes=12, report=True)
    assert result["report"] == str(run / "report.html")
    text = (run / "report.html").read_text()
    check_page(text)
    assert "<svg" in text
    assert "greedy" in text and "12 episodes" in text and "95 % interval" in text
    for words in ("matrix/uneven", "agents/row.onnx", "0 of 4200", "Student t", "hidden_sizes", "c0ffee", "best_rounds", "clip fraction"):
        assert words in text, words


def test_every_result_is_listed(run):
    evaluate(run, episodes=2)
    evaluate(run, episodes=3, deterministic=False, policy="torch", report=True)
    text = (run / "report.html").read_text()
    assert text.count("<td>onnx</td>") == 1
    assert text.count("<td>torch</td>") == 1
    assert text.count("<td>sampled</td>") == 1


def test_report_of_a_run_that_has_little(run):
    (run / "metrics.jsonl").unlink()
    shutil.rmtree(run / "bundle")
    text = write_report(Home(run, run / "bundle")).read_text()
    check_page(text)
    assert "No episode has ended" in text
    assert "a2po export writes the bundle" in text


def test_names_are_escaped(run):
    (run / "config.toml").write_text((run / "config.toml").read_text() + "# <script>alert(1)</script>\n")
    check_page(write_report(Home(run, run / "bundle")).read_text())


def test_report_of_a_bundle_alone(run, tmp_path):
    shutil.move(run / "bundle", tmp_path / "team")
    result = evaluate(tmp_path / "team", episodes=2, report=True)
    assert result["report"] == str(tmp_path / "team-report.html")
    check_page((tmp_path / "team-report.html").read_text())


def test_curve_is_the_same_twice_and_small():
    rows = [{"kind": "update", "step": step, "return_mean": float(step % 7)} for step in range(1, 100_000, 7)]
    rows.append({"kind": "evaluation", "step": 50_000, "return_mean": 3.0, "episodes": 2, "returns": [2.0, 4.0]})
    first = learning_curve(rows)
    assert first == learning_curve(rows)
    assert first.startswith("<svg")
    assert len(first) < 100_000
    assert learning_curve([{"kind": "update", "step": 1}]) is None


def test_missing_matplotlib_names_the_extra(run, monkeypatch):
    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None)
    with pytest.raises(DependencyError, match=r'pip install "a2po\[report\]"'):
        write_report(Home(run, run / "bundle"))


def test_a_broken_result_file_does_not_stop_the_report(run):
    (run / "results").mkdir()
    (run / "results" / "torn.json").write_text('{"kind": "evalu')
    (run / "results" / "other.json").write_text(json.dumps([1, 2]))
    check_page(write_report(Home(run, run / "bundle")).read_text())


def test_pyplot_is_never_loaded():
    """pyplot keeps global state and would pick a window system."""
    learning_curve([{"kind": "update", "step": 1, "return_mean": 1.0}])
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    "change", [{"mean": ...}, {"provenance": ...}, {"length": 3}, {"metrics": {"wins": 1}}, {"step": "many"}, {"interval": [1]}]
)
def test_a_result_that_lacks_what_is_shown_does_not_stop_the_report(run, change):
    evaluate(run, episodes=2)
    file = next((run / "results").iterdir())
    result = {**json.loads(file.read_text()), **change}
    odd = {key: value for key, value in result.items() if value is not ...}
    (run / "results" / "zz.json").write_text(json.dumps(odd))
    (run / "results" / "zzz.json").write_text('{"kind": "evaluation"}')
    text = write_report(Home(run, run / "bundle")).read_text()
    check_page(text)
    assert text.count("<td>onnx</td>") == 1


def test_a_manifest_that_no_report_can_show_is_said(run):
    manifest = json.loads((run / "bundle" / "manifest.json").read_text())
    (run / "bundle" / "manifest.json").write_text(json.dumps({**manifest, "parity": {"a": 1}}))
    said = []
    result = evaluate(run, episodes=2, report=True, say=said.append)
    assert result["report"] is None and result["file"] is not None
    assert "the report could not be written" in said[0]


def test_the_newest_of_results_written_within_one_second(run):
    home = Home(run, run / "bundle")
    result = evaluate(run, episodes=1)
    for path in home.results.iterdir():
        path.unlink()
    for number in range(12):
        write_result(home, {**result, "seed": number})
    assert [one["seed"] for one in read_results(home)] == list(range(11, -1, -1))
