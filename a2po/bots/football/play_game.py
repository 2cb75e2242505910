"""gfootball's own ``play_game`` on a2po's engine, with a2po's player and levels.

python -m a2po.bots.football.play_game --level 5_vs_5 --norender --noreal_time --players "a2po:left_players=4,path=BUNDLE" --episodes 10

The flags are gfootball's, and: ``--episodes``, after which it ends (by default it never does), and ``--seed``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from a2po.bots.football.levels import register_levels
from a2po.bots.football.players import register
from a2po.bots.football.stock import import_gfootball
from a2po.errors import EXIT_USER_ERROR, UserError


def main() -> None:
    """Run it with the command line's arguments."""
    try:
        import_gfootball()
        register()
        register_levels()
        _run()
    except UserError as error:
        sys.exit(_told(error))


def _run() -> None:
    from absl import app, flags
    from gfootball import play_game
    from gfootball.env import football_env
    from gfootball.env.config import count_players

    flags.DEFINE_integer("episodes", None, "End after so many episodes.", lower_bound=1)
    flags.DEFINE_integer("seed", None, "Of the engine's seeds.", lower_bound=0)

    class Counted(football_env.FootballEnv):  # type: ignore[misc] # its package has no types
        """Says how each episode ended."""

        def __init__(self, config: Any) -> None:
            random.seed(flags.FLAGS.seed)  # gfootball draws the engine's seeds from it
            self._scores: list[list[int]] = []
            super().__init__(config)

        def step(self, action: Any) -> Any:
            shown = super().step(action)
            if shown[2]:
                self._scores.append(self._env.observation()["score"])
                print(f"episode {len(self._scores)}: {self._scores[-1][0]}:{self._scores[-1][1]}", flush=True)
            return shown

        def reset(self) -> Any:
            if self._scores and len(self._scores) == flags.FLAGS.episodes:
                won = sum(left > right for left, right in self._scores)
                print(f"the left team won {won} of {len(self._scores)}")
                sys.exit()
            return super().reset()

    def play(arguments: Any) -> None:
        _check_players(flags.FLAGS.players or "", count_players)
        play_game.main(arguments)

    football_env.FootballEnv = Counted
    app.run(play)


def _check_players(players: str, count: Callable[[str], int]) -> None:
    """Raises: UserError: gfootball cannot read them (its ``count`` fails), or takes any word with ``agent`` in it for its own player."""
    for player in players.split(";"):
        try:
            count(player)
        except ValueError:
            form = "NAME:left_players=4,path=BUNDLE, ';' between players, and a path without any of : , = ;"
            raise UserError(f"--players '{player}' cannot be read; gfootball wants {form}") from None
        if "agent" in player:
            raise UserError(f"--players '{player}': gfootball refuses the word 'agent' anywhere in it; rename or copy what the path names")


def _told(error: UserError) -> int:
    print(error, file=sys.stderr)
    return EXIT_USER_ERROR


if __name__ == "__main__":
    main()
