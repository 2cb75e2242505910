"""``a2po.sweep``: train, export and evaluate every run of a plan in child processes, then one table and one plot."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from a2po.config import TrainConfig
from a2po.errors import UserError, require
from a2po.evaluation.sweep_results import collect
from a2po.evaluation.sweep_table import markdown
from a2po.files import replace_text, write_json
from a2po.sweeps.check import check_plan
from a2po.sweeps.children import Child
from a2po.sweeps.folder import SWEEPS, SweepFolder
from a2po.sweeps.plan import PlannedRun, SweepPlan, planned_runs
from a2po.sweeps.schedule import Schedule
from a2po.sweeps.states import RunState, count
from a2po.sweeps.view import SweepView, TerminalSweepView
from a2po.training.lock import RunLock
from a2po.training.runs import check_name

TABLE, RESULTS, PLOT = "table.md", "results.json", "curves.png"


@dataclass(frozen=True)
class SweepResult:
    """Where a sweep ended."""

    folder: Path
    failed: int
    interrupted_by: int | None
    results: dict[str, Any] | None
    """What ``results.json`` holds; None where the sweep was stopped before its end."""
    plot: Path | None


class Sweep:
    """A plan that was found fit, its folder, and how its runs share the machine. Making one writes nothing.

    Args:
        plan: what to run.
        name: the folder in ``sweeps``; by default the time.
        jobs: runs at once; by default as many as the cores allow, and one on a GPU.
        sweeps: the folder that holds the sweeps.

    Raises:
        UserError: the plan is wrong, with every problem at once, or the folder belongs to another plan.
    """

    def __init__(self, plan: SweepPlan, *, name: str | None = None, jobs: int | None = None, sweeps: Path | str = SWEEPS) -> None:
        require("a sweep", torch="train", gymnasium="train", onnx="train", onnxscript="train", onnxruntime="cpu")
        check_name(name)
        if jobs is not None and jobs < 1:
            raise UserError(f"--jobs must be at least 1, got {jobs}")
        self.plan, self.folder = plan, SweepFolder(Path(sweeps) / (name or f"sweep-{datetime.now():%Y%m%d-%H%M%S}"))
        configs = check_plan(plan)
        self.folder.check(plan)
        self.states = [self._state(run, configs[run.cell.name]) for run in planned_runs(plan)]
        self.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.jobs = jobs or _jobs(configs.values(), self.cores)
        self.threads = max(1, self.cores // self.jobs)

    def _state(self, run: PlannedRun, config: TrainConfig) -> RunState:
        state = RunState(run, self.folder.runs / run.name, config.run.total_steps)
        done = self.folder.done(run.name, config, self.plan.evaluation_episodes)
        state.status = "done" if done else "waiting"
        state.look()
        return state

    def headline(self) -> str:
        """How much there is to do, and how it is shared out."""
        runs, done = len(self.states), count(self.states, "done")
        steps = sum(state.remaining_steps for state in self.states)
        cells = runs // len(self.plan.seeds)
        begun = f", {done} done already" if done else ""
        share = f"{self.jobs} at once on {self.cores} cores, {self.threads} simulator thread{'s' * (self.threads > 1)} each"
        return f"{cells} cells x {len(self.plan.seeds)} seeds = {runs} runs{begun}; {steps:,} steps to train, {share} -> {self.folder.path}"

    def run(self, view: SweepView | None = None) -> SweepResult:
        """Run what is not done yet, then write ``results.json``, ``table.md`` and the plot.

        Raises:
            UserError: the folder cannot be made, or another process runs this sweep or has changed its plan.
        """
        view, folder = view or TerminalSweepView(), self.folder
        lock = RunLock(folder.path, view.say, "sweep")
        lock.take()
        try:
            folder.check(self.plan)  # another process may have had the folder since this sweep was made
            folder.make(self.plan)
            return self._run(view)
        finally:
            lock.release()

    def _run(self, view: SweepView) -> SweepResult:
        folder = self.folder

        def start(run: PlannedRun) -> Child:
            return Child(folder.path, run.name, folder.log(run.name), self.threads)

        stopped_by = Schedule(self.states, self.jobs, start, view).run()
        failed = count(self.states, "failed")
        if stopped_by is not None:
            return SweepResult(folder.path, failed, stopped_by, None, None)
        reasons = {state.run.name: state.message or state.status for state in self.states if state.status != "done"}
        results = collect(folder, self.plan, reasons)
        write_json(folder.path / RESULTS, results)
        replace_text(folder.path / TABLE, markdown(results))
        trained = [state.folder for state in self.states if state.status == "done"]
        return SweepResult(folder.path, failed, None, results, _plot(trained, folder.path / PLOT, view.say))


def sweep(plan: SweepPlan | None = None, *, name: str | None = None, jobs: int | None = None, sweeps: Path | str = SWEEPS) -> SweepResult:
    """Run a plan to its end; the same call again continues it. Arguments and errors are those of ``Sweep``."""
    return Sweep(plan or SweepPlan(), name=name, jobs=jobs, sweeps=sweeps).run()


def _jobs(configs: Collection[TrainConfig], cores: int) -> int:
    """A run keeps as many cores busy as it has simulator or update threads: one and one unless the plan says otherwise."""
    from a2po.training.loop import pick_device

    if any(pick_device(config.device).type != "cpu" for config in configs):
        return 1
    return max(1, cores // max(max(config.env.num_threads or 1, config.update.num_threads) for config in configs))


def _plot(runs: list[Path], output: Path, say: Callable[[str], None]) -> Path | None:
    """Learning curves with bands over seeds. A sweep is worth more than its picture: what is missing is only said."""
    if not runs:
        return None
    from a2po.evaluation.curves import plot_runs

    try:
        require("the plot", matplotlib="report")
        return plot_runs(runs, output, say=say)
    except (UserError, OSError) as error:
        say(f"no plot: {error}")
        return None
