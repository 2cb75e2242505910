"""The player of gfootball does in the stock loop what the team does in its evaluation, on either side."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from a2po.bots.football.team import FootballTeam
from a2po.envs import make
from a2po.envs.football.engine import Engine
from a2po.envs.football.frames import MIRRORED_ACTIONS, mirrored, raw_observations
from a2po.envs.football.scenarios import scenario
from a2po.errors import BundleError, UserError
from a2po.runtime import Team

STEPS = 40


@pytest.fixture(scope="module")
def stock(gfootball):
    """``stock(players, seed, level)``: an environment of gfootball with the player a2po."""
    from a2po.bots.football.levels import register_levels
    from a2po.bots.football.players import register
    from a2po.bots.football.stock import import_gfootball

    import_gfootball()
    register()
    register()
    register_levels()
    from gfootball.env import config, football_env

    def made(players: list[str], seed: int, level: str = "5_vs_5"):
        return football_env.FootballEnv(config.Config({"level": level, "players": players, "game_engine_random_seed": seed}))

    return made


def shown(env) -> bytes:
    seen = env._env.observation()
    return b"".join(np.asarray(seen[name], np.float32).tobytes() for name in ("ball", "left_team", "right_team", "score", "steps_left"))


def of_frame(frame: np.ndarray) -> bytes:
    return b"".join(frame[name].tobytes() for name in ("ball", "left_team", "right_team", "score", "steps_left"))


def test_on_the_left_it_plays_as_in_its_evaluation(five, stock):
    team = Team.load(five)
    with closing(make("football/5_vs_5", 1, seed=5, num_threads=1)) as env:
        observations = env.reset()
        played = stock([f"a2po:left_players=4,path={five}"], env._games[0].seed)
        played.reset()
        for _ in range(STEPS):
            assert shown(played) == of_frame(env.frames[0])
            actions = team.act(observations.obs.numpy(), observations.action_mask.numpy())
            observations = env.step(torch.from_numpy(actions)).observations
            played.step([])


def test_on_the_right_it_sees_the_pitch_turned_round(five, stock):
    game, team = Engine(), FootballTeam(five)
    game.reset(scenario("5_vs_5"), seed=8, left_agents=0, right_agents=4)
    played = stock([f"a2po:right_players=4,path={five}"], 8)
    played.reset()
    for _ in range(STEPS):
        assert shown(played) == of_frame(game.frame)
        game.step(MIRRORED_ACTIONS[team.act(raw_observations(mirrored(game.frame)[()]))])
        played.step([])
    game.close()


def test_on_both_sides_it_has_two_memories(five, stock):
    env = stock([f"a2po:left_players=4,right_players=4,path={five}"], 3)
    env.reset()
    for _ in range(5):
        env.step([])
    (player,) = env._players
    left, right = player._left.team.memory, player._right.team.memory
    assert set(left) == set(right) == {f"player_{number}" for number in range(1, 5)}
    assert any((left[name] != right[name]).any() for name in left)
    env.reset()
    assert not player._left.team.memory and not player._right.team.memory


def test_levels_of_ours_are_gfootballs_where_both_have_them(stock):
    for name in ("5_vs_5", "11_vs_11_kaggle", "academy_corner"):
        configs = [stock(["agent:left_players=1"], 1, level)._config.ScenarioConfig() for level in (name, f"a2po_{name}")]
        for config in configs:
            for team in (config.left_team, config.right_team):
                team[:] = [entry._replace(controllable=True) for entry in team]
        assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("left_players=4", "which team"),
        ("left_players=4,pth=x", r"unknown option 'pth'; did you mean 'path'"),
        ("left_players=4,path=/nowhere", "there is no bundle"),
    ],
)
def test_wrong_options_are_told(stock, options, message):
    with pytest.raises(UserError, match=message):
        stock([f"a2po:{options}"], 1)


def test_teams_of_something_else_are_refused(five, uneven):
    with pytest.raises(BundleError, match="which is no football"):
        FootballTeam(uneven[1])
    with pytest.raises(BundleError, match=r"5 against 5 players .* this game is 11 against 11"):
        FootballTeam(five).check_sizes(11, 11)


def test_a_player_whom_nobody_was_trained_to_play_passes_on(five):
    game, team = Engine(), FootballTeam(five)
    game.reset(scenario("5_vs_5"), seed=8, left_agents=4)
    raw = raw_observations(game.frame)[0]
    keeper = {**raw, "active": 0, "ball": [*raw["left_team"][0], 0.0], "ball_owned_team": 0, "ball_owned_player": 0}
    assert team.act([keeper]) == [9] and team.act([{**keeper, "ball": [0.9, 0.3, 0.0]}]) == [0]
    assert not team.team.memory
    game.close()
