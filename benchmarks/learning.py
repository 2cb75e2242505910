"""Learning on real physics: A2PO and MAPPO, several seeds, final greedy return of the exported actors of the last checkpoint.

    python benchmarks/learning.py [--task mamujoco/HalfCheetah-2x3] [--steps 1000000] [--seeds 3]

Prints the table of the README, draws docs/images/learning.png and writes benchmarks/results/learning.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import argparse
import json
import statistics
import tempfile
import time

import a2po
from a2po.config import resolve
from a2po.provenance import provenance
from a2po.training.metrics import read_metrics
from a2po.training.view import SilentView

ROOT = Path(__file__).parent.parent
COLOURS = {"a2po": "#c2410c", "mappo": "#1d4ed8"}


def one_run(algorithm: str, seed: int, task: str, preset: str, steps: int, episodes: int, runs: Path) -> dict:
    config = resolve(values={"task": task, "algorithm": algorithm, "seed": seed, "preset": preset}, settings=[f"run.total_steps={steps}"])
    wall, cpu = time.perf_counter(), time.process_time()
    result = a2po.train(config, name=f"{algorithm}-{seed}", runs=runs, view=SilentView())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    bundle = a2po.export(result.run, say=lambda message: None)
    evaluation = a2po.evaluate(bundle, episodes=episodes, seed=1000 + seed)
    rows = read_metrics(result.run / "metrics.jsonl")
    curve = [(row["step"], row["return_mean"]) for row in rows if row["kind"] == "evaluation"]
    return {
        "algorithm": algorithm,
        "seed": seed,
        "return": evaluation["mean"],
        "wall_s": wall,
        "cpu_s": cpu,
        "steps": result.step,
        "curve": curve,
    }


def table(results: list[dict], episodes: int) -> str:
    lines = [
        f"| algorithm | final greedy return per seed ({episodes} episodes each) | mean | wall per run | CPU per run |",
        "|---|---|---|---|---|",
    ]
    for algorithm in dict.fromkeys(row["algorithm"] for row in results):
        own = [row for row in results if row["algorithm"] == algorithm]
        returns = ", ".join(f"{row['return']:,.0f}" for row in own)
        wall, cpu = (statistics.mean(row[key] for row in own) for key in ("wall_s", "cpu_s"))
        mean = statistics.mean(row["return"] for row in own)
        lines.append(f"| {algorithm.upper()} | {returns} | **{mean:,.0f}** | {wall:.0f} s | {cpu:.0f} s |")
    return "\n".join(lines)


def draw(results: list[dict], task: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for algorithm in dict.fromkeys(row["algorithm"] for row in results):
        curves = [row["curve"] for row in results if row["algorithm"] == algorithm]
        steps = [step for step, _ in curves[0]]
        means = [statistics.mean(curve[i][1] for curve in curves) for i in range(len(steps))]
        low, high = ([pick(curve[i][1] for curve in curves) for i in range(len(steps))] for pick in (min, max))
        axes.plot(
            [step / 1e6 for step in steps], means, color=COLOURS[algorithm], label=f"{algorithm.upper()}, mean of {len(curves)} seeds"
        )
        axes.fill_between([step / 1e6 for step in steps], low, high, color=COLOURS[algorithm], alpha=0.15, linewidth=0)
    axes.set_xlabel("million environment steps")
    axes.set_ylabel("greedy return (10 episodes)")
    axes.set_title(f"{task}, preset fast; band: lowest to highest seed", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mamujoco/HalfCheetah-2x3")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "learning.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "learning.png")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(arguments.seeds):
            for algorithm in COLOURS:
                row = one_run(algorithm, seed, arguments.task, arguments.preset, arguments.steps, arguments.episodes, Path(runs))
                print(
                    f"{algorithm} seed {seed}: {row['return']:,.0f} after {row['wall_s']:.0f} s wall, {row['cpu_s']:.0f} s CPU", flush=True
                )
                results.append(row)
    print(table(results, arguments.episodes))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    made = {"task": arguments.task, "preset": arguments.preset, "results": results, "provenance": provenance()}
    arguments.json.write_text(json.dumps(made, indent=1) + "\n")
    draw(results, arguments.task, arguments.picture)


if __name__ == "__main__":
    main()
