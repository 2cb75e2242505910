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

MEAN, INVERSE_STD, AGENT_ID = "observation_mean", "observation_inverse_std", "agent_id"


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
        BundleError: a file of weights holds something else than the manifest says, or agents that share weights have other ones.
    """
    if not bundle.agents[0].weights:
        raise BundleError(f"'{bundle.path}' holds ONNX actors only, no weights to begin from: export the run again with --format all")
    agents = [_read(bundle, agent) for agent in bundle.agents]
    for index, tensors in enumerate(agents):
        _check_tensors(bundle, team, index, tensors)
    views = team.actors.views(team.actors.values)
    team.actors.values.zero_()
    for index, tensors in enumerate(agents):
        for name, view in views.items():
            _real_part(view[0 if team.shared else index], tensors[name]).copy_(tensors[name])
    if team.shared:
        _check_shared(bundle, team, agents)
    if team.network.normalise_observations:
        _load_statistics(team.obs_norm, agents, trained_steps(bundle))


def _check_tensors(bundle: Bundle, team: TeamPolicy, index: int, tensors: Mapping[str, Tensor]) -> None:
    """An agent's tensors are there, of the right shapes, and numbers that can be used. Raises: BundleError."""
    agent, single = bundle.agents[index], team.single_actor(index)
    expected = {name: value.shape for name, value in single.weights.items()}
    if team.network.normalise_observations:
        expected |= {MEAN: torch.Size([agent.obs_size]), INVERSE_STD: torch.Size([agent.obs_size])}
    wrong = [name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape]
    wrong += [name for name in expected if name not in wrong and not _usable(name, tensors[name])]
    if single.agent_id is not None and (AGENT_ID not in tensors or not torch.equal(tensors[AGENT_ID], single.agent_id)):
        wrong.append(AGENT_ID)
    if wrong:
        raise BundleError(f"'{bundle.path}': the weights of '{agent.name}' are not those of its network ({', '.join(wrong)})")


def _check_shared(bundle: Bundle, team: TeamPolicy, agents: list[Mapping[str, Tensor]]) -> None:
    """What all agents share is the same in every file; where it is not, the last one has overwritten it. Raises: BundleError."""
    filled = {name: view[0].cpu() for name, view in team.actors.views(team.actors.values).items()}
    if team.network.normalise_observations and team.obs_norm.mean.dim() == 1:
        filled |= {name: agents[-1][name] for name in (MEAN, INVERSE_STD)}
    for agent, tensors in zip(bundle.agents, agents, strict=True):
        wrong = [name for name, whole in filled.items() if not torch.equal(_real_part(whole, tensors[name]), tensors[name])]
        if wrong:
            raise BundleError(
                f"'{bundle.path}' is damaged: all agents share their weights, but those of '{agent.name}' differ ({', '.join(wrong)})"
            )


def _real_part(whole: Tensor, own: Tensor) -> Tensor:
    """The part of a padded parameter that an agent has."""
    return whole[tuple(slice(size) for size in own.shape)]


def _read(bundle: Bundle, agent: AgentSpec) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load(bundle.files[agent.weights])
        for name in (MEAN, INVERSE_STD, AGENT_ID):
            if name in tensors and tensors[name].dim() == 2:  # a table with a row for every agent of the file
                tensors[name] = tensors[name][agent.row]
    except (KeyError, IndexError, TypeError, ValueError, SafetensorError) as error:
        raise BundleError(f"'{bundle.path}': the weights of '{agent.name}' cannot be read ({type(error).__name__}: {error})") from None
    return tensors


def _usable(name: str, value: Tensor) -> bool:
    positive = name != INVERSE_STD or bool((value > 0).all())
    return value.dtype == torch.float32 and bool(torch.isfinite(value).all()) and positive


def _load_statistics(norm: RunningNorm, agents: list[Mapping[str, Tensor]], steps: int) -> None:
    """Mean and scale as if ``steps`` observations had given them, which is what the run itself had counted.

    A bundle has no count. With this one new data weigh as much as they would have in the run that it comes from. Statistics
    that never saw anything (mean 0, scale 1) count nothing, so that the first rollout replaces them. Where all agents have the same
    statistics, every step was an observation of each.
    """
    state = norm.state_dict()
    rows = {name: values.view(-1, values.shape[-1]) for name, values in state.items()}
    each = len(agents) // len(rows["count"])
    for index, tensors in enumerate(agents[::each]):
        mean, inverse_std = (tensors[name].double().to(norm.mean.device) for name in (MEAN, INVERSE_STD))
        seen = bool((mean != 0).any() or (inverse_std != 1).any())
        count, size = float(each * steps if seen else 0), len(mean)
        rows["count"][index] = count
        rows["exact_mean"][index].zero_()[:size] = mean
        rows["m2"][index].zero_()[:size] = count / inverse_std.square()
    norm.load_state_dict(state)
