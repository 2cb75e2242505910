"""Rules of what is handed over: the caller's tensors and saved states."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from a2po.envs.protocol import Observations
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.guard import GuardedEnv
from a2po.testing.rule import rule
from a2po.testing.walk import Case, RandomPlayer, Seen, clone, difference, seen_observations, seen_step, walk
from a2po.training.checkpoints import Checkpoints


@rule("step(actions, out=...) fills the caller's tensors", "seeding")
def out(case: Case) -> None:
    """The slots hold rubbish before: whatever is not written shows."""
    with case.environment() as one, case.environment() as other:
        slots, now = clone(one.reset()), other.reset()
        player = RandomPlayer(other)
        for _ in range(min(case.num_steps, 10)):
            actions = player(now)
            _spoil(slots, one)
            filled = one.step(actions, out=slots).observations
            now = other.step(actions).observations
            for name, target, mine in zip(Observations._fields, slots, filled, strict=True):
                if target is not None and mine is not None and mine.data_ptr() != target.data_ptr():
                    where = f"step {one.time}: observations.{name}"
                    raise Broken("out", where, "is another tensor than the one in out", "Write into out (slot.copy_(values)) and return it")
            found = difference(one, seen_observations(f"step {one.time}", slots), seen_observations(f"step {one.time}", now))
            if found:
                raise Broken("out", found[0], f"out and a step without it: {found[1]}", "Write every number of the observations into out")


@rule("a saved state goes on bit for bit", "seeding", "copies")
def state(case: Case) -> None:
    """Through a checkpoint on disk, into an environment that has not played and into one that has."""
    with case.environment() as env, case.environment(seed=5) as fresh, case.environment(seed=6) as used:
        player, now = RandomPlayer(env), env.reset()
        for _ in range(max(case.num_steps // 2, 1)):
            now = env.step(player(now)).observations
        now, saved = clone(now), _through_disk(env.state_dict())
        for _ in walk(used, 3):
            pass
        for loaded in (fresh, used):
            loaded.load_state_dict(saved)
        if not env.spec.exact_state:
            for _ in walk(fresh, 3):
                pass
            raise NotSeen("spec.exact_state is False: the state loads, and how exactly is not promised")
        for _ in range(case.num_steps):
            actions = player(now)
            step = env.step(actions)
            mine, now = seen_step(f"step {env.time}", step), clone(step.observations)
            for loaded, what in ((fresh, "a fresh environment"), (used, "an environment that had played")):
                _goes_on_alike(env, mine, loaded, actions, f"loaded into {what}")
        _same_after(env, (fresh, used))


def _goes_on_alike(env: GuardedEnv, mine: list[Seen], loaded: GuardedEnv, actions: torch.Tensor, what: str) -> None:
    mend = "state_dict() must hold all that the next step depends on"
    try:
        found = difference(env, mine, seen_step(f"step {env.time}", loaded.step(actions)))
    except Broken as broken:  # actions that are legal in the one need not be legal in the other
        raise Broken("state", f"step {env.time}", f"{what}: {broken.what}", mend) from broken
    if found:
        raise Broken("state", found[0], f"{what}: {found[1]}", mend)


def _spoil(slots: Observations, env: GuardedEnv) -> None:
    """Rubbish, but for the padding of observations: that the buffer keeps at zero."""
    for agent, size in enumerate(env.spec.obs_sizes):
        slots.obs[:, agent, :size] = torch.nan
    slots.state.fill_(torch.nan)
    for flags in (slots.action_mask, slots.alive):
        if flags is not None:
            flags.logical_not_()


def _through_disk(saved: Any) -> Any:
    """What a run would find in its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        try:
            checkpoints.save(0, {"env": saved})
        except (TypeError, ValueError) as error:
            raise Broken(
                "state", "state_dict()", str(error), "Tensors, arrays, numbers, texts, and lists and dicts of them can be saved"
            ) from error
        return checkpoints.load()[1]["env"]


def _same_after(env: GuardedEnv, loaded: tuple[GuardedEnv, ...]) -> None:
    """Records and seeds agree as well."""
    wanted = env.drain_episodes(), env.episode_seeds.tolist()
    for other in loaded:
        records, seeds = other.drain_episodes(), other.episode_seeds.tolist()
        if (repr(records), seeds) != (repr(wanted[0]), wanted[1]):
            what = "drain_episodes()" if seeds == wanted[1] else "env.episode_seeds"
            raise Broken(
                "state",
                f"{what} after going on",
                "is not what the environment that was saved gives",
                "Save the bookkeeping, too: EpisodeTracker.state_dict()",
            )
