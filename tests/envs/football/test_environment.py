"""The family ``football`` behind the contract: sizes, ends of games, fresh seeds, rewards, saved games, bad input. With the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from a2po import envs
from a2po.envs.football.environment import Football
from a2po.envs.football.frames import raw_observations
from a2po.errors import CheckpointError, TaskError
from a2po.testing import RandomPlayer

pytestmark = pytest.mark.football

SIZES = {
    "5_vs_5": (4, 114),
    "11_vs_11_stochastic": (10, 198),
    "academy_3_vs_1_with_keeper": (3, 86),
    "academy_pass_and_shoot_with_keeper": (2, 79),
}
DRILL = "academy_pass_and_shoot_with_keeper"


@contextmanager
def games(scenario: str = DRILL, copies: int = 4, seed: int = 0, **options) -> Iterator[Football]:
    env = envs.make(f"football/{scenario}", copies, seed=seed, num_threads=2, **options)
    try:
        yield env
    finally:
        env.close()


@pytest.mark.parametrize("scenario", SIZES)
def test_sizes_are_those_of_the_paper(scenario):
    with games(scenario, 1) as env:
        agents, size = SIZES[scenario]
        observations = env.reset()
        assert env.spec.agents == tuple(f"player_{index + 1}" for index in range(agents))  # all but the keeper, who stays with the engine
        assert observations.obs.shape == (1, agents, size) and env.spec.obs_sizes == (size,) * agents
        assert torch.equal(observations.state, observations.obs)
        assert observations.action_mask.shape == (1, agents, 19)


def test_every_episode_is_another_game_and_each_can_be_played_again():
    def play(env: Football, seeds: np.ndarray | None) -> torch.Tensor:
        env.reset(seeds)
        for _ in range(40):
            step = env.step(torch.full((3, 4), 5))
        return step.observations.obs.clone()

    with games("5_vs_5", 3) as env:
        env.reset()
        seeds = env.episode_seeds
        first, second, again = play(env, seeds), play(env, None), play(env, seeds)
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_line_ups_change_sides():
    with games("11_vs_11_stochastic", 12) as env:
        env.reset()
        ahead = env.frames["left_team"][:, 1, 0] > -0.02  # whose centre stands at the ball has the kick-off
        assert 0 < ahead.sum() < 12


def test_a_drill_ends_where_the_stock_environment_ends_it():
    """Score, out of play, possession: held against a slow reading of the raw observations, step by step."""
    reasons = dict.fromkeys(("score", "out", "possession"), 0)
    with games(copies=8, seed=3) as env:
        observations, player = env.reset(), RandomPlayer(env)
        modes, owners, last = [-1] * 8, [-1] * 8, {}

        class Watch:
            def begin(self, copies, frames):
                pass

            def step(self, actions, frames):
                last["raw"] = [raw_observations(frame)[0] for frame in frames]

            def summary(self, copy):
                return {"seen": copy}

        env.observer = Watch()
        for _ in range(300):
            step = env.step(player(observations))
            observations = step.observations
            for copy, raw in enumerate(last["raw"]):
                score = max(raw["score"]) > 0
                out = modes[copy] == 0 and raw["game_mode"] != 0
                possession = -1 not in (owners[copy], raw["ball_owned_team"]) and owners[copy] != raw["ball_owned_team"]
                assert bool(step.terminated[copy]) == (score or out or possession)
                for name, happened in zip(reasons, (score, out, possession), strict=True):
                    reasons[name] += happened
                over = bool(step.terminated[copy] | step.truncated[copy])
                modes[copy] = -1 if over else raw["game_mode"]
                owners[copy] = -1 if over else owners[copy] if raw["ball_owned_team"] == -1 else raw["ball_owned_team"]
        records = env.drain_episodes()
    assert all(reasons.values()), reasons
    assert records and all(record["seen"] == record["copy"] for record in records)
    assert {record["won"] for record in records} == {record["goals"] > record["conceded"] for record in records}


@pytest.mark.parametrize(("rewards", "terminal"), [("scoring,checkpoints", False), ("shaped", True), ("scoring,shaped", True)])
def test_the_end_of_the_time_is_an_end_where_winning_is_paid(rewards, terminal):
    with games("5_vs_5", 2, duration=6, rewards=rewards) as env:
        observations, player = env.reset(), RandomPlayer(env)
        for number in range(7):
            step = env.step(player(observations))
            observations = step.observations
            assert bool((step.terminated | step.truncated).all()) == (number == 6)
        assert step.terminated.all() == terminal and step.truncated.all() == (not terminal)


def test_without_masks_everything_is_allowed():
    with games(copies=1, action_masks=False) as env, games(copies=1) as masked:
        assert env.reset().action_mask.all() and not masked.reset().action_mask.all()


def test_agents_whose_players_change_are_named_by_their_number():
    with games("academy_counterattack_easy", 1) as env:
        assert env.spec.agents == ("agent_0", "agent_1", "agent_2", "agent_3")
    with games("11_vs_11_stochastic", 1, keeper=True, agents=11) as env:
        assert env.spec.agents == tuple(f"player_{index}" for index in range(11))


def test_saved_games_go_on_in_another_environment():
    with games("5_vs_5", 3, duration=40, rewards="scoring,checkpoints,shaped", obs_last_action=True) as env:
        observations, player = env.reset(), RandomPlayer(env)
        for _ in range(30):
            observations = env.step(player(observations)).observations
        saved, chosen = env.state_dict(), [player(observations)]
        going_on = [env.step(chosen[0])]
        for _ in range(25):
            chosen.append(player(going_on[-1].observations))
            going_on.append(env.step(chosen[-1]))
    with games("5_vs_5", 3, seed=9, duration=40, rewards="scoring,checkpoints,shaped", obs_last_action=True) as other:
        other.reset()
        other.load_state_dict(saved)
        for actions, expected in zip(chosen, going_on, strict=True):
            step = other.step(actions)
            assert torch.equal(step.observations.obs, expected.observations.obs) and torch.equal(step.reward, expected.reward)
            assert torch.equal(step.truncated, expected.truncated)


def test_saved_games_of_another_kind_are_refused():
    with games(copies=1) as env, games("academy_3_vs_1_with_keeper", 1) as other:
        env.reset()
        other.reset()
        saved = env.state_dict()
        with pytest.raises(
            CheckpointError, match="1 copies of football/academy_pass_and_shoot_with_keeper, this one 1 of football/academy_3"
        ):
            other.load_state_dict(saved)
        with pytest.raises(CheckpointError, match=r"another build of the football engine.*--init-from"):
            env.load_state_dict({**saved, "build": "0123"})


@pytest.mark.parametrize("opponent", ["builtin", "random"])
@pytest.mark.parametrize("scenario", ["1_vs_1_easy", "academy_empty_goal_close"])
def test_a_goalkeeper_who_is_alone_is_controlled(scenario, opponent):
    with games(scenario, 1, opponent=opponent) as env:
        observations, player = env.reset(), RandomPlayer(env)
        assert env.spec.num_agents == 1 and env.scenario.controllable("right") == 1
        env.step(player(observations))


def test_the_goalkeeper_is_offered_only_where_he_can_be_had():
    for scenario, agents, offered in (("5_vs_5", 5, False), ("11_vs_11_kaggle", 11, True)):
        with pytest.raises(TaskError, match="players of the left team can be controlled") as caught:
            envs.make(f"football/{scenario}", 1, agents=agents)
        assert ("option 'keeper'" in str(caught.value)) == offered


def test_an_agent_whose_player_was_sent_off_is_not_alive():
    with games("5_vs_5", 2) as env:
        assert env.reset().alive.all()
        env.frames["left_agent_controlled_player"][1, 2] = -1  # what the engine says from the red card on
        assert env._show().alive.tolist() == [[True] * 4, [True, True, False, True]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"agents": 5}, ["option 'agents' is 5, but only 2 players"]),
        ({"agents": 0}, ["an integer from 1 to 11"]),
        ({"rewards": "scoring,chekpoints"}, ["scoring, checkpoints, shaped", "did you mean 'checkpoints'"]),
        ({"right_difficulty": 2}, ["a number from 0 to 1"]),
        ({"duration": 0}, ["an integer from 1"]),
        ({"keepr": True}, ["unknown option 'keepr'", "did you mean 'keeper'"]),
        ({"workers": "process"}, ["'threads' or 'processes'", "did you mean 'processes'"]),
    ],
)
def test_bad_options_are_told(options, told):
    with pytest.raises(TaskError) as caught:
        envs.make(f"football/{DRILL}", 1, **options)
    assert all(part in str(caught.value) for part in told), str(caught.value)


def test_an_unknown_scenario_is_told():
    with pytest.raises(TaskError, match="did you mean 'football/5_vs_5'"):
        envs.make("football/5_vs_6", 1)


def test_a_picture_shows_the_game():
    with games("5_vs_5", 1) as env:
        env.reset()
        first = env.render(0)
        for _ in range(12):
            env.step(torch.full((1, 4), 5))
        later = env.render(0)
    assert first.shape == later.shape == (env.render_size[1], env.render_size[0], 3) and np.abs(first.astype(int) - later).max() > 100
