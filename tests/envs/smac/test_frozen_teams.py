"""Exported teams that lead the enemies: they see the battle from the other side, what they do is done there."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from a2po.config import EnvConfig, NetworkConfig, TrainConfig
from a2po.envs import make
from a2po.envs.registry import scripted_player
from a2po.envs.smac import fields as f
from a2po.envs.smac.encoder import Encoder
from a2po.envs.smac.frozen import mirror_axis
from a2po.envs.smac.maps import MAPS
from a2po.envs.smac.options import Options
from a2po.envs.smac.smacv2 import SMACV2
from a2po.envs.smac.specialise import plain
from a2po.errors import CheckpointError, DependencyError, TaskError
from a2po.exporters.build import build_bundle
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime import Team
from a2po.testing import Case, EnvironmentConformance
from a2po.testing.resume import check_training
from a2po.training.runs import TrainedPolicy, make_env

NORTH, SOUTH, EAST, WEST, FIRST_TARGET = 2, 3, 4, 5, 6
OTHER_SIDE = {EAST: WEST, WEST: EAST}
CONE = {"conic_fov": True, "action_mask": False, "prob_obs_enemy": 0.5, "obs_last_action": True}


def write_bundle(folder: Path, task: str, *, layers: int = 0, seed: int = 7, agents: list[str] | None = None, **options) -> str:
    """A team with random weights, exported."""
    network = NetworkConfig(recurrent_layers=layers, recurrent_size=16, hidden_sizes=(32,))
    config = TrainConfig(task=task, network=network, env=EnvConfig(num_threads=1, options=options))
    with closing(make_env(config, 1, seed=0)) as env:
        team = TeamPolicy(env.spec, config.network, seed=0)
    team.actors.values.copy_(torch.randn(team.actors.values.shape, generator=torch.Generator().manual_seed(seed)) * 0.5)
    policy = TrainedPolicy(folder, config, team, 4096, "step_000000004096", {"a2po": "0.1.0", "commit": "c0ffee"})
    build_bundle(policy, lambda copies: make_env(config, copies, seed=1), agents=agents, output=folder / "bundle")
    return str(folder / "bundle")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """``bundle("smac/3m", layers=1)`` -> the path of a bundle, made once."""
    made: dict[str, str] = {}

    def of(task: str, **arguments) -> str:
        key = repr((task, arguments))
        if key not in made:
            made[key] = write_bundle(tmp_path_factory.mktemp("bundles") / "run", task, **arguments)
        return made[key]

    return of


def reflect(env):
    """Put the enemies where the agents' mirror images are, so that each agent of the team has the same before it on either side."""
    simulation, agents = env.simulation, env.battle.num_agents
    twins = env._rivals.teams[0]._columns[:, agents : 2 * agents]  # which of our agents is which target of the team
    for W, M, own in zip(simulation.units, simulation.marks, twins, strict=True):
        for memory, others in ((W, [f.RULE]), (M, [f.CLOCK, f.MASKED])):
            rows = [row for row in range(len(memory)) if row not in others]
            memory[np.ix_(rows, np.arange(agents, 2 * agents))] = memory[np.ix_(rows, own)]
        W[f.X, agents : 2 * agents] = 32 - W[f.X, own]
        M[f.SIDE, agents : 2 * agents], M[f.OWNER], M[f.RIGHT], M[f.SHOWN_TO] = 1, -1, 0, 0
    env._rivals.begin(np.arange(env.num_envs), env.episode_seeds, simulation)
    assert np.array_equal(twins, env._rivals.teams[0]._columns[:, agents : 2 * agents])
    shown = env._shown(env._host)
    simulation.show(np.arange(env.num_envs), shown)
    return shown, twins


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("smac/3m", {}),
        ("smac/3s5z", {"observation": "on_policy"}),
        ("smac/MMM", {"obs_pathing_grid": True, "obs_terrain_height": True}),
        ("smacv2/terran_5_vs_5", {}),
        ("smacv2/zerg_5_vs_5", CONE),
        ("smacv2/protoss_5_vs_5", {"prob_obs_enemy": 0.0, "attack_probability": [0.3, 0.7], "enemy_mask": 0.5}),
    ],
)
def test_a_team_does_the_same_on_both_sides_of_a_mirror(bundle, task, options):
    path = bundle(task, **options)
    env, team = make(task, 16, seed=3, num_threads=1, opponent=path, spawn_jitter=0.0, **options), Team.load(path)
    with closing(env):
        env.reset()
        shown, twins = reflect(env)
        frozen, first = env._rivals.teams[0], env.layout.first_target
        chosen = team.act(shown.obs, shown.mask)
        rivals = env._rivals.decide(env.simulation)
        assert np.allclose(frozen._shown.obs, shown.obs, atol=1e-5) and np.array_equal(frozen._shown.mask, shown.mask)
        assert np.allclose(frozen._shown.state, shown.state, atol=1e-5)
        found = set()
        for copy in range(16):
            for enemy, agent in enumerate(twins[copy]):
                action, done = chosen[copy, agent], rivals[copy, enemy]
                if action < FIRST_TARGET:
                    assert done == OTHER_SIDE.get(action, action)
                elif done >= 0:
                    heals = env.battle.units[env.simulation.marks[copy, f.KIND, agent]].heal
                    slot = action - first
                    target = list(twins[copy]).index(slot) if heals else twins[copy, slot]
                    assert done == FIRST_TARGET + target
                found.add(int(done))
        assert len(found) >= 3 and (found & {EAST, WEST} or "conic_fov" in options)


def seen_from_the_other_side(env, frozen):
    """The snapshot that an agent of the team would take, made of the environment's own."""
    now, agents = env.snapshot(), env.battle.num_agents
    units = frozen._columns[:, : now.x.shape[1]]

    def moved(values):
        return np.take_along_axis(values, units, 1)

    values = {name: moved(getattr(now, name)) for name in ("x", "y", "hp", "shield", "energy", "cooldown", "alive", "kind")}
    values["x"] = 32 - values["x"]
    return now._replace(**values, last_action=frozen._stage.marks[:, f.LAST_ACTION, :agents].astype(np.int64))


@pytest.mark.parametrize("task", ["smac/3s5z", "smac/MMM"])
def test_a_team_sees_the_battle_from_the_other_side_and_its_orders_arrive(bundle, task):
    """Against the numpy encoder, on positions of played battles."""
    env = make(task, 4, seed=1, num_threads=1, opponent=bundle(task, obs_last_action=True), obs_last_action=True)
    act = scripted_player("nearest", task).make(env, 0)
    encoder = Encoder(env.layout, env.terrain.walkable[:, ::-1], env.terrain.height[::-1])
    with closing(env):
        seen, frozen, found = env.reset(), env._rivals.teams[0], set()
        for _ in range(60):
            view = seen_from_the_other_side(env, frozen)
            rivals = env._rivals.decide(env.simulation).copy()
            obs, _, mask = encoder.observe(view)
            assert np.allclose(frozen._shown.obs, obs, atol=1e-5) and np.array_equal(frozen._shown.mask, mask)
            assert np.take_along_axis(mask, frozen._chosen[..., None], -1).all()
            W, M = env.simulation.units[0].copy(), env.simulation.marks[0].copy()
            shared = env.simulation._shared
            plain(W.shape[-1]).lead(W, M, shared[0], shared[1], *env.simulation.layout, rivals[0])
            for agent, action in enumerate(frozen._chosen[0]):
                found.add(check_carried_out(env, view, W, M, frozen, agent, action))
            seen = env.step(act(seen, None)).observations
    assert found >= {f.STOP, f.MOVE, f.ATTACK} and (f.HEAL in found) == (task == "smac/MMM")


def check_carried_out(env, view, W, M, frozen, agent, action):
    """That the unit got the order which the agent meant, told by places."""
    unit, agents = frozen._columns[0, agent], env.battle.num_agents
    if not view.alive[0, agent]:
        return f.STOP
    order = M[f.ORDER, unit]
    if action < NORTH:
        assert order == f.STOP
    elif action < FIRST_TARGET:
        assert order == f.MOVE
        step = {NORTH: (0, 2), SOUTH: (0, -2), EAST: (2, 0), WEST: (-2, 0)}[int(action)]
        goal = (32 - W[f.GOAL_X, unit], W[f.GOAL_Y, unit])
        assert np.allclose(goal, (view.x[0, agent] + step[0], view.y[0, agent] + step[1]), atol=1e-4)
    else:
        slot = action - FIRST_TARGET + (0 if env.battle.units[view.kind[0, agent]].heal else agents)
        target = M[f.ORDER_TARGET, unit]
        assert np.allclose((32 - W[f.X, target], W[f.Y, target]), (view.x[0, slot], view.y[0, slot]), atol=1e-4)
        assert M[f.SIDE, target] == (1 if slot < agents else 0)
    return int(order)


def test_what_is_filmed_is_what_the_team_does(bundle):
    env = make("smac/3m", 2, seed=3, num_threads=1, opponent=bundle("smac/3m", layers=1))
    act = scripted_player("nearest", "smac/3m").make(env, 0)
    with closing(env):
        seen = env.reset()
        for _ in range(12):
            actions = act(seen, None)
            env.render_step(1, actions, 4)
            filmed = env._filming._stage
            seen = env.step(actions).observations
            moved = [f.X, f.Y, f.FACING_X, f.HP]
            assert np.array_equal(filmed.units[0, moved], env.simulation.units[1, moved])


def test_a_film_does_not_change_what_is_resumed(bundle):
    """A checkpoint between a picture and the step that it shows."""
    runs = []
    for film in (False, True):
        env = make("smac/3m", 2, seed=3, num_threads=1, opponent=bundle("smac/3m", layers=1))
        with closing(env):
            env.reset()
            for _ in range(10):
                if film:
                    env.render_step(0, torch.ones(2, 3, dtype=torch.int64), 2)
                    env.load_state_dict(env.state_dict())
                env.step(torch.ones(2, 3, dtype=torch.int64))
            runs.append(env.simulation.units.copy())
    assert np.array_equal(*runs)


class TestConformance(EnvironmentConformance):
    """With a recurrent team, and another one, in some of the episodes."""

    task = "smac/3m"

    @pytest.fixture(autouse=True)
    def _choose(self, bundle):
        table = {"kiting": 1, bundle("smac/3m", layers=1): 2, bundle("smac/3m", seed=8): 1}
        type(self).options = {"max_episode_steps": 15, "opponent": table}

    test_training_resumes_bit_for_bit = None  # below


@pytest.mark.parametrize(("task", "layers"), [("smac/3m", 1), ("smacv2/terran_5_vs_5", 1)])
def test_training_against_a_team_resumes_bit_for_bit(bundle, task, layers):
    options = {"max_episode_steps": 15, "opponent": {"built_in": 1, bundle(task, layers=layers): 2}}
    check_training(Case(task, options), "a2po", 0)


def test_several_teams_are_drawn_by_their_weights(bundle):
    one, other = bundle("smac/3m"), bundle("smac/3m", seed=8)
    env = make("smac/3m", 2000, seed=5, num_threads=1, opponent={"built_in": 2, one: 1, other: 5})
    with closing(env):
        env.reset()
        leaders, kinds = env._rivals._leaders, env.simulation.marks[:, f.CLOCK, f.OPPONENT]
        assert ((leaders >= 0) == (kinds == f.RIVALS)).all()
        counts = np.bincount(leaders + 1, minlength=3)
        assert chisquare(counts, np.array([2, 1, 5]) / 8 * 2000).pvalue > 0.001
        again = make("smac/3m", 2000, seed=6, num_threads=1, opponent={"built_in": 2, one: 1, other: 5})
        with closing(again):
            again.reset(env.episode_seeds[::-1].copy())
            assert np.array_equal(again._rivals._leaders, leaders[::-1])


def test_a_run_notices_that_the_bundle_is_another(bundle, tmp_path):
    path = tmp_path / "rival"
    shutil.copytree(bundle("smac/3m"), path)
    with closing(make("smac/3m", 2, opponent=str(path))) as env:
        env.reset()
        saved = env.state_dict()
    shutil.rmtree(path)
    shutil.copytree(bundle("smac/3m", seed=8), path)
    with (
        closing(make("smac/3m", 2, opponent=str(path))) as env,
        pytest.raises(CheckpointError, match="not the bundle that the run began"),
    ):
        env.load_state_dict(saved)
    with closing(make("smac/3m", 2)) as env, pytest.raises(CheckpointError, match="in the saved environment bundles lead enemies"):
        env.load_state_dict(saved)
    with closing(make("smac/3m", 2, opponent=bundle("smac/3m"))) as env, pytest.raises(CheckpointError, match="has no opponent"):
        env.load_state_dict(saved)


@pytest.mark.parametrize(
    ("task", "trained", "words"),
    [
        ("smac/8m", "smac/3m", "is 3 marines against 3 marines; here the enemies are 8 marines against 8 marines"),
        ("smac/3s5z", "smac/8m", "is 8 marines against 8 marines; here the enemies are 3 stalkers and 5 zealots against"),
        ("smac/3m", "matrix/uneven", "was trained on matrix/uneven, which is no battle"),
        ("smacv2/zerg_5_vs_5", "smacv2/terran_5_vs_5", "is 5 drawn from marine, marauder and medivac against"),
        ("smacv2/zerg_10_vs_11", "smacv2/zerg_10_vs_11", "here the enemies are 11 drawn from zergling, hydralisk and baneling against 10"),
    ],
)
def test_a_team_that_does_not_fit_is_refused(bundle, task, trained, words):
    with pytest.raises(TaskError) as caught:
        make(task, 1, opponent=bundle(trained))
    assert words in str(caught.value) and str(caught.value).startswith(f"{task}: the opponent '") and "\n" not in str(caught.value)


def test_a_part_of_a_team_is_refused(bundle):
    with pytest.raises(TaskError, match="it holds marine_0 alone of the 3 agents of smac/3m: export the whole team"):
        make("smac/3m", 1, opponent=bundle("smac/3m", agents=["marine_0"]))


def test_a_bundle_that_is_missing_or_another_version_of_a_task_is_refused(bundle, tmp_path, monkeypatch):
    with pytest.raises(TaskError, match=r"smac/3m: option 'opponent': there is no bundle '.*nowhere'$"):
        make("smac/3m", 1, opponent=str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match=rf"'runs/x' \(looked for from the working folder '{re.escape(str(tmp_path))}'\)"):
        make("smac/3m", 1, opponent="runs/x")
    path = bundle("smac/3m")
    monkeypatch.setattr("a2po.envs.smac.fitting.parse_options", lambda *given: Options(obs_last_action=True))
    with pytest.raises(TaskError, match="was trained with other observations or actions than smac/3m has"):
        make("smac/3m", 1, opponent=path)


def test_without_onnxruntime_it_is_said_what_to_install(bundle, monkeypatch):
    path = bundle("smac/3m")
    monkeypatch.setattr("a2po.errors.find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(DependencyError, match="needs the package 'onnxruntime'"):
        make("smac/3m", 1, opponent=path)


def test_a_zip_and_a_mirror_from_north_to_south(bundle, tmp_path):
    """bane_vs_bane: the enemies begin in the north, so north and south change places."""
    assert mirror_axis(MAPS["bane_vs_bane"]) == f.Y and mirror_axis(MAPS["3m"]) == mirror_axis(SMACV2["zerg_5_vs_5"]) == f.X
    archive = shutil.make_archive(str(tmp_path / "rival"), "zip", bundle("smac/bane_vs_bane"))
    env = make("smac/bane_vs_bane", 1, num_threads=1, opponent=archive)
    with closing(env):
        env.reset()
        env._rivals.decide(env.simulation)
        stage = env._rivals.teams[0]._stage
        agents = env.battle.num_agents
        assert stage.units[0, f.Y, :agents].mean() < stage.units[0, f.Y, agents : 2 * agents].mean()
        assert np.isin(stage.marks[0, f.KIND, :agents], env.simulation.marks[0, f.KIND, :agents]).all()
        assert np.array_equal(stage.marks[0, f.KIND, :agents], env.simulation.marks[0, f.KIND, :agents])
