"""The option ``opponent``: who leads the right team."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.football.library import find_library
from a2po.envs.football.opponents import opponent_name
from a2po.errors import CheckpointError, DependencyError, TaskError

TASK = "football/5_vs_5"


@pytest.fixture(scope="module")
def team(policy_at, build, tmp_path_factory):
    """Four recurrent agents that nobody trained."""
    try:
        find_library()
    except DependencyError as error:
        pytest.skip(str(error))
    network = {"recurrent_layers": 1, "recurrent_size": 8, "hidden_sizes": (16,)}
    policy = policy_at(tmp_path_factory.mktemp("football") / "run", TASK, **network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2po.exporters.build.RECURRENT_STEPS", 12)
        patch.setattr("a2po.exporters.parity.BATCHES", (1, 2))
        return build(policy)


def idle(env, steps: int) -> list[bytes]:
    """What the games show while our team stands still."""
    return [env.step(torch.zeros((env.num_envs, 4), dtype=torch.int64)) and env.frames.tobytes() for _ in range(steps)]


@pytest.mark.parametrize("name", ["random", "team"])
def test_a_game_goes_on_as_it_was_saved_and_depends_on_its_seed_alone(team, name):
    options = {"opponent": str(team) if name == "team" else name, "num_threads": 1}
    with closing(make(TASK, 2, seed=1, **options)) as env, closing(make(TASK, 1, seed=9, **options)) as alone:
        seeds = [seed for seed in range(50) if env._game(seed).seed % 2 == 0]
        env.reset(seeds[:2])
        alone.reset(seeds[1:2])
        for _ in range(6):
            idle(env, 1)
            idle(alone, 1)
            assert env.frames[1].tobytes() == alone.frames[0].tobytes()
        saved = env.state_dict()
        answers = env._answers.copy()
        then = idle(env, 4)
        assert (env._answers != answers).any() and len(np.unique(env._answers)) > 1
        env.load_state_dict(saved)
        assert idle(env, 4) == then and env.spec.num_agents == 4


def test_a_team_plays_on_the_right_what_it_plays_on_the_left(team):
    """It is shown the same game turned round: then its actions are those of the left team, turned round."""
    from a2po.envs.football.frames import MIRRORED_ACTIONS, mirrored
    from a2po.runtime import Team

    with closing(make(TASK, 1, seed=3, opponent=str(team), num_threads=1)) as env:
        env.reset()
        idle(env, 3)
        beside = Team.load(team)
        beside.memory = env.opponent.state_dict()["memory"]
        seen = mirrored(env.frames)
        expected = beside.act(env.encoder.features(seen), env.encoder.masks(seen))
        idle(env, 1)
        assert (env._answers == MIRRORED_ACTIONS[expected]).all()


def test_what_cannot_play_is_told(team):
    with pytest.raises(TaskError, match="'builtin' or 'random', or the path of a bundle, got 'randm'; did you mean 'random'"):
        make(TASK, 1, opponent="randm")
    with pytest.raises(TaskError, match="there is no bundle"):
        make(TASK, 1, opponent="/nowhere/bundle")
    with pytest.raises(TaskError, match="trained on 5 against 5 players; as the right team of this task it would be 11 against 11"):
        make("football/11_vs_11_kaggle", 1, opponent=str(team))


def test_a_saved_game_wants_the_same_opponent(team):
    with closing(make(TASK, 1, opponent="random", num_threads=1)) as env, closing(make(TASK, 1, num_threads=1)) as other:
        env.reset()
        with pytest.raises(CheckpointError):
            other.load_state_dict(env.state_dict())


def test_pictures_name_the_opponent():
    assert [opponent_name(name) for name in ("builtin", "runs/one/bundle", "teams/two.zip")] == ["builtin", "one", "two"]
