"""Peak resident memory of train, export and evaluate, and of PreOPC on long rollouts.

    python benchmarks/memory.py [--json benchmarks/results/memory.json]

Every figure is the high-water mark of a process of its own (ru_maxrss). Asked: below 1.5 GB for each command; PreOPC at T = 6,000 at
most 2.2 times its memory at T = 3,000 (24 copies, 4 agents) and below 50 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = (
    ("train", ["train", "--steps", "300000", "--name", "memory"]),
    ("export", ["export", "runs/memory"]),
    ("evaluate", ["evaluate", "runs/memory/bundle", "--episodes", "100", "--report"]),
)
# The inputs are made first; what the high-water mark gains after that is PreOPC's own.
PREOPC = """
import resource, torch
from a2po.algorithms.advantages import preopc
torch.set_num_threads(1)
def run(length):
    floats = [torch.rand(length, 24, 4) for _ in range(4)]
    flags = [torch.zeros(length, 24, 4, dtype=torch.bool) for _ in range(2)]
    return lambda: preopc(*floats[:3], *flags, floats[3], discount=0.99, trace_decay=0.95)
run(8)()
work = run({length})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_mb(command: list[str], folder: str) -> float:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    arguments = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS:
            results[name] = peak_mb([sys.executable, "-c", "from a2po.cli.app import main; main()", *command], folder)
            print(f"{name:9s} {results[name]:7.0f} MB")
    for length in (3000, 6000):
        code = PREOPC.replace("{length}", str(length))
        gained = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        results[f"preopc_{length}"] = int(gained) / 1024
        print(f"PreOPC T = {length}: {results[f'preopc_{length}']:.1f} MB")
    print(f"PreOPC 6,000 over 3,000: {results['preopc_6000'] / results['preopc_3000']:.2f}")
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
