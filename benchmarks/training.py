"""Whole training: env-steps per CPU second with its split, robots and battles; GRU over MLP; the same work as HARL's HAPPO.

    python benchmarks/training.py [--iterations 15] [--json benchmarks/results/training.json]
    python benchmarks/training.py --task smac/3s5z            the split of one task alone; nothing is written

Everything is measured in one run. CPU time is that of all threads of the process; medians over iterations.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import argparse
import json
import statistics
import time

import torch

from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.update_rules import rule
from a2po.config import TrainConfig, resolve
from a2po.networks.team_policy import TeamPolicy
from a2po.provenance import provenance
from a2po.streams import generator
from a2po.training.buffer import RolloutBuffer
from a2po.training.prepare import prepare
from a2po.training.rollout import Sampler
from a2po.training.runs import make_env
from a2po.training.trainer import torch_threads

# HARL's HAPPO on two cores, as stored in the project's notes: env-steps/s of the whole loop (wall time).
HARL = {"mamujoco/HalfCheetah-2x3": (15, 1751), "mamujoco/Ant-4x2": (5, 1124)}
# HARL: 3x128 ReLU with LayerNorm, 4,000 samples per update, one minibatch, one critic for the team.
HARL_NETWORK = (
    'network.hidden_sizes=[128, 128, 128]', "network.activation=relu", "network.layer_norm=true", "network.normalise_observations=false",
    "update.num_minibatches=1", "env.num_envs=80", "update.rollout_length=50", "update.num_threads=2",
)  # fmt: skip


class Clock:
    """CPU and wall time of named phases."""

    def __init__(self) -> None:
        self.cpu: dict[str, list[float]] = {}
        self.wall: dict[str, list[float]] = {}

    def __call__(self, name, function, *args):
        cpu, wall = time.process_time(), time.perf_counter()
        result = function(*args)
        self.cpu.setdefault(name, []).append(time.process_time() - cpu)
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)
        return result

    def median(self, name, kind="cpu"):
        return statistics.median(getattr(self, kind)[name])


def measure(config: TrainConfig, iterations: int, num_threads: int = 1) -> tuple[Clock, int]:
    """Run whole rounds; the phases are physics (the environment's step), sampling (all of it), prepare, update, statistics."""
    torch.set_num_threads(1)
    env = make_env(config, config.env.num_envs, 0, num_threads=num_threads)
    team = TeamPolicy(env.spec, config.network, seed=0)
    buffer = RolloutBuffer.for_team(team, config.update.rollout_length, config.env.num_envs, config.update.chunk_length)
    sampler = Sampler(env, team, buffer, generator(0, "sampling"))
    learner = PolicyLearner(team, rule(config.algorithm), config.update, seed=0)
    sampler.start()
    clock, physics, act = Clock(), Clock(), Clock()
    step, decide = env.step, team.act
    env.step = lambda *args, **kwargs: physics("step", lambda: step(*args, **kwargs))
    team.act = lambda *args: act("act", decide, *args)
    for iteration in range(iterations + 2):
        if iteration == 2:  # the first rounds warm caches up
            clock.__init__()
        physics.__init__()
        act.__init__()
        clock("sampling", sampler.collect)
        clock.cpu.setdefault("environment", []).append(sum(physics.cpu["step"]))
        clock.cpu.setdefault("inference", []).append(sum(act.cpu["act"]))
        with torch_threads(config.update.num_threads):
            batch = clock("prepare", prepare, team, buffer)
            clock("update", learner.update, batch)
        clock("statistics", team.update_statistics, buffer.obs[:-1], buffer.state[:-1], buffer.alive[:-1])
        sampler.advance()
        env.drain_episodes()
    env.close()
    return clock, config.env.num_envs * config.update.rollout_length


# Task -> preset, settings, simulator threads, what is asked of it. The update has one thread: waiting ones would count as CPU time.
WHOLE = {
    "mamujoco/HalfCheetah-2x3": ("fast", ["update.num_epochs=6", "update.num_minibatches=4"], 1, "10,000 env-steps per CPU second"),
    "smac/3s5z": ("paper", ["update.num_epochs=5"], 2, "environment below 10 %"),
}


def whole_training(task: str, iterations: int) -> dict:
    preset, settings, threads, asked = WHOLE[task]
    config = resolve(preset=preset, values={"task": task, "algorithm": "mappo"}, settings=settings)
    clock, samples = measure(config, iterations, num_threads=threads)
    per_step = {
        name: clock.median(name) / samples * 1e6 for name in ("environment", "inference", "sampling", "prepare", "update", "statistics")
    }
    per_step["bookkeeping"] = (
        per_step["sampling"] - per_step["environment"] - per_step["inference"] + per_step["prepare"] + per_step["statistics"]
    )
    total = sum(per_step[name] for name in ("environment", "inference", "bookkeeping", "update"))
    update, network = config.update, config.network
    layers = [*network.hidden_sizes, *([f"GRU {network.recurrent_size}"] if network.recurrent_layers else []), *network.head_sizes]
    shape = f"{config.env.num_envs} x {update.rollout_length} steps, layers {', '.join(map(str, layers))}"
    work = f"{update.num_epochs} epochs x {update.num_minibatches} minibatches, {threads} simulator thread{'s' * (threads > 1)}"
    print(f"MAPPO, {task}, preset {preset}, {shape}, {work}, CPU time per env-step:")
    for name in ("environment", "inference", "bookkeeping", "update"):
        print(f"  {name:12s} {per_step[name]:6.2f} us  {100 * per_step[name] / total:4.0f} %")
    print(f"  {'total':12s} {total:6.2f} us  -> {1e6 / total:,.0f} env-steps per CPU second (asked: {asked})")
    return {"us_per_step": per_step, "steps_per_cpu_s": 1e6 / total, "environment_share": per_step["environment"] / total}


def recurrent_cost(iterations: int) -> dict:
    """Whole training with a GRU over whole training without, at equal width: in place of the second hidden layer, or behind it."""
    rows = {}
    for algorithm in ("a2po", "mappo"):
        costs = {}
        for name, settings in {
            "64, 64": [],
            "64, GRU 64": ["network.hidden_sizes=[64]", "network.recurrent_layers=1"],
            "64, 64, GRU 64": ["network.recurrent_layers=1"],
        }.items():
            clock, samples = measure(resolve(values={"algorithm": algorithm}, settings=settings), iterations)
            costs[name] = sum(clock.median(part) for part in ("sampling", "prepare", "update", "statistics")) / samples * 1e6
            ratio = costs[name] / costs["64, 64"]
            rows[f"{algorithm} {name}"] = {"us_per_step": costs[name], "ratio": ratio}
            print(f"{algorithm:5s} {name:15s} {costs[name]:6.1f} us of CPU per env-step, {ratio:.2f} x the MLP (asked: at most 3)")
    return rows


def against_harl(iterations: int) -> dict:
    rows = {}
    for task, (epochs, stored) in HARL.items():
        for critics in ("one", "per_agent"):
            for algorithm in ("mappo", "a2po"):
                settings = [*HARL_NETWORK, f"update.num_epochs={epochs}", f"network.critics={critics}"]
                config = resolve(settings=settings, values={"task": task, "algorithm": algorithm})
                clock, samples = measure(config, iterations, num_threads=2)
                wall = sum(clock.median(name, "wall") for name in ("sampling", "prepare", "update", "statistics"))
                speed, share = samples / wall, clock.median("update", "wall") / wall
                rows[f"{task} {algorithm} critics={critics}"] = {"steps_per_s": speed, "ratio": speed / stored, "update_share": share}
                label = f"{task} {algorithm:5s} critics {critics:9s} {epochs:2d} epochs"
                print(f"{label}: {speed:7,.0f} env-steps/s, update {100 * share:.0f} %, HARL {stored:,}: {speed / stored:.1f} x")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--task", choices=list(WHOLE), help="the split of this task alone")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "training.json")
    arguments = parser.parse_args()
    if arguments.task:
        whole_training(arguments.task, arguments.iterations)
        return
    results = {
        "whole_training": {task: whole_training(task, arguments.iterations) for task in WHOLE},
        "recurrent_cost": recurrent_cost(arguments.iterations),
        "against_harl": against_harl(max(arguments.iterations // 3, 3)),
        "provenance": provenance(),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
