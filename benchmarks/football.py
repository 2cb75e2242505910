"""How fast the family football is beside the engine's own step and the stock package, what threads and processes give, and its memory.

    python benchmarks/football.py --stock ~/gfootball/bin/python    # a Python that has gfootball 2.10.2; without it, no stock figures
    python benchmarks/football.py --rows 5_vs_5 --repeats 2 --seconds 0.3 --no-threads --json /tmp/football.json
    python benchmarks/football.py --show --docs                     # the stored figures, also into docs/football-speed.md

Method: one pass plays random legal actions and records them; then every timed pass goes back to its first state and plays the same, and
its last frames must be the recorded ones to the bit. CPU time (user + system), median of the repeats, passes interleaved so that a slow
spell of the machine hits all alike:

    environment   whole ``env.step``: features and masks for all agents, rewards, records
    engine        the same games, the engine's C function alone, called with codes that are ready
    stock         the first of the games in the stock package with raw observations; what its agents see last must be the same, too

Threads and processes: wall time of the environment with 16 games, the best of several windows each, since other people's work in a window
slows two threads more than one. Memory: a process of its own that opens engine after engine, and one that plays 50 episodes.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name. Our own modules come last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from _docs import markdown, write_block
from _football_stock import canonical

import a2po.envs
from a2po.envs.football.environment import Football
from a2po.envs.football.frames import ENGINE_CODES, raw_observations
from a2po.envs.protocol import Observations
from a2po.provenance import provenance

RESULTS = HERE / "results" / "football.json"
COMMAND = "benchmarks/football.py --show --docs"


class Row(NamedTuple):
    """What is measured; ``keeper`` as the stock package has it, so that it can play the same game."""

    scenario: str
    agents: int
    keeper: bool
    asked: float | None  # times the stock package


ROWS = (Row("5_vs_5", 4, False, 1.8), Row("11_vs_11_stochastic", 10, True, 2.0), Row("academy_3_vs_1_with_keeper", 3, True, None))
COPIES = (1, 16)
ASKED_ENGINE, ASKED_THREADS, ASKED_MEMORY = 1.10, 1.7, 70
WARM_UP = 30  # steps
MEMORY = """
import sys
import numpy as np
from a2po.envs.football.engine import Engine
from a2po.envs.football.scenarios import scenario

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def episode(engine, seed, steps):
    engine.reset(played, seed=seed, left_agents=agents)
    for actions in np.random.RandomState(seed).randint(19, size=(steps, agents)):
        engine.step(actions)
    return resident()

played, agents = scenario(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "engines":
    engines, sizes = [], [resident()]
    for seed in range(9):
        engines.append(Engine())
        sizes.append(episode(engines[-1], seed, 100))
else:
    engine = Engine()
    sizes = [episode(engine, seed, 200) for seed in range(50)]
print(sizes)
"""


@dataclass
class Recording:
    """What happened: where it began, what was done, and what was seen last."""

    start: dict[str, Any]
    actions: list[torch.Tensor]
    last: bytes
    whole: np.ndarray  # [T, N]: the first copy's actions from the kick-off on
    seed: int  # of the first copy's engine
    swapped: bool
    episodes: int
    slots: list[Observations]  # of a rollout buffer

    @property
    def codes(self) -> np.ndarray:
        """[T, B, N]: the actions as the engine numbers them."""
        return np.ascontiguousarray(ENGINE_CODES[np.stack([actions.numpy() for actions in self.actions])])


def make(row: Row, copies: int, **options: Any) -> Football:
    return a2po.envs.make(f"football/{row.scenario}", copies, keeper=row.keeper, agents=row.agents, **options)


def record(env: Football, steps: int) -> Recording:
    """Play random legal actions, after a warm-up."""
    generator, actions = torch.Generator().manual_seed(0), []
    shown = env.reset()
    game = env._games[0]
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            env.drain_episodes()
            start = env.state_dict()
        actions.append((torch.rand(shown.action_mask.shape, generator=generator) * shown.action_mask).argmax(-1))
        shown = env.step(actions[-1]).observations
    whole, swapped = np.stack([chosen[0].numpy() for chosen in actions]), game.scenario.left != env.scenario.left
    slots = [Observations(*(values.clone() for values in shown)) for _ in range(8)]
    return Recording(start, actions[WARM_UP:], env.frames.tobytes(), whole, game.seed, swapped, len(env.drain_episodes()), slots)


def play(env: Football, recording: Recording, clock: Callable[[], float]) -> float:
    """Seconds for the environment's steps, resets included."""
    env.load_state_dict(recording.start)
    start = clock()
    for index, actions in enumerate(recording.actions):
        env.step(actions, recording.slots[index % len(recording.slots)])
    seconds = clock() - start
    assert env.frames.tobytes() == recording.last
    env.drain_episodes()
    return seconds


def engine_alone(env: Football, recording: Recording) -> float:
    """CPU seconds for the engines' steps and nothing else. Only for games that do not end meanwhile."""
    env.load_state_dict(recording.start)
    engines, codes = [env.engines._engine(copy) for copy in range(env.num_envs)], recording.codes
    calls = [(engine._library.football_step, engine._game, engine._pointer) for engine in engines]
    orders = [[codes[step, copy].ctypes.data for copy in range(env.num_envs)] for step in range(len(codes))]
    start = time.process_time()
    for pointers in orders:
        for (step, game, frame), order in zip(calls, pointers, strict=True):
            step(game, order, frame)
    seconds = time.process_time() - start
    assert env.frames.tobytes() == recording.last
    return seconds


class Stock:
    """The stock package in a process of its own, which plays what it is told."""

    def __init__(self, python: str) -> None:
        command = [python, str(HERE / "_football_stock.py"), "timed"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)

    def play(self, row: Row, recording: Recording, env: Football) -> float:
        """CPU seconds; its agents must see last what ours saw."""
        game = {"scenario": row.scenario, "left": row.agents, "seed": recording.seed, "swapped": recording.swapped, "from": WARM_UP}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({**game, "actions": recording.whole.tolist()}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        ours = np.frombuffer(recording.last, env.frames.dtype)[0]
        assert answer["sha1"] == hashlib.sha1(canonical(raw_observations(ours))).hexdigest(), "the stock package played another game"
        return answer["seconds"]


def measure(row: Row, copies: int, repeats: int, seconds: float, stock: Stock | None) -> dict[str, Any]:
    """CPU time of one row, in microseconds per step of one game."""
    env = make(row, copies, num_threads=1)
    trial = record(env, 10)
    recording = record(env, max(20, int(seconds / play(env, trial, time.process_time) * 10)))
    ends = recording.episodes > 0
    samples: dict[str, list[float]] = {"env": [], "engine": [], "stock": []}
    for _ in range(repeats):
        samples["env"].append(play(env, recording, time.process_time) / copies)
        if not ends:
            samples["engine"].append(engine_alone(env, recording) / copies)
        if stock and not ends and copies == 1:  # it would take turns with itself sixteen times for nothing
            samples["stock"].append(stock.play(row, recording, env))
    env.close()
    figures = {f"{name}_us": [value / len(recording.actions) * 1e6 for value in values] for name, values in samples.items() if values}
    return {**row._asdict(), "copies": copies, "steps": len(recording.actions), "episodes_ended": recording.episodes, **figures}


def windows(row: Row, copies: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Wall time of the environment with one thread, two threads and two processes: the best window of each, in steps per second."""
    kinds = {
        "one thread": {"num_threads": 1},
        "two threads": {"num_threads": 2},
        "two processes": {"num_threads": 2, "workers": "processes"},
    }
    envs = {kind: make(row, copies, **options) for kind, options in kinds.items()}
    trial, *_ = [record(env, 10) for env in envs.values()]  # all of them, so that the next episodes are the same
    steps = max(10, int(seconds / play(envs["one thread"], trial, time.perf_counter) * 10))
    recordings = {kind: record(env, steps) for kind, env in envs.items()}
    assert len({recording.last for recording in recordings.values()}) == 1
    samples: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, env in envs.items():
            samples[kind].append(play(env, recordings[kind], time.perf_counter))
    for env in envs.values():
        env.close()
    rates = {kind: [steps * copies / value for value in values] for kind, values in samples.items()}
    best = {kind: max(values) for kind, values in rates.items()}
    return {**row._asdict(), "copies": copies, "windows": rates, **best}


def memory(row: Row) -> dict[str, Any]:
    """MB: of a first engine, of a further one, and what 45 episodes of an engine add after the first five."""

    def sizes(what: str) -> list[float]:
        command = [sys.executable, "-c", MEMORY, row.scenario, str(row.agents), what]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    engines, episodes = sizes("engines"), sizes("episodes")
    further = statistics.median(after - before for before, after in itertools.pairwise(engines[1:]))
    return {
        **row._asdict(),
        "first": engines[1] - engines[0],
        "further": further,
        "growth": episodes[-1] - episodes[4],
        "episodes": episodes,
    }


def tables(results: dict[str, Any]) -> str:
    header = [
        "scenario",
        "agents",
        "games",
        "environment, µs",
        "engine's own step, µs",
        "environment / engine",
        "stock, µs",
        "times the stock",
    ]
    lines = []
    for row in results["rows"]:
        env, engine, stock = (statistics.median(row[key]) if key in row else None for key in ("env_us", "engine_us", "stock_us"))
        over = f"{env / engine:.3f}" if engine else ""
        times = f"{stock / env:.2f}" + (f" (goal: {row['asked']:g})" if row["asked"] else "") if stock else ""
        cells = [f"{env:,.0f}", f"{engine:,.0f}" if engine else "", over, f"{stock:,.0f}" if stock else "", times]
        lines.append([row["scenario"], str(row["agents"]), str(row["copies"]), *cells])
    parts = [markdown(header, lines)]
    if results.get("threads"):
        header = ["scenario, 16 games", "one thread, steps/s", "two threads", "gain", "two processes", "gain"]
        lines = [
            [
                row["scenario"], f"{row['one thread']:,.0f}", f"{row['two threads']:,.0f}", f"{row['two threads'] / row['one thread']:.2f}",
                f"{row['two processes']:,.0f}", f"{row['two processes'] / row['one thread']:.2f}",
            ] for row in results["threads"]
        ]  # fmt: skip
        parts.append(markdown(header, lines))
    header = ["memory", "first engine, MB", f"each further one (goal: {ASKED_MEMORY})", "45 episodes after the first five add, MB"]
    lines = [[row["scenario"], f"{row['first']:.0f}", f"{row['further']:.1f}", f"{row['growth']:+.1f}"] for row in results["memory"]]
    parts.append(markdown(header, lines))
    made = results["provenance"]
    parts.append(
        f"Measured on {results['cpu']}, {made['cores']} cores, load {results['load']:.1f}. Goals: environment / engine at most "
        f"{ASKED_ENGINE:g}, two threads at least {ASKED_THREADS:g}."
    )
    return "\n\n".join(parts)


def processor() -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown"


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; rows are printed as they come."""
    load, stock = os.getloadavg()[0], Stock(arguments.stock) if arguments.stock else None
    results: dict[str, Any] = {"rows": [], "threads": [], "memory": [], "load": load, "cpu": processor(), "provenance": provenance()}
    for row in ROWS:
        if row.scenario not in arguments.rows:
            continue
        for copies in COPIES:
            results["rows"].append(measure(row, copies, arguments.repeats, arguments.seconds, stock))
            print(results["rows"][-1], flush=True)
        if not arguments.no_threads:
            results["threads"].append(windows(row, max(COPIES), 2 * arguments.repeats, arguments.seconds))
            print(results["threads"][-1], flush=True)
        results["memory"].append(memory(row))
        print(results["memory"][-1], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.scenario for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="which scenarios")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one pass")
    parser.add_argument("--stock", help="a Python that has gfootball 2.10.2")
    parser.add_argument("--no-threads", action="store_true", help="leave out what takes wall time")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/football-speed.md as well")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.show:
        results = json.loads(arguments.json.read_text())
    else:
        results = run(arguments)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    if arguments.docs:
        write_block("football-speed.md", COMMAND, tables(results))


if __name__ == "__main__":
    main()
