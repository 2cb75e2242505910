"""The options of the family mamujoco do what they say, and wrong ones are refused with a way out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import a2po.envs
from a2po.envs import mamujoco
from a2po.errors import DependencyError, TaskError

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")

# task -> agents, the state's width in the v2 and the v5 layout
SIZES = {
    "Ant-2x4": (2, 111, 105),
    "Ant-2x4d": (2, 111, 105),
    "Ant-4x2": (4, 111, 105),
    "Ant-8x1": (8, 111, 105),
    "HalfCheetah-2x3": (2, 17, 17),
    "HalfCheetah-3x2": (3, 17, 17),
    "HalfCheetah-6x1": (6, 17, 17),
    "Hopper-3x1": (3, 11, 11),
    "Walker2d-2x3": (2, 17, 17),
    "Walker2d-3x2": (3, 17, 17),
    "Walker2d-6x1": (6, 17, 17),
    "Humanoid-9|8": (2, 376, 348),
    "Humanoid-17x1": (17, 376, 348),
    "HumanoidStandup-9|8": (2, 376, 348),
    "HumanoidStandup-17x1": (17, 376, 348),
}
# task -> the real widths of k-hop views for k = 0, 1, 2
HOPS = {
    "Ant-4x2": ({39}, {42}, {45}),
    "Ant-8x1": ({25, 31}, {29, 32}, {32, 35}),
    "HalfCheetah-3x2": ({9}, {10, 11, 12}, {11, 12, 13}),
    "Hopper-3x1": ({7}, {8, 9}, {9}),
    "Humanoid-9|8": ({236, 167}, {242, 170}, {244, 174}),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium's own environments leave MuJoCo's log file in the working directory."""
    monkeypatch.chdir(tmp_path)


def make(task: str, num_envs: int = 2, **options: Any) -> Any:
    return a2po.envs.make(f"mamujoco/{task}", num_envs, **options)


def random_actions(env: Any, generator: np.random.Generator) -> torch.Tensor:
    high = float(env.spec.action_spaces[0].high[0])
    shape = (env.num_envs, env.spec.num_agents, env.spec.max_action_size)
    return torch.from_numpy(generator.uniform(-high, high, shape).astype(np.float32))


def test_the_fifteen_tasks() -> None:
    assert mamujoco.task_names() == [f"mamujoco/{name}" for name in SIZES]


@pytest.mark.parametrize("task", SIZES)
def test_sizes_of_full_observations(task: str) -> None:
    agents, old, new = SIZES[task]
    full, paper = make(task, obsk="full").spec, make(task, profile="paper").spec
    assert (full.num_agents, full.obs_sizes, full.state_size) == (agents, (new,) * agents, new)
    assert (paper.num_agents, paper.obs_sizes, paper.state_size) == (agents, (old + agents,) * agents, old)
    for spec in (full, paper):
        assert tuple(len(names) for names in spec.feature_names) == spec.obs_sizes
        assert tuple(len(names) for names in spec.action_names) == spec.action_sizes
    assert [names[-agents:] for names in paper.feature_names] == [tuple(f"agent_id.{name}" for name in paper.agents)] * agents


@pytest.mark.parametrize("task", HOPS)
def test_sizes_of_hop_views(task: str) -> None:
    for hops, widths in enumerate(HOPS[task]):
        assert set(make(task, obsk=hops).spec.obs_sizes) == widths


def test_feature_and_action_names_come_from_the_model() -> None:
    spec = make("Ant-4x2", obsk=0).spec
    assert spec.action_names[0] == ("hip_1", "ankle_1")
    assert spec.feature_names[0][:2] == ("qpos.ankle_1", "qvel.ankle_1")
    assert "cfrc_ext.@ankle_1.0" in spec.feature_names[0]  # the body that the model leaves without a name
    assert spec.feature_names[0][-11:-6] == ("qpos.root.z", "qpos.root.qw", "qpos.root.qx", "qpos.root.qy", "qpos.root.qz")
    every = [name for names in spec.feature_names for name in names]
    assert "zero" not in every and "" not in every


def test_action_spaces_are_the_actuators_ranges() -> None:
    spec = make("Humanoid-9|8").spec
    assert spec.action_sizes == (9, 8)
    assert all(np.all(space.high == np.float32(0.4)) and np.all(space.low == np.float32(-0.4)) for space in spec.action_spaces)


def test_contiguous_action_split() -> None:
    spec = make("Humanoid-9|8", action_split="contiguous").spec
    assert spec.action_names[0][:3] == ("abdomen_y", "abdomen_z", "abdomen_x")
    assert spec.action_names[1][0] == "left_hip_y"
    first, second = make("HalfCheetah-3x2", obsk="full"), make("HalfCheetah-3x2", obsk="full", action_split="contiguous")
    assert first.spec.action_names == (("bfoot", "bshin"), ("bthigh", "ffoot"), ("fshin", "fthigh"))
    assert second.spec.action_names == (("bthigh", "bshin"), ("bfoot", "fthigh"), ("fshin", "ffoot"))
    joints = np.random.default_rng(0).uniform(-1, 1, 6).astype(np.float32)
    by_name = dict(zip(("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"), joints, strict=True))
    results = []
    for env in (first, second):
        env.reset([1, 2])
        actions = torch.tensor([[[by_name[joint] for joint in own] for own in env.spec.action_names]] * 2)
        results.append(env.step(actions))
    assert torch.equal(results[0].observations.state, results[1].observations.state)
    assert torch.equal(results[0].reward, results[1].reward)


# Gymnasium's v4 keeps what the paper profile wants: no contact cost, an unconditional bonus, walker2d.xml, zeros of the world body
@pytest.mark.filterwarnings("ignore")  # "out of date"
@pytest.mark.parametrize(
    ("task", "stock", "columns"),
    [("Ant-4x2", "Ant-v4", 27), ("Hopper-3x1", "Hopper-v4", 11), ("Walker2d-2x3", "Walker2d-v4", 17), ("Humanoid-9|8", "Humanoid-v4", 292)],
)
def test_paper_profile_equals_gymnasium_v4(task: str, stock: str, columns: int) -> None:
    env = make(task, 1, profile="paper", standardise=False)
    oracle = gymnasium.make(stock)
    generator = np.random.default_rng(1)
    seen, ends = env.reset(), 0
    state = oracle.reset(seed=int(env.episode_seeds[0]))[0]
    for _ in range(150):
        assert seen.state[0, :columns].numpy().tobytes() == state[:columns].astype(np.float32).tobytes()
        assert not seen.state[0, 292 if columns == 292 else columns :].any()
        assert torch.equal(seen.obs[0, 0, : env.spec.state_size], seen.state[0])
        actions = random_actions(env, generator)
        step = env.step(actions)
        joint = np.concatenate([actions[0, agent, :size].double().numpy() for agent, size in enumerate(env.spec.action_sizes)])
        state, reward, terminated, truncated, _ = oracle.step(joint)  # contiguous: the agents' actions one after another
        assert (float(step.reward[0]), bool(step.terminated[0])) == (float(np.float32(reward)), terminated)
        seen = step.observations
        if terminated or truncated:
            ends += 1
            state = oracle.reset(seed=int(env.episode_seeds[0]))[0]
    assert ends or stock == "Ant-v4"


@pytest.mark.parametrize(
    ("task", "stock"), [("Ant-4x2", "Ant-v5"), ("Humanoid-9|8", "Humanoid-v5"), ("HumanoidStandup-9|8", "HumanoidStandup-v5")]
)
def test_without_contact_forces_equals_gymnasium_without_them(task: str, stock: str) -> None:
    env = make(task, 1, contact_forces=False, obsk="full")
    weight = "impact_cost_weight" if "Standup" in task else "contact_cost_weight"
    oracle = gymnasium.make(stock, include_cfrc_ext_in_observation=False, **{weight: 0.0})
    seen = env.reset([11])
    assert seen.state[0].numpy().tobytes() == oracle.reset(seed=11)[0].astype(np.float32).tobytes()
    generator = np.random.default_rng(2)
    for _ in range(15):
        actions = random_actions(env, generator)
        joint = actions.reshape(-1).double().numpy()[list(env.factorisation.control)]
        step = env.step(actions)
        state, reward, *_ = oracle.step(joint)
        assert step.reward[0].numpy() == np.float32(reward)
        assert step.observations.state[0].numpy().tobytes() == state.astype(np.float32).tobytes()


def test_standardised_observations() -> None:
    plain, standard = (make("Ant-2x4", obsk="full", agent_ids=True, standardise=flag) for flag in (False, True))
    raw, seen = plain.reset([3, 4]), standard.reset([3, 4])
    for agent in range(2):
        one_hot = np.eye(2)[agent]
        assert np.array_equal(raw.obs[0, agent, -2:].numpy(), one_hot)
        vector = raw.obs[0, agent].double().numpy()
        np.testing.assert_allclose(seen.obs[0, agent].numpy(), (vector - vector.mean()) / vector.std(), rtol=1e-5, atol=1e-6)
    vector = raw.state[1].double().numpy()
    np.testing.assert_allclose(seen.state[1].numpy(), (vector - vector.mean()) / vector.std(), rtol=1e-5, atol=1e-6)


def test_standardisation_runs_over_the_real_width() -> None:
    plain, standard = (make("Humanoid-9|8", obsk=0, standardise=flag) for flag in (False, True))
    raw, seen = plain.reset([3, 4]), standard.reset([3, 4])
    width = plain.spec.obs_sizes[1]
    vector = raw.obs[0, 1, :width].double().numpy()
    np.testing.assert_allclose(seen.obs[0, 1, :width].numpy(), (vector - vector.mean()) / vector.std(), rtol=1e-5, atol=1e-6)
    assert not seen.obs[:, 1, width:].any()


def test_agent_ids_follow_hop_views_and_their_names() -> None:
    env = make("HalfCheetah-6x1", obsk=1, agent_ids=True)
    seen = env.reset()
    for agent, size in enumerate(env.spec.obs_sizes):
        assert np.array_equal(seen.obs[0, agent, size - 6 : size].numpy(), np.eye(6)[agent])
        assert env.spec.feature_names[agent][-6:] == tuple(f"agent_id.agent_{other}" for other in range(6))
        assert not seen.obs[0, agent, size:].any()


def test_the_healthy_bonus_on_the_last_step() -> None:
    last = {}
    for bonus in ("healthy", "always"):
        env = make("Hopper-3x1", 1, healthy_bonus=bonus)
        env.reset([5])
        generator = np.random.default_rng(4)
        step = env.step(random_actions(env, generator))
        while not step.terminated[0]:
            step = env.step(random_actions(env, generator))
        last[bonus] = float(step.reward[0])
    assert last["always"] - last["healthy"] == pytest.approx(1.0, abs=1e-6)


def test_the_step_limit_and_timeouts_as_terminal() -> None:
    for as_terminal in (False, True):
        env = make("HalfCheetah-2x3", max_episode_steps=3, timeouts_as_terminal=as_terminal)
        assert env.spec.max_episode_steps == 3
        env.reset()
        steps = [env.step(torch.zeros(2, 2, 3)) for _ in range(3)]
        assert not (steps[1].terminated | steps[1].truncated).any()
        assert (bool(steps[2].terminated.all()), bool(steps[2].truncated.all())) == (as_terminal, not as_terminal)
        assert bool(steps[2].truncated.any()) is not as_terminal


def test_the_old_walker_has_unequal_feet() -> None:
    new, old = (make("Walker2d-2x3", model=version).model for version in ("v5", "v2"))
    feet = ("foot_geom", "foot_left_geom")
    assert [new.geom(foot).friction[0] for foot in feet] == [1.9, 1.9]
    assert [old.geom(foot).friction[0] for foot in feet] == [0.9, 1.9]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"obs_k": 1}, ["unknown option 'obs_k'", "'obsk'"]),
        ({"obsk": -1}, ["'obsk'", ">= 0", "'full'", "-1"]),
        ({"obsk": True}, ["'obsk'", "'full'"]),
        ({"obsk": "all"}, ["'obsk'", "'full'", "'all'"]),
        ({"action_split": "continuous"}, ["'named' or 'contiguous'", "did you mean 'contiguous'"]),
        ({"standardise": 1}, ["'standardise'", "true or false"]),
        ({"max_episode_steps": 0}, ["'max_episode_steps'", ">= 1"]),
        ({"profile": "papre"}, ["'paper'"]),
        ({"compat": "gymnasium"}, ["'gymnasium-robotics'"]),
        ({"backend": "batch"}, ["contact_forces=False", "backend='pool'"]),
    ],
)
def test_wrong_options_are_refused_with_a_way_out(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(TaskError) as caught:
        make("Ant-4x2", **options)
    assert all(word in str(caught.value) for word in words)


def test_unknown_tasks_get_a_suggestion() -> None:
    with pytest.raises(TaskError, match="mamujoco/Ant-4x2"):
        a2po.envs.make("mamujoco/Ant-4x3", 1)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"a2po\[train\]"):
        make("Ant-4x2")


def test_the_familys_module_does_not_load_mujoco() -> None:
    import subprocess

    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); import a2po.envs.mamujoco as family; assert len(family.task_names()) == 15"
    code += "; assert not {'mujoco', 'torch', 'gymnasium'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
