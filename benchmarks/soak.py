"""Does a long training grow? Resident memory, file handles and threads of a process that trains, and its share of time for checkpoints.

    python benchmarks/soak.py [--minutes 30] [--task mamujoco/Ant-4x2] [--set KEY=VALUE] [--json benchmarks/results/soak.json]

Asked: resident memory grows by less than 1 MB in 10 minutes (least squares, the first 20 % of the time left out), file handles stay
the same, checkpoints take less than 1 % of the time. Within an update round memory swings by tens of MB, which tells nothing about
growth and makes the slope noisy; so the slope of the floor is printed too: of the least memory in each of 30 windows. The command
line trains in a process of its own; at the end it gets a SIGINT and must save and leave.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from a2po.provenance import provenance
from a2po.training.metrics import read_metrics

WARM_UP = 0.2
INTERVAL_S = 1.0
WINDOWS = 30
NAME = "soak"


def train(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from a2po.cli.app import main; main()", "train", "--task", arguments.task, "--name", NAME]
    command += ["--device", "cpu", "--steps", str(10**12)]
    command += [part for setting in arguments.settings for part in ("--set", setting)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


def watch(process: subprocess.Popen[bytes], metrics: Path, seconds: float) -> list[dict[str, Any]]:
    """Samples of the process, from its first update on."""
    while not metrics.is_file():
        if process.poll() is not None:
            raise SystemExit(f"training ended with {process.returncode} before its first update")
        time.sleep(0.2)
    samples, begin, watched = [], time.monotonic(), psutil.Process(process.pid)
    while (now := time.monotonic() - begin) < seconds:
        with watched.oneshot():
            rss, handles, threads = watched.memory_info().rss, watched.num_fds(), watched.num_threads()
        samples.append({"time_s": round(now, 2), "rss_mb": round(rss / 2**20, 3), "handles": handles, "threads": threads})
        time.sleep(INTERVAL_S)
    return samples


def after_warm_up(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [sample for sample in samples if sample["time_s"] >= WARM_UP * samples[-1]["time_s"]]


def slope(samples: list[dict[str, Any]]) -> float:
    """Growth of resident memory in MB per 10 minutes."""
    return round(float(np.polyfit([sample["time_s"] / 600 for sample in samples], [sample["rss_mb"] for sample in samples], 1)[0]), 3)


def floor(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sample with the least memory in each window."""
    width = samples[-1]["time_s"] / WINDOWS
    windows: dict[int, dict[str, Any]] = {}
    for sample in samples:
        window = int(sample["time_s"] / width)
        if window not in windows or sample["rss_mb"] < windows[window]["rss_mb"]:
            windows[window] = sample
    return list(windows.values())


def report(samples: list[dict[str, Any]], metrics: Path, exit_code: int) -> dict[str, Any]:
    rows = [row for row in read_metrics(metrics) if row["kind"] == "update"]
    late = after_warm_up(samples)
    handles, threads = ([sample[key] for sample in samples] for key in ("handles", "threads"))
    saves = [row["save_s"] for row in rows if row["save_s"]]
    return {
        "minutes": round(samples[-1]["time_s"] / 60, 2),
        "updates": len(rows),
        "steps": rows[-1]["step"],
        "rss_mb": {"first": samples[0]["rss_mb"], "after_warm_up": late[0]["rss_mb"], "last": samples[-1]["rss_mb"]},
        "rss_max_mb": max(sample["rss_mb"] for sample in samples),
        "rss_slope_mb_per_10_min": slope(late),
        "rss_floor_slope_mb_per_10_min": slope(floor(late)),
        "handles": {"first": late[0]["handles"], "last": handles[-1], "max": max(handles)},
        "threads": {"first": late[0]["threads"], "last": threads[-1], "max": max(threads)},
        "checkpoints": len(saves),
        "checkpoint_s": round(sum(saves), 3),
        "checkpoint_share": round(sum(saves) / samples[-1]["time_s"], 5),
        "exit_code": exit_code,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--task", default="mamujoco/Ant-4x2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "soak.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, metrics = train(arguments, Path(folder)), Path(folder) / "runs" / NAME / "metrics.jsonl"
        try:
            samples = watch(process, metrics, arguments.minutes * 60)
            process.send_signal(signal.SIGINT)
            process.wait(120)
        finally:
            process.kill()
        result = report(samples, metrics, process.returncode)
    for name, value in result.items():
        print(f"{name:30s} {value}")
    about = {"task": arguments.task, "settings": arguments.settings, "provenance": provenance()}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({**about, **result, "samples": samples}, indent=1) + "\n")


if __name__ == "__main__":
    main()
