"""Engines in child processes: they play as engines in threads do, and what happens to one child is its own affair."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2po import envs
from a2po.envs.football.engines import Game, ThreadedEngines
from a2po.envs.football.environment import Football
from a2po.envs.football.lost_games import replay
from a2po.envs.football.scenarios import scenario
from a2po.envs.football.workers import ProcessEngines
from a2po.errors import UserError, WorkFailed

pytestmark = pytest.mark.football

AGENTS = 4
GAMES = [Game(scenario("5_vs_5"), 100 + copy, AGENTS) for copy in range(4)]
KIND = GAMES[0].frame_type
ACTIONS = np.random.default_rng(8).integers(0, 19, (40, 4, AGENTS))
Open = Callable[..., ProcessEngines]


@pytest.fixture
def open_engines(tmp_path: Path) -> Iterator[Open]:
    """Makes ``ProcessEngines`` of four copies in two children: copies 0 and 2, copies 1 and 3."""
    opened = []

    def open_them(**options: Any) -> ProcessEngines:
        opened.append(ProcessEngines(4, KIND, 2, **{"faults": tmp_path / "faults", **options}))
        return opened[-1]

    yield open_them
    for engines in opened:
        engines.close()


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Frames [T + 1, B] of the same games in threads."""
    frames = np.zeros(4, KIND)
    engines = ThreadedEngines(frames)
    engines.begin(range(4), GAMES)
    seen = [frames.copy()]
    for actions in ACTIONS:
        engines.step(actions)
        seen.append(frames.copy())
    engines.close()
    return np.array(seen)


def same(frames: np.ndarray, others: np.ndarray) -> bool:
    return frames.tobytes() == others.tobytes()


def is_gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()  # a zombie is still there


def lost_files(tmp_path: Path) -> list[dict[str, Any]]:
    files = [json.loads(path.read_text()) for path in (tmp_path / "faults").glob("*.json")]
    return sorted(files, key=lambda content: content["copy"])


def test_they_play_as_threads_do(open_engines: Open, expected: np.ndarray, tmp_path: Path) -> None:
    engines = open_engines()
    engines.begin(np.arange(4), GAMES)
    assert same(engines.frames, expected[0])
    for actions, frames in zip(ACTIONS, expected[1:], strict=True):
        assert not engines.step(actions).any()
        assert same(engines.frames, frames)
    assert not (tmp_path / "faults").exists()


def test_saved_games_go_on_elsewhere(open_engines: Open, expected: np.ndarray) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    for actions in ACTIONS[:20]:
        engines.step(actions)
    saved = [engines.save(copy) for copy in range(4)]
    others = open_engines()
    for copy in range(4):
        others.restore(copy, GAMES[copy], saved[copy])
    assert same(others.frames, expected[20])
    for actions, frames in zip(ACTIONS[20:], expected[21:], strict=True):
        others.step(actions)
        assert same(others.frames, frames)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, "killed by SIGKILL (the system may be out of memory)"), (signal.SIGSEGV, "killed by SIGSEGV")]
)
def test_a_child_that_dies_costs_its_games_alone(
    number: signal.Signals, reason: str, open_engines: Open, expected: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    for actions in ACTIONS[:9]:
        engines.step(actions)
    victim, other = engines.processes
    os.kill(victim, number)
    with caplog.at_level(logging.WARNING, logger="a2po"):
        assert engines.step(ACTIONS[9]).tolist() == [True, False, True, False]
    assert is_gone(victim) and engines.processes[1] == other
    assert reason in caplog.text and "2 of its games lost" in caplog.text and str(tmp_path / "faults") in caplog.text
    assert same(engines.frames[1::2], expected[10][1::2])
    engines.begin([0, 2], [GAMES[0], GAMES[2]])
    for step, actions in enumerate(ACTIONS[10:20]):
        mixed = actions.copy()
        mixed[::2] = ACTIONS[step][::2]  # from the beginning again
        assert not engines.step(mixed).any()
        assert same(engines.frames[1::2], expected[11 + step][1::2]) and same(engines.frames[::2], expected[1 + step][::2])
    assert [(content["copy"], content["seed"], content["reason"]) for content in lost_files(tmp_path)] == [
        (0, 100, reason),
        (2, 102, reason),
    ]


def test_a_child_that_stands_still_is_given_up(open_engines: Open, expected: np.ndarray, tmp_path: Path) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    engines.step(ACTIONS[0])
    engines.patience = 2.0
    victim = engines.processes[1]
    os.kill(victim, signal.SIGSTOP)
    assert engines.step(ACTIONS[1]).tolist() == [False, True, False, True]
    assert is_gone(victim) and same(engines.frames[::2], expected[2][::2])
    assert {content["reason"] for content in lost_files(tmp_path)} == {"no answer in 2 s"}


def test_a_fatal_error_of_the_engine_is_told_in_its_words(open_engines: Open, expected: np.ndarray, tmp_path: Path) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    engines.step(ACTIONS[0])
    engines.restore(1, GAMES[1], b"no state of a game")
    assert engines.save(1) == engines.save(3) == b""  # nothing there to save
    assert engines.step(ACTIONS[1]).tolist() == [False, True, False, True]
    assert same(engines.frames[::2], expected[2][::2])
    assert [content["reason"] for content in lost_files(tmp_path)] == ["in [EnvState::state]: state is invalid"] * 2
    engines.begin([1, 3], [GAMES[1], GAMES[3]])
    assert not engines.step(ACTIONS[2]).any()


def test_an_exception_in_a_child_is_a_fault(open_engines: Open, tmp_path: Path) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    wrong = ACTIONS[0].copy()
    wrong[3, 0] = 77
    assert engines.step(wrong).tolist() == [False, True, False, True]
    assert "IndexError: index 77 is out of bounds" in lost_files(tmp_path)[0]["reason"]


def test_fault_upon_fault_is_no_accident(open_engines: Open) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    with pytest.raises(WorkFailed, match=r"failed 3 times in a row.*state is invalid"):
        for _ in range(3):
            engines.restore(0, GAMES[0], b"no state of a game")


def test_a_lost_game_can_be_replayed(open_engines: Open, expected: np.ndarray, tmp_path: Path) -> None:
    engines = open_engines()
    engines.begin(range(4), GAMES)
    for actions in ACTIONS[:6]:
        engines.step(actions)
    restored = engines.save(3)
    engines.restore(3, GAMES[3], restored)
    for actions in ACTIONS[6:8]:
        engines.step(actions)
    os.kill(engines.processes[1], signal.SIGKILL)
    engines.step(ACTIONS[8])
    first, second = sorted((tmp_path / "faults").glob("*.json"), key=lambda path: "copy3" in path.name)
    assert same(replay(first), expected[:10, 1])  # as far as the actions go: what they led to in the end was not seen
    assert same(replay(second), expected[6:10, 3])


def test_what_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.json cannot be read: No such file"):
        replay(tmp_path / "missing.json")
    other = tmp_path / "other.json"
    for text in ("{", "[]", '{"scenario": {}}'):
        other.write_text(text)
        with pytest.raises(UserError, match=r"other\.json is no file of a lost football game"):
            replay(other)


def test_closing_leaves_nothing_behind(open_engines: Open) -> None:
    before = set(os.listdir("/dev/shm")), set(os.listdir("/proc/self/fd"))
    engines = open_engines()
    engines.begin(range(4), GAMES)
    children = engines.processes
    os.kill(children[1], signal.SIGSTOP)
    engines.close()
    engines.close()
    assert all(is_gone(child) for child in children)
    assert set(os.listdir("/dev/shm")) == before[0] and len(os.listdir("/proc/self/fd")) <= len(before[1]) + 2  # the memory is still mapped


def test_a_lost_game_is_an_invalid_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drill = "football/academy_3_vs_1_with_keeper"
    env, untouched = (envs.make(drill, 4, seed=5, num_threads=2, workers=workers) for workers in ("processes", "threads"))
    assert isinstance(env, Football) and isinstance(env.engines, ProcessEngines) and isinstance(untouched, Football)
    env.reset()
    untouched.reset()
    actions = torch.zeros(4, 3, dtype=torch.int64)
    for step in range(12):
        if step == 4:
            seeds = env.episode_seeds
            os.kill(env.engines.processes[0], signal.SIGKILL)
        shown, expected = env.step(actions), untouched.step(actions)
        assert shown.invalid.tolist() == shown.terminated.tolist() == [step == 4, False] * 2
        assert torch.equal(shown.observations.obs[1::2], expected.observations.obs[1::2])
    records = env.drain_episodes()
    assert [(record["copy"], record["invalid"], record["length"]) for record in records] == [(0, True, 5), (2, True, 5)]
    assert [record["seed"] for record in records] == seeds[::2].tolist()
    assert (env.episode_seeds != seeds).tolist() == [True, False] * 2
    assert len(list(tmp_path.glob("football-faults/*.json"))) == 2
    state = env.state_dict()
    env.step(actions)
    frames = env.frames.copy()
    untouched.load_state_dict(state)  # what was saved in one kind goes on in the other
    untouched.step(actions)
    assert same(untouched.frames, frames)
    env.close()
    untouched.close()


SCRIPT = """
import signal, sys, numpy as np
from a2po.envs.football.engines import Game
from a2po.envs.football.scenarios import scenario
from a2po.envs.football.workers import ProcessEngines
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background has it ignored
game = Game(scenario("5_vs_5"), 1, 4)
engines = ProcessEngines(2, game.frame_type, 2)
engines.begin([0, 1], [game, game])
print(*engines.processes, "torch" in sys.modules, flush=True)
while True:
    engines.step(np.zeros((2, 4), int))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_go_with_their_parent(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as parent:
        assert parent.stdout and parent.stderr
        *children, torch = parent.stdout.readline().split()
        assert torch == "False" and not any("torch" in Path(f"/proc/{child}/maps").read_text() for child in children)
        os.killpg(parent.pid, number)  # as a terminal does with Ctrl-C: everybody in the group
        last = parent.stderr.read().splitlines()[-1:]
    assert last == (["KeyboardInterrupt"] if number == signal.SIGINT else [])
    deadline = time.monotonic() + 20
    while not all(is_gone(int(child)) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(is_gone(int(child)) for child in children)
