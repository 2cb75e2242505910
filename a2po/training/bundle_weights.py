"""From a bundle's weights back to a team: the way of the exporter, reversed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from a2po.config import NetworkConfig
from a2po.errors import BundleError
from a2po.networks.normalise import RunningNorm
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime.bundle import AgentSpec, Bundle

MEAN, INVERSE_STD = "observation_mean", "observation_inverse_std"


def bundle_network(bundle: Bundle) -> NetworkConfig:
    """The network options that the team was trained with.

    Raises:
        BundleError: the manifest does not say.
    """
    try:
        return NetworkConfig.model_validate(bundle.manifest["training"]["config"]["network"])
    except (KeyError, TypeError, ValidationError):
        raise BundleError(f"'{bundle.path}': its manifest does not say which network it holds (training.config.network)") from None


def trained_steps(bundle: Bundle) -> int:
    """The environment steps that the team was trained for, at least 1.

    Raises:
        BundleError: the manifest does not say.
    """
    step = (bundle.manifest.get("training") or {}).get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
        raise BundleError(f"'{bundle.path}': its manifest does not say how long the team was trained (training.step)")
    return max(step, 1)


def load_bundle(bundle: Bundle, team: TeamPolicy) -> None:
    """Fill a team's actors and observation statistics from a bundle whose description and network fit it.

    Raises:
        BundleError: a file of weights holds something else than the manifest says.
    """
    views = team.actors.views(team.actors.values)
    for index, agent in enumerate(bundle.agents):
        tensors = _read(bundle, agent)
        expected = {name: value.shape for name, value in team.single_actor(index).weights.items()}
        if team.network.normalise_observations:
            expected |= {MEAN: torch.Size([agent.obs_size]), INVERSE_STD: torch.Size([agent.obs_size])}
        wrong = [name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape]
        wrong += [name for name in expected if name not in wrong and not _usable(name, tensors[name])]
        if wrong:
            raise BundleError(f"'{bundle.path}': the weights of '{agent.name}' are not those of its network ({', '.join(wrong)})")
        for name, view in views.items():
            view[index].zero_()[tuple(slice(size) for size in tensors[name].shape)] = tensors[name].to(team.device)
    if team.network.normalise_observations:
        _load_statistics(team.obs_norm, [_read(bundle, agent) for agent in bundle.agents], trained_steps(bundle))


def _read(bundle: Bundle, agent: AgentSpec) -> Mapping[str, Tensor]:
    try:
        tensors: Mapping[str, Tensor] = load(bundle.files[bundle.manifest["agents"][agent.name]["weights"]])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BundleError(f"'{bundle.path}': the weights of '{agent.name}' cannot be read ({type(error).__name__}: {error})") from None
    return tensors


def _usable(name: str, value: Tensor) -> bool:
    positive = name != INVERSE_STD or bool((value > 0).all())
    return value.dtype == torch.float32 and bool(torch.isfinite(value).all()) and positive


def _load_statistics(norm: RunningNorm, agents: list[Mapping[str, Tensor]], steps: int) -> None:
    """Mean and scale as if ``steps`` observations had given them, which is what the run itself had counted.

    A bundle has no count. With this one new data weigh as much as they would have in the run that it comes from. Statistics
    that never saw anything (mean 0, scale 1) count nothing, so that the first rollout replaces them.
    """
    state = norm.state_dict()
    for index, tensors in enumerate(agents):
        mean, inverse_std = (tensors[name].double().to(norm.mean.device) for name in (MEAN, INVERSE_STD))
        seen = bool((mean != 0).any() or (inverse_std != 1).any())
        count, size = float(steps if seen else 0), len(mean)
        state["count"][index] = count
        state["exact_mean"][index].zero_()[:size] = mean
        state["m2"][index].zero_()[:size] = count / inverse_std.square()
    norm.load_state_dict(state)
