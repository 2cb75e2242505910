"""``a2po sweep-run``: one run of a sweep from beginning to end. The sweep starts it as a child process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from a2po.config import TrainConfig

SESSIONS = "sessions.jsonl"


def sweep_run(
    sweep: Annotated[Path, typer.Argument(help="The sweep's folder.")],
    run: Annotated[str, typer.Argument(help="Name of one of its runs.")],
    threads: Annotated[int | None, typer.Option(help="Simulator threads where the plan says nothing.")] = None,
    parent: Annotated[int | None, typer.Option(help="Process that this one must not outlive.")] = None,
) -> None:
    """Train or resume one run of a sweep, export its last checkpoint and evaluate what was exported."""
    from a2po.sweeps.children import die_with

    if parent is not None:
        die_with(parent)
    from a2po.config import override
    from a2po.errors import RunError, did_you_mean
    from a2po.files import write_json
    from a2po.sweeps.folder import OUTCOME, SweepFolder
    from a2po.sweeps.plan import planned_runs, run_config

    folder = SweepFolder(sweep)
    plan = folder.read_plan()
    known = {planned.name: planned for planned in planned_runs(plan)}
    if run not in known:
        raise RunError(f"the sweep '{sweep}' has no run '{run}'{did_you_mean(run, known)}")
    planned = known[run]
    config = run_config(plan, planned.cell, planned.seed)
    if config.env.num_threads is None and threads is not None:
        config = override(config, values={"env": {"num_threads": threads}})
    interrupted_by = _train(config, folder.runs / run)
    if interrupted_by is not None:
        raise typer.Exit(128 + interrupted_by)
    outcome = _judge(config, folder.runs / run, plan.evaluation_episodes)
    cell = planned.cell
    what = {"run": run, "cell": cell.name, "task": cell.task, "algorithm": cell.algorithm, "overrides": cell.overrides}
    write_json(folder.runs / run / OUTCOME, {**what, "seed": planned.seed, **outcome})
    print(
        f"return {outcome['evaluation']['mean']:,.1f} over {plan.evaluation_episodes} greedy episodes"
    )  # the last line is what the sweep shows


def _train(config: TrainConfig, run: Path) -> int | None:
    """Start the run or go on with it, and note what this session cost. Returns the signal that stopped it."""
    from a2po.training.checkpoints import Checkpoints
    from a2po.training.loop import train

    resume = (run / "config.toml").is_file()
    before = next((int(name.removeprefix("step_")) for name in Checkpoints(run / "checkpoints").names()), 0)
    wall, cpu = time.perf_counter(), time.process_time()
    result = train(config, name=run.name, resume=resume, runs=run.parent)
    cost = {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    with (run / SESSIONS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"from": before, "to": result.step, **cost}) + "\n")
    return result.interrupted_by


def _judge(config: TrainConfig, run: Path, episodes: int) -> dict[str, Any]:
    """Export the last checkpoint and play what was exported, on episodes that depend on the run's seed alone."""
    import torch

    from a2po.errors import WorkFailed
    from a2po.evaluation.evaluate import evaluate
    from a2po.exporters.export import export

    torch.set_num_threads(1)  # the other cores are the other runs'
    begin = time.perf_counter()
    bundle = export(run)
    result = evaluate(bundle, episodes=episodes, seed=config.seed, task=config.task, num_threads=config.env.num_threads)
    if result["step"] < config.run.total_steps:
        raise WorkFailed(f"the last checkpoint that is whole is of step {result['step']:,}: start the sweep again to train the rest")
    kept = ("mean", "std", "interval", "confidence", "method", "median", "min", "max", "invalid_episodes", "returns", "seed", "file")
    metrics = {name: {**value, "rate": value["method"] == "Wilson"} for name, value in result["metrics"].items()}
    return {
        "step": result["step"],
        "total_steps": config.run.total_steps,
        "episodes": episodes,
        "checkpoint": result["checkpoint"],
        "fingerprint": result["bundle"]["fingerprint"],
        "evaluation": {**{key: result[key] for key in kept}, "length_mean": result["length"]["mean"], "metrics": metrics},
        "training": _curve_end(run),
        **_cost(run, result["step"]),
        "judge_s": round(time.perf_counter() - begin, 3),
        "commit": result["provenance"]["commit"],
    }


def _curve_end(run: Path) -> dict[str, Any]:
    """The last points of the learning curve."""
    from a2po.training.metrics import read_metrics

    rows = read_metrics(run / "metrics.jsonl")
    returns = [row["return_mean"] for row in rows if row.get("kind") == "update" and "return_mean" in row]
    evaluations = [[row["step"], row["return_mean"]] for row in rows if row.get("kind") == "evaluation"]
    return {"return_mean": returns[-1] if returns else None, "evaluations": evaluations[-10:]}


def _cost(run: Path, steps: int) -> dict[str, Any]:
    """Seconds over all sessions. A session that was killed left no row: then the sum is a lower bound."""
    lines = (run / SESSIONS).read_text(encoding="utf-8").splitlines()
    sessions = [json.loads(line) for line in lines if line.endswith("}")]  # a kill may cut a line short
    reached = 0
    for session in sessions:
        reached = session["to"] if session["from"] <= reached else reached
    totals = {key: round(sum(session[key] for session in sessions), 3) for key in ("wall_s", "cpu_s")}
    return {**totals, "times_complete": reached >= steps}
