"""Every registered task passes the public conformance tests, and some once more with other options."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.envs import task_names
from a2po.testing import Case, EnvironmentConformance
from a2po.testing.resume import NETWORKS, check_training

# Short enough that every episode of every family reaches its end within the walk.
SHORT = {
    "matrix": {"length": 7},
    "mamujoco": {"max_episode_steps": 15},
    "tabular": {"length": 7},
    "pettingzoo": {"max_cycles": 15},
    "smac": {"max_episode_steps": 15},
    "smacv2": {"max_episode_steps": 15},
    "football": {"duration": 14},
}
SEES_MORE = {f"obs_{what}": True for what in ("last_action", "pathing_grid", "terrain_height", "timestep_number")}
BATTLE_FILES = sorted((Path(__file__).parents[2] / "examples" / "battles").glob("*.toml"))
CASES = [
    *((task, SHORT[task.partition("/")[0]]) for task in task_names()),
    ("tabular/memory", {"length": 5, "cues": 3, "seen_by": "first"}),
    ("pettingzoo/mpe2.simple_spread", {"max_cycles": 15, "continuous_actions": True, "N": 2}),
    ("pettingzoo/mpe2.simple_spread", {"max_episode_steps": 11, "team_reward": True, "state": "observations"}),
    ("pettingzoo/mpe2.simple_speaker_listener_v4", {"max_cycles": 15, "continuous_actions": True}),
    ("smac/2s3z", {"max_episode_steps": 15, "observation": "on_policy"}),
    ("smac/MMM2", {"max_episode_steps": 15, "observation": "on_policy", "state": "shared", "robust": True}),
    ("smac/2c_vs_64zg", {"max_episode_steps": 15, "terrain": "cliff", "state_timestep_number": True, **SEES_MORE}),
    ("smac/MMM", {"max_episode_steps": 15, "opponent": {"built_in": 1, "heuristic": 1, "focus_fire": 1, "kiting": 1}}),
    *((f"smac/{file}", {"max_episode_steps": 15}) for file in BATTLE_FILES),
    ("smacv2/zerg_5_vs_5", {"max_episode_steps": 15, "conic_fov": True, "prob_obs_enemy": 0.5, "enemy_mask": 0.5, "health_level": 0.5}),
    ("smacv2/terran_5_vs_5", {"max_episode_steps": 15, "prob_obs_enemy": 0.0, "action_mask": False, "attack_probability": [0.5, 1.0]}),
    ("smacv2/protoss_5_vs_5", {"max_episode_steps": 15, "robust": True, "opponent": {"built_in": 1, "heuristic": 1, "kiting": 1}}),
    ("football/5_vs_5", {"duration": 14, "rewards": "shaped", "obs_match": True, "obs_agent_id": True, "obs_last_action": True}),
    ("football/11_vs_11_kaggle", {"duration": 9, "keeper": True, "agents": 11, "action_masks": False, "obs_action_mask": True}),
    ("smac/so_many_baneling", {"timeouts_as_terminal": True, "max_episode_steps": 40, "shuffle_enemies": True, "action_delay": [0, 7]}),
]


def name_of(task: str, options: dict) -> str:
    return f"{task.rsplit('/', 1)[-1] if task.endswith('.toml') else task}-{'-'.join(f'{key}={value}' for key, value in options.items())}"


@pytest.mark.parametrize(("task", "options"), CASES, ids=[name_of(*case) for case in CASES])
class TestConformance(EnvironmentConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, task, options):
        type(self).task, type(self).options = task, options

    test_training_resumes_bit_for_bit = None  # below, with fewer of them for the slow ones


# One rollout, one replay of episodes; states per agent and one for all; with memory and without.
GAMES = [("football/academy_pass_and_shoot_with_keeper", "a2po", 0), ("football/academy_3_vs_1_with_keeper", "qmix", 1)]
BATTLES = [("smac/3m", "a2po", 0), ("smac/3m", "qmix", 1), ("smac/MMM", "mappo", 1), ("smac/2s3z", "a2po", 1)]


def worth_a_training(task: str, algorithm: str, layers: int) -> bool:
    """The tasks of one family differ in little that a resumed run could notice, and pursuit plays 350 steps per second."""
    if task.startswith("pettingzoo/"):
        wanted = ("a2po", "qmix") if "spread" in task else ("a2po",)
        return algorithm in wanted and (layers == 0) == ("spread" in task) and "pursuit" not in task
    if task.startswith("smac/"):
        return (task, algorithm, layers) in BATTLES
    if task.startswith("football/"):
        return (task, algorithm, layers) in GAMES
    if task.startswith("smacv2/"):
        return (algorithm, layers) == ("a2po", 1)
    return algorithm in ("a2po", "mappo") or not task.startswith("mamujoco/") or task.endswith(("HalfCheetah-2x3", "Humanoid-9|8"))


TRAININGS = [
    (task, options, algorithm, layers)
    for task, options in CASES
    for algorithm in ALGORITHMS
    for layers in NETWORKS
    if worth_a_training(task, algorithm, layers)
]


@pytest.mark.parametrize(
    ("task", "options", "algorithm", "layers"),
    TRAININGS,
    ids=[f"{algorithm}-{NETWORKS[layers]}-{name_of(task, options)}" for task, options, algorithm, layers in TRAININGS],
)
def test_training_resumes_bit_for_bit(task, options, algorithm, layers):
    case = Case(task, options)
    with case.environment(1) as env:
        if not can_train(algorithm, env.spec):
            pytest.skip("not for continuous actions")
    check_training(case, algorithm, layers)


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
