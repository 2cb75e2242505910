"""Plays a game with gfootball's own Python and prints the SHA-1 of all that it shows, with the types of the values.

    python tests/bots/trajectory.py LEVEL STEPS PLAYER...           on a2po's engine
    python tests/bots/trajectory.py --boost LEVEL STEPS PLAYER...   on the stock package's own build, which must be on PYTHONPATH

The second form made the hashes in test_stock.py.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np


class Sha:
    """A hash of nested dicts, lists, arrays and numbers."""

    def __init__(self) -> None:
        self.sha = hashlib.sha1()

    def add(self, value) -> None:
        if isinstance(value, dict):
            for name in sorted(value):
                self.sha.update(name.encode())
                self.add(value[name])
        elif isinstance(value, (list, tuple)):
            for part in value:
                self.add(part)
        elif isinstance(value, np.ndarray):
            self.sha.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
        else:
            self.sha.update(repr(value).encode())


def main(level: str, steps: int, players: list[str]) -> str:
    from gfootball.env import config, football_env

    alone = not players[0].startswith("agent")
    settings = {"level": level, "players": players, "action_set": "full" if alone else "default", "game_engine_random_seed": 11}
    env, sha, random = football_env.FootballEnv(config.Config(settings)), Sha(), np.random.default_rng(3)
    agents = sum(config.count_players(player) for player in players)
    sha.add(env.reset())
    for step in range(steps):
        shown = env.step([] if alone else random.integers(0, 19, size=agents).tolist())
        sha.add(shown)
        sha.add(env._env.observation())
        if step == steps // 2:
            saved = env.get_state()
        if shown[2]:
            sha.add(env.reset())
    if not alone:
        env.set_state(saved)
        sha.add(env.observation())
        sha.add(env.step(random.integers(0, 19, size=agents).tolist()))
    return sha.sha.hexdigest()


if __name__ == "__main__":
    _, *arguments = sys.argv
    if arguments[0] == "--boost":
        from a2po.bots.football import gym_stand_in

        sys.modules.update(gym_stand_in.modules())
        arguments = arguments[1:]
    else:
        from a2po.bots.football.stock import import_gfootball

        import_gfootball()
    print(main(arguments[0], int(arguments[1]), arguments[2:]))
