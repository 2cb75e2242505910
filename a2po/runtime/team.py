"""Team: an exported team that plays, in a game bot or in an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2po.errors import BundleError, ObservationError, did_you_mean
from a2po.runtime import guard
from a2po.runtime.actors import Actors
from a2po.runtime.bundle import AgentSpec, Bundle, read_bundle
from a2po.runtime.sampling import sample_continuous, sample_discrete

Rows = dict[str, np.ndarray]
"""Agent -> [B, ...] at its real sizes."""


class Team:
    """The actors of a bundle. ``Team.load(path)`` makes one.

    Letters: B rows (copies of the game), N agents, O and A the widths that observations and actions are padded to.
    """

    def __init__(self, bundle: Bundle, provider: str = "cpu") -> None:
        if not bundle.agents[0].file:
            raise BundleError(f"'{bundle.path}' holds weights only, no ONNX actors to play: export the run again with --format all")
        self.bundle = bundle
        self.provider = provider
        self._specs = {agent.name: agent for agent in bundle.agents}
        self._obs_width = int(bundle.manifest["task"]["obs_width"])
        self._action_width = int(bundle.manifest["task"]["action_width"])
        self._actors = [Actors(bundle, file, provider) for file in dict.fromkeys(agent.file for agent in bundle.agents)]
        self._state: Rows = {}
        self._bounds = {agent.name: (np.asarray(agent.low, np.float32), np.asarray(agent.high, np.float32)) for agent in bundle.agents}

    @classmethod
    def load(cls, path: Path | str, provider: str = "cpu") -> Team:
        """Read a bundle (a folder or a .zip), check every hash and open its actors.

        Args:
            path: the bundle.
            provider: ``cpu`` or ``cuda``. There is no silent fallback from one to the other.

        Raises:
            BundleError: the bundle is missing, altered, incomplete or of another format.
            DependencyError: onnxruntime is missing or has no such provider.
        """
        return cls(read_bundle(path), provider)

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, in the order of the rows of padded arrays."""
        return tuple(self._specs)

    @property
    def task(self) -> str:
        """The task that the team was trained on."""
        return self.bundle.task

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything that the bundle says about itself."""
        return self.bundle.manifest

    @property
    def discrete(self) -> bool:
        """True if the agents choose one of several actions, False if they set continuous controls."""
        return self.bundle.agents[0].discrete

    @property
    def memory(self) -> Rows:
        """The recurrent states after the last step, agent -> float32 [B, L, H]; empty before the first one. May be set."""
        return {name: state.copy() for name, state in self._state.items()}

    @memory.setter
    def memory(self, memory: Rows) -> None:
        self._state = {name: np.array(state, np.float32) for name, state in memory.items()}

    def reset(self, rows: Any = None) -> None:
        """Forget the recurrent state of rows whose episode has just begun: [B] bool, or indices, or None for all.

        Raises:
            ObservationError: there are no such rows.
        """
        if rows is None:
            self._state.clear()
        chosen = {name: guard.rows_array(rows, len(state), f"agent '{name}': rows to reset") for name, state in self._state.items()}
        for name, which in chosen.items():
            self._state[name][which] = 0.0

    def act(self, obs: Any, action_mask: Any = None, *, noise: Any = None) -> Any:
        """One step of the whole team.

        Args:
            obs: floats [N, O] or [B, N, O] padded to the widest agent, or a dict from agent name to its own [O_i] or [B, O_i].
            action_mask: bools [N, A], [B, N, A] or a dict, True where an action is legal; None if all are. Discrete only.
            noise: None to act greedily. To sample: a ``numpy.random.Generator``, or the noise itself in the form of the
                action mask, uniform in [0, 1) for discrete actions and standard normal for continuous ones.

        Returns: actions in the environment's units with the same leading shape or keys: int64, or float32 inside the Box
            (padded with zeros to A in the array form).

        Raises:
            ObservationError: an input has a wrong shape or type, is not finite, or allows no action.
        """
        as_dict = isinstance(obs, Mapping)
        rows, batched = self._split("observation", obs, "obs", None)
        agents = [self._specs[name] for name in rows]
        self._check_finite(rows)
        masks = self._masks(action_mask, agents, rows)
        noises = self._noises(noise, agents, rows)
        actions: Rows = {}
        for actors in self._actors:
            present = [agent for agent in actors.agents if agent.name in rows]
            if present:
                actions.update(self._play(actors, present, rows, masks, noises))
        if as_dict:
            return {name: actions[name] if batched else actions[name][0] for name in rows}
        padded = self._pad(actions)
        return padded if batched else padded[0]

    def _play(self, actors: Actors, agents: list[AgentSpec], rows: Rows, masks: Rows | None, noises: Rows | None) -> Rows:
        """The actions of the agents that share one file, in one run of its graph."""

        def together(parts: Rows) -> np.ndarray:
            return parts[agents[0].name] if len(agents) == 1 else np.concatenate([parts[agent.name] for agent in agents])

        feed = {"obs": together(rows)}
        if masks is not None:
            feed["action_mask"] = together(masks)
        ports, batch = agents[0].inputs, len(rows[agents[0].name])
        if "agent" in ports:
            feed["agent"] = np.repeat(np.array([agent.row for agent in agents], np.int32), batch)
        if "noise" in ports:  # noise that is the same for all actions is none
            feed["noise"] = (
                np.full((len(feed["obs"]), agents[0].action_size), 0.5 * self.discrete, np.float32) if noises is None else together(noises)
            )
        if noises is None or "noise" in ports:
            outputs = ["action"]
        else:
            outputs = ["logits"] if self.discrete else ["mean", "log_std"]
        if agents[0].num_layers:
            feed["state_in"] = together({agent.name: self._state_of(agent, len(rows[agent.name])) for agent in agents})
            outputs = [*outputs, "state_out"]
        results = actors.run(outputs, feed)
        if agents[0].num_layers:
            self._state.update(_apart(results.pop(), agents, rows))
        if noises is None or "noise" in ports:
            return _apart(results[0], agents, rows)
        if self.discrete:
            return _apart(sample_discrete(results[0], together(noises)), agents, rows)
        means, log_stds = (_apart(result, agents, rows) for result in results)
        return {name: sample_continuous(means[name], log_stds[name], noises[name], *self._bounds[name]) for name in means}

    def _state_of(self, agent: AgentSpec, batch: int) -> np.ndarray:
        """[B, L, H], zeros at the beginning."""
        state = self._state.get(agent.name)
        if state is None:
            return np.zeros((batch, agent.num_layers, agent.hidden_size), np.float32)
        if len(state) != batch:
            raise ObservationError(f"agent '{agent.name}': {batch} rows, but its memory holds {len(state)}: call team.reset() first")
        return state

    def _masks(self, action_mask: Any, agents: list[AgentSpec], rows: Rows) -> Rows | None:
        if not self.discrete:
            if action_mask is not None:
                raise ObservationError("action mask: this team's actions are continuous, so it takes none")
            return None
        if action_mask is None:
            return {agent.name: np.ones((len(rows[agent.name]), agent.action_size), bool) for agent in agents}
        masks, _ = self._split("action mask", action_mask, "mask", rows)
        for agent in agents:
            guard.check_legal(agent, masks[agent.name])
        return masks

    def _noises(self, noise: Any, agents: list[AgentSpec], rows: Rows) -> Rows | None:
        if noise is None:
            return None
        if isinstance(noise, np.random.Generator):
            draw = noise.random if self.discrete else noise.standard_normal
            return {agent.name: draw((len(rows[agent.name]), agent.action_size), dtype=np.float32) for agent in agents}
        noises, _ = self._split("noise", noise, "noise", rows)
        if not all(np.isfinite(part).all() for part in noises.values()):
            raise ObservationError("noise: not finite")
        return noises

    def _split(self, what: str, value: Any, kind: str, like: Rows | None) -> tuple[Rows, bool]:
        """Arrays by agent, [B, ...] at real sizes, and whether the input had a batch axis."""
        convert = guard.mask_array if kind == "mask" else guard.float_array
        sizes = {name: spec.obs_size if kind == "obs" else spec.action_size for name, spec in self._specs.items()}
        if isinstance(value, Mapping):
            self._check_names(what, value, like)
            arrays = {name: convert(part, f"agent '{name}': {what}") for name, part in value.items()}
            for name, array in arrays.items():
                hint = guard.width_hint([self._specs[name]], array.shape) if kind == "obs" else ""
                guard.check_shape(array, [(sizes[name],)], f"agent '{name}': {what}", hint)
            batched = next(iter(arrays.values())).ndim == 2
        else:
            padded = convert(value, what)
            width = self._obs_width if kind == "obs" else self._action_width
            hint = guard.width_hint(self._specs.values(), padded.shape) if kind == "obs" else ""
            guard.check_shape(padded, [(len(sizes), width)], f"{what} of {len(sizes)} agents", hint)
            batched = padded.ndim == 3
            arrays = {name: padded[..., index, :size] for index, (name, size) in enumerate(sizes.items())}
        arrays = {name: array if batched else array[None] for name, array in arrays.items()}
        batches = {name: len(array) if array.ndim == 2 else -1 for name, array in arrays.items()}
        expected = {name: len(array) for name, array in (arrays if like is None else like).items()}
        if batches != expected or len(set(batches.values())) != 1:
            raise ObservationError(
                f"{what}: rows per agent {batches} do not agree" + ("" if like is None else f" with the observations' {expected}")
            )
        return arrays, batched

    def _check_names(self, what: str, value: Mapping[str, Any], like: Rows | None) -> None:
        unknown = [name for name in value if name not in self._specs]
        if unknown:
            raise ObservationError(
                f"{what}: no agent '{unknown[0]}'{did_you_mean(str(unknown[0]), self._specs)} (there are: {', '.join(self._specs)})"
            )
        if not value or (like is not None and set(value) != set(like)):
            raise ObservationError(f"{what}: agents {list(value)}" + (" given" if like is None else f", but observations for {list(like)}"))

    def _check_finite(self, rows: Rows) -> None:
        for name, obs in rows.items():
            guard.check_finite(self._specs[name], obs)

    def _pad(self, actions: Rows) -> np.ndarray:
        """[B, N] or [B, N, A]."""
        if self.discrete:
            return np.stack([actions[name] for name in self._specs], axis=1)
        padded = np.zeros((len(next(iter(actions.values()))), len(self._specs), self._action_width), np.float32)
        for index, (name, spec) in enumerate(self._specs.items()):
            padded[:, index, : spec.action_size] = actions[name]
        return padded


def _apart(values: np.ndarray, agents: list[AgentSpec], rows: Rows) -> Rows:
    """Undo the concatenation over agents."""
    batch = len(rows[agents[0].name])
    return {agent.name: values[index * batch : (index + 1) * batch] for index, agent in enumerate(agents)}
