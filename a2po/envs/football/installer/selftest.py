"""The proof that an engine plays as it must: 300 steps of fixed actions, in a process of their own, against the hash that is stored here.

Builds of different compilers and options were found to play the same game. A machine where it is another one plays well, but not the games
of the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from a2po.errors import WorkFailed

SCENARIO, AGENTS, SEED, STEPS = "5_vs_5", 4, 7, 300
EXPECTED = "52ee663675dd3d1a566ea605b44f085d99981aa3"
"""SHA-1 of all frames of that game."""
FACTS = "installed.json"
"""Beside the engine: how it was built, and the game that its self-test gave."""
_TIMEOUT = 120.0


class OtherGame(WorkFailed):
    """The engine works, but its game is another one than the stored: ``game`` is its hash."""

    def __init__(self, game: str, message: str) -> None:
        super().__init__(message)
        self.game = game


def facts(folder: Path) -> dict[str, Any]:
    """What is noted beside the engine in ``folder``; empty for one that somebody put there."""
    try:
        return dict(json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def accepted_game(folder: Path) -> str | None:
    """The game that this engine had when it was installed: the stored one, or another one that the user accepted."""
    return facts(folder).get("game")


def self_test(folder: Path) -> str:
    """Play with the engine in ``folder``, in a child process; gives the hash of its game.

    Raises:
        OtherGame: it is neither the stored one nor the one that was accepted for this engine.
        WorkFailed: it does not play.
    """
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(
            command, env={**os.environ, "A2PO_FOOTBALL": str(folder)}, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise WorkFailed(f"self-test: the engine was stuck for {_TIMEOUT:.0f} s") from None
    marks = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("game ")]
    if done.returncode or not marks:
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
        last = next((line.strip() for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "without a word")
        raise WorkFailed(f"self-test: the engine ended with {how}: {last}")
    if marks[0] not in (EXPECTED, accepted_game(folder)):
        raise OtherGame(
            marks[0],
            f"self-test: {STEPS} steps gave the game {marks[0][:12]}, not {EXPECTED[:12]}: this processor, compiler or C library rounds "
            "otherwise, so games here will not be those of other machines to the last bit",
        )
    return marks[0]


def play() -> str:
    """The hash of the game that A2PO_FOOTBALL's engine plays in this process."""
    import numpy as np

    from a2po.envs.football.engine import Engine
    from a2po.envs.football.scenarios import scenario

    engine, actions = Engine(), np.zeros(AGENTS, np.int64)
    engine.reset(scenario(SCENARIO), seed=SEED, left_agents=AGENTS)
    digest, number = hashlib.sha1(engine.frame.tobytes()), SEED
    for _ in range(STEPS):
        for agent in range(AGENTS):
            number = (1103515245 * number + 12345) % 2**31  # a sequence that no package can change
            actions[agent] = (number >> 16) % 19
        engine.step(actions)
        digest.update(engine.frame.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print("game", play(), flush=True)
    os._exit(0)  # the engine's own threads and destructors have nothing to say about the game
