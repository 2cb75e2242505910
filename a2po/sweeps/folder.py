"""The folder of a sweep: its plan, its runs (ordinary run folders), what the children said, and the table at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2po.config import TrainConfig, to_toml
from a2po.envs.registry import pin
from a2po.errors import RunError, did_you_mean
from a2po.files import replace_text
from a2po.sweeps.parse import validate_plan
from a2po.sweeps.plan import SweepPlan, cells, differences, run_config
from a2po.toml_files import read_toml
from a2po.training.lock import LOCK

SWEEPS = Path("sweeps")
PLAN, OUTCOME = "sweep.toml", "outcome.json"


@dataclass(frozen=True)
class SweepFolder:
    """``sweeps/<name>``."""

    path: Path

    @property
    def runs(self) -> Path:
        """The run folders; ``a2po train --resume``, ``export``, ``evaluate`` and ``plot`` take them like any other."""
        return self.path / "runs"

    def log(self, run: str) -> Path:
        """What the child process of a run printed, over all its starts."""
        return self.path / "logs" / f"{run}.txt"

    def read_plan(self) -> SweepPlan:
        """The plan that the folder was made for, or last extended to.

        Raises:
            RunError: there is no sweep in the folder.
            ConfigError: the plan was edited into something else.
        """
        if not (self.path / PLAN).is_file():
            known = sorted(path.parent.name for path in self.path.parent.glob(f"*/{PLAN}"))
            raise RunError(f"no sweep in '{self.path}'{did_you_mean(self.path.name, known)}")
        return validate_plan(read_toml(self.path / PLAN))

    def check(self, plan: SweepPlan) -> None:
        """The folder is new, or was made for the same plan or a shorter one. Nothing is written.

        Raises:
            RunError: it belongs to another plan, with every difference, or to something else.
        """
        if (self.path / PLAN).is_file():
            before = self.read_plan()
            if found := [*differences(before, plan), *_shorter(before, plan)]:
                raise RunError(
                    f"'{self.path}' was made for another plan: {'; '.join(found)}. Take back the changes, or choose another --name "
                    "(seeds and steps can be added)"
                )
        elif self.path.exists() and any(entry.name != LOCK for entry in self.path.iterdir()):
            raise RunError(f"the folder '{self.path}' exists already and is no sweep: choose another --name")

    def make(self, plan: SweepPlan) -> None:
        """Make the folder, or write the longer plan into it.

        Raises:
            RunError: it cannot be made.
        """
        try:
            for folder in (self.runs, self.path / "logs"):
                folder.mkdir(parents=True, exist_ok=True)
            replace_text(self.path / PLAN, to_toml(plan.model_copy(update={"pins": self._pins(plan)})))
        except OSError as error:
            raise RunError(f"the sweep folder '{self.path}' cannot be made: {error.strerror or error}") from error

    def _pins(self, plan: SweepPlan) -> dict[str, dict[str, Any]]:
        """What the tasks' files say; of tasks that the sweep had before, what they said then."""
        kept = self.read_plan().pins if (self.path / PLAN).is_file() else {}
        found = {task: kept.get(task) or pin(task, {}) for task in plan.tasks}
        return {task: options for task, options in found.items() if options}

    def outcome(self, run: str) -> dict[str, Any] | None:
        """What a run came to, or None while it is not trained and evaluated. A damaged file counts as none: it is made again."""
        try:
            found = json.loads((self.runs / run / OUTCOME).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("evaluation"), dict) else None

    def done(self, run: str, config: TrainConfig, episodes: int) -> bool:
        """The run is trained to its last step and was evaluated over as many episodes as the plan says."""
        outcome = self.outcome(run)
        return outcome is not None and (outcome.get("total_steps"), outcome.get("episodes")) == (config.run.total_steps, episodes)


def _shorter(before: SweepPlan, now: SweepPlan) -> list[str]:
    """Cells whose runs would have to be shorter than they may be already, or whose learning depends on the number of steps."""
    old = {cell.name: run_config(before, cell, before.seeds[0]) for cell in cells(before)}
    new = {cell.name: run_config(now, cell, now.seeds[0]) for cell in cells(now)}
    found: dict[str, None] = {}
    for name in [name for name in new if name in old]:
        steps, wanted = old[name].run.total_steps, new[name].run.total_steps
        if wanted < steps:
            found[f"steps were {steps:,}, now {wanted:,}"] = None
        elif wanted > steps and new[name].update.learning_rate_schedule == "linear":
            found[f"steps were {steps:,}, now {wanted:,}, but the learning rate falls linearly to the last step"] = None
    return list(found)
