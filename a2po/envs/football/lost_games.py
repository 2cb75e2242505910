"""Games that a fault of the engine ended: what they were, as a small JSON file each, and how one is played again."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from a2po.envs.football.engine import Engine
from a2po.envs.football.engines import Game
from a2po.envs.football.scenarios import Player, Scenario
from a2po.errors import UserError
from a2po.files import write_json

__all__ = ["replay", "write_lost_game"]


def write_lost_game(folder: Path, copy: int, game: Game, actions: np.ndarray, saved: bytes, reason: str) -> Path:
    """Leave a file in ``folder`` from which ``replay`` plays the game again.

    Args:
        folder: made if need be.
        copy: of the environment; for the file's name.
        game: with its seed.
        actions: [T, agents], all since the game began, or since it was restored; the last ones may not have been played.
        saved: what it was restored from; empty where it was played from its beginning.
        reason: why it was lost.

    Returns: the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = folder / f"{now:%Y%m%dT%H%M%S.%f}-copy{copy}-seed{game.seed}.json"
    state = b64encode(zlib.compress(saved)).decode() if saved else None
    content = {"lost": now.isoformat(timespec="seconds"), "reason": reason, "copy": copy, **asdict(game)}
    steps = [" ".join(map(str, row)) for row in actions.tolist()]  # a line for each
    write_json(path, {**content, "restored_from": state, "actions": steps})
    return path


def replay(path: Path | str) -> np.ndarray:
    """Play a lost game again in this process, to where it was lost.

    A fault that lies in the game comes again, and ends this process: the engine prints why. One that came from outside, a killed
    process or a machine that stood still, does not, and the frames come back.

    Args:
        path: a file of ``write_lost_game``. A game that had been restored needs the build of the engine that it was played with.

    Returns: frames [T + 1], from the beginning on.

    Raises:
        UserError: the file is not there, or is no lost game.
        DependencyError: the engine is not installed.
    """
    game, actions, saved = _read(Path(path))
    engine = Engine()
    engine.reset(game.scenario, seed=game.seed, left_agents=game.left_agents, right_agents=game.right_agents)
    if saved:
        engine.restore(saved)
    frames = [engine.frame.copy()]
    for chosen in actions:
        engine.step(chosen)
        frames.append(engine.frame.copy())
    engine.close()
    return np.array(frames)


def _read(path: Path) -> tuple[Game, np.ndarray, bytes]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        teams = {side: tuple(Player(*player) for player in content["scenario"].pop(side)) for side in ("left", "right")}
        scenario = Scenario(**{**content["scenario"], "ball": tuple(content["scenario"]["ball"]), **teams})
        game = Game(scenario, content["seed"], content["left_agents"], content["right_agents"])
        saved = content["restored_from"]
        rows = [[int(action) for action in row.split()] for row in content["actions"]]
        actions = np.array(rows, np.int64).reshape(len(rows), game.left_agents + game.right_agents)
        return game, actions, zlib.decompress(b64decode(saved)) if saved else b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise UserError(f"{path} is no file of a lost football game") from error
