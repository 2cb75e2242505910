"""`a2po presets`: what there is, and what one of them sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from a2po.cli.app import main
from a2po.presets import preset_names

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["a2po", "presets", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def test_all_on_one_screen(presets: Run) -> None:
    code, out, _ = presets()
    lines = out.splitlines()
    assert code == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:-1]] == preset_names()  # none needs a second line
    listed = json.loads(presets("--json")[1])
    assert [entry["name"] for entry in listed] == preset_names() and all(entry["description"] for entry in listed)


def test_what_one_sets(presets: Run) -> None:
    code, out, _ = presets("paper+no-preopc", "--task", "smac/5m_vs_6m", "--algo", "happo")
    rows = {words[0]: words[1:] for words in (line.split() for line in out.splitlines()) if words}
    assert code == 0 and "paper+no-preopc for happo on smac/5m_vs_6m" in out.splitlines()[0]
    assert rows["update.clip"] == ["0.05", "0.2"] and rows["update.num_blocks"] == ["2", "–"] and rows["update.advantage"] == ["gae", "–"]
    assert "update.huber_delta" not in rows  # the preset's number is the default's
    shown = json.loads(presets("no-preopc", "--task", "matrix/climbing", "--json")[1])
    assert (shown["task"], shown["algorithm"], shown["values"]["update.advantage"]) == ("matrix/climbing", "a2po", "gae")
    assert "env.options.obsk" not in shown["values"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fsat"], "did you mean 'fast'"),
        (["paper+fsat"], "unknown preset 'fsat' in 'paper+fsat'"),
        (["paper", "--algo", "hapo"], "did you mean 'happo'"),
        (["--task", "matrix/climbing"], "belong to a preset"),
    ],
)
def test_what_a_person_gets_wrong(arguments: list[str], words: str, presets: Run) -> None:
    code, out, err = presets(*arguments)
    assert code == 2 and out == "" and words in err and len(err.splitlines()) == 1
