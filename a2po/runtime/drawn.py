"""Drawn inputs for the graphs of a bundle, and how far its graphs are from its weights on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from a2po.runtime.bundle import AgentSpec, Bundle
from a2po.runtime.differences import TOLERANCE, Differences
from a2po.runtime.reference import Reference, read_weights

STEPS, ROWS = 32, 8
ROUNDING = 8
"""What a graph may add to the tolerance, in units of what single precision alone does to the numpy reading of the weights."""
RARE = 40.0
"""Deviations from the mean in every eighth step: far beyond what is clipped."""
Feed = dict[str, np.ndarray]


def references(bundle: Bundle, precision: type[np.floating[Any]] = np.float64) -> dict[str, Reference]:
    """Agent -> what its weights say.

    Raises:
        BundleError: the weights are damaged, or not those of the network that the manifest names.
    """
    files = {agent.weights for agent in bundle.agents}
    tensors = {file: read_weights(bundle, file) for file in sorted(files)}
    return {
        agent.name: Reference(agent, bundle.manifest["training"]["config"]["network"], tensors[agent.weights]) for agent in bundle.agents
    }


def drawn_differences(bundle: Bundle, sessions: Mapping[str, Any], seed: int = 0) -> dict[str, Differences]:
    """How far every agent's graph is from its weights, on inputs that are drawn around its observation statistics.

    Every step begins with the state that the weights gave, so that differences do not add up. The tolerance is that of the proof at
    export; where single precision alone does more, as it does far from what was seen in training, it is wider in proportion.

    Args:
        bundle: with graphs and weights.
        sessions: file -> onnxruntime session.
        seed: of the draws.

    Raises:
        BundleError: as ``references``.
    """
    measures, rounded = references(bundle), references(bundle, np.float32)
    found, rounding = ({agent.name: Differences() for agent in bundle.agents} for _ in range(2))
    for file, session in sessions.items():
        agents = [agent for agent in bundle.agents if agent.file == file]
        memory = {agent.name: np.zeros((ROWS, agent.num_layers, agent.hidden_size), np.float32) for agent in agents}
        for step, feed in enumerate(draws(agents, [measures[agent.name] for agent in agents], seed)):
            for agent in agents:
                feed[agent.name]["state_in"] = np.where(feed[agent.name].pop("begun")[:, None, None], 0.0, memory[agent.name]).astype(
                    np.float32
                )
            outputs = run(session, agents, feed)
            for agent in agents:
                expected = measures[agent.name].step(feed[agent.name])
                rounding[agent.name].add(step, expected, rounded[agent.name].step(feed[agent.name]))
                found[agent.name].tolerance = TOLERANCE + ROUNDING * rounding[agent.name].largest
                found[agent.name].add(step, expected, outputs[agent.name], feed[agent.name].get("noise"))
                memory[agent.name] = expected.get("state_out", memory[agent.name])
    return found


def draws(agents: Sequence[AgentSpec], measures: Sequence[Reference | None], seed: int) -> Iterator[dict[str, Feed]]:
    """Inputs of the agents of one file, step by step: agent -> port -> [ROWS, ...], and ``begun`` [ROWS] where the state is forgotten."""
    stream = np.random.default_rng(seed)
    for step in range(STEPS):
        feed: dict[str, Feed] = {}
        for agent, measure in zip(agents, measures, strict=True):
            own = {"obs": _observations(agent, measure, stream, RARE if step % 8 == 7 else 1.0), "begun": stream.random(ROWS) < 0.1}
            if agent.discrete:
                own["action_mask"] = _masks(agent.action_size, stream, single=step % 4 == 3)
            if "noise" in agent.inputs:
                draw = stream.random if agent.discrete else stream.standard_normal
                own["noise"] = draw((ROWS, agent.action_size), dtype=np.float32)
            feed[agent.name] = own
        yield feed


def run(session: Any, agents: Sequence[AgentSpec], feed: Mapping[str, Feed]) -> dict[str, Feed]:
    """The outputs of the agents of one file, played together: agent -> port -> [ROWS, ...]."""
    ports = [port.name for port in session.get_inputs()]
    together = {port: np.concatenate([feed[agent.name][port] for agent in agents]) for port in ports if port != "agent"}
    if "agent" in ports:
        together["agent"] = np.repeat(np.array([agent.row for agent in agents], np.int32), ROWS)
    names = [port.name for port in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, together), strict=True))
    return {
        agent.name: {name: value[index * ROWS : (index + 1) * ROWS] for name, value in outputs.items()}
        for index, agent in enumerate(agents)
    }


def _observations(agent: AgentSpec, measure: Reference | None, stream: np.random.Generator, scale: float) -> np.ndarray:
    """[ROWS, O] float32."""
    values = stream.standard_normal((ROWS, agent.obs_size)) * scale
    if measure is not None and agent.clip is not None:
        mean, inverse = measure.weights["observation_mean"], measure.weights["observation_inverse_std"]
        values = mean + values / np.where(inverse > 0, inverse, 1.0)
    limit = np.finfo(np.float32).max
    return np.clip(values, -limit, limit).astype(np.float32)


def _masks(size: int, stream: np.random.Generator, *, single: bool) -> np.ndarray:
    """[ROWS, A] bool with one legal action at least, or exactly one."""
    masks = stream.random((ROWS, size)) < (0.0 if single else 0.7)
    masks[np.arange(ROWS), stream.integers(size, size=ROWS)] = True
    return masks
