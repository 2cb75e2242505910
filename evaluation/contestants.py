"""Who can be evaluated: the actors of a bundle, the checkpoint that they come from, or a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from a2po.config import DEFAULT_TASK
from a2po.envs.play import Act
from a2po.envs.protocol import VectorEnv
from a2po.envs.registry import scripted_player
from a2po.errors import BundleError, CheckpointError, UserError
from a2po.evaluation.contestant import Contestant
from a2po.evaluation.locate import RUNS, find_bundle, is_run, run_of
from a2po.evaluation.players import BundlePlayer, PartPlayer, seat_noise
from a2po.evaluation.results import Home
from a2po.files import existing
from a2po.runtime.bundle import read_bundle
from a2po.runtime.team import Team
from a2po.streams import generator
from a2po.training.fit import describe_bundle, describe_task, fitting_agents
from a2po.training.greedy import TeamActor
from a2po.training.runs import TrainedPolicy, newest_run, open_policy

Say = Callable[[str], None]


def exported(path: Path | str | None) -> Contestant:
    """The actors of a bundle."""
    bundle = read_bundle(find_bundle(path))
    team, description = Team(bundle), describe_bundle(bundle)

    def player(env: VectorEnv, seed: int | None) -> Act:
        noise = None if seed is None else seat_noise(env.spec, seed)
        agents = fitting_agents(description, env.spec)
        if agents == list(env.spec.agents) == list(team.agents):
            return BundlePlayer(team, env.device, noise)
        return PartPlayer(team, agents, env.spec, env.device, noise)

    training = bundle.manifest.get("training") or {}
    return Contestant(
        "onnx",
        Home(run_of(bundle.path), bundle.path),
        bundle.task,
        dict(bundle.manifest["task"].get("options") or {}),
        f"the bundle '{bundle.path}'",
        {
            **{key: training.get(key) for key in ("run", "algorithm", "step", "checkpoint")},
            "bundle": {"path": str(bundle.path), "manifest_sha256": bundle.manifest_sha256, "fingerprint": bundle.fingerprint},
        },
        description,
        player,
        bundle,
    )


def trained(path: Path | str | None, say: Say, checkpoint: str | None = None) -> Contestant:
    """A run's ``checkpoint``; by default the one that its bundle comes from, or the newest where there is no bundle."""
    run, bundle = _run_and_bundle(path)
    policy = _open(run, bundle, say) if checkpoint is None else open_policy(run, checkpoint, say=say)

    def player(env: VectorEnv, seed: int | None) -> Act:
        noise = None if seed is None else generator(seed, "evaluation noise")
        return TeamActor(policy.team, env.num_envs, env.device, noise)

    return Contestant(
        "torch",
        Home(run, bundle or run / "bundle"),
        policy.config.task,
        dict(policy.config.env.options),
        f"the run '{run}'",
        {
            "run": run.resolve().name,
            "algorithm": policy.config.algorithm,
            "step": policy.step,
            "checkpoint": policy.checkpoint,
            "bundle": None,
        },
        describe_task(policy.team.spec),
        player,
        None,
    )


def scripted(name: str, task: str) -> Contestant:
    """A script that plays for the whole team.

    Raises:
        UserError: the task has no such player.
    """
    script = scripted_player(name, task)
    origin = dict.fromkeys(("run", "algorithm", "step", "checkpoint", "bundle"))
    options, what = dict(script.options), f"the player '{name}'"
    return Contestant(name, None, task, options, what, origin, None, lambda env, seed: script.make(env, seed or 0), None)


def contestant_of(bundle: Path | str | None, player: str | None, policy: str, task: str | None, say: Say) -> Contestant:
    """Whom ``a2po.evaluate`` means by these arguments; a script plays in the task that ``train`` takes by default, or in ``task``."""
    if player is not None:
        return scripted(player, task or DEFAULT_TASK)
    return exported(bundle) if policy == "onnx" else trained(bundle, say)


def _run_and_bundle(path: Path | str | None) -> tuple[Path, Path | None]:
    """The run and the bundle at a path, or the run around the bundle there; by default the newest bundle, or the newest run."""
    try:
        bundle = find_bundle(path)
    except BundleError:
        if path is None:
            return newest_run(), None
        if is_run(existing(path, RUNS)):
            return existing(path, RUNS), None
        raise
    run = run_of(bundle)
    if run is None:
        raise UserError(f"the bundle '{bundle}' lies in no run folder, so there is no checkpoint to play: leave out --policy torch")
    return run, bundle


def _open(run: Path, bundle: Path | None, say: Say) -> TrainedPolicy:
    """The bundle's checkpoint where there is a bundle and its checkpoint was kept, else the newest one."""
    if bundle is None:
        return open_policy(run, "latest", say=say)
    wanted = str((read_bundle(bundle).manifest.get("training") or {}).get("checkpoint"))
    try:
        return open_policy(run, wanted, say=say)
    except CheckpointError:
        say(f"the bundle's checkpoint {wanted} is gone; playing the newest one")
        return open_policy(run, "latest", say=say)
