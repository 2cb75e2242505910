"""The example of an own environment, and its base: rules, learning, and what the base refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

import a2po
from a2po.config import resolve
from a2po.envs import SimpleEnv, TaskSpec
from a2po.errors import ActionError
from a2po.testing import EnvironmentConformance, check_environment
from a2po.testing.walk import Case, walk
from a2po.training.view import SilentView


@pytest.fixture
def task(orchard, monkeypatch) -> str:
    """A task name of the example, as if it lay in the working folder."""
    monkeypatch.setitem(sys.modules, orchard.__module__, sys.modules.get(orchard.__module__) or as_module(orchard))
    return f"{orchard.__module__}:make"


def as_module(env_class: type, name: str = "own_environment") -> ModuleType:
    module = ModuleType(name)

    def make(task, num_envs, *, seed, device, num_threads):
        return env_class(task, num_envs, seed=seed, device=device)

    module.make = make
    return module


def test_the_page_shows_the_example_as_it_is() -> None:
    root = Path(__file__).resolve().parents[2]
    shown = (root / "docs" / "environments.md").read_text().split("```python\n")[1].split("\n```")[0]
    head, methods = shown.split("\n\n", 1)
    example = (root / "examples" / "own_environment.py").read_text()
    assert "def advance" in methods and methods in example and all(line in example for line in head.splitlines())


class TestOrchard(EnvironmentConformance):
    num_steps = 31

    @pytest.fixture(autouse=True)
    def _choose(self, task):
        type(self).task = task


@pytest.fixture
def played(orchard):
    """One game with both pickers beside the first apple: red above it, blue to its left."""
    env = orchard("orchard", 1, seed=0, device=torch.device("cpu"))
    env.reset()
    env.pickers[0] = (1, 2), (2, 1)
    env.apples[0] = (2, 2), (4, 4), (0, 4), (4, 0)
    env._show()
    return env


def test_the_picker_alone_is_paid_and_the_apple_is_gone(played) -> None:
    step = played.step(torch.tensor([[2, 0]]))  # red goes down, blue stays
    torch.testing.assert_close(step.reward, torch.tensor([[0.95, -0.05]]))
    assert played.hanging[0].tolist() == [False, True, True, True]
    step = played.step(torch.tensor([[0, 4]]))  # blue steps on the empty field
    torch.testing.assert_close(step.reward, torch.tensor([[-0.05, -0.05]]))


def test_an_apple_that_both_reach_is_reds(played) -> None:
    step = played.step(torch.tensor([[2, 4]]))
    torch.testing.assert_close(step.reward, torch.tensor([[0.95, -0.05]]))
    assert played.hanging.sum() == 3 and played.counts["apples"].tolist() == [1]


def test_the_last_apple_ends_the_game_and_the_step_limit_cuts_it(played) -> None:
    played.hanging[0, 1:] = False
    step = played.step(torch.tensor([[2, 0]]))
    assert step.terminated.tolist() == [True] and not step.truncated.any()
    assert played.drain_episodes()[0]["apples"] == 1.0
    for _ in range(30):
        assert not step.truncated.any()
        step = played.step(torch.tensor([[0, 0]]))
    assert step.truncated.tolist() == [True] and not step.terminated.any()
    assert played.drain_episodes()[0]["length"] == 30


def test_the_picture_shows_pickers_and_apples(played) -> None:
    picture = played.render(0)
    fields = picture[24::48, 24::48]
    assert picture.shape == (240, 240, 3) and fields.shape == (5, 5, 3)
    colours = {tuple(place): tuple(fields[tuple(place)].tolist()) for place in np.argwhere((fields != 240).any(-1)).tolist()}
    green = (60, 160, 60)
    assert colours == {(1, 2): (210, 50, 50), (2, 1): (50, 80, 210), (2, 2): green, (4, 4): green, (0, 4): green, (4, 0): green}


def random_return(task: str) -> float:
    with Case(task).environment(32) as env:
        for _ in walk(env, 90):
            pass
        return float(np.mean([record["return"] for record in env.drain_episodes()]))


def test_the_example_learns(task: str, tmp_path) -> None:
    """Random pickers get about 0: time costs what they find. The best possible is a little below 2."""
    settings = ["env.num_envs=32", "update.rollout_length=32", "update.num_epochs=6", "update.num_minibatches=2", "run.track=[]"]
    settings += ["update.actor_learning_rate=0.001", "run.total_steps=40000", "run.evaluate_every=0"]
    result = a2po.train(resolve(values={"task": task, "device": "cpu"}, settings=settings), name="r", runs=tmp_path, view=SilentView())
    assert random_return(task) < 0.3 and result.return_mean > 0.8


class Springs(SimpleEnv):
    """Two pushers of unequal strength and sight hold a mark at zero; each has a state of its own. Ends when it flies off."""

    saved = ("place",)

    def __init__(self, task, num_envs, *, seed, device):
        self.place = np.zeros((num_envs, 2))
        spec = TaskSpec(
            task=task,
            agents=("strong", "weak"),
            obs_sizes=(2, 1),
            state_size=3,
            state_per_agent=True,
            action_spaces=(Box(-1.0, 1.0, (2,)), Box(-0.5, 0.25, (1,))),
            reward_per_agent=False,
            max_episode_steps=12,
            metrics=(),
            feature_names=(("x", "y"), ("x",)),
            action_names=(("push_x", "push_y"), ("push_x",)),
            exact_state=True,
        )
        super().__init__(spec, num_envs, seed=seed, device=device)

    def begin(self, copy, random):
        self.place[copy] = random.normal(size=2)

    def advance(self, actions):
        self.place += 0.3 * (actions[:, 0] + actions[:, 1])
        distance = np.linalg.norm(self.place, axis=1)
        return -distance, distance > 2.0

    def observe(self):
        obs = np.stack([self.place, self.place * (1.0, 0.0)], axis=1)
        state = np.concatenate([np.repeat(self.place[:, None], 2, axis=1), np.tile([[0.0], [1.0]], (self.num_envs, 1, 1))], axis=2)
        return obs, state, None

    def alive(self):
        return np.stack([np.ones(self.num_envs, bool), self.length < 9], axis=1)  # the weak one tires


def test_the_base_serves_continuous_actions_unequal_agents_and_states_of_their_own(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "springs", as_module(Springs, "springs"))
    findings = check_environment("springs:make", trainings=[("a2po", 0), ("mappo", 1)])
    assert {finding.rule: (finding.what, finding.where) for finding in findings if finding.status == "broken"} == {}
    skipped = {finding.rule: finding.what for finding in findings if finding.status == "skipped"}
    assert list(skipped) == ["render"] and "has no render()" in skipped["render"]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (torch.tensor([[5, 0]]), "action 5 of 'red' in copy 0 is not legal"),
        (torch.tensor([[0, -1]]), "action -1 of 'blue' in copy 0 is not legal"),
        (torch.tensor([[0, 0, 0]]), r"actions must be int64 \[1, 2\], got torch.int64 \[1, 3\]"),
        (torch.tensor([[0.0, 0.0]]), r"actions must be int64 \[1, 2\], got torch.float32"),
    ],
)
def test_the_base_refuses_wrong_actions(actions, message: str, played) -> None:
    with pytest.raises(ActionError, match=message):
        played.step(actions)


def test_the_base_refuses_an_action_that_the_mask_forbids_and_numbers_that_are_none(played) -> None:
    played.pickers[0, 0] = (0, 0)
    played._show()
    with pytest.raises(ActionError, match="action 1 of 'red' in copy 0 is not legal"):
        played.step(torch.tensor([[1, 0]]))
    played.observe = lambda observe=played.observe: (*observe()[:2], np.zeros((1, 2, 5), bool).tolist())
    played._show()
    with pytest.raises(ActionError, match="leaves 'red' in copy 0 no legal action"):
        played.step(torch.tensor([[0, 0]]))
    springs = Springs("springs", 2, seed=0, device=torch.device("cpu"))
    with pytest.raises(RuntimeError, match="reset"):
        springs.step(torch.zeros(2, 2, 2))
    springs.reset()
    with pytest.raises(ActionError, match="'weak' in copy 1 is not finite"):
        springs.step(torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [torch.nan, 0.0]]]))
