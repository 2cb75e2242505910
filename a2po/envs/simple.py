"""SimpleEnv: the base of environments written in numpy. A game says how it begins, goes on and looks; the rest is here.

The rest is what the contract asks of every environment: batching, seeds, records, the step limit, resets within the step,
true successors, ``out``, legal actions, saving and going on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from a2po.envs.episodes import EpisodeTracker
from a2po.envs.protocol import EpisodeRecord, Observations, Step, TaskSpec
from a2po.errors import ActionError, CheckpointError


class SimpleEnv:
    """B copies of a game whose state is a few arrays. Subclasses give ``saved``, ``begin``, ``advance`` and ``observe``.

    Args:
        spec: the task. Its ``max_episode_steps`` truncates; its ``metrics`` are counted in ``self.counts``.
        num_envs: B.
        seed: the run's seed.
        device: where the tensors live.
    """

    saved: ClassVar[tuple[str, ...]]
    """Names of the arrays [B, ...] that hold the games' state, all of it: the environment is saved and restored by them."""

    def __init__(self, spec: TaskSpec, num_envs: int, *, seed: int, device: torch.device) -> None:
        self.spec, self.num_envs, self.device = spec, num_envs, device
        self._tracker = EpisodeTracker(num_envs, seed, spec.metrics)
        self.counts: dict[str, np.ndarray] = dict(zip(spec.metrics, self._tracker.sums, strict=True))
        """Metric -> [B], zero at the start of an episode; ``advance`` adds to it."""
        self._mask: np.ndarray | None = None

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """Set up one copy's next episode, drawing all chance from ``random``: it comes from the episode's seed."""
        raise NotImplementedError

    def begin_all(self, copies: np.ndarray, seeds: np.ndarray) -> None:
        """Begin the next episodes of ``copies`` [K], whose ``seeds`` [K] they are: ``begin`` for each, unless a game is quicker at once."""
        for copy, seed in zip(copies.tolist(), seeds.tolist(), strict=True):
            self.begin(copy, np.random.default_rng(seed))

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Play one step of every copy.

        Args:
            actions: [B, N] int64, legal; or [B, N, A] float32, finite.

        Returns: reward [B] or [B, N], and terminated [B]: True where the game is over, the step limit aside.
        """
        raise NotImplementedError

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """What is seen: obs [B, N, O] and state [B, S] (or [B, N, S]), any float; action_mask [B, N, A] bool or None."""
        raise NotImplementedError

    def truncated(self) -> np.ndarray:
        """[B] bool, asked after ``advance``: where the episode is cut. The step limit, unless a game has other reasons besides."""
        return self.length >= self.spec.max_episode_steps

    def faults(self) -> np.ndarray:
        """[B] bool, asked after ``advance``: episodes that a fault ended; they count for nothing. None, unless a game can break."""
        return np.zeros(self.num_envs, bool)

    def metrics(self) -> Mapping[str, np.ndarray]:
        """Metric -> [B], asked where episodes end: ``counts``, unless a game keeps its own."""
        return self.counts

    def remarks(self, copy: int) -> Mapping[str, Any]:
        """What the record of a copy's episode holds besides, when it ends. Nothing, unless somebody watches the game."""
        return {}

    def alive(self) -> np.ndarray:
        """[B, N] bool: who takes part. Everybody, unless a game says otherwise."""
        return np.ones((self.num_envs, self.spec.num_agents), bool)

    def render(self, copy: int) -> np.ndarray:
        """A picture of one copy: uint8 [H, W, 3]."""
        raise NotImplementedError(f"{self.spec.task} draws no picture: it has no render()")

    @property
    def length(self) -> np.ndarray:
        """[B] int64: steps of the running episodes so far."""
        return self._tracker.length

    @property
    def seeds(self) -> np.ndarray:
        """[B] int64: as ``episode_seeds``, not copied: to read."""
        return self._tracker.seeds

    @property
    def episode_seeds(self) -> np.ndarray:
        """[B] int64: seeds of the running episodes."""
        return self._tracker.seeds.copy()

    def reset(self, seeds: Sequence[int] | np.ndarray | None = None) -> Observations:
        """Start the next episode in every copy."""
        self._begin(np.arange(self.num_envs), seeds)
        return self._show()

    def step(self, actions: torch.Tensor, out: Observations | None = None) -> Step:
        """Play one step, and begin again where an episode ended."""
        gain, over = self.advance(self._checked(actions))
        reward = np.asarray(gain)
        self._tracker.add(reward)
        invalid = self.faults()
        terminated = np.asarray(over, bool) | invalid
        truncated = self.truncated() & ~terminated
        final = shown = self._show()
        ended = np.flatnonzero(terminated | truncated)
        if ended.size:
            self._tracker.finish(ended, invalid, self.metrics(), self.remarks)
            self._begin(ended, None)
            shown = self._show()
        return Step(
            observations=_fill(out, shown),
            reward=self._tensor(reward, torch.float32),
            terminated=self._tensor(terminated, torch.bool),
            truncated=self._tensor(truncated, torch.bool),
            invalid=self._tensor(invalid, torch.bool),
            final=final,
        )

    def drain_episodes(self) -> list[EpisodeRecord]:
        """Finished episodes since the last call."""
        return self._tracker.drain()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"tracker": self._tracker.state_dict(), "arrays": {name: getattr(self, name).copy() for name in self.saved}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state.

        Raises:
            CheckpointError: the state is of another number of copies, or of another game.
        """
        for name in self.saved:
            own, saved = getattr(self, name), state["arrays"][name]
            if own.shape != saved.shape:
                raise CheckpointError(f"{self.spec.task}: the saved '{name}' is {list(saved.shape)}, this environment's {list(own.shape)}")
            own[...] = saved
        self._tracker.load_state_dict(state["tracker"])
        self._show()

    def close(self) -> None:
        """Nothing to free."""

    def _begin(self, copies: np.ndarray, seeds: Sequence[int] | np.ndarray | None) -> None:
        self.begin_all(copies, self._tracker.start(copies, seeds))

    def _show(self) -> Observations:
        """Fresh tensors of what ``observe`` gives. The mask is kept: the next actions are held against it."""
        obs, state, legal = self.observe()
        self._mask = None if legal is None else np.asarray(legal, bool)
        mask = None if self._mask is None else self._tensor(self._mask, torch.bool)
        return Observations(
            self._tensor(obs, torch.float32), self._tensor(state, torch.float32), mask, self._tensor(self.alive(), torch.bool)
        )

    def _tensor(self, values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)  # a copy: the game's arrays move on

    def _checked(self, actions: torch.Tensor) -> np.ndarray:
        spec = self.spec
        if self._tracker.episode[0] < 0:
            raise RuntimeError("call reset() before the first step()")
        shape = [self.num_envs, spec.num_agents] + ([] if spec.discrete else [spec.max_action_size])
        dtype = torch.int64 if spec.discrete else torch.float32
        if list(actions.shape) != shape or actions.dtype != dtype:
            kind = str(dtype).removeprefix("torch.")
            raise ActionError(f"{spec.task}: actions must be {kind} {shape}, got {actions.dtype} {list(actions.shape)}")
        chosen: np.ndarray = actions.detach().cpu().numpy()
        wrong = ~np.isfinite(chosen).all(-1) if self._mask is None else self.alive() & ~legal_choices(self._mask, chosen)
        if wrong.any():
            copy, agent = np.argwhere(wrong)[0].tolist()
            who = f"'{spec.agents[agent]}' in copy {copy}"
            if self._mask is not None and not self._mask[copy, agent].any():
                raise ActionError(f"{spec.task}: the mask that observe() gave leaves {who} no legal action, and alive() says that it lives")
            what = "is not legal" if spec.discrete else "is not finite"
            raise ActionError(f"{spec.task}: action {chosen[copy, agent].tolist()} of {who} {what}")
        return chosen


def legal_choices(mask: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """[B, N] bool: the action is one of the agent's legal ones."""
    inside = (actions >= 0) & (actions < mask.shape[-1])
    picked: np.ndarray = np.take_along_axis(mask, np.where(inside, actions, 0)[..., None], axis=-1)[..., 0]
    legal: np.ndarray = inside & picked
    return legal


def _fill(out: Observations | None, shown: Observations) -> Observations:
    if out is None:
        return shown
    for name, slot, values in zip(Observations._fields, out, shown, strict=True):
        if slot is not None and values is not None:
            if slot.shape != values.shape:
                raise ValueError(f"observe() and alive() must give '{name}' as {list(slot.shape)}, gave {list(values.shape)}")
            slot.copy_(values)
    return out
