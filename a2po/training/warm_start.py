"""Warm starts: a new run begins with the trained weights of a run or a bundle. Everything is hash-checked, nothing is unpickled.

A run gives actors, critics and all statistics; a bundle, which has no critics, gives actors and observation statistics. Weights
belong to inputs and outputs by position, so agents, features and actions must agree by name as well as by size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2po.config import NetworkConfig
from a2po.errors import BundleError, RunError, UserError, did_you_mean
from a2po.files import sha256
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime.bundle import read_bundle
from a2po.training.bundle_weights import bundle_network, load_bundle, trained_steps
from a2po.training.checkpoint_files import TENSORS
from a2po.training.fit import Description, describe_bundle, describe_task, differences
from a2po.training.runs import TrainedPolicy, list_runs, open_policy

SHAPING = (
    "hidden_sizes",
    "recurrent_layers",
    "recurrent_size",
    "head_sizes",
    "activation",
    "layer_norm",
    "normalise_observations",
    "share_parameters",
)
"""The options of a network that its weights only make sense with."""


@dataclass(frozen=True)
class WarmStart:
    """What a run began with: for its provenance, and in words."""

    origin: dict[str, Any]
    message: str


@dataclass(frozen=True)
class _Source:
    """Trained weights that a team may begin with."""

    what: str
    origin: dict[str, Any]
    description: Description
    network: NetworkConfig
    load: Callable[[TeamPolicy], str]  # fills a team that fits, and says what was not taken
    refusal: type[UserError]


def start_from(team: TeamPolicy, text: str, runs: Path, say: Callable[[str], None], *, critics: bool = True) -> WarmStart:
    """Fill a fresh team with trained weights. Optimisers stay as they are: new.

    Args:
        team: the team of a run that has not begun.
        text: ``--init-from``: a run (its path, or its name in ``runs``), which may end with ``:best`` or ``:STEP``, or a bundle.
        runs: the folder that holds the runs.
        say: where notices go.
        critics: False where the team is trained without them.

    Raises:
        UserError: there is no such run or bundle, it is damaged, or it does not fit. Every misfit is in one message.
    """
    source = _open(text, runs, say)
    problems = [*differences(source.description, team.spec), *_network_differences(source.network, team.network)]
    if problems:
        raise source.refusal(f"--init-from: {source.what} does not fit '{team.spec.task}': {'; '.join(problems)}")
    rest = source.load(team)
    return WarmStart(source.origin, f"begins with the weights of {source.what}, {rest if critics else 'its actors alone'}")


def _open(text: str, runs: Path, say: Callable[[str], None]) -> _Source:
    path, checkpoint = locate(text, runs)
    if (path / "config.toml").is_file():
        return _trained(open_policy(path, "latest" if checkpoint is None else checkpoint, say))
    if checkpoint is not None:
        raise RunError(f"--init-from '{text}': '{path}' is no run, so it has no checkpoint '{checkpoint}'")
    return _exported(path)


def locate(text: str, runs: Path) -> tuple[Path, str | None]:
    """The folder or archive that is meant, and the checkpoint if one is named. A path goes before a name in ``runs``.

    Raises:
        RunError: there is neither.
    """
    whole, (head, _, checkpoint) = text.rstrip("/"), text.rpartition(":")
    for name, which in ((whole, None), (head, checkpoint)):
        for path in (Path(name), runs / name):
            if name and os.path.exists(path):  # unlike Path.exists, it says no to a name that is too long
                return path, which
    names = [run.name for run in list_runs(runs)]
    raise RunError(f"--init-from '{text}': there is no such run or bundle{did_you_mean(text, names)}")


def _trained(policy: TrainedPolicy) -> _Source:
    """A checkpoint of a run."""
    origin = {
        "kind": "run",
        "name": policy.run.resolve().name,
        "task": policy.config.task,
        "algorithm": policy.config.algorithm,
        "seed": policy.config.seed,
        "checkpoint": policy.checkpoint,
        "step": policy.step,
        "sha256": sha256(policy.run / "checkpoints" / policy.checkpoint / TENSORS),
    }

    def load(team: TeamPolicy) -> str:
        team.actors.load_weights(policy.team.actors.state_dict())
        team.obs_norm.load_state_dict(policy.team.obs_norm.state_dict())
        new = _critic_differences(policy.team, team)
        if new:
            return f"with new critics ({'; '.join(new)})"
        team.critics.load_weights(policy.team.critics.state_dict())
        team.state_norm.load_state_dict(policy.team.state_norm.state_dict())
        team.value_norm.load_state_dict(policy.team.value_norm.state_dict())
        return "with its critics"

    what = f"the run '{policy.run}' at step {policy.step:,}"
    return _Source(what, origin, describe_task(policy.team.spec), policy.team.network, load, RunError)


def _exported(path: Path) -> _Source:
    """A bundle."""
    bundle = read_bundle(path)
    training = dict(bundle.manifest.get("training") or {})
    kept = {key: training.get(key) for key in ("run", "algorithm", "seed", "checkpoint", "step")}
    origin = {"kind": "bundle", "name": bundle.path.resolve().name, "task": bundle.task, **kept, "fingerprint": bundle.fingerprint}

    def load(team: TeamPolicy) -> str:
        load_bundle(bundle, team)
        return "with new critics: a bundle has none"

    what = f"the bundle '{bundle.path}' of step {trained_steps(bundle):,}"
    return _Source(what, origin, describe_bundle(bundle), bundle_network(bundle), load, BundleError)


def _network_differences(source: NetworkConfig, own: NetworkConfig) -> list[str]:
    """In words, with what makes them agree."""
    recurrent = source.recurrent_layers or own.recurrent_layers
    names = [name for name in SHAPING if recurrent or name != "recurrent_size"]
    changed = {name: (getattr(source, name), getattr(own, name)) for name in names if getattr(source, name) != getattr(own, name)}
    if not changed:
        return []
    listed = [f"network.{name} is {_toml(theirs)} there and {_toml(mine)} here" for name, (theirs, mine) in changed.items()]
    settings = " ".join(f"--set network.{name}={_toml(theirs)}" for name, (theirs, _) in changed.items())
    return [*listed, f"the networks agree with {settings}"]


def _critic_differences(source: TeamPolicy, own: TeamPolicy) -> list[str]:
    """Why critics cannot be taken over: actors may fit where these do not."""

    def facts(team: TeamPolicy) -> dict[str, Any]:
        return {
            "network.critic_input": team.network.critic_input,
            "the shape of what critics see": list(team.critic_input_shape),
            "network.critics": team.network.critics,
            "network.normalise_values": team.network.normalise_values,
        }

    theirs, mine = facts(source), facts(own)
    return [f"{name} was {theirs[name]}, is {mine[name]}" for name in mine if theirs[name] != mine[name]]


def _toml(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
