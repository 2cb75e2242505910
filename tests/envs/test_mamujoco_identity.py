"""The family mamujoco equals gymnasium-robotics, bit for bit after the cast to float32."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po.envs
from a2po.envs.mamujoco.scenarios import TASKS, scenario_of

warnings.filterwarnings("ignore")
pytest.importorskip("mujoco")
from a2po.envs.mamujoco.model import joints_by_actuator  # noqa: E402 (after the check that MuJoCo is there)

mamujoco_v1 = pytest.importorskip("gymnasium_robotics").mamujoco_v1

COPIES = 4
# Configurations that gymnasium-robotics lacks, and one that it has for the same robot (for its joints and edges)
LACKING = {
    "Ant-8x1": "4x2",
    "HalfCheetah-3x2": "2x3",
    "Walker2d-3x2": "2x3",
    "Walker2d-6x1": "2x3",
    "Humanoid-17x1": "9|8",
    "HumanoidStandup-17x1": "9|8",
}
HUMANOID_JOINTS = (
    "left_shoulder1 left_shoulder2 abdomen_x abdomen_y abdomen_z right_shoulder1 right_shoulder2 right_elbow left_elbow "
    "left_hip_x left_hip_y left_hip_z right_hip_x right_hip_y right_hip_z right_knee left_knee"
)
PARTITIONS = {
    "Ant-8x1": [["hip1"], ["ankle1"], ["hip2"], ["ankle2"], ["hip3"], ["ankle3"], ["hip4"], ["ankle4"]],
    "HalfCheetah-3x2": [["bfoot", "bshin"], ["bthigh", "ffoot"], ["fshin", "fthigh"]],
    "Walker2d-3x2": [["foot_joint", "leg_joint"], ["thigh_joint", "foot_left_joint"], ["leg_left_joint", "thigh_left_joint"]],
    "Walker2d-6x1": [["foot_joint"], ["leg_joint"], ["thigh_joint"], ["foot_left_joint"], ["leg_left_joint"], ["thigh_left_joint"]],
    "Humanoid-17x1": [[joint] for joint in HUMANOID_JOINTS.split()],
    "HumanoidStandup-17x1": [[joint] for joint in HUMANOID_JOINTS.split()],
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium's own environments leave MuJoCo's log file in the working directory."""
    monkeypatch.chdir(tmp_path)


def stock_env(task: str, hops: int) -> Any:
    """gymnasium-robotics' own environment for ``task``."""
    name = task.removeprefix("mamujoco/")
    scenario, configuration = name.split("-", 1)
    factorisation = None
    if name in LACKING:
        from gymnasium_robotics.envs.multiagent_mujoco.obsk import get_parts_and_edges

        parts, edges, roots = get_parts_and_edges(scenario, LACKING[name])
        nodes = {node.label: node for part in parts for node in part}
        partition = [tuple(nodes[label] for label in joints) for joints in PARTITIONS[name]]
        factorisation = {"partition": partition, "edges": edges, "globals": roots}
    return mamujoco_v1.parallel_env(scenario, configuration, agent_obsk=hops, agent_factorization=factorisation)


class Oracle:
    """One stock environment per copy, re-seeded with the episode seeds that ours reports."""

    def __init__(self, task: str, hops: int) -> None:
        self.copies = [stock_env(task, hops) for _ in range(COPIES)]

    def reset(self, copy: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
        observations, _ = self.copies[copy].reset(seed=int(seed))
        return list(observations.values()), self.copies[copy].state()

    def step(self, copy: int, actions: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray, float, bool, bool]:
        env = self.copies[copy]
        agents = env.possible_agents
        observations, rewards, terminated, truncated, _ = env.step(dict(zip(agents, actions, strict=True)))
        first = agents[0]
        return list(observations.values()), env.state(), rewards[first], terminated[first], truncated[first]


def assert_same(seen: Any, copy: int, expected: tuple[list[np.ndarray], np.ndarray]) -> None:
    """Observations and state of one copy, bit for bit, and zeros in the padding."""
    for agent, wanted in enumerate(expected[0]):
        row = seen.obs[copy, agent].numpy()
        assert row[: len(wanted)].tobytes() == wanted.astype(np.float32).tobytes()
        assert not row[len(wanted) :].any()
    assert seen.state[copy].numpy().tobytes() == expected[1].astype(np.float32).tobytes()


def compare(task: str, hops: int, steps: int, scale: float = 1.0, **options: Any) -> int:
    """Play random actions in ours and theirs; return the number of episodes that ended."""
    if "Humanoid" in task:
        options["compat"] = "gymnasium-robotics"
    env = a2po.envs.make(task, COPIES, seed=7, obsk=hops, **options)
    spec, oracle = env.spec, Oracle(task, hops)
    generator = np.random.default_rng(3)
    seen = env.reset()
    for copy in range(COPIES):
        assert_same(seen, copy, oracle.reset(copy, env.episode_seeds[copy]))
    high = float(spec.action_spaces[0].high[0])
    returns, finished = np.zeros(COPIES), []
    for _ in range(steps):
        actions = generator.uniform(-high * scale, high * scale, (COPIES, spec.num_agents, spec.max_action_size)).astype(np.float32)
        step = env.step(torch.from_numpy(actions))
        for copy in range(COPIES):
            own = [actions[copy, agent, :size] for agent, size in enumerate(spec.action_sizes)]
            obs, state, reward, terminated, truncated = oracle.step(copy, own)
            assert step.reward[copy].numpy() == np.float32(reward)
            returns[copy] += reward
            assert (bool(step.terminated[copy]), bool(step.truncated[copy])) == (terminated, truncated)
            if terminated or truncated:
                finished.append(returns[copy])
                returns[copy] = 0.0
                assert_same(step.final, copy, (obs, state))
                obs, state = oracle.reset(copy, env.episode_seeds[copy])
            assert_same(step.observations, copy, (obs, state))
    # The float64 sums show rewards that differ in a bit that float32 hides
    assert [record["return"] for record in env.drain_episodes()] == finished
    env.close()
    return len(finished)


@pytest.mark.parametrize("task", TASKS)
def test_a_thousand_steps_equal_gymnasium_robotics(task: str) -> None:
    assert compare(task, hops=1, steps=1000) >= COPIES  # every copy meets at least the step limit


@pytest.mark.parametrize("hops", [0, 2])
@pytest.mark.parametrize("task", TASKS)
def test_other_hops_equal_gymnasium_robotics(task: str, hops: int) -> None:
    compare(task, hops, steps=60, scale=1.5)  # out-of-range actions too: MuJoCo clamps the force, the cost does not


@pytest.mark.parametrize("task", ["mamujoco/HalfCheetah-2x3", "mamujoco/Hopper-3x1", "mamujoco/Walker2d-2x3"])
def test_the_pool_equals_gymnasium_robotics_where_the_batch_is_the_default(task: str) -> None:
    compare(task, hops=1, steps=100, backend="pool")


@pytest.mark.parametrize("task", sorted(TASKS))
def test_partitions_cover_every_actuator_once(task: str) -> None:
    scenario, configuration = scenario_of(task)
    env = a2po.envs.make(task, 1)
    joints = [joint for part in scenario.partitions[configuration] for joint in part]
    assert sorted(joints) == sorted(joints_by_actuator(env.model))


def test_without_compat_the_humanoid_sees_its_abdomen_at_the_models_own_addresses() -> None:
    stock = a2po.envs.make("mamujoco/Humanoid-17x1", 1, compat="gymnasium-robotics")
    env = a2po.envs.make("mamujoco/Humanoid-17x1", 1)
    y = env.spec.action_names.index(("abdomen_y",))
    assert env.spec.feature_names[y][0] == "qpos.abdomen_y"
    assert stock.spec.feature_names[y][0] == "qpos.abdomen_z"
    seeds = [5]
    first, second = env.reset(seeds), stock.reset(seeds)
    assert torch.equal(first.state, second.state)
    assert not torch.equal(first.obs, second.obs)
