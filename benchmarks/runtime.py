"""What a step of an exported team costs: over a bare onnxruntime loop of the same graphs, and beside the trained team in torch.

    python benchmarks/runtime.py [--agents 1 8] [--networks mlp gru] [--repeats 15] [--json benchmarks/results/runtime.json]
    python benchmarks/runtime.py --quick     a smoke test; its figures mean nothing

Real bundles of random weights (two tanh layers of 64, GRU of 64, 80 features, 14 actions with masks), written by the exporter with its
proof. Three ways to play take turns on the same inputs: `Team.act` with all its checks; `InferenceSession.run` on arrays that are
ready, which is the limit; `TeamPolicy.act` in torch eager. Wall time; a turn is a burst of steps, its p50 and p99 are taken, and of the
turns the median, so a short disturbance by something else on the machine does not show. One thread, but for the throughput of 1,024
games at once. The memory is that of a process of its own that loads a team and plays.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `python benchmarks/runtime.py` puts this folder at the front of the module search path; benchmarks/mujoco.py would then hide the package.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import torch
from gymnasium.spaces import Discrete
from rich.console import Console
from rich.table import Table

from a2po.config import EnvConfig, NetworkConfig, TrainConfig
from a2po.envs import SimpleEnv, TaskSpec
from a2po.exporters.build import build_bundle
from a2po.networks.team_policy import TeamPolicy
from a2po.provenance import provenance
from a2po.runtime import Team
from a2po.runtime.latency import drawn_inputs, processor
from a2po.training.runs import TrainedPolicy

SEEN, ACTIONS = 80, 14  # about an 8-unit battle
GAMES = 1024
STEPS = 200
"""Of a burst of one game at a time."""
ASKED_US, ASKED_RATE, ASKED_MB = 40.0, 2e6, 120.0
ASKED = "asked: shared GRU of 8 agents: at most 40 us more; 1,024 games, MLP, two cores: 2 M/s; a bot: 120 MB"
BOT = """
import sys
import numpy as np
from a2po.runtime import Team
team = Team.load(sys.argv[1])
task = team.manifest["task"]
obs = np.zeros((len(team.agents), task["obs_width"]), np.float32)
for _ in range(1000):
    team.act(obs)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


class Crowd(SimpleEnv):
    """Noise to look at and random masks; what the agents do changes nothing."""

    saved = ("seen",)

    def __init__(self, agents: int, num_envs: int) -> None:
        self.random, self.agents = np.random.default_rng(0), agents
        self.seen = np.zeros((num_envs, agents, SEEN))
        spec = TaskSpec(
            task="benchmark/crowd",
            agents=tuple(f"agent_{agent}" for agent in range(agents)),
            obs_sizes=(SEEN,) * agents,
            state_size=1,
            state_per_agent=False,
            action_spaces=(Discrete(ACTIONS),) * agents,
            reward_per_agent=False,
            max_episode_steps=100,
            metrics=(),
            feature_names=(tuple(f"x{i}" for i in range(SEEN)),) * agents,
            action_names=(tuple(f"a{i}" for i in range(ACTIONS)),) * agents,
            exact_state=False,
        )
        super().__init__(spec, num_envs, seed=0, device=torch.device("cpu"))

    def begin(self, copy: int, random: np.random.Generator) -> None:
        """Anything may be seen first."""
        self.seen[copy] = random.normal(size=self.seen.shape[1:])

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Something else is seen."""
        self.seen = self.random.normal(size=self.seen.shape)
        return np.zeros(len(actions)), np.zeros(len(actions), bool)

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is seen, no state, and masks that leave the first action."""
        masks = self.random.random((*self.seen.shape[:2], ACTIONS)) < 0.5
        masks[..., 0] = True
        return self.seen, np.zeros((len(self.seen), 1)), masks


def exported(folder: Path, agents: int, network: str, *, shared: bool) -> tuple[TeamPolicy, Path]:
    """A team as training begins with it, but for random observation statistics, and its bundle."""
    config = NetworkConfig(share_parameters=shared, recurrent_layers=int(network == "gru"))
    env = Crowd(agents, 1)
    team, stream = TeamPolicy(env.spec, config, seed=0), torch.Generator().manual_seed(0)
    team.obs_norm.update(torch.randn(64, *team.obs_norm.shape, generator=stream) * 3 + 1)
    whole = TrainConfig(task=env.spec.task, network=config, env=EnvConfig(num_threads=1))
    policy = TrainedPolicy(folder, whole, team, 0, "step_000000000000", provenance())
    return team, build_bundle(policy, lambda copies: Crowd(agents, copies))


def bare_loop(team: Team, obs: np.ndarray, masks: np.ndarray, threads: int) -> Callable[[], Any]:
    """The graphs of a team, run on arrays [B, N, ...] that are ready; the memory goes from one step to the next."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    parts = []
    for file in dict.fromkeys(agent.file for agent in team.bundle.agents):
        agents = [(row, agent) for row, agent in enumerate(team.bundle.agents) if agent.file == file]
        rows, first = [row for row, _ in agents], agents[0][1]
        feed = {"obs": obs[:, rows].reshape(-1, SEEN), "action_mask": masks[:, rows].reshape(-1, ACTIONS)}
        if "agent" in first.inputs:
            feed["agent"] = np.tile(np.array([agent.row for _, agent in agents], np.int32), len(obs))
        outputs = ["action"]
        if first.num_layers:
            feed["state_in"] = np.zeros((len(feed["obs"]), first.num_layers, first.hidden_size), np.float32)
            outputs.append("state_out")
        parts.append((onnxruntime.InferenceSession(team.bundle.files[file], options, ["CPUExecutionProvider"]), outputs, feed))

    def step() -> None:
        for session, outputs, feed in parts:
            results = session.run(outputs, feed)
            if len(results) == 2:
                feed["state_in"] = results[1]

    return step


def eager(policy: TeamPolicy, obs: np.ndarray, masks: np.ndarray, threads: int) -> Callable[[], Any]:
    """The trained team in torch, from arrays to arrays."""
    state = [policy.initial_state(len(obs))]

    def step() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            chosen = policy.act(torch.from_numpy(obs), torch.from_numpy(masks), state[0], None)
        state[0] = chosen.state_out
        chosen.actions.numpy()

    return step


def bursts(contenders: dict[str, Callable[[], Any]], steps: int, repeats: int) -> dict[str, np.ndarray]:
    """[repeats, steps] microseconds of every contender, taking turns."""
    times = {name: np.empty((repeats, steps)) for name in contenders}
    names = list(contenders)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            step = contenders[name]
            for _ in range(max(3, steps // 10)):
                step()
            for index in range(steps):
                begun = time.perf_counter_ns()
                step()
                times[name][turn, index] = (time.perf_counter_ns() - begun) / 1e3
    return times


def summary(times: dict[str, np.ndarray]) -> dict[str, Any]:
    """p50 and p99 of the turns' median, and by how much the p50 is above the bare loop's in the same turn."""
    halves = {name: np.percentile(own, 50, axis=1) for name, own in times.items()}
    row: dict[str, Any] = {}
    for name, own in times.items():
        row[name] = {"p50_us": statistics.median(halves[name]), "p99_us": statistics.median(np.percentile(own, 99, axis=1))}
        if name != "loop":
            row[name]["above_loop_us"] = statistics.median(halves[name] - halves["loop"])
    return row


def latency(policy: TeamPolicy, path: Path, steps: int, repeats: int) -> dict[str, Any]:
    """One game at a time."""
    team = Team.load(path)
    obs, masks = drawn_inputs(team, 1, seed=0)
    return summary(
        bursts(
            {
                "team": lambda: team.act(obs[0], masks[0]),
                "loop": bare_loop(team, obs, masks, 1),
                "torch": eager(policy, obs, masks, 1),
            },
            steps,
            repeats,
        )
    )


def guards(path: Path, steps: int, repeats: int) -> dict[str, Any]:
    """What a bot pays for fallback actions and for a deadline."""
    teams = {
        "team": Team.load(path),
        "fallback": Team.load(path, on_fault="fallback"),
        "deadline": Team.load(path, on_fault="fallback", deadline_ms=1000),
    }
    obs, masks = drawn_inputs(teams["team"], 1, seed=0)
    contenders = {name: (lambda own=own: own.act(obs[0], masks[0])) for name, own in teams.items()}
    return summary(bursts({**contenders, "loop": bare_loop(teams["team"], obs, masks, 1)}, steps, repeats))


def throughput(policy: TeamPolicy, path: Path, games: int, repeats: int) -> dict[str, float]:
    """Agent-steps per second of many games at once, with one thread and with two."""
    team = Team.load(path)
    obs, masks = drawn_inputs(team, games, seed=0)
    contenders: dict[str, Callable[[], Any]] = {}
    for threads in (1, 2):
        own = Team.load(path, threads=threads)
        contenders[f"team, {threads}"] = lambda own=own: own.act(obs, masks)
        contenders[f"loop, {threads}"] = bare_loop(team, obs, masks, threads)
        contenders[f"torch, {threads}"] = eager(policy, obs, masks, threads)
    times = bursts(contenders, 20, repeats)
    rows = games * len(team.agents)
    return {name: rows / statistics.median(np.percentile(own, 50, axis=1)) * 1e6 for name, own in times.items()}


def bot_memory(path: Path) -> float:
    """Peak resident memory of a process that plays a bundle, MB."""
    done = subprocess.run([sys.executable, "-c", BOT, str(path)], capture_output=True, text=True, check=True, timeout=300)
    return int(done.stdout) * 1024 / 1e6


def show(result: dict[str, Any]) -> None:
    """The tables; what is not as asked is red."""
    console = Console(emoji=False)
    table = Table(
        title="One step of the whole team, one game, one thread: p50 and p99 in us, and torch over Team",
        box=None,
        caption=ASKED,
        caption_justify="left",
    )
    for heading in ("agents", "weights", "net", "loop", "Team", "p99", "more", "torch", "p99", "ratio"):
        table.add_column(heading, justify="left" if heading in ("weights", "net") else "right")
    for row in result["latency"]:
        more, ways = row["team"]["above_loop_us"], ("team", "torch")
        missed = row["parameters"] == "shared" and more > ASKED_US
        team, trained = ([f"{row[way]['p50_us']:.1f}", f"{row[way]['p99_us']:.1f}"] for way in ways)
        cells = [f"{row['loop']['p50_us']:.1f}", *team, f"[red]{more:+.1f}[/red]" if missed else f"{more:+.1f}", *trained]
        table.add_row(
            str(row["agents"]), row["parameters"], row["network"], *cells, f"{row['torch']['p50_us'] / row['team']['p50_us']:.1f}"
        )
    console.print(table)
    if result["guards"]:
        words = {"team": "errors", "fallback": "fallback actions", "deadline": "fallback actions and a deadline"}
        costs = ", ".join(f"{words[name]} {result['guards'][name]['p50_us']:.1f}" for name in words)
        console.print(f"Guards, 8 agents, shared GRU (p50, us): {costs}", highlight=False)
    if result["throughput"]:
        rates = Table(title=f"Million agent-steps/s of {result['throughput'][0]['games']:,} games, by threads", box=None)
        names = list(result["throughput"][0]["agent_steps_per_second"])
        for heading in ("agents", "net", *names):
            rates.add_column(heading, justify="left" if heading == "net" else "right")
        for row in result["throughput"]:
            own = row["agent_steps_per_second"]
            missed = row["network"] == "mlp" and own["team, 2"] < ASKED_RATE
            cells = [f"{own[name] / 1e6:.2f}" for name in names]
            rates.add_row(str(row["agents"]), row["network"], *cells, style="red" if missed else None)
        console.print(rates)
    memory = result["bot_memory_mb"]
    console.print(f"A bot's process: {memory:.0f} MB", style="red" if memory > ASKED_MB else None, highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--networks", nargs="+", choices=["mlp", "gru"], default=["mlp", "gru"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "runtime.json")
    arguments = parser.parse_args()
    steps, repeats, games = (20, 1, 8) if arguments.quick else (STEPS, arguments.repeats, GAMES)
    torch.set_num_threads(1)
    result: dict[str, Any] = {"latency": [], "guards": {}, "throughput": [], "bot_memory_mb": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for agents in arguments.agents:
            for network in arguments.networks:
                for shared in (False, True) if agents > 1 else (False,):
                    parameters = "shared" if shared else "separate"
                    own = Path(folder) / f"{agents}_{network}_{parameters}"
                    policy, path = exported(own, agents, network, shared=shared)
                    case = {"agents": agents, "parameters": parameters, "network": network}
                    result["latency"].append({**case, **latency(policy, path, steps, repeats)})
                    if shared:
                        rates = throughput(policy, path, games, repeats)
                        result["throughput"].append({**case, "games": games, "agent_steps_per_second": rates})
                        result["bot_memory_mb"] = max(result["bot_memory_mb"], bot_memory(path))
                        if network == "gru" and agents == 8:
                            result["guards"] = guards(path, steps, repeats)
                    print(f"{agents} agents, {parameters} {network}: done", file=sys.stderr)
    show(result)
    if not arguments.quick:
        how = {"steps": steps, "repeats": repeats, "processor": processor(), "provenance": provenance()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**result, **how}, indent=2) + "\n")


if __name__ == "__main__":
    main()
