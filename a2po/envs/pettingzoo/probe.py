"""What a game can do is found by playing it: whether its ``state()`` works, and whether a seed replays an episode exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box

from a2po.envs.pettingzoo.game import Game
from a2po.errors import EnvironmentFailed

LONGEST, EPISODES = 100, 3
Trace = list[np.ndarray]


def state_works(make: Callable[[], Game]) -> bool:
    """True if ``state()`` gives finite numbers of one size all through some random episodes."""
    states: Trace = []
    game = make()
    try:
        for seed in range(EPISODES):
            play(game, seed, LONGEST, lambda game: states.append(game.state()))
    except EnvironmentFailed:
        return False
    return states[0].size > 0 and all(state.size == states[0].size and np.isfinite(state).all() for state in states)


def replays(make: Callable[[], Game]) -> bool:
    """True if an episode played again, after another one and beside another copy, gives the same numbers bit for bit."""
    used, first = make(), make()
    play(used, 1, LONGEST // 4, lambda _: None)
    alone: Trace = []
    together: Trace = []
    play(first, 0, LONGEST, lambda game: alone.append(_numbers(game)))
    others = np.random.default_rng(2)

    def look_and_disturb(game: Game) -> None:
        """Copies take turns: a game that draws from a generator of the whole process gets other numbers then."""
        together.append(_numbers(game))
        if first.terminated or first.truncated:
            first.reset(len(together))
        first.step(random_actions(first, others))

    play(used, 0, LONGEST, look_and_disturb)
    return len(alone) == len(together) and all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def _numbers(game: Game) -> np.ndarray:
    return np.concatenate([game.obs.ravel(), game.reward])


def play(game: Game, seed: int, most: int, look: Callable[[Game], None]) -> None:
    """A random episode of legal actions, at most ``most`` steps; ``look`` is called after the reset and every step."""
    random = np.random.default_rng(seed)
    game.reset(seed)
    look(game)
    while not (game.terminated or game.truncated) and game.length < most:
        game.step(random_actions(game, random))
        look(game)


def random_actions(game: Game, random: np.random.Generator) -> np.ndarray:
    """[N] or [N, A]."""
    draws = random.random(game.mask.shape)
    if game.layout.discrete:
        picked: np.ndarray = np.where(game.mask, draws, -1.0).argmax(axis=1)
        return picked
    actions = np.zeros(draws.shape, np.float32)
    for agent, space in enumerate(game.layout.action_spaces):
        assert isinstance(space, Box)
        size = game.layout.action_sizes[agent]
        actions[agent, :size] = space.low + (space.high - space.low) * draws[agent, :size]
    return actions
