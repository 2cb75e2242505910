"""The engine plays what the stock package plays, to the last bit, wherever and whenever.

What that is stands in tests/data/football/games.json; benchmarks/_football_stock.py says how it was made.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from a2po.envs.football.engine import Engine
from a2po.envs.football.frames import ACTIONS, MIRRORED_ACTIONS, frames_of, mirrored, raw_observations
from a2po.envs.football.scenarios import scenario, scenarios

DATA = Path(__file__).parents[2] / "data" / "football"
GAMES = json.loads((DATA / "games.json").read_text())["games"]

pytestmark = pytest.mark.football


@pytest.fixture(scope="module")
def stock_actions():
    return dict(np.load(DATA / "actions.npz"))


@pytest.fixture
def open_engine():
    opened = []

    def open_one():
        opened.append(Engine())
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close()


def begin(engine: Engine, name: str, episode: int = 0) -> None:
    """The stock package's first reset is of its second game; the seed of its first one says which team is processed first."""
    game = GAMES[name]
    played = scenario(game["scenario"])
    if played.swapped and episode % 2:
        played = played.with_lineups_swapped()
    reverse = bool(game["episodes"][0]["seed"] % 2)
    engine.reset(played, seed=game["episodes"][episode]["seed"], left_agents=game["left"], right_agents=game["right"], reverse=reverse)


def on_the_pitch(name: str, actions: np.ndarray) -> np.ndarray:
    """Who plays on the right gave orders as if on the left."""
    left = GAMES[name]["left"]
    return np.concatenate((actions[..., :left], MIRRORED_ACTIONS[actions[..., left:]]), -1)


def canonical(frame: np.ndarray) -> bytes:
    """As benchmarks/_football_stock.py does it."""
    seen_by_all = [*raw_observations(frame), *raw_observations(mirrored(frame))]
    return b"".join(np.asarray(seen[name], "<f8").tobytes() for seen in seen_by_all for name in sorted(seen))


def play(engine: Engine, name: str, actions: np.ndarray) -> str:
    """The digest of what everybody sees from now on, the present included."""
    digest = hashlib.sha1(canonical(engine.frame))
    for chosen in on_the_pitch(name, actions):
        engine.step(chosen)
        digest.update(canonical(engine.frame))
    return digest.hexdigest()


def frames_to_come(engine: Engine, name: str, actions: np.ndarray) -> list[bytes]:
    frames = []
    for chosen in on_the_pitch(name, actions):
        engine.step(chosen)
        frames.append(engine.frame.tobytes())
    return frames


@pytest.mark.parametrize("name", GAMES)
def test_plays_what_the_stock_package_plays(name, open_engine, stock_actions):
    """Kick-offs, goals, cards, keepers, the second half, a held game, both sides, exchanged line-ups; engines are used again and again."""
    engine = open_engine()
    for index, episode in enumerate(GAMES[name]["episodes"]):
        begin(engine, name, index)
        actions = stock_actions[f"{name} {index}"]
        assert len(actions) == episode["steps"]
        assert play(engine, name, actions) == episode["sha1"]
        assert engine.frame["score"].tolist() == episode["score"]


def test_the_stored_games_hold_what_is_rare():
    """Without these the comparison above would say less than it seems to."""
    episodes = [episode for game in GAMES.values() for episode in game["episodes"]]
    assert {mode for episode in episodes for mode in episode["modes"]} >= {0, 2, 3, 4, 5}
    assert {side for episode in episodes for side in range(2) if episode["score"][side]} == {0, 1}
    assert max(episode["waited"] for episode in episodes) > 21  # the engine acted for them
    assert {game["scenario"] for game in GAMES.values()} == {name for name in scenarios() if not name.startswith("5_vs_5_")}


def test_engines_in_threads_play_as_alone(open_engine, stock_actions):
    """Four at once, of different sizes; each call drops Python's lock."""
    names = ("5_vs_5", "11_vs_11", "both sides", "5_vs_5")
    engines = [open_engine() for _ in names]
    for engine, name in zip(engines, names, strict=True):
        begin(engine, name)

    def run(engine: Engine, name: str) -> list[bytes]:
        return frames_to_come(engine, name, stock_actions[f"{name} 0"][:250])

    with ThreadPoolExecutor(len(names)) as pool:
        together = list(pool.map(run, engines, names))
    for engine, name, frames in zip(engines, names, together, strict=True):
        begin(engine, name)
        assert run(engine, name) == frames


def test_an_engine_may_move_from_thread_to_thread(open_engine, stock_actions):
    engine, actions = open_engine(), on_the_pitch("5_vs_5", stock_actions["5_vs_5 0"][:60])
    begin(engine, "5_vs_5")
    alone = frames_to_come(engine, "5_vs_5", stock_actions["5_vs_5 0"][:60])
    begin(engine, "5_vs_5")
    moved = []
    for chosen in actions:
        with ThreadPoolExecutor(1) as pool:  # a new thread each time
            pool.submit(engine.step, chosen).result()
        moved.append(engine.frame.tobytes())
    assert moved == alone


@pytest.mark.parametrize(("name", "at"), [("5_vs_5", 0), ("5_vs_5", 60), ("11_vs_11", 200), ("second half", 90), ("3 against 1", 20)])
def test_goes_on_from_a_saved_game(name, at, open_engine, stock_actions):
    """In the same engine, in one that has played a different game of the scenario, and in one that has just begun.

    The last fails in the stock package where the right team is processed first, as in 5_vs_5 here.
    """
    actions = stock_actions[f"{name} 0"]
    engine, other, begun = open_engine(), open_engine(), open_engine()
    begin(engine, name)
    frames_to_come(engine, name, actions[:at])
    saved, shown, waited = engine.save(), engine.frame.tobytes(), engine.waited
    expected = frames_to_come(engine, name, actions[at : at + 60])
    begin(other, name, len(GAMES[name]["episodes"]) - 1)
    frames_to_come(other, name, actions[:7])
    begin(begun, name)
    for copy in (engine, other, begun):
        copy.restore(saved)
        assert (copy.frame.tobytes(), copy.waited) == (shown, waited)
        assert frames_to_come(copy, name, actions[at : at + 60]) == expected


def test_saving_changes_nothing(open_engine, stock_actions):
    engine, actions = open_engine(), stock_actions["5_vs_5 0"][:40]
    begin(engine, "5_vs_5")
    plain = frames_to_come(engine, "5_vs_5", actions)
    begin(engine, "5_vs_5")
    saved = []
    for chosen in actions:
        engine.save()
        engine.step(on_the_pitch("5_vs_5", chosen))
        saved.append(engine.frame.tobytes())
    assert saved == plain


@pytest.mark.parametrize("name", scenarios())
def test_every_scenario_plays_with_all_it_can_control(name, open_engine):
    """Both sides; and twice the same from one seed, but not from another."""
    played, games = scenario(name), []
    agents = played.controllable("left"), played.controllable("right")
    for seed in (5, 5, 6):
        engine, generator, frames = open_engine(), np.random.RandomState(0), []
        engine.reset(played, seed=seed, left_agents=agents[0], right_agents=agents[1], reverse=False)
        assert engine.frame["steps_left"] == played.duration + 1
        for step in range(50):
            engine.step(generator.randint(len(ACTIONS), size=sum(agents)))
            frames.append(engine.frame.tobytes())
            assert engine.frame["steps_left"] == played.duration - step
            assert np.isfinite(engine.frame["left_team"]).all() and np.abs(engine.frame["ball"][:2]).max() < 1.5
        games.append(frames)
    assert games[0] == games[1] != games[2]


def test_the_paper_plays_its_own_difficulties():
    for name, difficulty in (("5_vs_5_easy", 0.05), ("5_vs_5_medium", 0.3), ("5_vs_5_hard", 1.0)):
        found = scenario(name)
        assert (found.left_difficulty, found.right_difficulty, found.duration) == (difficulty, difficulty, 2999)
        assert (found.left, found.right, found.swapped) == (scenario("5_vs_5").left, scenario("5_vs_5").right, True)


@pytest.fixture
def played_frames(open_engine, stock_actions):
    """Frames of a game with agents on both sides, uneven in number."""
    engine, frames = open_engine(), []
    engine.reset(scenario("5_vs_5"), seed=3, left_agents=3, right_agents=2)
    for chosen in stock_actions["both sides 0"][:200, :5]:
        engine.step(chosen)
        frames.append(engine.frame.copy())
    return np.array(frames)


def test_turning_a_frame_round_twice_gives_it_back(played_frames):
    turned = mirrored(played_frames)
    assert turned.dtype != played_frames.dtype  # two agents on the left, three on the right
    again = mirrored(turned)
    assert again.dtype == played_frames.dtype
    for name in played_frames.dtype.names:
        assert np.array_equal(again[name], played_frames[name]), name
    assert np.array_equal(turned["left_team"], -played_frames["right_team"])
    assert set(np.unique(played_frames["ball_owned_team"])) == {-1, 0, 1}


def test_frames_come_back_from_raw_observations(played_frames):
    for frame in played_frames[::20]:
        seen = raw_observations(frame)
        (back,) = frames_of(seen)
        lists = [{name: np.asarray(value).tolist() for name, value in agent.items()} for agent in seen]  # as Kaggle gives them
        assert frames_of(lists)[0].tobytes() == back.tobytes()
        for name in back.dtype.names:
            if name != "right_team_designated_player" and not name.startswith("right_agent"):  # raw observations lack it
                assert np.array_equal(back[name], frame[name]), name
