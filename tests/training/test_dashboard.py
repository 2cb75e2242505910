"""The dashboard: it fits, it says what happened, and it leaves the terminal as it was."""

from __future__ import annotations

import dataclasses
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import a2po
from a2po.config import TrainConfig, override, resolve
from a2po.envs import make
from a2po.envs.matrix.game import MatrixGame
from a2po.errors import WorkFailed
from a2po.training.chart import CAPACITY, Curve, draw_line, place_marks
from a2po.training.dashboard import Dashboard
from a2po.training.panels import cells, duration, number, percentages
from a2po.training.progress import Progress
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView, Status, TerminalView

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


def status(agents: int = 2, *, simultaneous: bool = False, **changes: Any) -> Status:
    """The 150th update of a run of 1,000,000 steps."""
    returns, evaluations = Curve(), Curve()
    for update in range(1, 151):
        returns.add(update * 4096, update * 10.0)
        if update % 25 == 0:
            evaluations.add(update * 4096, update * 12.0)
    names = [f"leg_{agent}_知" for agent in range(agents)]
    own = {"clip_fraction": 0.125, "kl": 0.00321, "objective": -0.0456, "value_loss": 0.789, "explained_variance": 0.625}
    row = {"update": 150, "sampling_s": 0.1, "update_s": 0.3, "invalid_episodes": 3, "order": list(range(agents))[::-1]}
    row |= {"clips": [0.2] if simultaneous else [0.1 + 0.001 * k for k in range(agents)], "agents": dict.fromkeys(names, own)}
    row |= {"positions": [1] * agents if simultaneous else list(range(agents, 0, -1))}
    row |= {} if simultaneous else {"scores": [[10.0 * k + agent for agent in range(agents)] for k in range(agents)]}
    given: dict[str, Any] = {
        "title": "a2po on mamujoco/Ant-4x2",
        "setting": "4 agents · preset fast",
        "update": row,
        "rates": {"won": 0.834},
        "evaluation_rates": {"won": 0.62},
    }
    given |= {"returns": returns, "evaluations": evaluations, "episodes": 1234, "other_s": 0.1, "memory": {"resident": 307_000_000}}
    given |= {"checkpoint": (600_000, time.time() - 65)}
    return Status(614_400, 1500.0, 1800.0, 17_512.3, 0.25, **{**given, **changes})


def picture(
    shown: Status, width: int, height: int, *, final: bool = False, messages: tuple[str, ...] = ("one", "two\nlines", "x" * 300)
) -> list[str]:
    dashboard = Dashboard(0, 1_000_000, list(messages))
    dashboard.update(shown)
    dashboard.final = final
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    with console.capture() as captured:
        console.print(dashboard, end="")
    return Text.from_ansi(captured.get()).plain.splitlines()


@pytest.mark.parametrize("agents", [1, 2, 4, 17])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (81, 25), (100, 40), (200, 60)])
def test_it_fits(agents: int, width: int, height: int) -> None:
    """Never a line too many or a column too far; at 80 x 24 it fills the screen."""
    lines = picture(status(agents), width, height)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == 24 if height == 24 else 24 <= len(lines) <= height
    assert max(cell_len(line) for line in lines) == width
    assert len(picture(status(agents), width, height, final=True)) <= height - 4


@pytest.mark.parametrize(("width", "height"), [(79, 24), (80, 23), (20, 5), (1, 1)])
def test_a_small_terminal_gets_one_line(width: int, height: int) -> None:
    lines = picture(status(), width, height)
    assert len(lines) == 1 and cell_len(lines[0]) <= width
    if width > 70:
        assert lines[0].startswith(" 61% return 1,500.0, won 83% · greedy 1,800.0, won 62% · 17,512 steps/s")


def test_what_it_says() -> None:
    text = "\n".join(picture(status(), 80, 24))
    for part in ("a2po on mamujoco/Ant-4x2", "preset fast", "61%  614,400 / 1,000,000 steps", "150 updates", "1,234 episodes, 3 invalid"):
        assert part in text
    for part in (
        "training 1,500.0, won 83%   ● greedy 1,800.0, won 62%",
        "17,512 steps/s",
        "sampling  20%",
        "update  60%",
        "evaluation and saving  20%",
    ):
        assert part in text
    for part in ("memory resident 307 MB", "last checkpoint step 600,000, 1:05 ago", "update order", "two lines", "x…"):
        assert part in text
    assert text.count("●") == 1 + 6  # the legend and six evaluations
    first, second = (line.split() for line in picture(status(), 80, 24) if re.match(r"  \d ", line))
    assert first == ["1", "leg_1_知", "1", "0.100", "12.5%", "0.00321", "62.5%", "-0.0456"]  # the value loss has no room
    assert second[:4] == ["2", "leg_0_知", "10", "0.101"]
    (wide,) = (line.split() for line in picture(status(), 120, 24) if "leg_1" in line)
    assert wide == [*first, "0.7890"]


def test_many_agents_and_all_at_once() -> None:
    rows = [line for line in picture(status(17), 80, 24) if re.match(r"  (\d |  …)", line)]
    assert [row.split()[1] for row in rows[:3]] == ["leg_16_知", "leg_15_知", "leg_14_知"]
    assert rows[3].split() == ["…", "14", "more;", "mean", "88", "0.108", "12.5%", "0.00321", "62.5%", "-0.0456"]
    assert sum("leg_" in line for line in picture(status(17), 80, 60)) == 17
    together = picture(status(3, simultaneous=True), 80, 24)
    assert any("all agents at once" in line for line in together) and sum("0.200" in line for line in together) == 3
    assert not any("score" in line for line in together)


def test_an_agent_that_the_round_left_alone_has_no_line() -> None:
    row = dict(status(3).update)
    row |= {"order": [1], "positions": [0, 1, 0], "clips": [0.2], "agents": {**row["agents"], "leg_0_知": {}, "leg_2_知": {}}}
    lines = [line.split()[:2] for line in picture(status(3, update=row), 80, 24) if "leg_" in line]
    assert lines == [["1", "leg_1_知"]]


def test_a_learner_without_rounds_shows_its_own_figures() -> None:
    """QMIX: no clip range; figures of the team stand in the heading."""
    row = {**status(2).update, "positions": [1, 1], "clips": [], "scores": [], "team": {"epsilon": 0.2501, "td_error": 1.5}}
    row["order"], row["agents"] = [0, 1], {"red": {"q": 1.25, "actor_grad_norm": 0.1}, "blue": {"q": -2.0, "actor_grad_norm": 0.1}}
    lines = picture(status(2, update=row), 80, 24)
    assert any("all agents at once" in line and "TD error 1.500 · epsilon 0.25 ──" in line for line in lines)
    assert [line.split() for line in lines if "red" in line or "blue" in line] == [["1", "red", "+1.2500"], ["1", "blue", "-2.0000"]]
    warming_up = {**row, "agents": {"red": {}, "blue": {}}}
    assert [line.split() for line in picture(status(2, update=warming_up), 80, 24) if "red" in line] == [["1", "red"]]


def test_blocks_share_a_position_and_its_clip_range() -> None:
    row = {**status(3).update, "order": [2, 0, 1], "positions": [2, 2, 1], "clips": [0.1, 0.2], "scores": []}
    lines = [line.split()[:3] for line in picture(status(3, update=row), 80, 24) if "leg_" in line]
    assert lines == [["1", "leg_2_知", "0.100"], ["2", "leg_0_知", "0.200"], ["2", "leg_1_知", "0.200"]]


def test_before_the_first_episode_and_with_wild_numbers() -> None:
    early = Status(64, None, None, 100.0, 0.5)
    assert "training –" in "\n".join(picture(early, 80, 24)) and len(picture(early, 80, 24)) <= 24
    wild = cells({"clip": 0.2, "clip_fraction": 0.1, "kl": 6.5e31, "objective": -1e9, "value_loss": 1e12})
    assert len(wild) == 106 and wild.split() == ["–", "0.200", "10.0%", "7e+31", "–", "–", "–", "-1e+09", "1e+12", "–"]
    assert [number(value) for value in (-1.5e9, 123456.0, 1234.5, 0.01234)] == ["-1.50e+09", "123,456", "1,234.5", "0.012"]
    assert [duration(seconds) for seconds in (-1, 65, 3723, 100_000)] == ["0:00", "1:05", "1:02:03", "1 d 3 h"]


def test_the_shares_of_the_time_come_to_100() -> None:
    for seconds in ((0.164, 0.433, 0.403), (1.0, 1.0, 1.0), (0.995, 0.0025, 0.0025), (2.0, 0.0, 0.0)):
        shares = percentages(seconds)
        assert sum(shares) == 100 and all(abs(share - 100 * own / sum(seconds)) < 1 for share, own in zip(shares, seconds, strict=True))
    assert percentages((0.0, 0.0, 0.0)) == [0, 0, 0]


def test_an_evaluation_before_the_first_round_is_elapsed_but_does_not_slow_down_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cut by the signal that ended the run before; 100 s of it, then one round of 0.5 s for 100 of 1,100 steps."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    dashboard, console = Dashboard(500, 1600, []), Console(file=io.StringIO(), width=80, height=24)
    now = 1100.5
    dashboard.update(dataclasses.replace(status(), step=600))
    for later, shown in ((1100.5, "elapsed 1:40 · ETA 0:05"), (1103.5, "elapsed 1:44 · ETA 0:02"), (1200.5, "elapsed 3:20 · ETA 0:00")):
        now = later
        with console.capture() as captured:
            console.print(dashboard)
        assert shown in captured.get(), "it goes on between two rounds"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20)])
def test_what_the_terminal_echoes_for_two_interrupts_breaks_no_line(width: int, height: int) -> None:
    for final in (False, True):
        assert cell_len(picture(status(), width, height, final=final)[-1]) == width - len("^C^C")


def test_the_final_picture_has_no_messages() -> None:
    running, final = (picture(status(), 80, 24, final=final, messages=("one",)) for final in (False, True))
    assert [line.strip() for line in running[-2:]] == ["one", ""] and "memory" in final[-1]


def test_a_curve_keeps_its_shape_in_bounded_memory() -> None:
    curve, count = Curve(), 20 * CAPACITY + 7
    for step in range(count):
        curve.add(step, 3.0 * step)
    curve.add(count, float("nan"))
    points = np.array(curve.points)
    assert CAPACITY / 2 <= len(points) <= CAPACITY
    assert np.all(np.diff(points[:, 0]) > 0) and np.allclose(points[:, 1], 3.0 * points[:, 0])
    assert points[0, 0] < 2 * count / CAPACITY and points[-1, 0] > count * (1 - 2 / CAPACITY)


def test_drawing() -> None:
    assert draw_line([(0, 0.0), (100, 1.0)], 100, 0.0, 1.0, 4, 2) == ["  ⡠⠊", "⡠⠊  "]
    assert draw_line([(0, 0.0), (49, 0.0), (51, 1.0), (100, 1.0)], 100, 0.0, 1.0, 3, 2) == [" ⢸⠉", "⣀⡸ "]
    assert draw_line([], 100, 0.0, 1.0, 4, 2) == ["    ", "    "]
    half = draw_line([(0, 1.0), (50, 1.0)], 100, 0.0, 1.0, 10, 1)[0]
    assert half[:5].strip() and half[6:].strip() == ""
    assert draw_line([(70, 1.0)], 100, 0.0, 1.0, 10, 1)[0].strip()
    assert place_marks([(0, 0.0), (100, 1.0)], 100, 0.0, 1.0, 10, 3) == {(2, 0), (0, 9)}


def config(**values: Any) -> TrainConfig:
    settings = ["update.rollout_length=5", "env.num_envs=4", "env.options.length=5", "update.num_epochs=1", "run.total_steps=160"]
    settings += ["run.evaluate_every=60", "run.checkpoint_every=60", "run.track=[]"]
    return resolve(values={"task": "matrix/penalty", **values}, settings=settings)


class Keeping(SilentView):
    def __init__(self) -> None:
        self.statuses: list[Status] = []

    def show(self, status: Status) -> None:
        self.statuses.append(status)


def test_the_trainer_fills_the_status_and_a_resumed_run_remembers_its_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drain = MatrixGame.drain_episodes

    def with_wins(self: MatrixGame) -> list[dict[str, Any]]:
        return [{**episode, "best_rounds": np.bool_(episode["seed"] % 2)} for episode in drain(self)]

    monkeypatch.setattr(MatrixGame, "drain_episodes", with_wins)
    whole, first, second = Keeping(), Keeping(), Keeping()
    result = a2po.train(config(), name="whole", runs=tmp_path, view=whole)
    last = whole.statuses[-1]
    assert (last.step, last.return_mean, last.evaluation) == (160, result.return_mean, result.evaluation)
    assert last.title == "a2po on matrix/penalty" and last.episodes == 32 and last.update["update"] == 8
    assert 0 < last.rates["best_rounds"] < 1 and len(last.returns.points) == 8 and len(last.evaluations.points) == 3
    assert last.checkpoint is not None and last.checkpoint[0] in (120, 160) and abs(last.checkpoint[1] - time.time()) < 600
    assert 50e6 < last.memory["resident"] < 50e9 and whole.statuses[2].other_s > whole.statuses[0].other_s
    half = override(config(), settings=["run.total_steps=80", "run.evaluate_every=60"])
    a2po.train(half, name="halves", runs=tmp_path, view=first)
    a2po.train(config(), name="halves", runs=tmp_path, view=second, resume=True)
    assert second.statuses[-1].returns.points == last.returns.points and second.statuses[-1].episodes == 32


def test_rates_are_of_the_last_100_episodes() -> None:
    spec = make("matrix/penalty", 1).spec
    progress = Progress(config(), dataclasses.replace(spec, metrics=("won",)), torch.device("cpu"))
    progress.last_update = {"sampling_s": 1.0, "update_s": 1.0, "steps_per_s": 1.0}
    progress.add_episodes([{"won": True}] * 70 + [{"won": np.bool_(False)}] * 75)
    assert progress.status(1, None, None, 0.0).rates == {"won": 0.25}


def terminal() -> tuple[TerminalView, Callable[[], str]]:
    out = io.StringIO()
    return TerminalView(Console(file=out, force_terminal=True, width=80, height=24)), out.getvalue


def test_a_refresh_draws_over_and_a_message_erases() -> None:
    """No gap that a terminal could show; and nothing of the picture is left beside a message."""
    view, shown = terminal()
    view.start(0, 1_000_000)
    view.show(status())
    assert view._live is not None
    view._live.refresh()
    before = len(shown())
    view._live.refresh()
    drawn = shown()[before:]
    assert "\x1b[2K" not in drawn and "\x1b[23A" in drawn and len(Text.from_ansi(drawn.replace("\x1b[23A", "")).plain.splitlines()) == 24
    before = len(shown())
    view.say("something")
    assert shown()[before:].count("\x1b[2K") == 24
    view.stop()


def test_a_crash_shows_the_cursor_and_loses_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view, shown = terminal()

    def crash(self: Trainer) -> Status:
        view.say("[bold]something[/bold] was said " + "x" * 100)
        raise WorkFailed("crash")

    monkeypatch.setattr(Trainer, "round", crash)
    with pytest.raises(WorkFailed):
        a2po.train(config(), runs=tmp_path, view=view)
    assert HIDE_CURSOR in shown() and shown().rindex(SHOW_CURSOR) > shown().rindex(HIDE_CURSOR)
    assert "[bold]something[/bold] was said" in Text.from_ansi(shown()).plain


def test_what_others_print_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output may be a pipe: what goes into it is not taken for the screen."""
    view, shown = terminal()
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(Keeping, "show", lambda self, status: None)
    show = view.show

    def talkative(status: Status) -> None:
        print("a result")
        print("a warning", file=sys.stderr)
        show(status)

    monkeypatch.setattr(view, "show", talkative)
    a2po.train(config(), runs=tmp_path, view=view)
    assert out.getvalue().count("a result") == 8 and shown().count("a warning") == 8


def test_plain_on_request_and_in_terminals_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    assert TerminalView(Console(file=out, force_terminal=True), plain=True).plain
    monkeypatch.setenv("TERM", "dumb")
    assert TerminalView(Console(file=out, force_terminal=True)).plain
    monkeypatch.setenv("TERM", "xterm")
    assert not TerminalView(Console(file=out, force_terminal=True)).plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert TerminalView().plain  # under pytest standard error is no terminal


RUN = "from a2po.cli.app import main; main()"
ARGUMENTS = ["train", "--task", "matrix/penalty", "--set", "run.track=[]", "--name", "r"]


def in_a_terminal(folder: Path, signals: int, *arguments: str) -> tuple[int, str]:
    """``a2po train`` in a pseudo-terminal of 80 x 24; interrupted so many times once the dashboard is up. Exit code and output."""
    main, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}, "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *ARGUMENTS, *arguments], cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown, deadline = b"", time.monotonic() + 90
    while time.monotonic() < deadline:
        if select.select([main], [], [], 0.1)[0]:
            try:
                shown += os.read(main, 65536)
            except OSError:  # the other side is closed
                break
        if signals and b"update order" in shown:
            process.send_signal(signal.SIGINT)
            signals -= 1
    os.close(main)
    return process.wait(30), shown.decode(errors="replace")


def test_a_run_in_a_terminal(tmp_path: Path) -> None:
    code, shown = in_a_terminal(tmp_path, 0, "--steps", "9000")
    plain = Text.from_ansi(shown.replace("\r", "")).plain
    assert code == 0 and shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert "Next: a2po export runs/r" in plain and "100%" in plain and "a2po on matrix/penalty (2 agents" in plain


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupts_leave_the_terminal_as_it_was(signals: int, tmp_path: Path) -> None:
    returned, shown = in_a_terminal(tmp_path, signals, "--set", "update.num_epochs=15")
    assert returned == 130 and shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert ("interrupted: saved at step" in shown) == (signals == 1)
