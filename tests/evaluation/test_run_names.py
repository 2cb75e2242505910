"""A run may be named without its folder: ``first`` for ``runs/first``, where no file of that name is here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from a2po.errors import BundleError
from a2po.evaluation.locate import find_bundle, find_runs
from a2po.files import existing


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("evaluate", "first", "--episodes", "1"), lambda found: found["bundle"]["path"]),
        (("evaluate", "first", "--episodes", "1", "--policy", "torch"), lambda found: f"runs/{found['run']}/bundle"),
        (("inspect", "first"), lambda found: found["bundle"]),
        (("play", "--bundle", "first"), lambda found: found["bundle"]["path"]),
        (("play", "--run", "first"), lambda found: f"runs/{found['run']}/bundle"),
        (("export", "first"), lambda found: found["bundle"]),
        (
            ("evaluate", "first", "--episodes", "1", "--teammate", "column=first"),
            lambda found: found["teammates"]["column"]["bundle"]["path"],
        ),
    ],
)
def test_a_name_stands_for_the_run(run, command, arguments, where):
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    assert where(json.loads(out)) == "runs/first/bundle"


def test_a_run_without_a_bundle(run, command):
    shutil.rmtree(run / "bundle")
    code, out, err = command("evaluate", "first")
    assert (code, out) == (2, "") and "the run 'runs/first' has no bundle yet: a2po export runs/first" in err
    code, out, err = command("evaluate", "--player", "random", "--task", "matrix/uneven", "--teammate", "row=first")
    assert (code, out) == (2, "") and "the run 'runs/first' has no bundle yet" in err
    code, out, err = command("evaluate", "first", "--policy", "torch", "--episodes", "1", "--json")
    assert (code, err) == (0, "") and json.loads(out)["run"] == "first"
    assert json.loads(command("inspect", "first", "--json")[1])["run"]["path"] == "runs/first"


@pytest.mark.parametrize("arguments", [("evaluate", "frist"), ("inspect", "frist"), ("play", "--bundle", "frist"), ("export", "frist")])
def test_another_name_gets_a_did_you_mean(run, command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert "did you mean 'runs/first'" in err or "did you mean 'first'" in err


def test_what_is_here_comes_first(run, tmp_path):
    assert existing("first", Path("runs")) == run and existing("runs/first", Path("runs")) == run
    assert existing("nothing", Path("runs")) == Path("nothing")
    shutil.copytree(run / "bundle", tmp_path / "first")
    assert find_bundle("first") == Path("first") and existing("first", Path("runs")) == Path("first")
    (tmp_path / "second").mkdir()
    shutil.copytree(run, "runs/second")
    with pytest.raises(BundleError, match="'second' is neither a bundle nor a run folder"):
        find_bundle("second")
    shutil.rmtree(tmp_path / "second")
    assert find_bundle("second") == Path("runs/second/bundle") and find_runs(["second"]) == [Path("runs/second")]
