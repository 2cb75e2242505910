"""Warm starts: the new team is the old one to the last bit, its statistics go on, and what does not fit is refused whole."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import a2po
from a2po.config import TrainConfig, override, resolve
from a2po.errors import BundleError, CheckpointError, RunError, UserError
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime.bundle import read_bundle
from a2po.training.checkpoints import Checkpoints
from a2po.training.greedy import GreedyEvaluator
from a2po.training.loop import TrainResult
from a2po.training.metrics import read_metrics
from a2po.training.runs import make_env, open_policy
from a2po.training.trainer import Trainer
from a2po.training.view import SilentView
from a2po.training.warm_start import start_from

CHEETAH, HUMANOID, UNEVEN = "mamujoco/HalfCheetah-2x3", "mamujoco/Humanoid-9|8", "matrix/uneven"
PER_UPDATE = 4 * 16
SMALL = (
    *("device=cpu", "env.num_envs=4", "env.num_threads=1", "network.hidden_sizes=[8,8]", "update.rollout_length=16"),
    *("update.num_epochs=2", "update.num_minibatches=2", "run.evaluation_episodes=2", f"run.evaluate_every={PER_UPDATE}"),
    *(f"run.checkpoint_every={PER_UPDATE}", f"run.total_steps={2 * PER_UPDATE}"),
)


def small(task: str = CHEETAH, *settings: str) -> TrainConfig:
    short = [] if task.startswith("matrix") else ["env.options.max_episode_steps=25"]
    return resolve(values={"task": task}, settings=[*SMALL, *short, *settings])


def play(config: TrainConfig, runs: Path, name: str, **arguments: Any) -> TrainResult:
    return a2po.train(config, name=name, runs=runs, view=SilentView(), **arguments)


RECURRENT = ("network.recurrent_layers=2", "network.recurrent_size=6", "network.head_sizes=[5]", "update.chunk_length=8")
SHARED = ("algorithm=mappo", "network.share_parameters=true")
SOURCES = [
    *((CHEETAH,), (HUMANOID,), (UNEVEN, "network.layer_norm=true"), (HUMANOID, *RECURRENT), (UNEVEN, *RECURRENT)),
    *((UNEVEN, *SHARED, "network.layer_norm=true"), (HUMANOID, *SHARED, *RECURRENT), (CHEETAH, "algorithm=ippo")),
]


@pytest.fixture(scope="module", params=SOURCES, ids=" ".join)
def source(request, tmp_path_factory) -> tuple[Path, Path]:
    """A trained run (seed 3), and its bundle."""
    result = play(small(*request.param, "seed=3"), tmp_path_factory.mktemp("source"), "old")
    return result.run, a2po.export(result.run)


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory) -> tuple[Path, Path]:
    result = play(small(CHEETAH, "seed=3"), tmp_path_factory.mktemp("cheetah"), "old")
    return result.run, a2po.export(result.run)


def fresh_team(config: TrainConfig) -> TeamPolicy:
    with closing(make_env(config, 1, seed=0)) as env:
        return TeamPolicy(env.spec, config.network, seed=config.seed)


def warm_team(text: Path | str, config: TrainConfig) -> tuple[TeamPolicy, dict[str, Any], str]:
    team = fresh_team(config)
    team.actors.values.fill_(7.0)  # whatever is there gives way, padding too
    warm = start_from(team, str(text), Path("no runs"), pytest.fail)
    return team, warm.origin, warm.message


def greedy_returns(config: TrainConfig, team: TeamPolicy) -> list[float]:
    with closing(GreedyEvaluator(config, team)) as evaluator:
        return evaluator.evaluate(0)


def outputs(team: TeamPolicy, seed: int = 5) -> list[torch.Tensor]:
    """Every agent's outputs at its real sizes, on observations that mean something to its statistics."""
    found, stream = [], torch.Generator().manual_seed(seed)
    for agent, size in enumerate(team.spec.obs_sizes):
        actor = team.single_actor(agent)
        with torch.no_grad():
            obs, memory = (torch.randn(64, *shape, generator=stream) for shape in ((size,), team.actor_shape.state_shape))
            parameters, _ = actor(obs * 2.0, None, memory)
        found += list(parameters)
    return found


# --- the weights ---


def test_a_run_goes_over_bit_for_bit(source: tuple[Path, Path]) -> None:
    """Actors, critics and statistics; not the optimisers. So the greedy returns are the same to the last bit."""
    run, _ = source
    policy = open_policy(run)
    config = override(policy.config, settings=["seed=11", "algorithm=mappo", "update.clip=0.1"])
    team, origin, message = warm_team(run, config)
    new, old = team.state_dict(), policy.team.state_dict()
    for name in old:
        if ".adam." in name:
            assert bool(old[name].any()) and not bool(new[name].any()), name
        else:
            assert torch.equal(new[name], old[name]), name
    assert greedy_returns(config, team) == greedy_returns(config, policy.team)
    assert not torch.equal(team.actors.values, fresh_team(config).actors.values)
    assert (origin["kind"], origin["name"], origin["step"], origin["seed"]) == ("run", "old", 2 * PER_UPDATE, 3)
    assert "with its critics" in message


def test_a_bundle_gives_the_same_actors(source: tuple[Path, Path]) -> None:
    """Cut to real sizes and put back: equal outputs, padding as training leaves it, critics anew."""
    run, bundle = source
    policy = open_policy(run)
    config = override(policy.config, settings=["seed=11"])
    team, origin, message = warm_team(bundle, config)
    for new, old, untrained in zip(outputs(team), outputs(policy.team), outputs(fresh_team(config)), strict=True):
        torch.testing.assert_close(new, old, atol=1e-6, rtol=0)
        assert not torch.allclose(new, untrained, atol=1e-3)
    assert torch.equal(team.actors.values, policy.team.actors.values)
    assert torch.equal(team.critics.values, fresh_team(config).critics.values)
    assert greedy_returns(config, team) == greedy_returns(config, policy.team)
    assert origin["fingerprint"] == read_bundle(bundle).fingerprint and origin["run"] == "old"
    assert "new critics" in message


def test_a_zip_is_a_bundle(cheetah: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = cheetah
    packed = a2po.export(run, output=tmp_path / "team.zip")
    team, origin, _ = warm_team(packed, open_policy(run).config)
    assert torch.equal(team.actors.values, open_policy(run).team.actors.values) and origin["name"] == "team.zip"


@pytest.mark.parametrize("which", ["run", "bundle"])
def test_statistics_go_on_as_in_the_run_itself(which: str, cheetah: tuple[Path, Path]) -> None:
    """The first new rollout weighs what it would have weighed there."""
    run, bundle = cheetah
    policy = open_policy(run)
    team, _, _ = warm_team(run if which == "run" else bundle, policy.config)
    stream = torch.Generator().manual_seed(2)
    obs = torch.randn(16, 4, 2, team.spec.max_obs_size, generator=stream) * 5 - 1
    state, alive = torch.randn(16, 4, team.spec.state_size, generator=stream), torch.ones(16, 4, 2, dtype=torch.bool)
    for one in (team, policy.team):
        before = one.obs_norm.exact_mean.clone()
        one.update_statistics(obs, state, alive)
        share = PER_UPDATE / (3 * PER_UPDATE)  # two updates were trained, this is the third
        torch.testing.assert_close(one.obs_norm.exact_mean, before + share * (obs.mean((0, 1)).double() - before))
    torch.testing.assert_close(team.obs_norm.mean, policy.team.obs_norm.mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(team.obs_norm.inverse_std, policy.team.obs_norm.inverse_std, atol=0, rtol=1e-4)


def test_statistics_that_saw_nothing_count_nothing(cheetah: tuple[Path, Path]) -> None:
    run, bundle = cheetah
    team, _, _ = warm_team(altered(bundle, lambda name, value: _untouched(name, value)), open_policy(run).config)
    assert not bool(team.obs_norm.count.any()) and bool((team.obs_norm.inverse_std == 1).all())


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> tuple[Path, Path]:
    """A team that shares weights and, because its agents see features of the same names, statistics."""
    result = play(small(UNEVEN, *SHARED, "seed=3"), tmp_path_factory.mktemp("shared"), "old")
    return result.run, a2po.export(result.run)


def test_statistics_of_all_agents_go_on_as_in_the_run_itself(shared: tuple[Path, Path]) -> None:
    run, bundle = shared
    policy = open_policy(run)
    team, _, _ = warm_team(bundle, policy.config)
    assert team.obs_norm.shape == (2,) and team.obs_norm.count.tolist() == [2.0 * 2 * PER_UPDATE] == policy.team.obs_norm.count.tolist()
    torch.testing.assert_close(team.obs_norm.mean, policy.team.obs_norm.mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(team.obs_norm.inverse_std, policy.team.obs_norm.inverse_std, atol=0, rtol=1e-4)


def _untouched(name: str, value: torch.Tensor) -> torch.Tensor:
    return {"observation_mean": torch.zeros_like(value), "observation_inverse_std": torch.ones_like(value)}.get(name, value)


def test_critics_that_do_not_fit_start_anew(cheetah: tuple[Path, Path]) -> None:
    run, _ = cheetah
    config = override(open_policy(run).config, settings=["network.critics=one", "seed=4"])
    team, _, message = warm_team(run, config)
    assert "network.critics was per_agent, is one" in message and "new critics" in message
    assert torch.equal(team.critics.values, fresh_team(config).critics.values) and not bool(team.state_norm.count.any())
    assert torch.equal(team.actors.values, open_policy(run).team.actors.values)


# --- a whole run ---


def test_the_new_run(cheetah: tuple[Path, Path], tmp_path: Path) -> None:
    """Its own steps, streams and folder; the start is evaluated and kept; its origin is recorded without paths; it learns on."""
    run, _ = cheetah
    result = play(override(small(), values={"init_from": str(run)}), tmp_path, "new")
    rows = read_metrics(result.run / "metrics.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "update"] == [PER_UPDATE, 2 * PER_UPDATE]
    assert (rows[0]["kind"], rows[0]["step"]) == ("evaluation", 0)
    start = Checkpoints(result.run / "checkpoints").load("0")[1]["team"]
    assert torch.equal(start["actors.weights.linear0_weight"], open_policy(run).team.state_dict()["actors.weights.linear0_weight"])
    assert not torch.equal(open_policy(result.run).team.actors.values, open_policy(run).team.actors.values)
    origin = json.loads((result.run / "provenance.json").read_text())["init_from"]
    assert origin["checkpoint"] == f"step_{2 * PER_UPDATE:012d}" and len(origin["sha256"]) == 64
    manifest = read_bundle(a2po.export(result.run)).manifest
    assert manifest["training"]["provenance"]["init_from"] == origin and manifest["training"]["config"]["init_from"] == "old"
    assert str(run.parent) not in json.dumps(manifest)


def test_checkpoints_by_name_and_runs_by_name(tmp_path: Path) -> None:
    play(small(UNEVEN), tmp_path, "old")
    for text, step in (("old", 2), ("old:latest", 2), (f"old:{PER_UPDATE}", 1), (str(tmp_path / "old") + "/", 2)):
        team = fresh_team(small(UNEVEN))
        assert start_from(team, text, tmp_path, pytest.fail).origin["step"] == step * PER_UPDATE
        assert torch.equal(team.actors.values, open_policy(tmp_path / "old", str(step * PER_UPDATE)).team.actors.values)
    best = start_from(fresh_team(small(UNEVEN)), "old:best", tmp_path, pytest.fail).origin["checkpoint"]
    assert best == Checkpoints(tmp_path / "old" / "checkpoints").pointer("best")


def test_resume_needs_the_source_no_more(tmp_path: Path) -> None:
    """The checkpoint decides. A run that was killed before its first one begins again, from the source."""
    config = override(small(UNEVEN), values={"init_from": "old"})
    play(small(UNEVEN, "seed=3"), tmp_path, "old")
    play(config, tmp_path, "whole")
    play(override(config, settings=[f"run.total_steps={PER_UPDATE}"]), tmp_path, "halves")
    play(config, tmp_path, "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints")
    (tmp_path / "killed" / "checkpoints").mkdir()
    play(config, tmp_path, "killed", resume=True)
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(RunError, match="init_from was 'old', now 'other'"):
        play(override(config, values={"init_from": "other"}), tmp_path, "halves", resume=True)
    play(config, tmp_path, "halves", resume=True)
    states = [open_policy(tmp_path / name).team.state_dict() for name in ("whole", "halves", "killed")]
    rows = [
        [(row["kind"], row["step"]) for row in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("whole", "halves", "killed")
    ]
    assert rows[0] == rows[1] == rows[2]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]) and torch.equal(value, states[2][name]), name


# --- what does not fit ---


def altered(bundle: Path, change: Any) -> Path:
    """A copy whose tensors went through ``change(name, tensor)``, with hashes that are right again."""
    import hashlib

    copy = bundle.with_name("altered")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    for file in (copy / "weights").iterdir():
        tensors = {name: change(name, value) for name, value in load(file.read_bytes()).items()}
        file.write_bytes(save({name: value for name, value in tensors.items() if value is not None}))
        manifest["files"][f"weights/{file.name}"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


MISFITS: list[tuple[str, list[str], list[str]]] = [
    (UNEVEN, [], ["its agents differ", "lacks row, column", "no agent_0, agent_1"]),
    ("mamujoco/HalfCheetah-2x3", ["env.options.obsk=0"], ["agents 'agent_0', 'agent_1': observation size is 17, the task has"]),
    (
        "mamujoco/Walker2d-2x3",
        [],
        ["agents 'agent_0', 'agent_1': features: number 2 is 'qpos.bthigh'", "agent 'agent_0': action names: number 0 is"],
    ),
    (CHEETAH, ["network.hidden_sizes=[16]"], ["network.hidden_sizes is [8,8] there and [16] here", "--set network.hidden_sizes=[8,8]"]),
    (CHEETAH, ["network.activation=relu", "network.layer_norm=true"], ['activation is "tanh" there', "layer_norm is false there"]),
    (CHEETAH, list(RECURRENT), ["network.recurrent_layers is 0 there and 2 here", "network.head_sizes is [] there and [5] here"]),
    (CHEETAH, ["network.normalise_observations=false"], ["network.normalise_observations is true there and false here"]),
    ("mamujoco/Walker2d-2x3", ["network.hidden_sizes=[16]"], ["features: number 2", "network.hidden_sizes is [8,8] there"]),
]


@pytest.mark.parametrize("which", ["run", "bundle"])
@pytest.mark.parametrize(("task", "settings", "hints"), MISFITS)
def test_misfits_are_told_in_one_message(
    which: str, task: str, settings: list[str], hints: list[str], cheetah: tuple[Path, Path], tmp_path: Path
) -> None:
    config = override(small(task, *settings), values={"init_from": str(cheetah[which == "bundle"])})
    with pytest.raises(RunError if which == "run" else BundleError) as caught:
        play(config, tmp_path / "runs", "new")
    message = str(caught.value)
    assert message.startswith("--init-from: the ") and all(hint in message for hint in hints), message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("odl", RunError, "did you mean 'old'"),
        ("odl:best", RunError, "no such run or bundle"),
        ("", RunError, "no such run or bundle"),
        (":", RunError, "no such run or bundle"),
        ("x" * 5000, RunError, "no such run or bundle"),
        ("old:7", CheckpointError, "no checkpoint '7'"),
        ("old:", CheckpointError, "no checkpoint ''"),
        ("old/bundle:best", RunError, "is no run"),
        ("old/checkpoints", BundleError, "is no bundle"),
        ("old/config.toml", BundleError, "cannot be read"),
    ],
)
def test_what_is_no_source(text: str, kind: type[UserError], hint: str, cheetah: tuple[Path, Path]) -> None:
    runs = cheetah[0].parent
    with pytest.raises(kind, match=hint):
        play(override(small(), values={"init_from": text}), runs, "new")
    assert not (runs / "new").exists()


def test_damaged_sources_are_refused(cheetah: tuple[Path, Path], tmp_path: Path) -> None:
    """By their hashes; and what has the right hashes must still be the network that the manifest names."""
    run, bundle = cheetah
    config = open_policy(run).config
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    file = next((copy / "weights").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match="was altered"):
        warm_team(copy, config)
    for change in (
        lambda name, value: value[:-1] if name == "linear0_weight" else value,
        lambda name, value: None if name == "linear1_bias" else value,
        lambda name, value: value * float("nan") if name == "log_std" else value,
        lambda name, value: value * 0 if name == "observation_inverse_std" else value,
        lambda name, value: value.double(),
    ):
        with pytest.raises(BundleError, match="are not those of its network"):
            warm_team(altered(bundle, change), config)


def test_shared_weights_that_differ_are_damaged(shared: tuple[Path, Path]) -> None:
    run, bundle = shared
    config = open_policy(run).config
    for part in ("linear1_weight", "observation_mean"):
        changes = iter((1.0, 1.001))

        def change(name: str, value: torch.Tensor, part: str = part, changes: Any = changes) -> torch.Tensor:
            return value * next(changes) if name == part else value

        with pytest.raises(BundleError, match=rf"is damaged: all agents share their weights, but those of '\w+' differ \({part}\)"):
            warm_team(altered(bundle, change), config)
    with pytest.raises(BundleError, match=r"are not those of its network \(agent_id\)"):
        warm_team(altered(bundle, lambda name, value: value.flip(0) if name == "agent_id" else value), config)
    with pytest.raises(BundleError, match="share_parameters is true there and false here"):
        warm_team(bundle, override(config, settings=["network.share_parameters=false"]))


def test_critics_that_saw_something_else_start_anew(cheetah: tuple[Path, Path]) -> None:
    run, _ = cheetah
    config = override(open_policy(run).config, settings=["algorithm=mappo", "network.critic_input=observation", "seed=4"])
    team, _, message = warm_team(run, config)
    assert "network.critic_input was state, is observation" in message and "new critics" in message
    assert torch.equal(team.critics.values, fresh_team(config).critics.values)


def test_fine_tuning_starts_high(tmp_path: Path) -> None:
    """A cheetah that learned for some seconds runs on in a run of another seed, from its bundle; a fresh one stumbles."""
    settings = ["device=cpu", "env.num_threads=2", "env.options.max_episode_steps=200", "run.checkpoint_every=1000000"]
    base = resolve(settings=[*settings, "run.evaluate_every=0", "update.num_epochs=5"])
    old = play(override(base, settings=["run.total_steps=60000"]), tmp_path, "old")
    bundle = a2po.export(old.run)
    short = override(base, settings=["run.total_steps=13000", "seed=8"])
    warm = play(override(short, values={"init_from": str(bundle)}), tmp_path, "warm")
    fresh = play(short, tmp_path, "fresh")
    assert warm.return_mean is not None and fresh.return_mean is not None and old.return_mean is not None
    assert warm.return_mean > old.return_mean - 10 and warm.return_mean > fresh.return_mean + 30  # -51 fresh, 4 at the end of the old run


def test_a_trainer_of_a_warm_run_samples_with_its_own_streams(cheetah: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = cheetah
    config = override(open_policy(run).config, values={"init_from": str(run), "seed": 9})
    trainer = Trainer(config, tmp_path, torch.device("cpu"), pytest.fail)
    with closing(trainer):
        before = trainer.state_dict()["sampler"]["noise"]
        start_from(trainer.team, str(run), tmp_path, pytest.fail)
        assert torch.equal(before, trainer.state_dict()["sampler"]["noise"]) and (trainer.step, trainer.updates) == (0, 0)
        assert all(bool((stack.steps == 0).all()) for stack in (trainer.team.actors, trainer.team.critics))
