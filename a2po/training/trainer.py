"""Trainer: everything that one run holds, and one round of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from a2po.algorithms.catalogue import check_algorithm
from a2po.algorithms.diagnostics import UpdateReport
from a2po.config import TrainConfig
from a2po.envs.play import calling
from a2po.errors import CheckpointError, WorkFailed, foreign
from a2po.networks.team_policy import TeamPolicy
from a2po.streams import stream_seed
from a2po.training.checkpoints import Checkpoints
from a2po.training.greedy import GreedyEvaluator
from a2po.training.journal import Journal
from a2po.training.method import method_for
from a2po.training.metrics import rank
from a2po.training.runs import load_team, make_env
from a2po.training.sinks import Sinks
from a2po.training.view import Status


class _EvaluationCut(Exception):
    """A signal came while the greedy episodes were played."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads, then one again: while sampling, idle OpenMP threads would spin on the simulator's cores."""
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(1)


class Trainer:
    """Environment, team, method of training, checkpoints and metrics of one run."""

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device, say: Callable[[str], None]) -> None:
        self.config, self.folder, self.device, self.say = config, folder, device, say
        check_algorithm(config.algorithm)
        sinks = Sinks(config, folder, say)  # first: it may still refuse
        self.env = make_env(config, config.env.num_envs, stream_seed(config.seed, "environment"), device=device)
        self.team = TeamPolicy(self.env.spec, config.network, seed=config.seed, device=device)
        self.method = method_for(config, self.env, self.team)
        self.buffer, self.sampler, self.learner = self.method.buffer, self.method.sampler, self.method.learner
        self.greedy = GreedyEvaluator(config, self.team)
        self.checkpoints = Checkpoints(folder / "checkpoints", config.run.keep_checkpoints)
        self.journal = Journal(config, folder, self.env.spec, device, sinks, say)
        self.step, self.updates, self.time_s = 0, 0, 0.0
        self.evaluation: float | None = None
        self.best: tuple[float, float] | None = None
        """The ``rank`` of the best evaluation."""
        self.interrupted: Callable[[], bool] = lambda: False
        self._evaluation_due = False
        self._save_s = 0.0
        self._started = False
        self._saved_step: int | None = None

    @property
    def done(self) -> bool:
        """All steps are played."""
        return self.step >= self.config.run.total_steps

    def headline(self) -> str:
        """One line on what is trained, where."""
        spec, config = self.env.spec, self.config
        sizes = f"{spec.num_agents} agents, {config.env.num_envs} copies x {config.update.rollout_length} steps per update"
        how = f"{self.device.type}, preset {config.preset}, seed {config.seed}"
        return f"{config.algorithm} on {config.task} ({sizes}), {how} -> {self.folder}"

    def round(self) -> Status:
        """Sample, update, record; evaluate and save where it is time."""
        if not self._started:
            self.method.start()
            self._started = True
        begin = time.perf_counter()
        self.method.collect(self.step)
        sampled = time.perf_counter()
        with torch_threads(self.config.update.num_threads):
            report = self.method.update(learning_rate_scale=self._learning_rate_scale())
        self.method.advance()
        self._check_finite(report)
        end = time.perf_counter()
        self.step, self.updates = self.step + self.buffer.length * self.buffer.num_envs, self.updates + 1
        self.time_s += end - begin
        times = {"time_s": self.time_s, "sampling_s": sampled - begin, "update_s": end - sampled, "save_s": self._save_s}
        times["steps_per_s"] = self.buffer.length * self.buffer.num_envs / (end - begin)
        self._save_s = 0.0
        with calling(self.env):
            records = self.env.drain_episodes()
        self.journal.update(self.step, self.updates, report, records, times)
        self._evaluation_due = bool(self.config.run.evaluate_every) and (self._crossed(self.config.run.evaluate_every) or self.done)
        best = self._evaluate()
        if best or self._crossed(self.config.run.checkpoint_every) or self._crossed(self.config.run.milestone_every):
            self._save_or_forget(best)
        return self.journal.progress.status(self.step, self.journal.return_mean, self.evaluation, time.perf_counter() - end)

    def _learning_rate_scale(self) -> float:
        if self.config.update.learning_rate_schedule == "constant":
            return 1.0
        return max(1.0 - self.step / self.config.run.total_steps, 0.0)

    def _check_finite(self, report: UpdateReport) -> None:
        figures = {**report.per_agent, **{name: [value] for name, value in report.team.items()}}
        wrong = [name for name, values in figures.items() if not all(math.isfinite(value) for value in values)]
        if wrong:
            raise WorkFailed(
                f"training diverged at step {self.step:,}: {', '.join(wrong)} not finite. The last checkpoint is whole; "
                "try a smaller update.actor_learning_rate or update.clip"
            )

    def _crossed(self, every: int) -> bool:
        """The last round passed a multiple of ``every`` steps; never for 0."""
        before = self.step - self.buffer.length * self.buffer.num_envs
        return bool(every) and self.step > 0 and self.step // every > before // every

    def catch_up(self) -> None:
        """Play the evaluation that a signal cut short before the run was resumed."""
        if not self._evaluation_due:
            return
        best = self._evaluate()
        if not self._evaluation_due:  # else cut again
            self._saved_step = None  # the checkpoint of this step lacks the evaluation
            self._save_or_forget(best)

    def keep_start(self) -> None:
        """Evaluate and save what a warm start begins with: the run no longer needs its source, and ``best`` is never worse than that."""
        self._evaluation_due = bool(self.config.run.evaluate_every)
        self._save_or_forget(self._evaluate())

    def _evaluate(self) -> bool:
        """Play the greedy evaluation if it is due. A signal cuts it: it stays due and is played again, from its start, after a resume.

        Returns: whether it is the best so far.
        """
        if not self._evaluation_due:
            return False
        try:
            episodes = self.greedy.evaluate(self.step, self._stop_if_interrupted)
        except _EvaluationCut:
            return False
        self._evaluation_due = False
        row = self.journal.evaluation(self.step, self.time_s, episodes)
        self.evaluation = row["return_mean"]
        return self.best is None or rank(row) > self.best

    def _stop_if_interrupted(self, episodes: int) -> None:
        if self.interrupted():
            raise _EvaluationCut

    def _save_or_forget(self, best: bool) -> None:
        """Save; a best evaluation whose checkpoint cannot be written does not count as one."""
        before = self.best
        self.best = rank(self.journal.rows["evaluation"]) if best else before
        if not self.save(best=best):
            self.best = before

    def save(self, *, best: bool = False) -> bool:
        """Write a checkpoint of the current step. A disk that fails is reported and training goes on with the last whole one.

        Returns: whether it was written.
        """
        if self._saved_step == self.step and not best:
            return True
        begin = time.perf_counter()
        self.journal.sync()
        try:
            milestone = self._crossed(self.config.run.milestone_every)
            path = self.checkpoints.save(self.step, self.state_dict(), best=best, milestone=milestone)
            self.journal.progress.saved(self.step, path)
        except OSError as error:
            self.say(f"checkpoint at step {self.step:,} not written ({error.strerror or error}); the one before stays")
            return False
        finally:
            self._save_s += time.perf_counter() - begin
        self._saved_step = self.step
        return True

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on."""
        with calling(self.env):
            env = self.env.state_dict()
        return {
            "step": self.step, "updates": self.updates, "invalid_episodes": self.journal.invalid_episodes, "time_s": self.time_s,
            "recent": list(self.journal.recent), "evaluation": self.evaluation, "best": self.best and list(self.best),
            "started": self._started, "evaluation_due": self._evaluation_due,
            "task": self.config.task, "team": self.team.state_dict(), **self.method.state_dict(), "env": env,
        }  # fmt: skip

    def restore(self) -> None:
        """Go back to the newest whole checkpoint of the run.

        Raises:
            CheckpointError: none is whole, or it is of another task, network or version of a2po.
        """
        name, state = self.checkpoints.load("latest", self.say)
        load_team(self.team, state["team"], name)
        try:
            self._load_state(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"checkpoint {name} is whole, but not of this task or this version of a2po ({what})") from error
        self.checkpoints.set_aside_after(name)
        self.journal.progress.saved(self.step, self.checkpoints.folder / name)
        self.forget_metrics()
        self.say(f"resumed from {name}")

    def _load_state(self, state: dict[str, Any]) -> None:
        if not self.method.load_state_dict(state):
            self.say("the checkpoint comes from another kind of device: sampling goes on with a new random stream")
        self.env.load_state_dict(state["env"])
        for key in ("step", "updates", "time_s", "evaluation"):
            setattr(self, key, state[key])
        best = state["best"]  # a number in checkpoints of earlier versions, which went by the return alone
        self.best = None if best is None else tuple(best) if isinstance(best, list) else (0.0, best)
        self.journal.invalid_episodes = state["invalid_episodes"]
        self.journal.recent.extend(state["recent"])
        self._started, self._saved_step, self._evaluation_due = state["started"], self.step, state["evaluation_due"]
        if self._started and not self.env.spec.exact_state:
            self.say(f"{self.config.task} cannot save running episodes: every copy begins a new one")
            self._started = False

    def forget_metrics(self) -> None:
        """Leave out the rows after the newest checkpoint: what follows is played again."""
        kept = -1 if self._saved_step is None else self._saved_step
        self.journal.go_on_from(kept, self._evaluation_due)

    def close(self) -> None:
        """End the trackers and free the environments."""
        self.journal.close(self.done)
        for closing in (self.env, self.greedy):
            try:
                closing.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the work is done, or has failed already of what matters more
                self.say(f"closing {self.config.task} failed: {foreign(error)}")
