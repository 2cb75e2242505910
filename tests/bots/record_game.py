"""Recorded tests/data/football/kaggle_game.npz: a whole game of 11_vs_11_kaggle with one controlled player, whom the engine plays.

    python tests/bots/record_game.py

Every eighth moment is kept, and the last ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2po.envs.football.engine import Engine
from a2po.envs.football.frames import BUILTIN_AI
from a2po.envs.football.scenarios import scenario

FILE = Path(__file__).parents[1] / "data" / "football" / "kaggle_game.npz"
STEPS = 3001


def main() -> None:
    game = Engine()
    game.reset(scenario("11_vs_11_kaggle"), seed=7, left_agents=1)
    kept = [game.frame.copy()]
    for step in range(1, STEPS + 1):
        game.step(np.array([BUILTIN_AI]))
        if step % 8 == 0 or step > STEPS - 8:
            kept.append(game.frame.copy())
    np.savez_compressed(FILE, frames=np.stack(kept).view(np.float32).reshape(len(kept), -1))


if __name__ == "__main__":
    main()
