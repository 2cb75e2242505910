"""How near the family mamujoco is to the physical limit, raw ``mj_step``, and how far from the stock way.

    python benchmarks/mujoco.py                        # four tasks, about two minutes
    python benchmarks/mujoco.py --tasks Hopper-3x1 --json benchmarks/results/mujoco.json

Method: one pass plays random actions and records every control and every state that an episode started from. The timed
passes then repeat exactly that: the environment from a saved state, raw physics as the plain loop that anyone would write
(one MjData per copy), whose last states must equal the environment's to the last bit. CPU time (user + system, all threads),
median of the repeats, passes interleaved so that a slow spell of the machine hits all alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import torch

import a2po.envs
from a2po.envs.mamujoco.quiet import quiet

TASKS = ("Ant-4x2", "Humanoid-9|8", "HalfCheetah-6x1", "Humanoid-17x1")
STATE = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass
class Recording:
    """What happened: the environment's actions, and all that raw physics needs to do the same."""

    snapshot: dict[str, Any]
    actions: list[torch.Tensor]
    controls: np.ndarray  # [T, B, actuators]
    starts: list[tuple[np.ndarray, np.ndarray]]  # per step: copies that began an episode, and their states
    last: np.ndarray  # [B, state]


def record(env: Any, steps: int) -> Recording:
    """Play random actions after a warm-up that lets the episodes fall out of step."""
    generator = torch.Generator().manual_seed(0)
    high = float(env.spec.action_spaces[0].high[0])
    shape = (env.num_envs, env.spec.num_agents, env.spec.max_action_size)

    def draw() -> torch.Tensor:
        return (torch.rand(shape, generator=generator) * 2 - 1) * high

    env.reset()
    for _ in range(50):
        env.step(draw())
    env.drain_episodes()
    snapshot = env.state_dict()
    actions, controls, starts = [draw() for _ in range(steps)], [], []
    for action in actions:
        step = env.step(action)
        controls.append(action.reshape(env.num_envs, -1).numpy()[:, list(env.factorisation.control)].astype(np.float64))
        ended = np.flatnonzero((step.terminated | step.truncated).numpy())
        starts.append((ended, env.state_dict()["simulation"][ended] if ended.size else np.empty(0)))
    return Recording(snapshot, actions, np.array(controls), starts, env.state_dict()["simulation"])


def play(env: Any, recording: Recording, clock: Callable[[], float]) -> float:
    """Seconds for the environment's steps, resets included, written into the slots of a rollout buffer."""
    env.load_state_dict(recording.snapshot)
    slots = [env._builder.allocate(env.num_envs, torch.device("cpu")) for _ in range(8)]
    start = clock()
    for index, action in enumerate(recording.actions):
        env.step(action, slots[index % 8])
    seconds = clock() - start
    assert np.array_equal(env.state_dict()["simulation"], recording.last)
    env.drain_episodes()
    return seconds


class RawLoop:
    """The same physics as a plain loop over one MjData per copy."""

    def __init__(self, env: Any, recording: Recording) -> None:
        self.model, self.recording, self.frame_skip = env.model, recording, env._scenario.frame_skip
        self.data = [mujoco.MjData(env.model) for _ in range(env.num_envs)]

    def _rewind(self) -> None:
        for data, state in zip(self.data, self.recording.snapshot["simulation"], strict=True):
            mujoco.mj_resetData(self.model, data)
            mujoco.mj_setState(self.model, data, state, STATE)

    def _loop(self, copies: range, clock: Callable[[], float]) -> float:
        """Seconds in ``mj_step``'s loop; restarting an episode is not counted."""
        model, frame_skip, every_data, step, seconds = self.model, self.frame_skip, self.data, mujoco.mj_step, 0.0
        for control, (ended, states) in zip(self.recording.controls, self.recording.starts, strict=True):
            start = clock()
            for copy in copies:
                data = every_data[copy]
                data.ctrl[:] = control[copy]
                step(model, data, frame_skip)
            seconds += clock() - start
            for copy, state in zip(ended.tolist(), states, strict=True):
                if copy in copies:
                    mujoco.mj_resetData(model, every_data[copy])
                    mujoco.mj_setState(model, every_data[copy], state, STATE)
        return seconds

    def cpu(self) -> float:
        """CPU seconds on one thread; the states reached must be the environment's."""
        self._rewind()
        seconds = self._loop(range(len(self.data)), time.process_time)
        reached = np.zeros_like(self.recording.last)
        for state, data in zip(reached, self.data, strict=True):
            mujoco.mj_getState(self.model, data, state, STATE)
        assert np.array_equal(reached[:, 1 : 1 + self.model.nq], self.recording.last[:, 1 : 1 + self.model.nq])
        return seconds

    def wall(self, threads: int) -> float:
        """Wall seconds when ``threads`` plain loops share the copies."""
        self._rewind()
        share = len(self.data) // threads
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(lambda part: self._loop(range(part * share, (part + 1) * share), time.perf_counter), range(threads)))
            return time.perf_counter() - start


def stock_seconds(task: str, steps: int) -> float | None:
    """CPU seconds per step of gymnasium-robotics' parallel_env, resets included; None where it is missing or lacks the task."""
    try:
        with quiet, contextlib.redirect_stderr(io.StringIO()):
            from gymnasium_robotics import mamujoco_v1

            env = mamujoco_v1.parallel_env(*task.split("-", 1), agent_obsk=1)
    except Exception:  # noqa: BLE001 (the library raises a bare Exception for a configuration it lacks)
        return None
    generator = np.random.default_rng(0)
    env.reset(seed=0)
    spaces = {agent: env.action_space(agent) for agent in env.possible_agents}
    drawn = [{agent: generator.uniform(s.low, s.high).astype(np.float32) for agent, s in spaces.items()} for _ in range(steps)]
    start = time.process_time()
    for actions in drawn:
        _, _, terminated, truncated, _ = env.step(actions)
        if terminated["agent_0"] or truncated["agent_0"]:
            env.reset()
        env.state()
    return (time.process_time() - start) / steps


def measure(task: str, num_envs: int, repeats: int, seconds: float, options: dict[str, Any]) -> dict[str, Any]:
    """All figures of one task, in microseconds per environment step of one copy."""
    one, two = (a2po.envs.make(f"mamujoco/{task}", num_envs, num_threads=threads, **options) for threads in (1, 2))
    trial = record(one, 10)
    steps = max(20, int(seconds / (play(one, trial, time.perf_counter) / 10)))
    recording = record(one, steps)
    two.reset()
    raw = RawLoop(one, recording)
    samples: dict[str, list[float]] = {name: [] for name in ("env_cpu", "raw_cpu", "env_wall", "env_wall_2", "raw_wall", "raw_wall_2")}
    for _ in range(repeats):
        samples["env_cpu"].append(play(one, recording, time.process_time))
        samples["raw_cpu"].append(raw.cpu())
    for _ in range(2 * repeats):  # wall time is the noisier one
        samples["env_wall"].append(play(one, recording, time.perf_counter))
        samples["raw_wall"].append(raw.wall(1))
        samples["env_wall_2"].append(play(two, recording, time.perf_counter))
        samples["raw_wall_2"].append(raw.wall(2))
    per_step = 1e6 / (steps * num_envs)
    figures: dict[str, Any] = {f"{name}_us": statistics.median(values) * per_step for name, values in samples.items()}
    figures["ratio"] = figures["env_cpu_us"] / figures["raw_cpu_us"]
    figures["ratio_per_repeat"] = [env / raw_ for env, raw_ in zip(samples["env_cpu"], samples["raw_cpu"], strict=True)]
    for kind in ("env", "raw"):
        pairs = zip(samples[f"{kind}_wall"], samples[f"{kind}_wall_2"], strict=True)
        figures[f"two_threads_{kind}"] = statistics.median(alone / together for alone, together in pairs)
    stock = stock_seconds(task, max(300, steps))
    figures["stock_cpu_us"] = stock and stock * 1e6
    figures |= {
        "steps": steps,
        "episodes_ended": int(sum(len(ended) for ended, _ in recording.starts)),
        "backend": type(one._simulation).__name__,
    }
    one.close(), two.close()
    return figures


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="without the prefix mamujoco/")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="wall seconds of one pass")
    parser.add_argument("--obsk", default="1", help="0, 1, 2, ... or full")
    parser.add_argument("--profile", default="v5", choices=("v5", "paper"))
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "mujoco.json", help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    options: dict[str, Any] = {"profile": arguments.profile}
    if arguments.profile != "paper":
        options["obsk"] = arguments.obsk if arguments.obsk == "full" else int(arguments.obsk)
    print(f"{arguments.num_envs} copies, {options}; us per environment step of one copy; CPU time, median of {arguments.repeats}")
    print(f"{'task':<20}{'env':>9}{'raw':>9}{'env/raw':>9}{'stock':>9}{'stock/env':>11}{'2 threads: env':>16}{'raw':>7}{'share':>7}")
    results = {}
    for task in arguments.tasks:
        f = results[task] = measure(task, arguments.num_envs, arguments.repeats, arguments.seconds, options)
        stock = f["stock_cpu_us"]
        print(
            f"{task:<20}{f['env_cpu_us']:>9.1f}{f['raw_cpu_us']:>9.1f}{f['ratio']:>9.3f}"
            + (f"{stock:>9.1f}{stock / f['env_cpu_us']:>11.2f}" if stock else f"{'-':>9}{'-':>11}")
            + f"{f['two_threads_env']:>16.2f}{f['two_threads_raw']:>7.2f}{f['two_threads_env'] / f['two_threads_raw']:>7.2f}",
            flush=True,
        )
    print("two threads: speed-up in wall time; share = env / raw; it says something only where raw gains: where both cores are free")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps({"machine": machine(), "options": options, "num_envs": arguments.num_envs, "tasks": results}, indent=1)
        )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    versions = {"python": platform.python_version(), "mujoco": mujoco.__version__, "numpy": np.__version__, "torch": torch.__version__}
    return {"cpus": os.cpu_count(), "cpu": model[0] if model else platform.processor(), "load": os.getloadavg(), "versions": versions}


if __name__ == "__main__":
    main()
