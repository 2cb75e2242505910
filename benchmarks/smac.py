"""How fast the family smac is, and how near to what the machine can do.

    python benchmarks/smac.py                        # all rows, some minutes; a quiet machine is asked for
    python benchmarks/smac.py --rows 8m 3s5z --repeats 2 --seconds 0.2 --no-first-call --json /tmp/smac.json
    python benchmarks/smac.py --show --docs          # the stored figures, also into docs/smac.md

Method: one pass plays random legal actions from a battle in full swing and records them, then every timed pass goes back to its first
state and plays the same: whole ``env.step``, with full rules, observations, masks, rewards and resets, written into the slots of a rollout
buffer; its last state must be the recorded one to the bit. CPU time (user + system, all threads), median of the repeats, passes interleaved
so that a slow spell of the machine hits all alike. Beside it, in the same run:

    rules    game loops alone (no orders, scores, observations), eight per step, from states spread over the recording
    copy     copying as many bytes as a step has to write, into the same slots: no environment can be faster
    Python   the same rules without a compiler, a few steps of one battle
    peers    SMAX and smaclite, which are not installed here: figures stored below, with what they were measured on
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name. Our own modules come last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch
from _docs import markdown, write_block

import a2po.envs
from a2po.envs.protocol import Observations
from a2po.envs.smac.environment import StarCraftBattles
from a2po.envs.smac.rules.battle import LOOP_BATTLES, LOOPS_PER_STEP
from a2po.envs.smac.smacv2 import SMACV2
from a2po.envs.smac.specialise import plain
from a2po.provenance import provenance

RESULTS = HERE / "results" / "smac.json"
COMMAND = "benchmarks/smac.py --show --docs"


class Row(NamedTuple):
    """What is measured."""

    map: str
    copies: int = 512
    observation: str = "smac"


ROWS = (
    Row("8m"), Row("8m", 64), Row("8m", 4096), Row("3s5z"), Row("3s5z", observation="on_policy"), Row("27m_vs_30m"),
    Row("27m_vs_30m", observation="on_policy"), Row("2c_vs_64zg"), Row("corridor"), Row("terran_10_vs_10"), Row("terran_20_vs_20"),
)  # fmt: skip
ASKED = {
    "8m": (80_000, 120_000),
    "3s5z": (80_000, 120_000),
    "27m_vs_30m": (20_000, 40_000),
    "terran_10_vs_10": (40_000, 40_000),
    "terran_20_vs_20": (12_000, 12_000),
}  # steps per CPU second, and the goal
ASKED_THREADS, ASKED_COLD, ASKED_CACHED = 1.8, 10.0, 1.5
FIRST_CALLS = ("8m", "corridor", "27m_vs_30m", "2c_vs_64zg")  # every size of the rules

# Steps per second of one core, measured by us on another day on a machine of the same kind (two shared cores of an AMD EPYC).
PEERS = {
    "SMAX": {
        "what": "jaxmarl 0.2.0, jax 0.10.2 on the CPU, jit + scan, 128 and 1024 copies; CPU time; its own rules and observations",
        "3s5z": "9,600-11,600", "27m_vs_30m": "900-1,200",
    },
    "smaclite": {
        "what": "commit 0d6abbe, numpy RVO2, one copy, random and attack-nearest; wall time, ±50 %",
        "3s5z": "28-78", "27m_vs_30m": "12",
    },
}  # fmt: skip
SLOTS_MB = 256  # of the rollout buffer
WARM_UP = 150  # steps; episodes of random play have fallen out of step by then
STATES = 8  # of the recording, from which the rules alone are played
FEW = 32  # battles that play their eight loops before the next ones: they stay in the cache, as within a step
FIRST_CALL = """
import torch, a2po.envs
env = a2po.envs.make("smac/{map}", 512, num_threads=1)
shown = env.reset()
env.step(shown.alive.long())  # stop
"""


@dataclass
class Recording:
    """What happened: where it began and ended, what was done, and the battles on the way."""

    start: dict[str, Any]
    actions: list[torch.Tensor]
    states: list[tuple[np.ndarray, np.ndarray]]
    last: np.ndarray
    episodes: int


def draw(mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random legal action for everybody."""
    return (torch.rand(mask.shape, generator=generator) * mask).argmax(-1)


def record(env: StarCraftBattles, steps: int) -> Recording:
    """Play random legal actions, after a warm-up."""
    generator = torch.Generator().manual_seed(0)
    shown = env.reset()
    for _ in range(WARM_UP):
        shown = env.step(draw(shown.action_mask, generator)).observations
    env.drain_episodes()
    start, actions, states = env.state_dict(), [], []
    for step in range(steps):
        if step % -(-steps // STATES) == 0:
            states.append((env.simulation.units.copy(), env.simulation.marks.copy()))
        actions.append(draw(shown.action_mask, generator))
        shown = env.step(actions[-1]).observations
    return Recording(start, actions, states, env.simulation.units.copy(), len(env.drain_episodes()))


def buffer_slots(env: StarCraftBattles) -> list[Observations]:
    """Slots of a rollout buffer, their pages touched."""
    size = sum(values.numel() * values.element_size() for values in env._host)
    slots = [env._allocate(torch.device("cpu")) for _ in range(min(64, max(2, (SLOTS_MB << 20) // size)))]
    for slot in slots:
        for values in slot:
            values.fill_(1)
    return slots


def play(env: StarCraftBattles, recording: Recording, slots: list[Observations], clock: Callable[[], float]) -> float:
    """Seconds for the environment's steps, resets included."""
    env.load_state_dict(recording.start)
    start = clock()
    for index, actions in enumerate(recording.actions):
        env.step(actions, slots[index % len(slots)])
    seconds = clock() - start
    assert np.array_equal(env.simulation.units, recording.last)
    env.drain_episodes()
    return seconds


def rules_alone(env: StarCraftBattles, recording: Recording) -> float:
    """CPU seconds per step for its game loops and nothing else."""
    simulation, shown, seconds = env.simulation, env._shown(env._host), 0.0
    nothing = (simulation._no_seeds, simulation._no_actions, simulation._no_rivals, shown)
    for units, marks in recording.states:
        simulation.units[...], simulation.marks[...] = units, marks
        start = time.process_time()
        for first in range(0, env.num_envs, FEW):
            few = np.arange(first, min(first + FEW, env.num_envs))
            for _ in range(LOOPS_PER_STEP):
                simulation._share(LOOP_BATTLES, few, *nothing)
        seconds += time.process_time() - start
    return seconds / len(recording.states)


def copying(env: StarCraftBattles, slots: list[Observations]) -> float:
    """CPU seconds to copy what a step writes at least: everything that is shown, and the battles' memory."""
    simulation, rounds = env.simulation, max(8, len(slots))
    units, marks = simulation.units.copy(), simulation.marks.copy()
    start = time.process_time()
    for index in range(rounds):
        for slot, values in zip(slots[index % len(slots)], env._host, strict=True):
            slot.copy_(values)
        simulation.units[...], simulation.marks[...] = units, marks
    return (time.process_time() - start) / rounds


def without_compiler(row: Row, recording: Recording, steps: int = 2) -> float:
    """CPU seconds per step of one battle, by the same rules as plain Python."""
    env = make(row._replace(copies=1), 1)
    shown = env.reset()
    units, marks = recording.states[0]
    env.simulation.units[...], env.simulation.marks[...] = units[:1], marks[:1]
    env.simulation._play = plain(units.shape[-1]).play_battles
    target = env._shown(shown)
    start = time.process_time()
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # numpy's numbers warn where machine code does not
        for actions in recording.actions[:steps]:
            env.simulation.step(actions[:1].numpy(), target)
    env.close()
    return (time.process_time() - start) / steps


def make(row: Row, threads: int) -> Any:
    family = "smacv2" if row.map in SMACV2 else "smac"
    return a2po.envs.make(f"{family}/{row.map}", row.copies, num_threads=threads, observation=row.observation)


def measure(row: Row, repeats: int, seconds: float) -> dict[str, Any]:
    """All figures of one row, in microseconds per environment step of one battle."""
    one, two = make(row, 1), make(row, 2)
    trial = record(one, 3)
    slots = buffer_slots(one)
    steps = max(10, int(seconds / (play(one, trial, slots, time.process_time) / 3)))
    recording = record(one, steps)
    two.reset()
    play(one, recording, slots, time.process_time)  # a first time that does not count
    samples: dict[str, list[float]] = {name: [] for name in ("env", "rules", "copy", "wall", "wall_2")}
    for _ in range(repeats):
        samples["env"].append(play(one, recording, slots, time.process_time) / steps)
        samples["rules"].append(rules_alone(one, recording))
        samples["copy"].append(copying(one, slots))
        samples["wall"].append(play(one, recording, slots, time.perf_counter) / steps)
        samples["wall_2"].append(play(two, recording, slots, time.perf_counter) / steps)
    figures: dict[str, Any] = {f"{name}_us": statistics.median(values) * 1e6 / row.copies for name, values in samples.items()}
    pairs = zip(samples["wall"], samples["wall_2"], strict=True)
    memory = one.simulation.units.nbytes + one.simulation.marks.nbytes
    shown = sum(values.numel() * values.element_size() for values in one._host)
    figures |= {
        **row._asdict(),
        "per_cpu_second": 1e6 / figures["env_us"],
        "env_us_per_repeat": [value * 1e6 / row.copies for value in samples["env"]],
        "two_threads": statistics.median(alone / together for alone, together in pairs),
        "python_us": without_compiler(row, recording) * 1e6,
        "battle_bytes": memory // row.copies,
        "shown_bytes": shown // row.copies,
        "steps": steps,
        "episodes_ended": recording.episodes,
    }
    one.close(), two.close()
    return figures


def process_seconds(code: str, cache: str) -> tuple[float, float]:
    """(wall, CPU) seconds of a whole Python process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "A2PO_CACHE": cache}, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_calls(name: str, repeats: int) -> dict[str, Any]:
    """A process that makes 512 battles, begins them and plays one step: with nothing in the cache, with all in it; and ``import torch``."""
    code = FIRST_CALL.replace("{map}", name)
    with tempfile.TemporaryDirectory() as cache:
        cold = process_seconds(code, cache)
        cached = [process_seconds(code, cache) for _ in range(repeats)]
        imports = [process_seconds("import torch", cache) for _ in range(repeats)]
    times = {"cold": cold, "cached": np.median(cached, axis=0).tolist(), "torch": np.median(imports, axis=0).tolist()}
    return {"map": name, **{f"{key}{unit}": time for key, pair in times.items() for unit, time in zip(("_s", "_cpu_s"), pair, strict=True)}}


def speed_table(rows: list[dict[str, Any]]) -> str:
    """Speed beside what was asked, what the machine could do, and the peers."""
    header = [
        "battle", "copies", "steps per CPU second", "asked / goal", "µs", "rules alone, µs", "copying, µs", "plain Python, µs",
        "two threads", "KB per battle", "SMAX", "smaclite",
    ]  # fmt: skip
    lines = []
    for row in rows:
        first = row["map"] in ASKED and (row["copies"], row["observation"]) == (512, "smac")
        asked = "{:,} / {:,}".format(*ASKED[row["map"]]) if first else ""
        peers = [PEERS[peer].get(row["map"], "") if first else "" for peer in ("SMAX", "smaclite")]
        name = row["map"] + (f", {row['observation']}" if row["observation"] != "smac" else "")
        lines.append([
            name, f"{row['copies']:,}", f"{row['per_cpu_second']:,.0f}", asked, f"{row['env_us']:.2f}", f"{row['rules_us']:.2f}",
            f"{row['copy_us']:.2f}", f"{row['python_us']:,.0f}", f"{row['two_threads']:.2f}" if row["copies"] == 512 else "",
            f"{(row['battle_bytes'] + row['shown_bytes']) / 1024:.1f}", *peers,
        ])  # fmt: skip
    return markdown(header, lines)


def first_call_table(rows: list[dict[str, Any]]) -> str:
    """Whole processes, in seconds."""
    asked = f"cold (asked: {ASKED_COLD:g} s)", f"from the cache (asked: {ASKED_CACHED:g} s)"
    header = ["whole process: first call, wall (CPU)", *asked, "of it `import torch`"]
    lines = []
    for row in rows:
        times = ((row["cold_s"], row["cold_cpu_s"]), (row["cached_s"], row["cached_cpu_s"]), (row["torch_s"], row["torch_cpu_s"]))
        lines.append([row["map"], *(f"{wall:.1f} s ({cpu:.1f})" for wall, cpu in times)])
    return markdown(header, lines)


def tables(results: dict[str, Any]) -> str:
    made = results["provenance"]
    machine = f"{results['cpu']}, {made['cores']} cores, load {results['load']:.1f}; numba {results['numba']}"
    peers = "; ".join(f"{name}: {facts['what']}" for name, facts in PEERS.items())
    notes = f"Measured on {machine}. Two threads: speed-up in wall time, asked at 512 copies: {ASKED_THREADS:g}. {peers}."
    return "\n\n".join([speed_table(results["rows"]), first_call_table(results["first_calls"]), notes])


def processor() -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown"


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure; rows are printed as they come."""
    load, rows = os.getloadavg()[0], []
    for row in ROWS:
        if row.map in arguments.rows:
            rows.append({**measure(row, arguments.repeats, arguments.seconds), "commit": provenance()["commit"]})
            speed, ratio = rows[-1]["per_cpu_second"], rows[-1]["two_threads"]
            name = f"{row.map:16}{row.observation:11}{row.copies:5}"
            print(f"{name}  {speed:9,.0f} steps per CPU second, two threads {ratio:.2f}", flush=True)
    names = [] if arguments.no_first_call else [name for name in FIRST_CALLS if name in arguments.rows]
    calls = [first_calls(name, min(arguments.repeats, 3)) for name in names]
    return {
        "rows": rows,
        "first_calls": calls,
        "cpu": processor(),
        "load": load,
        "numba": version("numba"),
        "peers": PEERS,
        "provenance": provenance(),
    }


def among(stored: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The stored results with the new rows and first calls in the places of their like; facts about the machine are the new ones."""
    merged = {**stored, **new}
    for part, keys in (("rows", ("map", "observation", "copies")), ("first_calls", ("map",))):
        entries = {tuple(entry[key] for key in keys): entry for entry in (*stored[part], *new[part])}
        merged[part] = list(entries.values())
    return merged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(row.map for row in ROWS))
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="which maps")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="CPU seconds of one pass")
    parser.add_argument("--no-first-call", action="store_true", help="leave out the first calls, which compile for half a minute")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/smac.md as well")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.show:
        results = json.loads(arguments.json.read_text())
    else:
        results = run(arguments)
        if arguments.json.is_file():
            results = among(json.loads(arguments.json.read_text()), results)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    if arguments.docs:
        write_block("smac.md", COMMAND, tables(results))


if __name__ == "__main__":
    main()
