"""What agents see while the trained policy plays its task: the inputs of the proof that an exported actor is the trained one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from a2po.envs.play import calling
from a2po.envs.protocol import TaskSpec, VectorEnv
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import generator

STEPS = 200
RECURRENT_STEPS = 1000
"""A difference in what is remembered shows late."""
FORGETTING_INTERVAL = 97
"""Steps between the resets that are added to those of the task, where episodes may be longer than the recording."""


@dataclass(frozen=True)
class Recording:
    """What agents saw while the policy played the task, with T steps of B copies."""

    obs: np.ndarray  # [T, B, N, O]
    action_mask: np.ndarray | None  # [T, B, N, A]
    begun: np.ndarray  # [T, B] bool, an episode begins with this step

    def of_agents(self, spec: TaskSpec, names: Sequence[str]) -> Seen:
        """What agents of one shape saw, at their real sizes; their places in a graph that they share are 0, 1, ..."""
        rows = [spec.agents.index(name) for name in names]
        obs_size, action_size = spec.obs_sizes[rows[0]], spec.action_sizes[rows[0]]
        places = np.arange(len(rows), dtype=np.int32)
        inputs = {
            "obs": self.obs[:, :, rows, :obs_size],
            "agent": np.broadcast_to(places, (*self.begun.shape, len(rows))),
            "noise": self._noise(rows, action_size),
        }
        if self.action_mask is not None:
            inputs["action_mask"] = self.action_mask[:, :, rows, :action_size]
        return Seen(inputs, self.begun)

    def _noise(self, rows: Sequence[int], action_size: int) -> np.ndarray:
        """[T, B, n, A] float32 for a graph that samples."""
        stream = np.random.default_rng(list(rows))
        draw = stream.standard_normal if self.action_mask is None else stream.random
        return draw((*self.begun.shape, len(rows), action_size), dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """The inputs of one graph over T steps of B copies and the n agents that share it, but for the state."""

    inputs: dict[str, np.ndarray]  # [T, B, n, ...] by port; those that a graph does not have are not fed
    begun: np.ndarray  # [T, B] bool, an episode begins with this step

    def greedy(self) -> Seen:
        """The same with a noise that changes nothing."""
        neutral = 0.5 if "action_mask" in self.inputs else 0.0
        return Seen({**self.inputs, "noise": np.full_like(self.inputs["noise"], neutral)}, self.begun)

    def feed(self, ports: Iterable[str], step: int, batch: int) -> dict[str, np.ndarray]:
        """What the agents of the first ``batch`` copies saw, for these ports: [batch · n, ...]."""
        chosen = {name: self.inputs[name][step, :batch] for name in ports if name != "state_in"}
        return {name: np.ascontiguousarray(values.reshape(-1, *values.shape[2:])) for name, values in chosen.items()}


@torch.no_grad()
def record(env: VectorEnv, team: TeamPolicy, steps: int, seed: int = 0) -> Recording:
    """Play the sampled policy and keep what the agents saw. ``env`` has as many copies as the largest batch.

    Every copy forgets now and then, each at other steps, as if an episode began: so every recording has resets.
    """
    noise = generator(seed, "parity")
    with calling(env):
        observations, state = env.reset(), team.initial_state(env.num_envs)
    obs, masks, begun = [], [], [np.ones(env.num_envs, bool)]
    for step in range(steps):
        obs.append(observations.obs.cpu().numpy().copy())
        if observations.action_mask is not None:
            masks.append(observations.action_mask.cpu().numpy().copy())
        if step + 1 == steps:
            break
        actions = team.act(observations.obs, observations.action_mask, state, noise)
        with calling(env):
            result = env.step(actions.actions)
        observations, ended = result.observations, result.terminated | result.truncated
        forgets = (step + 1 + torch.arange(env.num_envs, device=ended.device) * 5) % FORGETTING_INTERVAL == 0
        begins = ended | forgets if team.recurrent else ended
        state = torch.where(begins[None, :, None, None], 0.0, actions.state_out)
        begun.append(begins.cpu().numpy().copy())
    return Recording(np.stack(obs), _with_single_choices(np.stack(masks)) if masks else None, np.stack(begun))


def _with_single_choices(masks: np.ndarray) -> np.ndarray:
    """Leave one legal action only in every tenth step: a mask that is not obeyed shows there."""
    single = masks.copy()
    first = np.argmax(masks[::10], axis=-1)  # [T/10, B, N]
    last = masks.shape[-1] - 1 - np.argmax(masks[::10, ..., ::-1], axis=-1)
    kept = np.where((np.arange(masks.shape[1]) % 2 == 0)[None, :, None], first, last)
    single[::10] = masks[::10] & (np.arange(masks.shape[-1]) == kept[..., None])
    return single
