"""The stock package, gfootball 2.10.2: games that it plays for the identity test, and how fast it is.

    python benchmarks/_football_stock.py games tests/data/football    # writes games.json and actions.npz
    python benchmarks/_football_stock.py timed                        # plays games that it reads; benchmarks/football.py asks it

For a Python that has gfootball; nothing of a2po is needed. Its ``gym`` may be missing: raw observations need no more of it than
the names of some classes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Game(NamedTuple):
    """What is played: episodes of an environment, each from a seed and for so many steps at most."""

    scenario: str
    left: int
    right: int = 0
    episodes: tuple[tuple[int, int], ...] = ((11, 40), (12, 40))
    waits: bool = False
    """Nobody acts while the ball is out of play, until the engine acts for them."""


# Every stock scenario and the agents on the left; two short episodes each show the line-ups and their exchange.
SCENARIOS = {
    "11_vs_11_competition": 11, "11_vs_11_easy_stochastic": 11, "11_vs_11_hard_stochastic": 11, "11_vs_11_kaggle": 11,
    "11_vs_11_stochastic": 11, "1_vs_1_easy": 1, "5_vs_5": 4, "academy_3_vs_1_with_keeper": 4, "academy_corner": 11,
    "academy_counterattack_easy": 11, "academy_counterattack_hard": 11, "academy_empty_goal": 1, "academy_empty_goal_close": 1,
    "academy_pass_and_shoot_with_keeper": 2, "academy_run_pass_and_shoot_with_keeper": 2, "academy_run_to_score": 2,
    "academy_run_to_score_with_keeper": 2, "academy_single_goal_versus_lazy": 11,
}  # fmt: skip
GAMES = {
    "5_vs_5": Game("5_vs_5", 4, episodes=((1, 1000), (2, 600))),
    "11_vs_11": Game("11_vs_11_stochastic", 10, episodes=((4, 1000), (3, 300))),
    "both sides": Game("5_vs_5", 4, 4, ((5, 700), (6, 300))),
    "second half": Game("11_vs_11_kaggle", 11, 11, ((7, 1700),), waits=True),
    "3 against 1": Game("academy_3_vs_1_with_keeper", 3, episodes=tuple((seed, 400) for seed in range(20, 28))),
    "pass and shoot": Game("academy_pass_and_shoot_with_keeper", 2, episodes=tuple((seed, 400) for seed in range(30, 38))),
    **{f"{name}, briefly": Game(name, left) for name, left in SCENARIOS.items()},
}
DIRECTIONS = (5, 4, 3, 2, 1, 8, 7, 6)
"""Actions by angle, right first and towards the upper edge."""
PASSES, SHOT, SPRINT = (9, 10, 11), 12, 13


def stand_in_gym() -> None:
    """Put a module in the place of gym that has the names which gfootball wants, where there is no gym."""
    try:
        import gym
    except ImportError:
        gym, registration = types.ModuleType("gym"), types.ModuleType("gym.envs.registration")
        wrapper = type("Wrapper", (), {"__init__": lambda self, env: setattr(self, "env", env), "__getattr__": _passed_on})
        gym.Env, gym.Wrapper, gym.ObservationWrapper, gym.RewardWrapper = object, *(type(name, (wrapper,), {}) for name in "WOR")
        registration.register = lambda **_: None
        sys.modules |= {"gym": gym, "gym.envs": types.ModuleType("gym.envs"), "gym.envs.registration": registration}


def _passed_on(self: Any, name: str) -> Any:
    return getattr(self.__dict__["env"], name)


def stock(scenario: str, left: int, right: int, seed: int) -> Any:
    """A stock environment with raw observations, and its configuration, which holds the seed of the next episode."""
    stand_in_gym()
    from absl import logging
    from gfootball.env import create_environment

    logging.set_verbosity(logging.WARNING)
    agents = {"number_of_left_players_agent_controls": left, "number_of_right_players_agent_controls": right}
    env = create_environment(scenario, representation="raw", other_config_options={"game_engine_random_seed": seed}, **agents)
    inner = env
    while not hasattr(inner, "_config"):
        inner = inner.env
    return env, inner._config


def canonical(observations: list[Mapping[str, Any]]) -> bytes:
    """All that the agents see, every field of every agent by name, as float64."""
    rows = (seen[name] for seen in observations for name in sorted(seen))
    return b"".join(np.asarray(values, "<f8").tobytes() for values in rows)


def choose(seen: Mapping[str, Any], generator: np.random.RandomState, waits: bool) -> int:
    """A simple player: runs to the ball, goes forward with it, passes, shoots, and does anything else now and then."""
    if waits and seen["game_mode"] != 0:
        return 0
    luck, place = generator.rand(), seen["left_team"][seen["active"]]
    if luck < 0.15:
        return int(generator.randint(19))
    if seen["ball_owned_team"] == 0 and seen["ball_owned_player"] == seen["active"]:
        return SHOT if place[0] > 0.6 else PASSES[generator.randint(3)] if luck < 0.2 else SPRINT if luck < 0.25 else DIRECTIONS[0]
    x, y = np.array(seen["ball"][:2]) - place if seen["ball_owned_team"] else (1.0, 0.0)
    return DIRECTIONS[round(np.arctan2(-y, x) / (np.pi / 4)) % 8]


def play(game: Game) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Play the episodes on the stock package: what became of each, and its actions [T, agents]."""
    env, config = stock(game.scenario, game.left, game.right, game.episodes[0][0])
    for seed, steps in game.episodes:
        config["game_engine_random_seed"] = seed
        observations, done, actions, generator = env.reset(), False, [], np.random.RandomState(seed)
        digest, modes, waited, longest = hashlib.sha1(canonical(observations)), set(), 0, 0
        while len(actions) < steps and not done:
            actions.append([choose(seen, generator, game.waits) for seen in observations])
            observations, _, done, _ = env.step(list(actions[-1]))
            digest.update(canonical(observations))
            modes.add(int(observations[0]["game_mode"]))
            waited = waited + 1 if observations[0]["game_mode"] else 0
            longest = max(longest, waited)
        record = {"seed": seed, "steps": len(actions), "done": bool(done), "score": list(observations[0]["score"])}
        yield record | {"modes": sorted(modes), "waited": longest, "sha1": digest.hexdigest()}, np.array(actions, np.uint8)
    env.close()


def write_games(folder: Path) -> None:
    """Play every game and write what it became."""
    results: dict[str, Any] = {}
    actions: dict[str, np.ndarray] = {}
    for name, game in GAMES.items():
        episodes = []
        for record, chosen in play(game):
            actions[f"{name} {len(episodes)}"] = chosen
            episodes.append(record)
            print(name, record, flush=True)
        results[name] = {"scenario": game.scenario, "left": game.left, "right": game.right, "episodes": episodes}
    source = "gfootball 2.10.2 with its own engine and wrapper, raw observations: benchmarks/_football_stock.py games"
    (folder / "games.json").write_text(json.dumps({"source": source, "games": results}, indent=1) + "\n")
    np.savez_compressed(folder / "actions.npz", **actions)


def timed(game: Mapping[str, Any]) -> dict[str, Any]:
    """Play one game, ``scenario``, ``left``, ``seed``, ``swapped`` and ``actions`` [T, left]: CPU seconds of its steps after ``from``."""
    env, _ = stock(game["scenario"], game["left"], 0, game["seed"])
    for _ in range(1 + game["swapped"]):  # the first reset begins the second game, whose line-ups are as they are written down
        observations = env.reset()
    for actions in game["actions"][: game["from"]]:
        env.step(actions)
    start = time.process_time()
    for actions in game["actions"][game["from"] :]:
        observations, _, done, _ = env.step(actions)
    seconds = time.process_time() - start
    env.close()
    return {"seconds": seconds, "done": bool(done), "sha1": hashlib.sha1(canonical(observations)).hexdigest()}


if __name__ == "__main__":
    if sys.argv[1] == "games":
        write_games(Path(sys.argv[2]))
    else:
        for line in sys.stdin:
            print(json.dumps(timed(json.loads(line))), flush=True)
