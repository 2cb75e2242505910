"""PettingZoo's games behind our contract: names, options, agents that come and go, ends, pictures, saved episodes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from a2po.envs import make, task_names
from a2po.envs.pettingzoo.modules import newest
from a2po.envs.registry import runs_foreign_code
from a2po.errors import CheckpointError, DependencyError, EnvironmentFailed, TaskError
from a2po.testing import RandomPlayer

SPREAD, WALKERS = "pettingzoo/mpe2.simple_spread", "pettingzoo/sisl.multiwalker"

GAME = '''
    import numpy as np
    from gymnasium.spaces import Box, Dict, Discrete
    from pettingzoo import ParallelEnv


    class Game(ParallelEnv):
        """"b" leaves after its second step, "c" comes at the third; after five it is over, or cut at the limit."""

        metadata = {"name": "game", "render_modes": []}
        possible_agents = ["a", "b", "c"]

        def __init__(self, ending="terminated", broken=0, chance=None, wrong=None):
            self.ending, self.broken, self.chance, self.wrong = ending, broken, chance, wrong

        def observation_space(self, agent):
            size = {"a": 2, "b": 3, "c": 1}[agent]
            return Dict({"observation": Box(-10, 10, (size,)), "action_mask": Box(0, 1, (2 + (agent == "a"),), np.int8)})

        def action_space(self, agent):
            return Discrete(2 + (agent == "a"), start=1)

        def look(self, agents):
            value = self.time + self.random.random() / 2 + 1
            masks = {"a": [1, 1, self.time % 2], "b": [0, 1], "c": [1, 1]}
            return {
                agent: {
                    "observation": np.full(self.observation_space(agent)["observation"].shape, value),
                    "action_mask": np.array(masks[agent], np.int8),
                }
                for agent in agents
            }

        def reset(self, seed=None, options=None):
            self.random = np.random.default_rng(None if self.chance == "own" else seed)
            if self.chance == "global":
                np.random.seed(seed)
                self.random = np.random
            self.time, self.agents = 0, ["a", "b"]
            if self.wrong == "old":
                return self.look(self.agents)
            return self.look(self.agents), {agent: {} for agent in self.agents}

        def step(self, actions):
            assert sorted(actions) == sorted(self.agents) and all(action in (1, 2, 3) for action in actions.values())
            self.time += 1
            if self.time == self.broken:
                raise RuntimeError("the board fell off the table")
            played = list(self.agents)
            rewards = {agent: float(index + self.time) for index, agent in enumerate(played)}
            over = {agent: agent == "b" and self.time == 2 for agent in played}
            cut = dict.fromkeys(played, False)
            if self.time == 5:
                over = {agent: self.ending == "terminated" or (self.ending == "both" and agent == "a") for agent in played}
                cut = {agent: not over[agent] for agent in played}
            if self.wrong != "list":
                self.agents = [agent for agent in played if not over[agent] and not cut[agent]]
            if self.wrong == "stranger":
                self.agents.append("d")
            if self.time == 3:
                self.agents.append("c")
            seen = self.look({*played, *self.agents} - {"d"})
            if self.wrong == "short":
                seen["a"]["observation"] = seen["a"]["observation"][:1]
            if self.wrong == "mask":
                seen["a"]["action_mask"] = np.ones(1, np.int8)
            if self.wrong == "blind":
                del seen["a"]
            return seen, rewards, over, cut, {agent: {} for agent in played}


    parallel_env = Game
'''


@pytest.fixture
def game(tmp_path, monkeypatch):
    """A user's own module, in a folder on the path."""
    (tmp_path / "zoo_of_mine.py").write_text(textwrap.dedent(GAME))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "pettingzoo/zoo_of_mine"
    sys.modules.pop("zoo_of_mine", None)


def steps(env, count: int):
    now, player = env.reset(), RandomPlayer(env)
    for _ in range(count):
        step = env.step(player(now))
        yield step
        now = step.observations


def test_names() -> None:
    assert newest("mpe2.simple_spread") == newest("mpe2.simple_spread_v3") == "mpe2.simple_spread_v3"
    assert newest("mpe2.simple_spread_v99") is None
    assert {SPREAD, WALKERS} <= set(task_names())
    assert make("pettingzoo/pettingzoo.sisl.multiwalker", 1).spec.obs_sizes == make(WALKERS, 1).spec.obs_sizes == (31, 31, 31)


def test_the_newest_version_is_taken_as_a_number(tmp_path, monkeypatch) -> None:
    for version in (2, 9, 10):
        (tmp_path / f"zoo_of_many_v{version}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert newest("zoo_of_many") == "zoo_of_many_v10"


def test_listing_imports_nothing() -> None:
    heavy = "{'pettingzoo', 'mpe2', 'pygame', 'torch', 'numpy'}"
    code = f"import sys; from a2po.envs import task_names; task_names(); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_options_reach_the_game_and_rewards_stay_individual() -> None:
    env = make(SPREAD, 2, N=4, max_cycles=7, local_ratio=1.0)
    assert env.spec.num_agents == 4 and env.spec.max_episode_steps == 7 and env.spec.reward_per_agent and env.spec.exact_state
    team = make(SPREAD, 2, N=4, max_cycles=7, local_ratio=1.0, team_reward=True)
    for own, shared in zip(steps(env, 7), steps(team, 7), strict=True):
        assert own.reward.shape == (2, 4) and shared.reward.shape == (2,)
        torch.testing.assert_close(own.reward.mean(1), shared.reward)
    assert own.truncated.all() and not own.terminated.any()


def test_it_is_the_game_itself() -> None:
    from mpe2 import simple_speaker_listener_v4

    env = make("pettingzoo/mpe2.simple_speaker_listener", 1)
    mine, theirs = env.reset(), simple_speaker_listener_v4.parallel_env()
    seen, _ = theirs.reset(seed=int(env.episode_seeds[0]) % 2**32)
    assert env.spec.agents == ("speaker_0", "listener_0") and env.spec.obs_sizes == (3, 11) and env.spec.action_sizes == (3, 5)
    for time in range(25):
        for index, agent in enumerate(env.spec.agents):
            assert np.array_equal(mine.obs[0, index, : len(seen[agent])].numpy(), seen[agent])
        assert np.array_equal(mine.state[0].numpy(), theirs.state())
        step = env.step(torch.tensor([[time % 3, time % 5]]))
        seen, rewards, *_ = theirs.step({"speaker_0": time % 3, "listener_0": time % 5})
        assert step.reward[0].tolist() == pytest.approx(list(rewards.values()))
        mine = step.final if time == 24 else step.observations
    assert np.array_equal(mine.obs[0, 1].numpy(), seen["listener_0"])  # the true last observation of a truncated episode


def test_agents_come_and_go(game) -> None:
    env = make(game, 2, max_episode_steps=9)
    assert env.spec.obs_sizes == (2, 3, 1) and env.spec.action_sizes == (3, 2, 2) and env.spec.state_size == 6
    alive = [env.reset().alive[0].tolist()]
    for time, step in enumerate(steps(env, 5), 1):
        now = step.observations if time < 5 else step.final
        alive.append(now.alive[0].tolist())
        assert not now.obs[~now.alive].any() and bool(now.obs[now.alive][:, 0].all())
        assert not step.reward[0][~torch.tensor(alive[-2])].any()
        if now.alive[0, 0]:
            assert now.action_mask[0, 0].tolist() == [True, True, time % 2 == 1]
    a, b, c = True, True, True
    assert alive == [[a, b, False], [a, b, False], [a, False, False], [a, False, c], [a, False, c], [a, False, c]]
    assert step.terminated.all()


@pytest.mark.parametrize(
    ("ending", "terminated", "last"), [("terminated", True, [1, 0, 1]), ("truncated", False, [1, 0, 1]), ("both", False, [0, 0, 1])]
)
def test_how_an_episode_ends(game, ending: str, terminated: bool, last: list[int]) -> None:
    """Cut for one is cut for the team; whoever terminated in that very step has nothing to bootstrap from."""
    *_, step = steps(make(game, 2, ending=ending), 5)
    assert step.terminated.tolist() == [terminated] * 2 and step.truncated.tolist() == [not terminated] * 2
    assert step.final.alive.int().tolist() == [last] * 2


def test_a_limit_that_the_game_calls_an_end_is_a_truncation() -> None:
    *_, step = steps(make(WALKERS, 2, max_cycles=8), 8)
    assert step.truncated.all() and not step.terminated.any() and step.final.alive.all() and bool(step.final.obs.any())


def test_a_fallen_walker_is_dead_and_the_others_walk_on() -> None:
    env = make(WALKERS, 4, terminate_on_fall=False, max_cycles=100, state="observations")
    fallen = [step.observations.alive for step in steps(env, 80) if not step.observations.alive.all()]
    assert fallen and all(alive.any(1).all() for alive in fallen)


def test_saved_episodes_are_replayed_and_compared() -> None:
    env, other, third = (make(SPREAD, 2, seed=seed) for seed in (0, 1, 2))
    list(steps(env, 30))
    saved = env.state_dict()
    other.load_state_dict(saved)
    actions = torch.ones(2, 3, dtype=torch.int64)
    assert torch.equal(env.step(actions).observations.obs, other.step(actions).observations.obs)
    saved["played"][1][0] += 1
    saved["played"][1][0] %= 5
    with pytest.raises(CheckpointError, match="show something else"):
        third.load_state_dict(saved)
    with pytest.raises(CheckpointError, match="the saved 'obs' is"):
        make(SPREAD, 3).load_state_dict(saved)


def test_a_game_that_its_seed_does_not_rule_is_not_exact(game) -> None:
    """Nor one that draws from the generator of the whole process, which all copies disturb."""
    assert make(game, 1).spec.exact_state and not make(game, 1, chance="own").spec.exact_state
    assert not make(game, 1, chance="global", ending="truncated").spec.exact_state
    env = make(game, 1, chance="own")
    env.reset()
    env.load_state_dict(env.state_dict())  # nothing is replayed, so nothing differs


def test_what_a_game_raises_is_one_line(game) -> None:
    env = make(game, 1, broken=4, exact_state=False, state="observations")
    with pytest.raises(EnvironmentFailed, match=r"RuntimeError: the board fell off the table \(zoo_of_mine.py:\d+\) in step 4"):
        list(steps(env, 5))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("old", r"gave in reset\(\) is not PettingZoo's form .*two things"),
        ("short", "gave in step 1 .*observation of 'a' has 1 numbers, its space 2"),
        ("mask", "mask of 'a' has 1 numbers, its space 3"),
        ("blind", "no observation of 'a'"),
        ("stranger", "'d' takes part, and is not in possible_agents"),
    ],
)
def test_what_has_not_the_form_is_refused(game, wrong: str, message: str) -> None:
    with pytest.raises(EnvironmentFailed, match=message):
        list(steps(make(game, 1, wrong=wrong, exact_state=False, state="observations"), 2))


def test_an_end_that_is_told_counts_even_if_the_agent_stays_in_the_list(game) -> None:
    *_, step = steps(make(game, 2, wrong="list", ending="truncated"), 5)
    assert step.truncated.all() and step.final.alive.any(1).all()


@pytest.mark.parametrize("task", [SPREAD, WALKERS])
def test_a_picture_shows_the_game_and_changes_nothing(task: str) -> None:
    env, unseen = make(task, 2, seed=1), make(task, 2, seed=1)
    env.reset()
    unseen.reset()
    one, other = env.render(0), env.render(1)
    assert one.dtype == np.uint8 and one.shape[2] == 3 and len(np.unique(one.reshape(-1, 3), axis=0)) > 3
    assert task == WALKERS or not np.array_equal(one, other)
    for mine, theirs in zip(steps(env, 5), steps(unseen, 5), strict=True):
        env.render(1)
        assert torch.equal(mine.observations.obs, theirs.observations.obs)


def test_which_names_run_code_of_somebody_else(game) -> None:
    assert not runs_foreign_code(SPREAD) and not runs_foreign_code(WALKERS) and not runs_foreign_code("matrix/climbing")
    assert runs_foreign_code(game) and runs_foreign_code("pettingzoo/os") and runs_foreign_code("my_env:make")


def test_a_folder_of_the_same_name_does_not_come_before_the_published_game(tmp_path, monkeypatch) -> None:
    for package in ("sisl", "mpe2"):
        (tmp_path / package).mkdir()
        for game in ("multiwalker", "simple_spread"):
            (tmp_path / package / f"{game}.py").write_text("raise SystemExit('somebody else')")
    monkeypatch.chdir(tmp_path)
    assert not runs_foreign_code(WALKERS) and make(WALKERS, 1).spec.obs_sizes == (31, 31, 31)


def test_a_game_without_pictures_says_so(game) -> None:
    env = make(game, 1)
    env.reset()
    with pytest.raises(NotImplementedError, match=r"pettingzoo/zoo_of_mine draws no picture: its render\(\) gave nothing"):
        env.render(0)


@pytest.mark.parametrize(
    ("task", "options", "error", "message"),
    [
        (
            SPREAD,
            {"max_cycle": 3},
            TaskError,
            r"unknown option 'max_cycle'; did you mean 'max_cycles'\? \(options: N, local_ratio, max_cycles",
        ),
        (WALKERS, {"walkers": 3}, TaskError, "did you mean 'n_walkers'"),
        (SPREAD, {"render_mode": "human"}, TaskError, "unknown option 'render_mode'"),
        (SPREAD, {"team_reward": 1}, TaskError, "'team_reward' must be true or false, got 1"),
        (SPREAD, {"state": "all"}, TaskError, "'auto' or 'own' or 'observations', got 'all'"),
        (SPREAD, {"N": "three"}, TaskError, r"could not be made with the options {'N': 'three'}: TypeError"),
        ("pettingzoo/mpe2.simple_spred", {}, TaskError, "did you mean 'pettingzoo/mpe2.simple_spread'"),
        ("pettingzoo/json", {}, TaskError, "has no parallel_env"),
        ("pettingzoo/", {}, TaskError, "unknown task 'pettingzoo/'"),
        ("pettingzoo/atari.pong", {}, DependencyError, r'pip install "pettingzoo\[atari\]"'),
    ],
)
def test_what_is_refused(task: str, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make(task, 1, **options)


def test_a_missing_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [name for name in sys.modules if name.startswith("pettingzoo.sisl")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(DependencyError, match=r"needs the package 'Box2D', which is not installed: pip install \"a2po\[pettingzoo\]\""):
        make(WALKERS, 1)
