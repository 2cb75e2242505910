"""Rules of single results: the environment itself, its tensors, masks and pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from a2po.errors import UserError
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.guard import GuardedEnv, number, place
from a2po.testing.rule import rule
from a2po.testing.walk import Case, RandomPlayer, Seen, blank, seen_observations, seen_step, time_of, walk


@rule("the factory builds as many copies as asked for, with every method; closing twice is harmless")
def interface(case: Case) -> None:
    """Methods, attributes, close."""
    with case.environment() as env:
        env.reset()
        _ = env.episode_seeds  # the guard looks at it
        for _ in range(2):
            try:
                env.close()
            except Broken as broken:
                raise Broken(
                    "interface", broken.where, broken.what, "close() frees what there is, and does nothing the second time"
                ) from broken


@rule("the spec's names, sizes and spaces fit together")
def spec(case: Case) -> None:
    """The guard looks at every environment's spec."""
    with case.environment():
        pass


@rule("no method raises in legal play")
def calls(case: Case) -> None:
    """Every method but ``render``."""
    with case.environment() as env:
        for _ in walk(env, case.num_steps):
            env.drain_episodes()
        env.load_state_dict(env.state_dict())


@rule("every tensor has the shape, dtype and device of the contract")
def shapes(case: Case) -> None:
    """The guard looks at every tensor of every call."""
    with case.environment() as env:
        for _ in walk(env, case.num_steps):
            pass


@rule("observations, states and rewards are finite")
def finite(case: Case) -> None:
    """NaN and infinity. A fault may leave anything in its reward and its successor."""
    with case.environment() as env:
        for seen, invalid in _seen(env, case.num_steps):
            if seen.field not in ("obs", "state", "reward"):
                continue
            excused = seen.field == "reward" or "final" in seen.when
            wrong = ~torch.isfinite(blank(seen.values, invalid) if excused else seen.values)
            if bool(wrong.any()):
                where, value = f"{seen.when}: {place(env.spec, seen.field, wrong)}", number(float(seen.values[wrong][0]))
                raise Broken("finite", where, f"is {value}", "Every number must be finite, or its step invalid")


@rule("what lies beyond an agent's real width is zero")
def padding(case: Case) -> None:
    """Observations only: masks have their own rule."""
    with case.environment() as env:
        beyond = torch.arange(env.spec.max_obs_size)[None] >= torch.tensor(env.spec.obs_sizes)[:, None]  # [N, O] True in the padding
        for seen, _ in _seen(env, case.num_steps):
            if seen.field != "obs":
                continue
            wrong = beyond.to(env.device) & (seen.values != 0)
            if bool(wrong.any()):
                where, value = f"{seen.when}: {place(env.spec, 'obs', wrong)}", number(float(seen.values[wrong][0]))
                raise Broken(
                    "padding", where, f"is {value}, not 0", "Beyond the agent's own obs_sizes the observation is padded with zeros"
                )


@rule("every living agent has a legal action, and no padded action is legal")
def masks(case: Case) -> None:
    """A living agent without a legal action is found by the player; here are the padded ones."""
    with case.environment() as env:
        if not env.spec.discrete:
            return
        beyond = torch.arange(env.spec.max_action_size)[None] >= torch.tensor(env.spec.action_sizes)[:, None]  # [N, A]
        player, now = RandomPlayer(env), env.reset()
        for _ in range(case.num_steps + 1):
            assert now.action_mask is not None
            wrong = now.action_mask & beyond.to(env.device)
            if bool(wrong.any()):
                where = f"{time_of(env)}: {place(env.spec, 'action_mask', wrong)}"
                raise Broken("masks", where, "an action that the agent does not have is legal", "The mask is False in the padding")
            now = env.step(player(now)).observations


@rule("render(copy) gives a picture")
def render(case: Case) -> None:
    """uint8 [H, W, 3]; an environment without pictures raises NotImplementedError."""
    with case.environment() as env:
        env.reset()
        try:
            picture = env.render(env.num_envs - 1)
        except Broken as broken:
            if isinstance(broken.__cause__, (NotImplementedError, UserError)):
                raise NotSeen(str(broken.__cause__)) from None
            raise Broken("render", broken.where, broken.what, "Raise NotImplementedError if there is nothing to see") from broken
        good = (
            isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size
        )
        if not good:
            what = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise Broken("render", f"render({env.num_envs - 1})", f"gave {what}", "A picture is a uint8 array [height, width, 3]")


def _seen(env: GuardedEnv, num_steps: int) -> Iterator[tuple[Seen, torch.Tensor]]:
    """Everything of a reset and the random walk from there, each tensor with the copies [B] that a fault ended in that step."""
    first = env.reset()
    for seen in seen_observations("reset()", first):
        yield seen, torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
    for step in walk(env, num_steps, first):
        for seen in seen_step(f"step {env.time}", step):
            yield seen, step.invalid
