"""Random legal play, and the comparison of what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box

from a2po.config import EnvConfig, TrainConfig
from a2po.envs.protocol import Observations, Step, VectorEnv
from a2po.errors import UserError, foreign
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.guard import GuardedEnv, number, place
from a2po.training.runs import make_env

NO_ACTION = "Give every living agent a legal action (one that does nothing, say), or set its alive to False"


@dataclass(frozen=True)
class Case:
    """One environment under test.

    Args:
        task: a task name or ``module:factory``.
        options: the task's own options.
        num_envs: B of most checks.
        num_steps: how long random play goes on. More than an episode, so that its end is seen.
        deterministic: nothing in the game is left to chance, so another seed need not change anything.
    """

    task: str
    options: dict[str, Any] = field(default_factory=dict)
    num_envs: int = 3
    num_steps: int = 40
    deterministic: bool = False

    def make(self, num_envs: int, seed: int = 0) -> VectorEnv:
        """The environment itself.

        Raises:
            UserError: the task, its factory or an option is wrong.
        """
        return make_env(TrainConfig(task=self.task, env=EnvConfig(options=self.options)), num_envs, seed)

    @contextmanager
    def environment(self, num_envs: int | None = None, *, seed: int = 0) -> Iterator[GuardedEnv]:
        """A fresh environment that is closed at the end."""
        copies = num_envs or self.num_envs
        try:
            env = self.make(copies, seed)
        except (UserError, SystemExit) as error:
            text = str(error) if isinstance(error, UserError) else foreign(error)
            raise Broken(
                "interface", f"the factory, num_envs={copies}, seed={seed}", text, "Any number of copies and any seed must do"
            ) from error
        try:
            yield GuardedEnv(env, copies)
        finally:
            close_quietly(env)


def close_quietly(env: VectorEnv) -> None:
    """Close. What that raises is the rule ``interface``'s matter, and must not hide what was found before."""
    try:
        env.close()
    except (Exception, SystemExit):  # noqa: BLE001 - see above
        return


class RandomPlayer:
    """Random legal actions. Every copy draws from a stream of its own, so copy b plays the same whatever the others do."""

    def __init__(self, env: VectorEnv | GuardedEnv, seed: int = 0) -> None:
        self.env = env
        self.streams = [np.random.default_rng([seed, copy]) for copy in range(env.num_envs)]

    def __call__(self, observations: Observations) -> torch.Tensor:
        """Actions in the environment's units.

        Raises:
            Broken: a living agent has no legal action.
        """
        spec = self.env.spec
        draws = np.stack([stream.random((spec.num_agents, spec.max_action_size)) for stream in self.streams])
        if observations.action_mask is not None:
            legal = observations.action_mask.cpu()
            stuck = observations.alive.cpu() & ~legal.any(-1)
            if bool(stuck.any()):
                copy, agent = stuck.nonzero()[0].tolist()
                where = f"{time_of(self.env)}: action_mask of copy {copy}, agent '{spec.agents[agent]}'"
                raise Broken("masks", where, "no action is legal", NO_ACTION)
            return torch.where(legal, torch.from_numpy(draws), -1.0).argmax(-1).to(self.env.device)
        actions = np.zeros(draws.shape, np.float32)
        for agent, space in enumerate(spec.action_spaces):
            assert isinstance(space, Box)
            low, high, size = space.low.reshape(-1), space.high.reshape(-1), spec.action_sizes[agent]
            actions[:, agent, :size] = low + (high - low) * draws[:, agent, :size].astype(np.float32)
        return torch.from_numpy(actions).to(self.env.device)


def time_of(env: VectorEnv | GuardedEnv) -> str:
    """``reset()`` or ``step 7``: when the newest observations were given."""
    time = getattr(env, "time", 0)
    return f"step {time}" if time else "reset()"


def walk(env: GuardedEnv, num_steps: int, observations: Observations | None = None) -> Iterator[Step]:
    """Play random legal actions from a reset, or from where ``observations`` were seen."""
    player, now = RandomPlayer(env), env.reset() if observations is None else observations
    for _ in range(num_steps):
        step = env.step(player(now))
        yield step
        now = step.observations


class Seen(NamedTuple):
    """One tensor that an environment gave, copied."""

    when: str
    field: str
    values: torch.Tensor  # [rows, ...]


def seen_observations(when: str, observations: Observations, rows: slice = slice(None)) -> list[Seen]:
    """Copies of all tensors."""
    return [Seen(when, name, values[rows].clone()) for name, values in observations._asdict().items() if values is not None]


def seen_step(when: str, step: Step, rows: slice = slice(None)) -> list[Seen]:
    """Copies of all tensors of a step; ``final`` is blank where no episode ended: those rows are unspecified."""
    flags = [Seen(when, name, getattr(step, name)[rows].clone()) for name in ("reward", "terminated", "truncated", "invalid")]
    final = seen_observations(f"{when}, final", step.final, rows)
    for seen in final:
        seen.values[~(step.terminated | step.truncated)[rows]] = 0
    return [*flags, *seen_observations(when, step.observations, rows), *final]


def trace(env: GuardedEnv, num_steps: int, rows: slice = slice(None)) -> list[Seen]:
    """Everything seen in a random walk."""
    player, now = RandomPlayer(env), env.reset()
    seen = seen_observations("reset()", now, rows)
    for time in range(1, num_steps + 1):
        step = env.step(player(now))
        seen += seen_step(f"step {time}", step, rows)
        now = step.observations
    return seen


def difference(env: GuardedEnv, one: Sequence[Seen], other: Sequence[Seen]) -> tuple[str, str] | None:
    """The first difference: where it is, and both numbers. Bit for bit, but NaN equals NaN (the rule ``finite`` speaks of it)."""
    for mine, theirs in zip(one, other, strict=True):
        unequal = (mine.values != theirs.values) & ~((mine.values != mine.values) & (theirs.values != theirs.values))
        if bool(unequal.any()):
            first = tuple(unequal.nonzero()[0].tolist())
            numbers = " and ".join(number(float(seen.values[first])) for seen in (mine, theirs))
            return f"{mine.when}: {place(env.spec, mine.field, unequal)}", f"{numbers} differ"
    return None


def clone(observations: Observations) -> Observations:
    """A copy that outlives the next step."""
    return Observations(*(None if values is None else values.clone() for values in observations))  # type: ignore[arg-type]


def blank(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A copy with zeros in some rows [B]."""
    values = values.clone()
    values[rows] = 0
    return values


def ends_seen(ends: int, case: Case) -> None:
    """A rule about ends was looked at only if there were any."""
    if not ends:
        raise NotSeen(f"no episode ended within {case.num_steps} steps: more look further (--steps, num_steps)")
