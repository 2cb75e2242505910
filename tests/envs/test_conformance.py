"""Every registered task passes the public conformance tests."""

import pytest

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.envs import task_names
from a2po.testing import EnvironmentConformance
from a2po.testing.resume import NETWORKS, check_training


@pytest.mark.parametrize("task", task_names())
class TestConformance(EnvironmentConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, task):
        type(self).task = task
        # Short enough that every episode of every family reaches its end within the walk.
        type(self).options = {"length": 7} if task.startswith("matrix/") else {"max_episode_steps": 15}

    @pytest.mark.parametrize("recurrent_layers", NETWORKS, ids=NETWORKS.values())
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_training_resumes_bit_for_bit(self, algorithm, recurrent_layers):
        with self.case.environment(1) as env:
            if not can_train(algorithm, env.spec):
                pytest.skip("not for continuous actions")
        check_training(self.case, algorithm, recurrent_layers)
