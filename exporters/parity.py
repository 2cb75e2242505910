"""The proof that an exported actor is the trained one: both replay the same recorded observations, step by step.

Never over closed-loop returns: physics is chaotic, and a difference in the last bit grows into another episode.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from a2po.errors import WorkFailed
from a2po.exporters.recording import Seen
from a2po.exporters.wrapper import ActorGraph
from a2po.runtime.differences import ROUNDING, TOLERANCE, ParityReport, Tally

if TYPE_CHECKING:
    import onnxruntime

BATCHES = (1, 3, 17)
WIDEST = 1e-2
"""An actor whose rounding grows beyond this cannot be proven."""


class ParityError(WorkFailed):
    """An exported actor does not do what the trained one does. Nothing is written then."""


def prove(agents: Sequence[str], graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen) -> list[ParityReport]:
    """``compare``, and no more than the tolerance.

    It is wider where single precision itself strays farther: large weights of a recurrent actor let rounding grow from step to
    step, in torch as in the file.

    Raises:
        ParityError: an output differs by more, or an action that is no tie.
    """
    reports = compare(agents, graph, session, seen, TOLERANCE)
    if not all(report.passed for report in reports):
        strayed = ROUNDING * _rounding(agents, graph, seen)
        if TOLERANCE < strayed <= WIDEST:
            reports = compare(agents, graph, session, seen, strayed)
    for report in reports:
        if not report.passed:
            raise ParityError(_failure(report))
    return reports


def compare(
    agents: Sequence[str], graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen, tolerance: float = TOLERANCE
) -> list[ParityReport]:
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
            wanted = {name: values[step][:rows] for name, values in expected.items()}
            tally.add(step, wanted, actual, feed.get("noise"), tolerance=tolerance)
    return tally.reports(tolerance)


def _rounding(agents: Sequence[str], graph: ActorGraph, seen: Seen) -> float:
    """The largest difference that single precision makes to the torch actor's own outputs."""
    exact, rounded = _replay_torch(copy.deepcopy(graph).double(), seen, len(agents)), _replay_torch(graph, seen, len(agents))
    tally = Tally(agents, [name for name in exact if name != "action"], len(seen.begun), ())
    for step in range(len(seen.begun)):
        wanted, actual = ({name: values[name][step] for name in tally.errors} for values in (exact, rounded))
        tally.add(step, wanted, actual)
    return float(max(errors.max() for errors in tally.errors.values()))


@torch.no_grad()
def _replay_torch(graph: ActorGraph, seen: Seen, agents: int) -> dict[str, list[np.ndarray]]:
    """Output -> T arrays [B · n, ...] of the trained actor."""
    steps, copies = seen.begun.shape
    collected: dict[str, list[np.ndarray]] = {name: [] for name in graph.ports.outputs}
    shape, dtype = graph.ports.inputs.get("state_in"), next(graph.parameters()).dtype
    state = torch.zeros(copies, agents, *(shape or ()), dtype=dtype)
    for step in range(steps):
        feed = {name: torch.from_numpy(values) for name, values in seen.feed(graph.ports.inputs, step, copies).items()}
        feed = {name: values.to(dtype) if values.is_floating_point() else values for name, values in feed.items()}
        if shape:
            state[torch.from_numpy(seen.begun[step])] = 0.0
            feed["state_in"] = state.flatten(0, 1)
        outputs = graph(**feed)
        if shape:
            state = outputs[-1].clone().view(state.shape)
        for values, output in zip(collected.values(), outputs, strict=True):
            values.append(output.numpy())
    return collected


def _failure(report: ParityReport) -> str:
    errors = ", ".join(f"{name} {error:.1e}" for name, error in report.max_error.items() if error > report.tolerance)
    problems = [f"outputs differ by more than {report.tolerance:.2g}: {errors} (worst at step {report.worst_step})"] if errors else []
    if report.mismatches:
        problems.append(f"{report.mismatches} of {report.actions} greedy actions differ")
    return f"agent '{report.agent}': the exported actor is not the trained one: {'; '.join(problems)}. No bundle was written"


def summary(reports: Sequence[ParityReport], provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    """The parity report of a bundle."""
    import onnxruntime

    errors = [error for report in reports for error in report.max_error.values()]
    return {
        "passed": all(report.passed for report in reports),
        "tolerance": max(report.tolerance for report in reports),
        "max_error": max(errors),
        "steps": reports[0].steps,
        "batches": list(reports[0].batches),
        "reference": f"torch {torch.__version__}, float32 on the CPU, one actor at a time",
        "runtime": f"onnxruntime {onnxruntime.__version__}, {provider}",
        "observations": "recorded from the task under the sampled policy",
        "agents": {report.agent: report.to_dict() for report in reports},
    }
