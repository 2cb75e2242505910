"""What a person sees while a run trains."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from a2po.training import view as view_module
from a2po.training.view import SilentView, Status, TerminalView, describe


def status(step: int = 4_096, return_mean: float | None = 1234.56, evaluation: float | None = None) -> Status:
    return Status(step, return_mean, evaluation, steps_per_s=17_512.3, sampling_share=0.52)


def test_describe() -> None:
    text = describe(status())
    for part in ("4,096", "return 1,234.6", "17,512 steps/s", "sampling 52%", "update 48%"):
        assert part in text
    assert "greedy" not in text and "greedy -7.5" in describe(status(evaluation=-7.5))
    assert "–" in describe(status(return_mean=None)) and "None" not in describe(status(return_mean=None))


def plain_view() -> tuple[TerminalView, io.StringIO]:
    out = io.StringIO()
    return TerminalView(Console(file=out, force_terminal=False, width=60)), out


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line now and then, and one at the end; never control codes, never wrapped, never read as markup."""
    monkeypatch.setattr(view_module, "LINE_INTERVAL_S", 3600.0)
    view, out = plain_view()
    view.start(0, 10_000)
    view.say("saved to [bold]runs[/bold] " + "x" * 80)
    view.show(status())
    assert out.getvalue() == "saved to [bold]runs[/bold] " + "x" * 80 + "\n"  # too soon for the next line
    view.show(status(10_240))
    monkeypatch.setattr(view_module, "LINE_INTERVAL_S", 0.0)
    view.show(status(5_000))
    view.stop()
    lines = out.getvalue().splitlines()
    assert len(lines) == 3 and lines[1].startswith("100%") and lines[2].startswith(" 50%")
    assert all("17,512 steps/s" in line for line in lines[1:]) and "\x1b" not in out.getvalue()


def test_a_dashboard_in_a_terminal() -> None:
    out = io.StringIO()
    view = TerminalView(Console(file=out, force_terminal=True, width=160))
    view.start(5_000, 10_000)
    view.show(status(7_500))
    view.say("checkpoint not written")
    view.show(status(10_000, evaluation=3.0))
    view.stop()
    view.stop()
    shown = Text.from_ansi(out.getvalue()).plain
    assert "checkpoint not written" in shown and "100%" in shown and "greedy 3.0" in shown


def test_a_view_that_never_started_can_stop() -> None:
    plain_view()[0].stop()


def test_the_silent_view_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    view = SilentView()
    view.start(0, 1)
    view.show(status())
    view.say("hello")
    view.stop()
    assert capsys.readouterr() == ("", "")
