"""Update time of every rule over MAPPO's, by number of agents, for MLP and GRU.

    python benchmarks/update.py [--agents 2 4 8 17] [--networks mlp gru] [--repeats 9] [--json benchmarks/results/update.json]
    python benchmarks/update.py --profile a2po --agents 17 --networks mlp     where the time goes, beside MAPPO's
    python benchmarks/update.py --quick                                       a smoke test; its figures mean nothing

One update of 4,000 samples per agent, preset `fast` (8 epochs of 4 minibatches), continuous actions, one critic per agent for every
rule; MAPPO trains all agents as one stack. The rules take turns on the same data, so what else the machine does hits all of them;
CPU time of the process with one torch thread; the ratio is the median over the turns. The task is synthetic, but everything from
sampling on is the real path.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import argparse
import cProfile
import json
import pstats
import statistics
import time

import numpy as np
import torch
from gymnasium.spaces import Box
from rich.console import Console
from rich.table import Table

from a2po.algorithms.learner import PolicyLearner
from a2po.algorithms.update_rules import rule
from a2po.config import TrainConfig, resolve
from a2po.envs import SimpleEnv, TaskSpec
from a2po.networks.team_policy import TeamPolicy
from a2po.provenance import provenance
from a2po.streams import generator
from a2po.training.buffer import RolloutBuffer
from a2po.training.prepare import prepare
from a2po.training.rollout import Sampler

COPIES, STEPS, CHUNK = 40, 100, 10
SIZE, SEEN, ACTIONS = 18, 23, 3  # about HalfCheetah-2x3: state, observation and actions of an agent
VARIANTS = {
    "mappo": ("mappo", []),
    "coppo": ("coppo", []),
    "happo": ("happo", []),
    "a2po": ("a2po", []),
    "a2po, scored once": ("a2po", ["update.rescore=once"]),
    "a2po, two-stage": ("a2po", ["update.two_stage=true"]),
}
NETWORKS = {"mlp": [], "gru": ["network.hidden_sizes=[64]", "network.recurrent_layers=1"]}
ASKED = "asked: HAPPO 1.3; A2PO 1.3 up to 4 agents, 1.6 beyond; two-stage 2.0"
PAPER = "the paper's update times: A2PO took 1.6 to 3.7 times MAPPO's (Wang et al., ICLR 2023, appendix, table of training times)"


def asked(variant: str, agents: int) -> float | None:
    """The largest ratio that the project wants."""
    if variant == "a2po, two-stage":
        return 2.0
    if variant == "happo":
        return 1.3
    return (1.3 if agents <= 4 else 1.6) if variant == "a2po" else None


class Drift(SimpleEnv):
    """A noisy linear system that all agents push; who sees what is a random projection."""

    saved = ("x",)

    def __init__(self, agents: int, num_envs: int) -> None:
        self.random = np.random.default_rng(0)
        self.push = self.random.normal(size=(agents * ACTIONS, SIZE)) / np.sqrt(agents * ACTIONS)
        self.eyes = self.random.normal(size=(agents, SIZE, SEEN)) / np.sqrt(SIZE)
        self.x = np.zeros((num_envs, SIZE))
        features, names = tuple(f"x{i}" for i in range(SEEN)), tuple(f"a{i}" for i in range(ACTIONS))
        spec = TaskSpec(
            task="benchmark/drift",
            agents=tuple(f"agent_{agent}" for agent in range(agents)),
            obs_sizes=(SEEN,) * agents,
            state_size=SIZE,
            state_per_agent=False,
            action_spaces=(Box(-1.0, 1.0, (ACTIONS,), np.float32),) * agents,
            reward_per_agent=False,
            max_episode_steps=70,
            metrics=(),
            feature_names=(features,) * agents,
            action_names=(names,) * agents,
            exact_state=False,
        )
        super().__init__(spec, num_envs, seed=0, device=torch.device("cpu"))

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """Anywhere."""
        self.x[copy] = random.normal(size=SIZE)

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Everybody pushes; the first coordinate pays."""
        flat = actions.reshape(len(actions), -1)
        self.x = 0.9 * self.x + 0.3 * flat @ self.push + 0.1 * self.random.normal(size=self.x.shape)
        return self.x[:, 0] - 0.1 * (flat**2).mean(1), np.abs(self.x[:, 1]) > 3

    def observe(self) -> tuple[np.ndarray, np.ndarray, None]:
        """A projection of the state for every agent, and the state."""
        return np.einsum("bs,nso->bno", self.x, self.eyes), self.x, None


def settings(variant: str, network: str, epochs: int | None) -> TrainConfig:
    algorithm, own = VARIANTS[variant]
    own = [*own, *NETWORKS[network], f"update.chunk_length={CHUNK}", *([f"update.num_epochs={epochs}"] if epochs else [])]
    return resolve(values={"algorithm": algorithm, "task": "benchmark/drift"}, settings=own)


def updater(variant: str, agents: int, network: str, epochs: int | None = None):
    """A function without arguments that updates a team of its own, always with the same data."""
    config = settings(variant, network, epochs)
    env = Drift(agents, COPIES)
    team = TeamPolicy(env.spec, config.network, seed=0)
    buffer = RolloutBuffer.for_team(team, STEPS, COPIES, CHUNK)
    sampler = Sampler(env, team, buffer, generator(0, "sampling"))
    sampler.start()
    sampler.collect()
    learner, batch = PolicyLearner(team, rule(config.algorithm), config.update, seed=0), prepare(team, buffer)
    return lambda: learner.update(batch)


def cpu_seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(agents: int, network: str, repeats: int, epochs: int | None) -> dict:
    """One row of the table: seconds of every variant, taking turns, and their ratios to MAPPO's of the same turn."""
    updates = {variant: updater(variant, agents, network, epochs) for variant in VARIANTS}
    for update in updates.values():
        update()  # warms caches up
    seconds = {variant: [] for variant in VARIANTS}
    for turn in range(repeats):
        names = list(VARIANTS)[turn % len(VARIANTS) :] + list(VARIANTS)[: turn % len(VARIANTS)]
        for name in names:
            seconds[name].append(cpu_seconds(updates[name]))
    row = {"agents": agents, "network": network, "mappo_ms": 1e3 * statistics.median(seconds["mappo"])}
    paired = {name: sorted(own / base for own, base in zip(values, seconds["mappo"], strict=True)) for name, values in seconds.items()}
    row["ratios"] = {name: statistics.median(values) for name, values in paired.items() if name != "mappo"}
    row["spread"] = {name: [values[len(values) // 4], values[-1 - len(values) // 4]] for name, values in paired.items() if name != "mappo"}
    return row


def show(rows: list[dict]) -> None:
    """The table; a ratio above what is asked is red."""
    table = Table(title="Update time over MAPPO's (median, one thread)", caption=f"{ASKED}\n{PAPER}", caption_justify="left", box=None)
    for heading in ("network", "agents", "MAPPO (ms)", *(name for name in VARIANTS if name != "mappo")):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for row in rows:
        cells = []
        for name, ratio in row["ratios"].items():
            limit = asked(name, row["agents"])
            cells.append(f"[red]{ratio:.2f}[/red]" if limit and ratio > limit else f"{ratio:.2f}")
        table.add_row(row["network"], str(row["agents"]), f"{row['mappo_ms']:,.0f}", *cells)
    Console(emoji=False).print(table)


def profile(variant: str, agents: int, network: str, epochs: int | None, lines: int = 16) -> None:
    """Where the time of one update goes: functions of a2po (with what they call) and torch's gradient, beside MAPPO's."""
    found = {}
    for name in ("mappo", variant):
        update = updater(name, agents, network, epochs)
        update()
        profiler = cProfile.Profile()
        profiler.runcall(update)
        found[name] = {}
        for (file, _, function), (_, calls, _, seconds, _) in pstats.Stats(profiler).stats.items():
            if "/a2po/" in file or function == "grad":
                found[name][f"{Path(file).stem}.{function}"] = calls, 1e3 * seconds
    table = Table(title=f"{variant} beside mappo: {agents} agents, {network}, ms of one update (under the profiler)", box=None)
    for heading in ("function", "mappo calls", "mappo ms", "calls", "ms", "more ms"):
        table.add_column(heading, justify="left" if heading == "function" else "right", no_wrap=True)
    nothing = (0, 0.0)
    for name in sorted(found[variant], key=lambda name: -found[variant][name][1])[:lines]:
        (base_calls, base), (calls, own) = found["mappo"].get(name, nothing), found[variant][name]
        table.add_row(name, f"{base_calls:,}", f"{base:,.0f}", f"{calls:,}", f"{own:,.0f}", f"{own - base:+,.0f}")
    Console(emoji=False).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=[2, 4, 8, 17])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--epochs", type=int, help="by default the preset's")
    parser.add_argument("--profile", choices=[name for name in VARIANTS if name != "mappo"], metavar="VARIANT")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "update.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quick:
        arguments.agents, arguments.networks, arguments.repeats, arguments.epochs = [2], ["mlp"], 1, 1
    if arguments.profile:
        for network in arguments.networks:
            for agents in arguments.agents:
                profile(arguments.profile, agents, network, arguments.epochs)
        return
    rows = []
    for network in arguments.networks:
        for agents in arguments.agents:
            rows.append(measure(agents, network, arguments.repeats, arguments.epochs))
            print(f"{network} {agents}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in rows[-1]["ratios"].items()), file=sys.stderr)
    show(rows)
    if not arguments.quick:
        how = {
            "samples_per_agent": COPIES * STEPS,
            "repeats": arguments.repeats,
            "epochs": settings("mappo", "mlp", arguments.epochs).update.num_epochs,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**how, "rows": rows, "paper": PAPER, "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
