"""Drawn inputs for the graphs of a bundle, and how far its graphs are from its weights on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2po.errors import BundleError
from a2po.runtime.bundle import AgentSpec, Bundle
from a2po.runtime.differences import ROUNDING, TOLERANCE, ParityReport, Tally
from a2po.runtime.reference import Reference, read_weights

STEPS, ROWS = 32, 8
FAR = (40.0, 1e3, 1e6, 1e12)
"""Deviations from the mean in every eighth step: far beyond what is clipped. Where nothing is clipped, the first of them alone."""
LEGAL = (0.7, 1.0, 0.7, 0.0)
"""Share of the actions that is legal, step by step; one is always."""
MARGIN = 4 * ROUNDING
"""As ``ROUNDING``, for draws that are new each time: 8 times was exceeded in 1 of 500 checks of right bundles, by a third."""
WIDEST = 1e-3
"""No weights are so badly rounded that more could be allowed: enormous ones would allow everything."""
Feed = dict[str, np.ndarray]


def references(bundle: Bundle, precision: type[np.floating[Any]] = np.float64) -> dict[str, Reference]:
    """Agent -> what its weights say.

    Raises:
        BundleError: the weights are damaged, or not those of the network that the manifest names.
    """
    try:
        network = bundle.manifest["training"]["config"]["network"]
    except (KeyError, TypeError):
        raise BundleError("the manifest does not say which network its weights are of (training.config.network)") from None
    tensors = {file: read_weights(bundle, file) for file in dict.fromkeys(agent.weights for agent in bundle.agents)}
    return {agent.name: Reference(agent, network, tensors[agent.weights], precision) for agent in bundle.agents}


@dataclass(frozen=True)
class Found:
    """How far the graph of one file is from the weights."""

    reports: list[ParityReport]
    """One for each agent."""
    tolerance: float

    @property
    def largest(self) -> float:
        """The largest difference of any output of any agent."""
        return max(error for report in self.reports for error in report.max_error.values())


def drawn_differences(bundle: Bundle, sessions: Mapping[str, Any], seed: int = 0) -> dict[str, Found]:
    """How far every graph is from its weights, on inputs that are drawn around the agents' observation statistics.

    Every step begins with the state that the weights gave, so that differences do not add up. The tolerance is that of the proof at
    export; where single precision alone does more, as it does far from what was seen in training, it is wider in proportion.

    Args:
        bundle: with graphs and weights.
        sessions: file -> onnxruntime session.
        seed: of the draws.

    Returns: by file.

    Raises:
        BundleError: as ``references``.
    """
    measures, rounded = references(bundle), references(bundle, np.float32)
    return {file: _differences(bundle, file, session, measures, rounded, seed) for file, session in sessions.items()}


def _differences(
    bundle: Bundle, file: str, session: Any, measures: Mapping[str, Reference], rounded: Mapping[str, Reference], seed: int
) -> Found:
    agents = [agent for agent in bundle.agents if agent.file == file]
    names, ports = [agent.name for agent in agents], [port.name for port in session.get_outputs()]
    found, rounding = (Tally(names, ports, STEPS, (ROWS,)) for _ in range(2))
    tolerance, state = TOLERANCE, np.zeros((ROWS * len(agents), agents[0].num_layers, agents[0].hidden_size), np.float32)
    for step, feed in enumerate(draws(agents, [measures[name] for name in names], seed)):
        feed["state_in"] = state
        state[feed.pop("begun")] = 0.0
        with np.errstate(all="ignore"):
            expected, single = (_by_weights([those[name] for name in names], feed) for those in (measures, rounded))
            rounding.add(step, expected, single)
            tolerance = min(max(TOLERANCE, MARGIN * float(max(error.max() for error in rounding.errors.values()))), WIDEST)
            played = _run_in_parts(session, feed, (len(state), 1, len(agents), 3)[(step + step // 4) % 4])
            found.add(step, expected, played, feed.get("noise"), tolerance=tolerance)
        state = expected.get("state_out", state).astype(np.float32)
    return Found(found.reports(), tolerance)


def _by_weights(measures: Sequence[Reference], feed: Feed) -> Feed:
    """What the weights of the agents of one file say, [B · n, ...] by port."""
    each = [measure.step({port: value[index :: len(measures)] for port, value in feed.items()}) for index, measure in enumerate(measures)]
    return {port: _together([outputs[port] for outputs in each]) for port in each[0]}


def _together(values: Sequence[np.ndarray]) -> np.ndarray:
    """[B, ...] of n agents -> [B · n, ...], game by game."""
    stacked = np.stack(values, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def draws(agents: Sequence[AgentSpec], measures: Sequence[Reference | None], seed: int) -> Iterator[Feed]:
    """Inputs of the n agents of one file, step by step: port -> [ROWS · n, ...], and ``begun`` [ROWS · n] where the state is forgotten."""
    stream, size = np.random.default_rng(seed), agents[0].action_size
    count = ROWS * len(agents)
    for step in range(STEPS):
        far = FAR[step // 8 % len(FAR)] if step % 8 == 7 else 1.0
        seen = [_observations(agent, measure, stream, far) for agent, measure in zip(agents, measures, strict=True)]
        feed = {"obs": _together(seen), "begun": stream.random(count) < 0.1}
        if agents[0].discrete:
            feed["action_mask"] = _masks(count, size, stream, LEGAL[step % len(LEGAL)])
        if "agent" in agents[0].inputs:
            feed["agent"] = np.tile(np.array([agent.row for agent in agents], np.int32), ROWS)
        if "noise" in agents[0].inputs:
            draw = stream.random if agents[0].discrete else stream.standard_normal
            feed["noise"] = draw((count, size), dtype=np.float32)
        yield feed


def run(session: Any, feed: Mapping[str, np.ndarray]) -> Feed:
    """The outputs of a graph by port.

    Raises:
        BundleError: onnxruntime cannot run it.
    """
    names = [port.name for port in session.get_outputs()]
    try:
        values = session.run(names, {port.name: feed[port.name] for port in session.get_inputs()})
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class of their own
        raise BundleError(f"onnxruntime cannot run a graph: {error}") from None
    return dict(zip(names, values, strict=True))


def _run_in_parts(session: Any, feed: Mapping[str, np.ndarray], size: int) -> Feed:
    """As ``run``, with batches of ``size`` rows: a row must not depend on how many others there are, or on its place among them."""
    starts = range(0, len(feed["obs"]), size)
    parts = [run(session, {port: values[start : start + size] for port, values in feed.items()}) for start in starts]
    return {port: np.concatenate([part[port] for part in parts]) for port in parts[0]}


def _observations(agent: AgentSpec, measure: Reference | None, stream: np.random.Generator, far: float) -> np.ndarray:
    """[ROWS, O] float32."""
    values = stream.standard_normal((ROWS, agent.obs_size)) * (far if agent.clip is not None else min(far, FAR[0]))
    if measure is not None and agent.clip is not None:
        mean, inverse = measure.weights["observation_mean"], measure.weights["observation_inverse_std"]
        values = mean + values / np.where(inverse > 0, inverse, 1.0)
    limit = np.finfo(np.float32).max
    return np.clip(values, -limit, limit).astype(np.float32)


def _masks(count: int, size: int, stream: np.random.Generator, share: float) -> np.ndarray:
    """[count, A] bool, a share of them true, one at least."""
    masks = stream.random((count, size)) < share
    masks[np.arange(count), stream.integers(size, size=count)] = True
    return masks
