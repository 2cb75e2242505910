"""The proof that an exported actor is the trained one: both replay the same recorded observations, step by step.

Never over closed-loop returns: physics is chaotic, and a difference in the last bit grows into another episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from a2po.envs.play import calling
from a2po.envs.protocol import TaskSpec, VectorEnv
from a2po.errors import WorkFailed
from a2po.exporters.wrapper import ActorGraph
from a2po.networks.distributions import ILLEGAL_LOGIT
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime.sampling import gumbel
from a2po.streams import generator

if TYPE_CHECKING:
    import onnxruntime

TOLERANCE = 1e-5
"""Largest difference of an output, absolute up to a value of 1 and relative beyond; of logits relative to the largest legal one of the row,
because their layer sums terms of that size. Observed: below 3e-6."""
STEPS = 200
RECURRENT_STEPS = 1000
"""A difference in what is remembered shows late."""
BATCHES = (1, 3, 17)
FORGETTING_INTERVAL = 97
"""Steps between the resets that are added to those of the task, where episodes may be longer than the recording."""


class ParityError(WorkFailed):
    """An exported actor does not do what the trained one does. Nothing is written then."""


@dataclass(frozen=True)
class Recording:
    """What agents saw while the policy played the task, with T steps of B copies."""

    obs: np.ndarray  # [T, B, N, O]
    action_mask: np.ndarray | None  # [T, B, N, A]
    begun: np.ndarray  # [T, B] bool, an episode begins with this step

    def of_agent(self, spec: TaskSpec, name: str, row: int) -> Seen:
        """What one agent saw, at its real sizes. ``row`` is its place in a graph that several agents share."""
        agent = spec.agents.index(name)
        obs_size, action_size = spec.obs_sizes[agent], spec.action_sizes[agent]
        inputs = {
            "obs": self.obs[:, :, agent, :obs_size],
            "agent": np.full(self.begun.shape, row, np.int32),
            "noise": self._noise(agent, action_size),
        }
        if self.action_mask is not None:
            inputs["action_mask"] = self.action_mask[:, :, agent, :action_size]
        return Seen({name: np.ascontiguousarray(values) for name, values in inputs.items()}, self.begun)

    def _noise(self, agent: int, action_size: int) -> np.ndarray:
        """[T, B, A_i] float32 for a graph that samples."""
        stream = np.random.default_rng(agent)
        draw = stream.standard_normal if self.action_mask is None else stream.random
        return draw((*self.begun.shape, action_size), dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """The inputs of one agent's graph over T steps of B copies, but for the state."""

    inputs: dict[str, np.ndarray]  # [T, B, ...] by port; those that a graph does not have are not fed
    begun: np.ndarray  # [T, B] bool, an episode begins with this step

    def feed(self, graph: ActorGraph, step: int, batch: int) -> dict[str, np.ndarray]:
        """What the first ``batch`` copies saw, for the graph's ports."""
        return {name: self.inputs[name][step, :batch] for name in graph.ports.inputs if name != "state_in"}

    def greedy(self) -> Seen:
        """The same with a noise that changes nothing."""
        neutral = 0.5 if "action_mask" in self.inputs else 0.0
        return Seen({**self.inputs, "noise": np.full_like(self.inputs["noise"], neutral)}, self.begun)


@dataclass
class ParityReport:
    """The largest differences of one agent, by output."""

    agent: str
    steps: int
    batches: tuple[int, ...]
    max_error: dict[str, float] = field(default_factory=dict)
    worst_step: int = 0
    actions: int = 0
    mismatches: int = 0
    ties: int = 0

    @property
    def passed(self) -> bool:
        """Every output within the tolerance and every greedy action the same."""
        return self.mismatches == 0 and all(error <= TOLERANCE for error in self.max_error.values())

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        greedy = {"actions": self.actions, "mismatches": self.mismatches, "ties": self.ties} if self.actions else {}
        return {"passed": self.passed, "max_error": self.max_error, "worst_step": self.worst_step, **greedy}


@torch.no_grad()
def record(env: VectorEnv, team: TeamPolicy, steps: int = STEPS, seed: int = 0) -> Recording:
    """Play the sampled policy and keep what the agents saw. ``env`` has as many copies as the largest batch.

    Every copy forgets now and then, each at other steps, as if an episode began: so every recording has resets.
    """
    noise = generator(seed, "parity")
    with calling(env):
        observations, state = env.reset(), team.initial_state(env.num_envs)
    obs, masks, begun = [], [], [np.ones(env.num_envs, bool)]
    for step in range(steps):
        obs.append(observations.obs.cpu().numpy().copy())
        if observations.action_mask is not None:
            masks.append(observations.action_mask.cpu().numpy().copy())
        if step + 1 == steps:
            break
        actions = team.act(observations.obs, observations.action_mask, state, noise)
        with calling(env):
            result = env.step(actions.actions)
        observations, ended = result.observations, result.terminated | result.truncated
        forgets = (step + 1 + torch.arange(env.num_envs, device=ended.device) * 5) % FORGETTING_INTERVAL == 0
        begins = ended | forgets if team.recurrent else ended
        state = torch.where(begins[None, :, None, None], 0.0, actions.state_out)
        begun.append(begins.cpu().numpy().copy())
    return Recording(np.stack(obs), _with_single_choices(np.stack(masks)) if masks else None, np.stack(begun))


def prove(agent: str, graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen) -> ParityReport:
    """``compare``, and no more than the tolerance.

    Raises:
        ParityError: an output differs by more, or an action that is no tie.
    """
    report = compare(agent, graph, session, seen)
    if not report.passed:
        raise ParityError(_failure(report))
    return report


def compare(agent: str, graph: ActorGraph, session: onnxruntime.InferenceSession, seen: Seen) -> ParityReport:
    """Replay what an agent saw through the torch actor and its file, in every batch size."""
    steps, copies = seen.begun.shape
    sizes = tuple(batch for batch in BATCHES if batch <= copies)
    report = ParityReport(agent, steps, sizes, dict.fromkeys(graph.ports.outputs, 0.0))
    expected = _replay_torch(graph, seen)
    for batch in sizes:
        state = np.zeros((batch, *graph.ports.inputs.get("state_in", ())), np.float32)
        for step in range(steps):
            feed = seen.feed(graph, step, batch)
            if "state_in" in graph.ports.inputs:
                state[seen.begun[step, :batch]] = 0.0
                feed["state_in"] = state
            outputs = dict(zip(graph.ports.outputs, session.run(list(graph.ports.outputs), feed), strict=True))
            state = outputs.get("state_out", state)
            _compare(report, step, {name: values[step][:batch] for name, values in expected.items()}, outputs, feed.get("noise"))
    return report


@torch.no_grad()
def _replay_torch(graph: ActorGraph, seen: Seen) -> dict[str, list[np.ndarray]]:
    """Output -> T arrays of the trained actor."""
    steps, copies = seen.begun.shape
    collected: dict[str, list[np.ndarray]] = {name: [] for name in graph.ports.outputs}
    state = torch.zeros(copies, *graph.ports.inputs["state_in"]) if "state_in" in graph.ports.inputs else None
    for step in range(steps):
        feed = {name: torch.from_numpy(values) for name, values in seen.feed(graph, step, copies).items()}
        if state is not None:
            state[torch.from_numpy(seen.begun[step])] = 0.0
            feed["state_in"] = state
        outputs = graph(**feed)
        state = outputs[-1].clone() if state is not None else None
        for values, output in zip(collected.values(), outputs, strict=True):
            values.append(output.numpy())
    return collected


def _compare(
    report: ParityReport, step: int, expected: dict[str, np.ndarray], actual: dict[str, np.ndarray], noise: np.ndarray | None = None
) -> None:
    for name, value in expected.items():
        if name == "action" and "logits" in expected:
            different = value != actual[name]
            scores = expected["logits"] if noise is None else expected["logits"] + gumbel(noise)
            ties = different & (_gap(scores) < TOLERANCE)
            report.actions += value.size
            report.ties += int(ties.sum())
            report.mismatches += int(different.sum() - ties.sum())
            continue
        size = np.abs(value)
        if name == "logits":
            size = np.where(value > ILLEGAL_LOGIT, size, 0.0).max(axis=-1, keepdims=True)
        error = np.abs(value - actual[name]) / np.maximum(1.0, size)
        largest = float(error.max(initial=0.0)) if np.isfinite(error).all() else float("inf")
        if largest > max(report.max_error.values()):
            report.worst_step = step
        report.max_error[name] = max(report.max_error[name], largest)


def _gap(logits: np.ndarray) -> np.ndarray:
    """[B] distance of the two largest logits [B, A], relative beyond a value of 1; infinite where only one is legal."""
    if logits.shape[-1] < 2:
        return np.full(len(logits), np.inf)
    top = np.sort(logits, axis=-1)[:, -2:]
    gap: np.ndarray = np.where(top[:, 0] <= ILLEGAL_LOGIT, np.inf, (top[:, 1] - top[:, 0]) / np.maximum(1.0, np.abs(top[:, 1])))
    return gap


def _with_single_choices(masks: np.ndarray) -> np.ndarray:
    """Leave one legal action only in every tenth step: a mask that is not obeyed shows there."""
    single = masks.copy()
    first = np.argmax(masks[::10], axis=-1)  # [T/10, B, N]
    last = masks.shape[-1] - 1 - np.argmax(masks[::10, ..., ::-1], axis=-1)
    kept = np.where((np.arange(masks.shape[1]) % 2 == 0)[None, :, None], first, last)
    single[::10] = masks[::10] & (np.arange(masks.shape[-1]) == kept[..., None])
    return single


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
