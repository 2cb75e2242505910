"""The proof that an exported actor is the trained one: both replay the same recorded observations, step by step.

Never over closed-loop returns: physics is chaotic, and a difference in the last bit grows into another episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from a2po.errors import WorkFailed
from a2po.exporters.recording import Seen
from a2po.exporters.wrapper import ActorGraph
from a2po.networks.distributions import ILLEGAL_LOGIT
from a2po.runtime.sampling import gumbel

if TYPE_CHECKING:
    import onnxruntime

TOLERANCE = 1e-5
"""Largest difference of an output, absolute up to a value of 1 and relative beyond; of logits relative to the largest legal one of the row,
because their layer sums terms of that size. Observed: below 3e-6."""
BATCHES = (1, 3, 17)


class ParityError(WorkFailed):
    """An exported actor does not do what the trained one does. Nothing is written then."""


@dataclass(frozen=True)
class ParityReport:
    """The largest differences of one agent, by output."""

    agent: str
    steps: int
    batches: tuple[int, ...]
    """Numbers of copies that were replayed at once."""
    max_error: dict[str, float]
    worst_step: int
    actions: int
    mismatches: int
    ties: int

    @property
    def passed(self) -> bool:
        """Every output within the tolerance and every greedy action the same."""
        return self.mismatches == 0 and all(error <= TOLERANCE for error in self.max_error.values())

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        greedy = {"actions": self.actions, "mismatches": self.mismatches, "ties": self.ties} if self.actions else {}
        return {"passed": self.passed, "max_error": self.max_error, "worst_step": self.worst_step, **greedy}


class Tally:
    """The differences of n agents that share a graph, step by step."""

    def __init__(self, agents: Sequence[str], outputs: Iterable[str], steps: int, batches: tuple[int, ...]) -> None:
        self.agents, self.steps, self.batches, self.actions = agents, steps, batches, 0
        self.errors = {name: np.zeros(len(agents)) for name in outputs}
        self.worst_step, self.mismatches, self.ties = (np.zeros(len(agents), int) for _ in range(3))

    def add(self, step: int, expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray], noise: np.ndarray | None = None) -> None:
        """Compare the outputs [B · n, ...] of one step; ``noise`` [B · n, A] is what the actions were sampled with."""
        for name, value in expected.items():
            if name == "action" and "logits" in expected:
                scores = expected["logits"] if noise is None else expected["logits"] + gumbel(noise)
                different = value != actual[name]
                ties = different & (_gap(scores) < TOLERANCE)
                self.actions += value.size // len(self.agents)
                self.ties += self._by_agent(ties).sum(axis=(0, 2))
                self.mismatches += self._by_agent(different & ~ties).sum(axis=(0, 2))
                continue
            size = np.abs(value)
            if name == "logits":
                size = np.where(value > ILLEGAL_LOGIT, size, 0.0).max(axis=-1, keepdims=True)
            error = np.abs(value - actual[name]) / np.maximum(1.0, size)
            largest = self._by_agent(np.where(np.isfinite(error), error, np.inf)).max(axis=(0, 2), initial=0.0)
            self.worst_step[largest > np.max(list(self.errors.values()), axis=0)] = step
            np.maximum(self.errors[name], largest, out=self.errors[name])

    def _by_agent(self, values: np.ndarray) -> np.ndarray:
        """[B, n, X]."""
        return values.reshape(len(values) // len(self.agents), len(self.agents), -1)

    def reports(self) -> list[ParityReport]:
        """One for each agent."""
        return [
            ParityReport(
                agent, self.steps, self.batches, {name: float(errors[row]) for name, errors in self.errors.items()},
                int(self.worst_step[row]), self.actions, int(self.mismatches[row]), int(self.ties[row]),
            )
            for row, agent in enumerate(self.agents)
        ]  # fmt: skip


def prove(agents: Sequence[str], graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen) -> list[ParityReport]:
    """``compare``, and no more than the tolerance.

    Raises:
        ParityError: an output differs by more, or an action that is no tie.
    """
    reports = compare(agents, graph, session, seen)
    for report in reports:
        if not report.passed:
            raise ParityError(_failure(report))
    return reports


def compare(agents: Sequence[str], graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen) -> list[ParityReport]:
    """Replay what the agents of a graph saw through the torch actor and its file, for several numbers of copies."""
    steps, copies = seen.begun.shape
    batches, outputs = tuple(batch for batch in BATCHES if batch <= copies), list(graph.ports.outputs)
    tally, shape = Tally(agents, outputs, steps, batches), graph.ports.inputs.get("state_in")
    expected = _replay_torch(graph, seen, len(agents))
    for batch in batches:
        state = np.zeros((batch, len(agents), *(shape or ())), np.float32)
        for step in range(steps):
            feed = seen.feed(graph.ports.inputs, step, batch)
            if shape:
                state[seen.begun[step, :batch]] = 0.0
                feed["state_in"] = state.reshape(-1, *shape)
            actual = dict(zip(outputs, session.run(outputs, feed), strict=True))
            if shape:
                state = actual["state_out"].reshape(state.shape)
            rows = batch * len(agents)
            tally.add(step, {name: values[step][:rows] for name, values in expected.items()}, actual, feed.get("noise"))
    return tally.reports()


@torch.no_grad()
def _replay_torch(graph: ActorGraph, seen: Seen, agents: int) -> dict[str, list[np.ndarray]]:
    """Output -> T arrays [B · n, ...] of the trained actor."""
    steps, copies = seen.begun.shape
    collected: dict[str, list[np.ndarray]] = {name: [] for name in graph.ports.outputs}
    shape = graph.ports.inputs.get("state_in")
    state = torch.zeros(copies, agents, *(shape or ()))
    for step in range(steps):
        feed = {name: torch.from_numpy(values) for name, values in seen.feed(graph.ports.inputs, step, copies).items()}
        if shape:
            state[torch.from_numpy(seen.begun[step])] = 0.0
            feed["state_in"] = state.flatten(0, 1)
        outputs = graph(**feed)
        if shape:
            state = outputs[-1].clone().view(state.shape)
        for values, output in zip(collected.values(), outputs, strict=True):
            values.append(output.numpy())
    return collected


def _gap(logits: np.ndarray) -> np.ndarray:
    """[B] distance of the two largest logits [B, A], relative beyond a value of 1; infinite where only one is legal."""
    if logits.shape[-1] < 2:
        return np.full(len(logits), np.inf)
    top = np.sort(logits, axis=-1)[:, -2:]
    gap: np.ndarray = np.where(top[:, 0] <= ILLEGAL_LOGIT, np.inf, (top[:, 1] - top[:, 0]) / np.maximum(1.0, np.abs(top[:, 1])))
    return gap


def _failure(report: ParityReport) -> str:
    errors = ", ".join(f"{name} {error:.1e}" for name, error in report.max_error.items() if error > TOLERANCE)
    problems = [f"outputs differ by more than {TOLERANCE:g}: {errors} (worst at step {report.worst_step})"] if errors else []
    if report.mismatches:
        problems.append(f"{report.mismatches} of {report.actions} greedy actions differ")
    return f"agent '{report.agent}': the exported actor is not the trained one: {'; '.join(problems)}. No bundle was written"


def summary(reports: Sequence[ParityReport], provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    """The parity report of a bundle."""
    import onnxruntime

    errors = [error for report in reports for error in report.max_error.values()]
    return {
        "passed": all(report.passed for report in reports),
        "tolerance": TOLERANCE,
        "max_error": max(errors),
        "steps": reports[0].steps,
        "batches": list(reports[0].batches),
        "reference": f"torch {torch.__version__}, float32 on the CPU, one actor at a time",
        "runtime": f"onnxruntime {onnxruntime.__version__}, {provider}",
        "observations": "recorded from the task under the sampled policy",
        "agents": {report.agent: report.to_dict() for report in reports},
    }
