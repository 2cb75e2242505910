"""Every registered task passes the public conformance tests, and some once more with other options."""

from __future__ import annotations

import pytest

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.envs import task_names
from a2po.testing import EnvironmentConformance
from a2po.testing.resume import NETWORKS, check_training

# Short enough that every episode of every family reaches its end within the walk.
SHORT = {"matrix": {"length": 7}, "mamujoco": {"max_episode_steps": 15}, "tabular": {"length": 7}, "pettingzoo": {"max_cycles": 15}}
CASES = [
    *((task, SHORT[task.partition("/")[0]]) for task in task_names()),
    ("tabular/memory", {"length": 5, "cues": 3, "seen_by": "first"}),
    ("pettingzoo/mpe2.simple_spread", {"max_cycles": 15, "continuous_actions": True, "N": 2}),
    ("pettingzoo/mpe2.simple_spread", {"max_episode_steps": 11, "team_reward": True, "state": "observations"}),
    ("pettingzoo/mpe2.simple_speaker_listener_v4", {"max_cycles": 15, "continuous_actions": True}),
]
NAMES = [f"{task}-{'-'.join(f'{key}={value}' for key, value in options.items())}" for task, options in CASES]


@pytest.mark.parametrize(("task", "options"), CASES, ids=NAMES)
class TestConformance(EnvironmentConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, task, options):
        type(self).task, type(self).options = task, options

    @pytest.mark.parametrize("recurrent_layers", NETWORKS, ids=NETWORKS.values())
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_training_resumes_bit_for_bit(self, algorithm, recurrent_layers):
        with self.case.environment(1) as env:
            if not can_train(algorithm, env.spec):
                pytest.skip("not for continuous actions")
        check_training(self.case, algorithm, recurrent_layers)


@pytest.mark.parametrize(
    "options", [{"max_cycles": 80}, {"terminate_on_fall": False, "max_cycles": 80, "state": "observations"}], ids=["all", "one"]
)
class TestWalkersFall(EnvironmentConformance):
    """Long enough that walkers fall: with the first the game is over, or it goes on without them."""

    task = "pettingzoo/sisl.multiwalker"
    num_steps = 90
    algorithms = ("a2po",)
    recurrent_layers = (0,)

    @pytest.fixture(autouse=True)
    def _choose(self, options):
        type(self).options = options
