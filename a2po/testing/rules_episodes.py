"""Rules of whole episodes: seeds, replay, records, ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from a2po.envs.protocol import Observations, Step
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.guard import GuardedEnv
from a2po.testing.records import check_records
from a2po.testing.rule import rule
from a2po.testing.walk import Case, RandomPlayer, blank, clone, difference, ends_seen, seen_observations, seen_step, trace, walk

SEEDS = "Draw all chance from the episode's seed, and from nothing that outlives the episode"


@rule("one seed gives the same numbers again; another gives others")
def seeding(case: Case) -> None:
    """Two environments of one seed, one of another, and the copies among themselves."""
    traces, seeds = [], []
    for seed in (1, 1, 2):
        with case.environment(seed=seed) as env:
            traces.append(trace(env, case.num_steps))
            env.reset()
            seeds.append(env.episode_seeds.tolist())
    found = difference(env, traces[0], traces[1])
    if found:
        raise Broken("seeding", found[0], f"two environments of the same seed: {found[1]}", SEEDS)
    if seeds[0] == seeds[2] or len(set(seeds[0])) < len(seeds[0]):
        which = "of the seeds 1 and 2 are the same" if seeds[0] == seeds[2] else "of two copies are the same"
        raise Broken("seeding", "env.episode_seeds", f"those {which}", "Take them from a2po.envs.episodes.EpisodeTracker or episode_seed()")
    if not case.deterministic and difference(env, traces[0], traces[2]) is None:
        mend = "Use the episode's seed in reset(); if nothing is left to chance, check with --deterministic (deterministic = True)"
        raise Broken("seeding", f"{case.num_steps} steps of {case.num_envs} copies", "the seeds 1 and 2 give the same numbers", mend)


@rule("a copy does not depend on how many there are", "seeding")
def copies(case: Case) -> None:
    """Copy 0 plays the same episodes alone and among others."""
    traces = []
    for num_envs in (1, case.num_envs + 1):
        with case.environment(num_envs) as env:
            traces.append(trace(env, case.num_steps, rows=slice(0, 1)))
    found = difference(env, *traces)
    if found:
        raise Broken(
            "copies",
            found[0],
            f"alone and among {case.num_envs + 1} copies: {found[1]}",
            "Give every copy's episode its own seed and generator",
        )


@rule("no episode is longer than spec.max_episode_steps")
def limit(case: Case) -> None:
    """Needs as many steps."""
    with case.environment() as env:
        most = env.spec.max_episode_steps
        lengths = torch.zeros(env.num_envs, dtype=torch.int64)
        for step in walk(env, case.num_steps):
            lengths += 1
            ended = (step.terminated | step.truncated).cpu()
            late = ((lengths >= most) & ~ended).nonzero().flatten().tolist()
            if late:
                where = f"step {env.time}: copy {late[0]}"
                raise Broken(
                    "limit", where, f"goes on after {most} steps, its max_episode_steps", "Set truncated at the limit, or raise the limit"
                )
            lengths[ended] = 0
        if most > case.num_steps:
            raise NotSeen(
                f"an episode may have {most} steps, {case.num_steps} were played: {most + 1} steps look further (--steps, num_steps)"
            )


@rule("a finished episode has a record with its seed, length, return and metrics", "limit")
def episodes(case: Case) -> None:
    """Records against what was seen; the copy goes on with a new seed."""
    with case.environment() as env:
        first = env.reset()
        env.drain_episodes()
        returns, lengths, ends = np.zeros(env.num_envs), np.zeros(env.num_envs, int), 0
        seeds = env.episode_seeds
        for step in walk(env, case.num_steps, first):
            reward = step.reward.double().cpu().numpy()
            returns += reward if reward.ndim == 1 else reward.mean(1)
            lengths += 1
            ended = (step.terminated | step.truncated).cpu().numpy()
            check_records(env, env.drain_episodes(), ended, seeds, lengths, returns)
            ends += int(ended.sum())
            returns[ended], lengths[ended], seeds = 0.0, 0, env.episode_seeds
        ends_seen(ends, case)


@rule("where an episode ends, final is its true successor")
def final(case: Case) -> None:
    """Neither the next episode's first observation nor the one before the step; and one kind of end, ``invalid`` only with one."""
    ends: list[_End] = []
    unchanged: list[bool] = []  # per ordinary step of a copy
    with case.environment() as env:
        player, before = RandomPlayer(env), clone(env.reset())
        for _ in range(case.num_steps):
            step = env.step(player(before))
            for copy in range(env.num_envs):
                _no_stray_fault(env, step, copy)
                if not (step.terminated | step.truncated)[copy]:
                    unchanged.append(_same(step.observations, before, copy))
                else:
                    kind = "terminated" if step.terminated[copy] else "truncated"
                    both = bool(step.terminated[copy] & step.truncated[copy])
                    is_next, is_before = _same(step.final, step.observations, copy), _same(step.final, before, copy)
                    ends.append(_End(kind, both, env.time, copy, is_next, is_before))
            before = clone(step.observations)
    ends_seen(len(ends), case)
    _two_kinds(ends)
    if all(end.is_next and end.is_before for end in ends):
        raise NotSeen("what is seen never changes, so final cannot be told from anything else")
    mend = "Look after the step and before the copy is reset, and give what was seen"
    for kind in ("terminated", "truncated"):
        own = [end for end in ends if end.kind == kind]
        if own and all(end.is_next for end in own):  # a game may end where the next one begins, but not every time
            raise Broken("final", own[0].where, f"is the next episode's first observation, at every {kind} step", mend)
    cut = [end for end in ends if end.kind == "truncated"]
    by_chance = (sum(unchanged) / max(len(unchanged), 1)) ** len(cut)
    if cut and unchanged and all(end.is_before for end in cut) and by_chance < 0.01:
        raise Broken("final", cut[0].where, "is what was seen before the step, at every truncated step", mend)


class _End(NamedTuple):
    """One end of an episode, and what its ``final`` equals."""

    kind: str
    both: bool
    time: int
    copy: int
    is_next: bool
    is_before: bool

    @property
    def where(self) -> str:
        return f"step {self.time}: final of copy {self.copy}"


def _same(one: Observations, other: Observations, copy: int) -> bool:
    return all(torch.equal(getattr(one, name)[copy], getattr(other, name)[copy]) for name in ("obs", "state"))


def _no_stray_fault(env: GuardedEnv, step: Step, copy: int) -> None:
    if bool(step.invalid[copy] & ~(step.terminated | step.truncated)[copy]):
        where = f"step {env.time}: invalid of copy {copy}"
        raise Broken("final", where, "is True although no episode ended", "A fault ends its episode: set terminated, too")


def _two_kinds(ends: list[_End]) -> None:
    """A game may be over exactly at its step limit, but not every time."""
    both = [end for end in ends if end.both]
    if both and not any(end.kind == "truncated" for end in ends):
        mend = "A step limit is truncated alone; where the game itself is over, terminated alone"
        raise Broken(
            "final", f"step {both[0].time}: copy {both[0].copy}", "is terminated and truncated at once, as at every step limit", mend
        )


@rule("reset(seeds=env.episode_seeds) replays the episodes", "seeding", "copies", "limit", "final")
def replay(case: Case) -> None:
    """In the environment that played them, whatever came between, and in another one of another seed."""
    with case.environment() as env, case.environment(seed=5) as other:
        first = seen_observations("reset()", env.reset())
        seeds = env.episode_seeds
        played = _until_ends(env, seeds, case.num_steps)
        found = difference(env, first, played[: len(first)])
        for player in (env, other):
            again = _until_ends(player, seeds, case.num_steps)
            found = found or difference(env, played, again)
            if found:
                raise Broken("replay", found[0], f"the same episode seed played twice: {found[1]}", SEEDS)


def _until_ends(env: GuardedEnv, seeds: np.ndarray, num_steps: int) -> list[Any]:
    """What was seen from a reset with these seeds; a copy's rows are blank after its first episode."""
    player, now = RandomPlayer(env), env.reset(seeds)
    if not np.array_equal(env.episode_seeds, seeds):
        raise Broken(
            "replay", "env.episode_seeds after reset(seeds)", f"is {env.episode_seeds}, not {seeds}", "reset() takes the seeds it is given"
        )
    seen, over = seen_observations("reset()", now), torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
    for time in range(1, num_steps + 1):
        step = env.step(player(now))
        now, after = step.observations, over | step.terminated | step.truncated
        for entry in seen_step(f"step {time}", step):
            follows = entry.field in Observations._fields and "final" not in entry.when
            seen.append(entry._replace(values=blank(entry.values, after if follows else over)))
        over = after
    return seen
