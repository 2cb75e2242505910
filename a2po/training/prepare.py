"""From a filled buffer to the frozen batch of one update round."""

from __future__ import annotations

import torch
from torch import Tensor

from a2po.algorithms.batch import Batch
from a2po.networks.team_policy import TeamPolicy
from a2po.training.buffer import RolloutBuffer


@torch.no_grad()
def prepare(team: TeamPolicy, buffer: RolloutBuffer, recurrent_state: Tensor) -> Batch:
    """Evaluate the critics once and lay the data out agent first.

    Args:
        team: the policy that collected the data.
        buffer: T filled steps.
        recurrent_state: [N, B, L, H] at the first step.

    Raises:
        WorkFailed: a valid reward, observation or state is not finite.
    """
    length, agents = buffer.length, team.spec.num_agents
    valid = buffer.valid()
    buffer.drop(valid)
    buffer.check_finite(team.spec.task)
    normalised, next_normalised = _values(team, buffer)  # [C, T, B] each
    rewards = buffer.reward if team.spec.reward_per_agent else buffer.reward.unsqueeze(-1).expand(-1, -1, agents)

    def per_agent(flags: Tensor) -> Tensor:
        return flags.unsqueeze(-1).expand(-1, -1, agents)  # [T, B] -> [T, B, N]

    def real_units(values: Tensor) -> Tensor:
        values = team.denormalise_values(values.flatten(1)).view_as(values)
        return values.movedim(0, -1).expand(-1, -1, agents)  # [C, T, B] -> [T, B, N]

    return Batch(
        obs=_agent_major(buffer.obs[:length]),
        action_mask=None if buffer.action_mask is None else _agent_major(buffer.action_mask[:length]),
        recurrent_state=recurrent_state,
        samples=_agent_major(buffer.samples),
        old_log_probs=_agent_major(buffer.log_probs),
        mask=_agent_major(buffer.alive[:length] & valid.unsqueeze(-1)).float(),
        state=_agent_major(buffer.state[:length]) if team.spec.state_per_agent else buffer.state[:length].flatten(0, 1),
        old_values=normalised.flatten(1),
        value_mask=valid.flatten().float(),
        rewards=rewards,
        values=real_units(normalised),
        next_values=real_units(next_normalised),
        terminated=per_agent(buffer.terminated),
        truncated=per_agent(buffer.truncated),
    )


def _values(team: TeamPolicy, buffer: RolloutBuffer) -> tuple[Tensor, Tensor]:
    """Normalised values [C, T, B] of the states and of their true successors."""
    values = team.values(buffer.state.flatten(0, 1)).view(team.num_critics, buffer.length + 1, buffer.num_envs)
    successors = values[:, 1:].clone()
    rows = buffer.truncated.nonzero(as_tuple=True)
    if len(rows[0]):
        successors[:, rows[0], rows[1]] = team.values(buffer.final_state[rows])
    return values[:, :-1], successors


def _agent_major(values: Tensor) -> Tensor:
    """[T, B, N, ...] -> [N, M, ...] in one contiguous piece."""
    return values.flatten(0, 1).transpose(0, 1).contiguous()
