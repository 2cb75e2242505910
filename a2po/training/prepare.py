"""From a filled buffer to the frozen batch of one update round."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from a2po.algorithms.batch import Batch
from a2po.networks.team_policy import TeamPolicy
from a2po.training.buffer import RolloutBuffer


@torch.no_grad()
def prepare(team: TeamPolicy, buffer: RolloutBuffer, time_limits: str = "bootstrap") -> Batch:
    """Evaluate the critics once and show the data agent first. The batch looks into the buffer, which must not be filled anew meanwhile.

    Args:
        team: the policy that collected the data.
        buffer: T filled steps. The critics' memories of this rollout are put into it.
        time_limits: what becomes of steps that a limit cut, see ``UpdateConfig.time_limits``.

    Raises:
        WorkFailed: a valid reward, observation or state is not finite.
    """
    length, agents = buffer.length, team.spec.num_agents
    valid = buffer.valid()
    buffer.drop(valid)
    buffer.check_finite(team.spec.task)
    evaluate = _values_with_memory if team.recurrent else _values
    normalised, next_normalised = evaluate(team, buffer)  # [C, T, B] each
    rewards = buffer.reward if team.spec.reward_per_agent else buffer.reward.unsqueeze(-1).expand(-1, -1, agents)

    def per_agent(flags: Tensor) -> Tensor:
        return flags.unsqueeze(-1).expand(-1, -1, agents)  # [T, B] -> [T, B, N]

    def real_units(values: Tensor) -> Tensor:
        values = team.denormalise_values(values.flatten(1)).view_as(values)
        return values.movedim(0, -1).expand(-1, -1, agents)  # [C, T, B] -> [T, B, N]

    obs = _agent_major(buffer.obs[:length])
    batch = Batch(
        obs=obs,
        action_mask=None if buffer.action_mask is None else _agent_major(buffer.action_mask[:length]),
        samples=_agent_major(buffer.samples),
        mask=_agent_major(buffer.alive[:length] & valid.unsqueeze(-1)).float(),
        state=obs if team.critics_observe else _states(team, buffer),
        old_values=normalised.flatten(1),
        value_mask=valid.flatten().float(),
        rewards=rewards,
        values=real_units(normalised),
        next_values=real_units(next_normalised),
        terminated=per_agent(buffer.terminated),
        truncated=per_agent(buffer.truncated),
        actor_memory=_chunk_major(buffer.actor_memory),
        critic_memory=_chunk_major(buffer.critic_memory),
        keep=_keep(buffer).flatten(),
    )
    return batch if time_limits == "bootstrap" else _with_true_ends(batch, without_error=time_limits == "zeroed")


def _with_true_ends(batch: Batch, *, without_error: bool) -> Batch:
    """Cut steps count as true ends; ``without_error`` they get a reward that their value foresaw, so that their advantage is 0."""
    cut = batch.truncated & ~batch.terminated
    rewards = torch.where(cut, batch.values, batch.rewards) if without_error else batch.rewards
    return replace(batch, rewards=rewards, terminated=batch.terminated | cut, truncated=torch.zeros_like(batch.truncated))


def _states(team: TeamPolicy, buffer: RolloutBuffer) -> Tensor:
    """[M, S] or [N, M, S]."""
    states = buffer.state[: buffer.length]
    return _agent_major(states) if team.spec.state_per_agent else states.flatten(0, 1)


def _values(team: TeamPolicy, buffer: RolloutBuffer) -> tuple[Tensor, Tensor]:
    """Normalised values [C, T, B] of the states and of their true successors."""
    nothing = buffer.critic_memory[0, :, :0]
    values, _ = team.values(buffer.state.flatten(0, 1), nothing)
    values = values.view(team.num_critics, buffer.length + 1, buffer.num_envs)
    successors = values[:, 1:].clone()
    rows = buffer.truncated.nonzero(as_tuple=True)
    if len(rows[0]):
        successors[:, rows[0], rows[1]], _ = team.values(buffer.final_state[rows], nothing)
    return values[:, :-1], successors


def _values_with_memory(team: TeamPolicy, buffer: RolloutBuffer) -> tuple[Tensor, Tensor]:
    """The same step by step. What follows a cut episode is valued with the memory from before the reset."""
    values = torch.empty(buffer.length + 1, team.num_critics, buffer.num_envs, device=team.device)
    successors = values[1:].clone()
    keep, cut = _keep(buffer), set(buffer.truncated.any(1).nonzero().flatten().tolist())
    memory = buffer.critic_memory[0]
    for t in range(buffer.length):
        if t > 0:
            memory = memory * keep[t, :, None, None]
        if t % buffer.chunk_length == 0:
            buffer.critic_memory[t // buffer.chunk_length] = memory
        values[t], memory = team.values(buffer.state[t], memory)
        if t in cut:
            copies = buffer.truncated[t].nonzero().flatten()
            successors[t, :, copies], _ = team.values(buffer.final_state[t, copies], memory[:, copies])
    memory = memory * ~buffer.ended()[-1, :, None, None]
    buffer.critic_memory[-1] = memory
    values[-1], _ = team.values(buffer.state[-1], memory)
    successors = torch.where(buffer.truncated.unsqueeze(1), successors, values[1:])
    return values[:-1].transpose(0, 1), successors.transpose(0, 1)  # [T, C, B] -> [C, T, B]


def _keep(buffer: RolloutBuffer) -> Tensor:
    """[T, B] float: 0 where an episode began with the step. The recurrent state at the first step is reset already."""
    keep = torch.ones_like(buffer.truncated, dtype=torch.float32)
    keep[1:] -= buffer.ended()[:-1].float()
    return keep


def _chunk_major(memory: Tensor) -> Tensor:
    """[T / c + 1, N, B, L, H] -> [N, K, L, H]."""
    return memory[:-1].transpose(0, 1).flatten(1, 2).contiguous()


def _agent_major(values: Tensor) -> Tensor:
    """[T, B, N, ...] -> [N, M, ...], the buffer seen from the other side: states of many agents are too large for a second copy."""
    return values.flatten(0, 1).transpose(0, 1)
