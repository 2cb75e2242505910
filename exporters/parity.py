"""The proof that an exported actor is the trained one: both replay the same recorded observations, step by step.

Never over closed-loop returns: physics is chaotic, and a difference in the last bit grows into another episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from a2po.envs.play import calling
from a2po.envs.protocol import VectorEnv
from a2po.errors import WorkFailed
from a2po.exporters.wrapper import ActorGraph
from a2po.networks.distributions import ILLEGAL_LOGIT
from a2po.networks.team_policy import TeamPolicy
from a2po.runtime.actors import open_session
from a2po.streams import generator

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

    def rows(self, agent: int, obs_size: int, action_size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """One agent's observations [T, B, O_i] and masks [T, B, A_i] at its real sizes."""
        masks = None if self.action_mask is None else np.ascontiguousarray(self.action_mask[:, :, agent, :action_size])
        return np.ascontiguousarray(self.obs[:, :, agent, :obs_size]), masks


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


def prove(agent: str, graph: ActorGraph, content: bytes, obs: np.ndarray, masks: np.ndarray | None, begun: np.ndarray) -> ParityReport:
    """Replay a recording through the torch actor and its file, in every batch size.

    Args:
        agent: its name.
        graph: the trained actor.
        content: the bytes of its ONNX file.
        obs: [T, B, O] at the agent's real size.
        masks: [T, B, A] or None.
        begun: [T, B] bool, an episode begins with this step.

    Raises:
        ParityError: an output differs by more than the tolerance, or a greedy action that is no tie.
    """
    session = open_session(content, f"agent '{agent}'", "cpu")
    sizes = tuple(batch for batch in BATCHES if batch <= obs.shape[1])
    report = ParityReport(agent, len(obs), sizes, dict.fromkeys(graph.ports.outputs, 0.0))
    expected = _replay_torch(graph, obs, masks, begun)
    for batch in sizes:
        state = np.zeros((batch, *graph.ports.inputs.get("state_in", ())), np.float32)
        for step in range(len(obs)):
            feed = {"obs": obs[step, :batch]}
            if masks is not None:
                feed["action_mask"] = masks[step, :batch]
            if "state_in" in graph.ports.inputs:
                state[begun[step, :batch]] = 0.0
                feed["state_in"] = state
            outputs = dict(zip(graph.ports.outputs, session.run(list(graph.ports.outputs), feed), strict=True))
            state = outputs.get("state_out", state)
            _compare(report, step, {name: values[step][:batch] for name, values in expected.items()}, outputs)
    if not report.passed:
        raise ParityError(_failure(report))
    return report


@torch.no_grad()
def _replay_torch(graph: ActorGraph, obs: np.ndarray, masks: np.ndarray | None, begun: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Output -> T arrays of the trained actor."""
    collected: dict[str, list[np.ndarray]] = {name: [] for name in graph.ports.outputs}
    state = torch.zeros(obs.shape[1], *graph.ports.inputs["state_in"]) if "state_in" in graph.ports.inputs else None
    for step in range(len(obs)):
        if state is not None:
            state[torch.from_numpy(begun[step])] = 0.0
        outputs = graph(torch.from_numpy(obs[step]), None if masks is None else torch.from_numpy(masks[step]), state)
        state = outputs[-1].clone() if state is not None else None
        for values, output in zip(collected.values(), outputs, strict=True):
            values.append(output.numpy())
    return collected


def _compare(report: ParityReport, step: int, expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]) -> None:
    for name, value in expected.items():
        if name == "action" and "logits" in expected:
            different = value != actual[name]
            ties = different & (_gap(expected["logits"]) < TOLERANCE)
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
