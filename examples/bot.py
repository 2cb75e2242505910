"""A bot to copy: a team of exported actors in a game of yours. numpy and onnxruntime, nothing else: pip install "a2po[cpu]".

    python examples/bot.py runs/<name>/bundle

The game below stands for yours: it shows numbers of no meaning, forbids actions at random, and sometimes shows nothing at all.
"""

from __future__ import annotations

import sys

import numpy as np

from a2po.runtime import Team


class Game:
    """Puts down what the bot needs of a game: what the agents see, what they may do, and when an episode begins."""

    def __init__(self, team: Team) -> None:
        self.agents, self.discrete, self.random, self.time = team.bundle.agents, team.discrete, np.random.default_rng(0), 0

    def begins(self) -> bool:
        """An episode begins with the coming step."""
        return self.time % 25 == 0

    def observations(self) -> dict[str, np.ndarray]:
        """Agent -> [O], its numbers in the order of ``agent.features``, raw."""
        shown = {agent.name: self.random.standard_normal(agent.obs_size, np.float32) for agent in self.agents}
        if self.time % 10 == 9:
            shown[self.agents[0].name][:] = np.nan
        return shown

    def legal(self) -> dict[str, np.ndarray] | None:
        """Agent -> [A], True where an action is legal, in the order of ``agent.action_names``; None where actions are continuous."""
        if not self.discrete:
            return None
        return {agent.name: np.append(self.random.random(agent.action_size - 1) < 0.5, True) for agent in self.agents}

    def play(self, actions: dict[str, np.ndarray]) -> None:
        """One step with agent -> the index of its action, or its controls [A]."""
        self.time += 1


def main(bundle: str) -> None:
    """Play four episodes and say what went wrong on the way."""
    team = Team.load(bundle, on_fault="fallback")  # what is no observation is played around and counted; by default it is an error
    game = Game(team)
    while game.time < 100:
        if game.begins():
            team.reset()
        game.play(team.act(game.observations(), game.legal()))
    faults = ", ".join(f"{kind} of {agent}: {count}" for (kind, agent), count in team.faults.items()) or "none"
    print(f"{game.time} steps of {len(team.agents)} agents; faults: {faults}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/bot.py BUNDLE")
    main(sys.argv[1])
