"""The conformance tests that every environment passes, ours and yours.

    from a2po.testing import EnvironmentConformance

    class TestMyTask(EnvironmentConformance):
        task = "my_package.my_module:make"

pytest then runs every check below. A class may set ``options``, ``num_envs`` and ``num_steps``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box

from a2po.envs.protocol import Observations, Step, TaskSpec, VectorEnv
from a2po.envs.registry import make


class EnvironmentConformance:
    """Shapes, dtypes, masks, seeding, replay, ends, final observations, exact state, ``out``."""

    task: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    num_envs: ClassVar[int] = 3
    num_steps: ClassVar[int] = 40

    @contextmanager
    def environment(self, num_envs: int | None = None, *, seed: int = 0, **changes: Any) -> Iterator[VectorEnv]:
        """A fresh environment that is closed at the end."""
        env = make(self.task, num_envs or self.num_envs, seed=seed, **{**self.options, **changes})
        try:
            yield env
        finally:
            env.close()

    def test_spec_is_consistent(self) -> None:
        """One entry per agent everywhere; a name for every feature and action."""
        with self.environment() as env:
            spec = env.spec
            for values in (spec.obs_sizes, spec.action_spaces, spec.feature_names, spec.action_names):
                assert len(values) == spec.num_agents >= 1
            assert len(set(spec.agents)) == spec.num_agents
            assert [len(names) for names in spec.feature_names] == list(spec.obs_sizes)
            assert [len(names) for names in spec.action_names] == list(spec.action_sizes)
            assert spec.state_size >= 1 and spec.max_episode_steps >= 1

    def test_shapes_and_dtypes(self) -> None:
        """Every tensor has the shape, dtype and device that the contract says, in reset and in step."""
        with self.environment() as env:
            first = env.reset()
            check_observations(env.spec, env.num_envs, first)
            step = env.step(RandomPlayer(env)(first))
            check_observations(env.spec, env.num_envs, step.observations)
            reward_shape = (env.num_envs, env.spec.num_agents) if env.spec.reward_per_agent else (env.num_envs,)
            assert tuple(step.reward.shape) == reward_shape and step.reward.dtype == torch.float32
            for flags in (step.terminated, step.truncated, step.invalid):
                assert tuple(flags.shape) == (env.num_envs,) and flags.dtype == torch.bool

    def test_padding_is_zero_and_masks_are_legal(self) -> None:
        """Features beyond an agent's size are zero; every living agent has a legal action and no padded one is legal."""
        with self.environment() as env:
            for observations, *_ in walk(env, self.num_steps):
                for agent, size in enumerate(env.spec.obs_sizes):
                    assert not observations.obs[:, agent, size:].any()
                if observations.action_mask is not None:
                    assert observations.action_mask[observations.alive].any(-1).all()
                    for agent, size in enumerate(env.spec.action_sizes):
                        assert not observations.action_mask[:, agent, size:].any()

    def test_same_seed_same_numbers(self) -> None:
        """Two environments with one seed agree bit for bit; another seed differs."""
        traces = []
        for seed in (1, 1, 2):
            with self.environment(seed=seed) as env:
                traces.append(trace(env, self.num_steps))
        assert_equal(traces[0], traces[1])
        assert any(not torch.equal(one, other) for one, other in zip(traces[0], traces[2], strict=True))

    def test_copies_do_not_depend_on_their_number(self) -> None:
        """Copy 0 plays the same episodes alone and among others."""
        traces = []
        for num_envs in (1, self.num_envs + 1):
            with self.environment(num_envs) as env:
                traces.append(trace(env, self.num_steps, rows=slice(0, 1)))
        assert_equal(*traces)

    def test_episode_seeds_replay(self) -> None:
        """``reset(seeds=env.episode_seeds)`` gives the same first observations again, whatever was played before."""
        with self.environment() as env:
            first = clone(env.reset())
            seeds = env.episode_seeds
            for _ in walk(env, 3):
                pass
            assert_equal([first.obs, first.state], [*env.reset(seeds)[:2]])
            assert (env.episode_seeds == seeds).all()

    def test_ends_and_records(self) -> None:
        """A finished episode has a record with its seed, length and return; the copy goes on with a new seed."""
        with self.environment() as env:
            first = env.reset()
            env.drain_episodes()
            returns, lengths, records = np.zeros(env.num_envs), np.zeros(env.num_envs, int), []
            seeds = env.episode_seeds
            for step in walk(env, self.num_steps, first):
                reward = step.reward.double().cpu().numpy()
                returns += reward if reward.ndim == 1 else reward.mean(1)
                lengths += 1
                drained = env.drain_episodes()
                ended = (step.terminated | step.truncated).cpu().numpy()
                assert sorted(record["copy"] for record in drained) == list(np.flatnonzero(ended))
                for record in drained:
                    copy = record["copy"]
                    assert record["length"] == lengths[copy] <= env.spec.max_episode_steps
                    assert record["seed"] == seeds[copy] != env.episode_seeds[copy]
                    assert record["invalid"] or np.isclose(record["return"], returns[copy], rtol=1e-3, atol=1e-3)
                    assert all(name in record for name in env.spec.metrics)
                returns[ended], lengths[ended], seeds = 0.0, 0, env.episode_seeds
                records += drained
            if env.spec.max_episode_steps < self.num_steps:
                assert records, "no episode ended within its own step limit"

    def test_final_is_the_true_successor(self) -> None:
        """Where an episode ends, ``final`` is not the first observation of the next one."""
        with self.environment() as env:
            for step in walk(env, self.num_steps):
                for copy in (step.terminated | step.truncated).nonzero().flatten().tolist():
                    assert not torch.equal(step.final.state[copy], step.observations.state[copy])
                assert not (step.invalid & ~(step.terminated | step.truncated)).any()

    def test_out_is_filled_in_place(self) -> None:
        """With ``out`` the observations land in the caller's tensors and equal those without it."""
        with self.environment() as one, self.environment() as other:
            slots = clone(one.reset())
            now = other.reset()
            player = RandomPlayer(other)
            for _ in range(min(self.num_steps, 10)):
                actions = player(now)
                filled = one.step(actions, out=slots).observations
                now = other.step(actions).observations
                for mine, target, wanted in zip(filled, slots, now, strict=True):
                    if mine is not None and target is not None and wanted is not None:
                        assert mine.data_ptr() == target.data_ptr() and torch.equal(mine, wanted)

    def test_state_round_trip(self) -> None:
        """A saved state, loaded into a fresh environment, goes on bit for bit."""
        with self.environment() as env, self.environment(seed=5) as fresh:
            if not env.spec.exact_state:
                return
            player, now = RandomPlayer(env), env.reset()
            for _ in range(self.num_steps // 2):
                now = env.step(player(now)).observations
            saved, now = env.state_dict(), clone(now)
            fresh.reset()
            fresh.load_state_dict(saved)
            assert (fresh.episode_seeds == env.episode_seeds).all()
            for _ in range(self.num_steps):
                actions = player(now)
                mine, theirs = env.step(actions), fresh.step(actions)
                assert_equal(flat(mine), flat(theirs))
                now = mine.observations
            assert env.drain_episodes() == fresh.drain_episodes()


class RandomPlayer:
    """Random legal actions. Every copy draws from a stream of its own, so copy b plays the same whatever the others do."""

    def __init__(self, env: VectorEnv, seed: int = 0) -> None:
        self.env = env
        self.streams = [np.random.default_rng([seed, copy]) for copy in range(env.num_envs)]

    def __call__(self, observations: Observations) -> torch.Tensor:
        """Actions in the environment's units."""
        spec = self.env.spec
        draws = np.stack([stream.random((spec.num_agents, spec.max_action_size)) for stream in self.streams])
        if observations.action_mask is not None:
            legal = observations.action_mask.cpu()
            return torch.where(legal, torch.from_numpy(draws), -1.0).argmax(-1).to(self.env.device)
        actions = np.zeros(draws.shape, np.float32)
        for agent, space in enumerate(spec.action_spaces):
            assert isinstance(space, Box)
            low, high, size = space.low.reshape(-1), space.high.reshape(-1), spec.action_sizes[agent]
            actions[:, agent, :size] = low + (high - low) * draws[:, agent, :size].astype(np.float32)
        return torch.from_numpy(actions).to(self.env.device)


def walk(env: VectorEnv, num_steps: int, observations: Observations | None = None) -> Iterator[Step]:
    """Play random legal actions from a reset, or from where ``observations`` were seen."""
    player, now = RandomPlayer(env), env.reset() if observations is None else observations
    for _ in range(num_steps):
        step = env.step(player(now))
        yield step
        now = step.observations


def trace(env: VectorEnv, num_steps: int, rows: slice = slice(None)) -> list[torch.Tensor]:
    """Observations, states and rewards of a random walk, copied."""
    seen: list[torch.Tensor] = []
    for step in walk(env, num_steps):
        tensors = [step.observations.obs, step.observations.state, step.reward, step.terminated, step.truncated]
        seen += [tensor[rows].clone() for tensor in tensors]
    return seen


def clone(observations: Observations) -> Observations:
    """A copy that outlives the next step."""
    return Observations(*(None if values is None else values.clone() for values in observations))  # type: ignore[arg-type]


def flat(step: Step) -> list[torch.Tensor]:
    """Every tensor of a step, but ``final`` only where an episode ended: its other rows are unspecified."""
    ended = step.terminated | step.truncated
    final = [values[ended] for values in step.final if values is not None]
    return [values for values in step.observations if values is not None] + [*step[1:5], *final]


def check_observations(spec: TaskSpec, num_envs: int, observations: Observations) -> None:
    """Shapes and dtypes of the contract."""
    agents = spec.num_agents
    assert tuple(observations.obs.shape) == (num_envs, agents, spec.max_obs_size) and observations.obs.dtype == torch.float32
    state_shape = (num_envs, agents, spec.state_size) if spec.state_per_agent else (num_envs, spec.state_size)
    assert tuple(observations.state.shape) == state_shape and observations.state.dtype == torch.float32
    assert tuple(observations.alive.shape) == (num_envs, agents) and observations.alive.dtype == torch.bool
    assert (observations.action_mask is not None) == spec.discrete
    if observations.action_mask is not None:
        assert tuple(observations.action_mask.shape) == (num_envs, agents, spec.max_action_size)
        assert observations.action_mask.dtype == torch.bool
    assert bool(torch.isfinite(observations.obs).all()) and bool(torch.isfinite(observations.state).all())


def assert_equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> None:
    """Bit for bit."""
    assert len(one) == len(other)
    for position, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        assert torch.equal(mine, theirs), f"tensor {position} differs"
