"""The observer of a football environment against FootballStatistics, fed game by game."""

from __future__ import annotations

import numpy as np
import pytest

from a2po.envs.football.frames import frame_type
from a2po.evaluation.football import FootballStatistics
from a2po.evaluation.football_observer import FootballObserver

GAMES, AGENTS, STEPS = 3, 4, 300


@pytest.mark.parametrize("moving", [False, True], ids=["the same players", "agents that change their players"])
def test_each_game_is_counted_as_if_alone(moving):
    random = np.random.default_rng(5)
    frames = np.zeros(GAMES, frame_type(5, 5, AGENTS))
    frames["left_agent_controlled_player"] = [1, 2, 3, 4]
    observer = FootballObserver()
    observer.begin(np.arange(GAMES), frames)
    alone = {kind: [FootballStatistics(kind, [1, 2, 3, 4]) for _ in range(GAMES)] for kind in ("event", "paper")}
    for step in range(STEPS):
        actions = random.integers(0, 19, (GAMES, AGENTS))
        moved = frames["left_agent_controlled_player"].astype(int)
        _play_on(frames, random, moving)
        observer.step(actions, frames)
        for copy in range(GAMES):
            for kind in alone:
                fields = {name: frames[copy][name].tolist() for name in ("ball_owned_team", "ball_owned_player", "game_mode", "score")}
                alone[kind][copy].observe(actions[copy], fields, players=moved[copy])
        if step % 90 == 89:  # the episode in game 1 ends, its summary is taken, and another one begins
            assert observer.summary(1) == {"statistics": {kind: games[1].summary() for kind, games in alone.items()}}
            frames["score"][1] = 0
            observer.begin(np.array([1]), frames)
            for games in alone.values():
                games[1].reset()
    found = [observer.summary(copy)["statistics"] for copy in range(GAMES)]
    assert sum(game["event"]["pass_attempts"] for game in found) and sum(game["paper"]["succ_pass"] for game in found)
    for copy in range(GAMES):
        assert found[copy] == {kind: games[copy].summary() for kind, games in alone.items()}


def _play_on(frames: np.ndarray, random: np.random.Generator, moving: bool) -> None:
    """In place, as the engine does it."""
    for frame in frames:
        if random.random() < 0.4:
            frame["ball_owned_team"] = random.integers(-1, 2)
            frame["ball_owned_player"] = -1 if frame["ball_owned_team"] < 0 else random.integers(5)
        frame["game_mode"] = random.choice([0, 0, 0, 4])
        if random.random() < 0.02:
            frame["score"][random.integers(2)] += 1
        if moving and random.random() < 0.1:
            frame["left_agent_controlled_player"] = random.permutation(5)[:AGENTS]
