"""Play whole episodes by quota: every copy contributes a number of episodes that is fixed beforehand.

Stopping after the first E finished episodes would favour short ones; a quota does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from a2po.envs.protocol import EpisodeRecord, Observations, Step, VectorEnv
from a2po.errors import EnvironmentFailed, UserError, WorkFailed, foreign

Act = Callable[[Observations, Tensor | None], Tensor]
"""(observations, [B] bool rows whose episode has just begun, or None for all) -> actions in the environment's units."""

MAX_COPIES = 50


def copies_for(episodes: int) -> int:
    """How many copies play a number of episodes: as many as divide it evenly where possible, at most MAX_COPIES."""
    even = [copies for copies in range(1, min(episodes, MAX_COPIES) + 1) if episodes % copies == 0]
    return even[-1] if even[-1] * 4 >= min(episodes, MAX_COPIES) else min(episodes, MAX_COPIES)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For steps that are tiny: idle torch threads would spin on the simulator's cores (measured: 26 s instead of 1 s)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def calling(env: VectorEnv) -> Iterator[None]:
    """Around what calls an environment: what somebody else's raises becomes one line with its place. Ours keep their tracebacks.

    Raises:
        EnvironmentFailed: the environment is the user's own, and raised.
    """
    try:
        yield
    except (UserError, WorkFailed, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if type(env).__module__.startswith("a2po."):
            raise
        raise EnvironmentFailed(f"the environment '{env.spec.task}' raised {foreign(error)}") from error


def playable(observations: Observations) -> Tensor | None:
    """The action mask [B, N, A] for actors, or None.

    An agent that does not exist may have no legal action. What it does is of no effect, so all are allowed.
    """
    mask = observations.action_mask
    return None if mask is None else mask | ~(mask.any(dim=-1) | observations.alive).unsqueeze(-1)


@torch.no_grad()
def steps(env: VectorEnv, act: Act, seeds: Sequence[int] | None = None) -> Iterator[Step]:
    """Begin episodes in all copies, with ``seeds`` [B] where given, and play on for as long as the caller wants more steps."""
    with calling(env):
        env.drain_episodes()
        observations, begun = env.reset(seeds), None
    while True:
        actions = act(observations, begun)
        with calling(env):
            step = env.step(actions)
        yield step
        observations, begun = step.observations, step.terminated | step.truncated


def play(
    env: VectorEnv, act: Act, episodes: int, *, seeds: Sequence[int] | None = None, progress: Callable[[int], None] | None = None
) -> list[EpisodeRecord]:
    """Play ``episodes`` valid episodes and return their records, by copy and then in order.

    Copy b plays episodes // B, and one more where b < episodes % B. Episodes that a fault ended stay in the list, are
    marked invalid and replaced by another one of the same copy. ``seeds`` [B] are those of the first episodes; ``progress``
    is told the number of valid episodes so far.

    Raises:
        WorkFailed: more episodes were invalid than valid ones were asked for.
    """
    copies = env.num_envs
    quotas = [episodes // copies + (copy < episodes % copies) for copy in range(copies)]
    records: list[EpisodeRecord] = []
    valid = [0] * copies
    for _ in steps(env, act, seeds):
        with calling(env):
            drained = env.drain_episodes()
        for record in drained:
            copy = record["copy"]
            if valid[copy] < quotas[copy]:
                records.append(record)
                valid[copy] += not record["invalid"]
        if len(records) > 2 * episodes:
            raise WorkFailed(f"{len(records) - sum(valid)} of {len(records)} episodes of {env.spec.task} ended in a fault")
        if progress:
            progress(sum(valid))
        if valid == quotas:
            break
    return sorted(records, key=lambda record: int(record["copy"]))
