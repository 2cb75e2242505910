"""Trained policies without training: random weights with biases, and observation statistics that are not trivial."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from a2po.config import EnvConfig, NetworkConfig, TrainConfig
from a2po.envs.football.library import find_library
from a2po.errors import DependencyError
from a2po.exporters.build import build_bundle
from a2po.exporters.options import ExportOptions
from a2po.networks.team_policy import TeamPolicy
from a2po.training.runs import TrainedPolicy, make_env

# A busy machine is no fault of an example.
settings.register_profile("a2po", deadline=None)
settings.load_profile("a2po")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked ``football``, or plays such a task, needs the engine, which ``make test`` installs."""
    task = getattr(item, "callspec", None) and item.callspec.params.get("task")
    if item.get_closest_marker("football") or str(task).startswith("football/"):
        try:
            find_library()
        except DependencyError as error:
            pytest.skip(str(error))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Idle torch threads would spin on the simulator's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


HUMANOID = "mamujoco/Humanoid-9|8"
CHEETAH = "mamujoco/HalfCheetah-2x3"
UNEVEN = "matrix/uneven"


def random_policy(run: Path, task: str = UNEVEN, **network) -> TrainedPolicy:
    options = {"length": 3} if task.startswith("matrix") else {}
    config = TrainConfig(task=task, network=NetworkConfig(**network), env=EnvConfig(num_threads=1, options=options))
    env = make_env(config, 1, seed=0)
    env.close()
    team = TeamPolicy(env.spec, config.network, seed=0)
    stream = torch.Generator().manual_seed(7)
    team.actors.values.copy_(torch.randn(team.actors.values.shape, generator=stream) * 0.3)
    mask_padding(team)
    seen = torch.randn(64, *team.obs_norm.shape, generator=stream) * 3.0 + 1.0
    if seen.dim() == 3:  # observations are zero where an agent has none
        seen *= torch.arange(team.spec.max_obs_size) < torch.tensor(team.spec.obs_sizes)[:, None]
    team.obs_norm.update(seen)
    return TrainedPolicy(run, config, team, 4096, "step_000000004096", {"a2po": "0.1.0", "commit": "c0ffee"})


def mask_padding(team: TeamPolicy) -> None:
    """Zero what no agent has, as training leaves it."""
    fresh = TeamPolicy(team.spec, team.network, seed=1).actors
    first, last = "linear0_weight", f"{team.actor_shape.network.output_layer}_weight"
    views, kept = team.actors.views(team.actors.values), fresh.views(fresh.values)
    for name in (first, last):
        views[name].mul_(kept[name] != 0)


def open_env(policy: TrainedPolicy):
    return lambda copies: make_env(policy.config, copies, seed=1)


@pytest.fixture
def orchard() -> type:
    """The environment of examples/own_environment.py."""
    found = spec_from_file_location("own_environment", Path(__file__).parents[1] / "examples" / "own_environment.py")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module.Orchard


@pytest.fixture(scope="session", autouse=True)
def _skirmish() -> None:
    """The task ``skirmish:make`` is there (tests/skirmish.py)."""
    found = spec_from_file_location("skirmish", Path(__file__).parent / "skirmish.py")
    sys.modules["skirmish"] = module_from_spec(found)
    found.loader.exec_module(sys.modules["skirmish"])


@pytest.fixture(scope="session")
def policy_at():
    """``policy_at(run folder, task, **network)``: the function itself, for fixtures of other folders."""
    return random_policy


@pytest.fixture
def make_policy(tmp_path):
    def make(task: str = UNEVEN, **network) -> TrainedPolicy:
        return random_policy(tmp_path / "run", task, **network)

    return make


@pytest.fixture(scope="session")
def build():
    def build_it(policy: TrainedPolicy, *, agents=None, output=None, **options) -> Path:
        return build_bundle(policy, open_env(policy), agents=agents, output=output, options=ExportOptions(**options))

    return build_it


@pytest.fixture(scope="session", params=[UNEVEN, CHEETAH, HUMANOID])
def exported(request, tmp_path_factory) -> tuple[TrainedPolicy, Path]:
    """A policy and its bundle: discrete with unequal numbers of actions, continuous, continuous with unequal observations."""
    policy = random_policy(tmp_path_factory.mktemp("exported") / "run", request.param)
    return policy, build_bundle(policy, open_env(policy))


@pytest.fixture(scope="session")
def uneven(tmp_path_factory) -> tuple[TrainedPolicy, Path]:
    """The smallest policy and its bundle. Tests that alter the bundle copy it first."""
    policy = random_policy(tmp_path_factory.mktemp("uneven") / "run")
    return policy, build_bundle(policy, open_env(policy))


@pytest.fixture
def shared_policy(make_policy):
    """A task whose agents have the same sizes, with equal weights."""
    policy = make_policy("matrix/climbing")
    policy.team.actors.values[1] = policy.team.actors.values[0]
    for name in ("exact_mean", "m2"):
        getattr(policy.team.obs_norm, name)[1] = getattr(policy.team.obs_norm, name)[0]
    policy.team.obs_norm._refresh()
    return policy
