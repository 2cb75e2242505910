"""Team: an exported team that plays, in a game bot or in an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from a2po.errors import BundleError, ObservationError, UserError, at_least, did_you_mean
from a2po.runtime import guard
from a2po.runtime.actors import Actors
from a2po.runtime.bundle import Bundle, read_bundle
from a2po.runtime.deadline import Deadline
from a2po.runtime.faults import Fallback, either
from a2po.runtime.forms import MASK, NOISE, OBSERVATION, Form, Forms
from a2po.runtime.group import Group, Turn
from a2po.runtime.memory import Memory

Played = list[tuple[np.ndarray, np.ndarray | None]]
"""Of every part the actions [R] or [R, A], and which rows [R] of its outputs are not finite (None: all are)."""
ON_FAULT = ("error", "fallback")
MAX_DEADLINE_MS = 86_400_000


class Team:
    """The actors of a bundle. ``Team.load(path)`` makes one.

    Letters: B rows (copies of the game), N agents, O and A the widths that observations and actions are padded to.
    One thread at a time may use a team.
    """

    def __init__(
        self, bundle: Bundle, provider: str = "cpu", *, threads: int = 1, on_fault: str = "error", deadline_ms: float | None = None
    ) -> None:
        _check_options(threads, on_fault, deadline_ms)
        if not bundle.agents[0].file:
            raise BundleError(f"'{bundle.path}' holds weights only, no ONNX actors to play: export the run again with --format all")
        self.bundle = bundle
        self.provider, self.threads, self.on_fault = provider, threads, on_fault
        files = dict.fromkeys(agent.file for agent in bundle.agents)
        self._groups = [Group(Actors(bundle, file, provider, threads)) for file in files]
        widths = int(bundle.manifest["task"]["obs_width"]), int(bundle.manifest["task"]["action_width"])
        self._forms = Forms([group.agents for group in self._groups], bundle.agents, widths)
        self.faults: Counter[tuple[str, str]] = Counter()
        """How many rows a fallback has played, by (kind, agent); the kinds are ``observation``, ``mask``, ``output`` and ``late``."""
        self._fallbacks = [Fallback(group.agents, self.faults) for group in self._groups]
        self._deadline = None if deadline_ms is None else Deadline(deadline_ms)
        self._mends = on_fault == "fallback" or deadline_ms is not None

    @classmethod
    def load(
        cls, path: Path | str, provider: str = "cpu", *, threads: int = 1, on_fault: str = "error", deadline_ms: float | None = None
    ) -> Team:
        """Read a bundle (a folder or a .zip), check every hash and open its actors.

        Args:
            path: the bundle.
            provider: ``cpu`` or ``cuda``. There is no silent fallback from one to the other. With ``cuda`` the memory of recurrent
                agents stays on the device.
            threads: that share one step on the CPU; they sleep in between. More than one is for hundreds of games at once: with a
                few rows, waking them up takes longer than the step.
            on_fault: what an observation that is not finite, a mask without a legal action, or outputs that are not finite do.
                ``error`` raises. ``fallback`` plays on: such an agent repeats its action before if it is still legal, else takes
                its first legal one, else action 0 (continuous: its action before, at first the one nearest to zero in the Box),
                and its memory stays as it was. ``team.faults`` counts. Wrong shapes, types and names are always errors.
            deadline_ms: how long ``act`` may take. When the actors are late, all agents' actions are those of a fallback, and
                counted; the late step still enters the memory, and while it goes on, the next steps are late, too; ``reset`` and
                ``memory`` wait for it, and if it fails, the next ``act`` raises that. At most a day. Costs a copy of the inputs and
                two changes of thread (``a2po.runtime.deadline``).

        Raises:
            BundleError: the bundle is missing, altered, incomplete or of another format.
            DependencyError: onnxruntime is missing or has no such provider.
            UserError: an option is wrong.
        """
        return cls(read_bundle(path), provider, threads=threads, on_fault=on_fault, deadline_ms=deadline_ms)

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents' names, in the order of the rows of padded arrays."""
        return tuple(self._forms.agents)

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
    def memory(self) -> dict[str, np.ndarray]:
        """The recurrent states after the last step, agent -> float32 [B, L, H]; empty before the first one. May be set.

        Setting it raises ObservationError for a wrong name, shape or type; agents whose actors remember nothing are passed over.
        """
        self._settle()
        kept = (group.memory.by_agent() for group in self._groups if group.memory is not None)
        return {name: values for own in kept for name, values in own.items()}

    @memory.setter
    def memory(self, memory: Mapping[str, np.ndarray]) -> None:
        self._forms.check_known("memory", memory)
        self._settle()
        for group in self._groups:
            if group.memory is not None:
                group.memory.set_by_agent(memory)

    def reset(self, rows: Any = None) -> None:
        """Forget the recurrent state of rows whose episode has just begun: [B] bool, or indices, or None for all.

        Raises:
            ObservationError: there are no such rows.
        """
        self._settle()
        keepers: list[Memory | Fallback] = [*(group.memory for group in self._groups if group.memory is not None), *self._fallbacks]
        chosen = [
            None
            if rows is None or keeper.batch is None
            else guard.rows_array(rows, keeper.batch, f"agent '{keeper.agents[0].name}': rows to reset")
            for keeper in keepers
        ]
        for keeper, which in zip(keepers, chosen, strict=True):
            keeper.forget(which)

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
            ObservationError: an input has a wrong shape or type, is not finite, or allows no action; or the outputs are not finite.
        """
        turns, form, faultless = self._read(obs, action_mask, noise)
        if not faultless:
            for turn in turns:
                self._inspect(turn)
        if self._deadline is None:
            played = self._play(turns)
        else:
            played = self._deadline.run(partial(self._play, [turn.copy() for turn in turns]))
        if self._mends:
            return self._forms.write(form, self._mended(turns, played))
        return self._forms.write(form, [actions for actions, _ in played])

    def _inspect(self, turn: Turn) -> None:
        """Raises: ObservationError: something cannot be played and there is no fallback."""
        if self.on_fault == "fallback":
            self._fallbacks[turn.part.group].inspect(turn)
            return
        guard.check_finite(turn.part.agents, turn.obs)
        if turn.mask is not None:
            guard.check_legal(turn.part.agents, turn.mask)

    def _mended(self, turns: list[Turn], played: Played | None) -> list[np.ndarray]:
        """The actions of every part, with those of a fallback where there are none, or no good ones."""
        if played is None:
            return [self._fallbacks[turn.part.group].late(turn) for turn in turns]
        return [self._fallbacks[turn.part.group].mend(turn, *own) for turn, own in zip(turns, played, strict=True)]

    def _play(self, turns: list[Turn]) -> Played:
        """All of it is remembered, or nothing."""
        played = [self._groups[turn.part.group].play(turn) for turn in turns]
        for turn, (_, broken) in zip(turns, played, strict=True):
            if self.on_fault == "error":
                guard.check_outputs(turn.part.agents, turn.obs, broken)
        for turn, (_, broken) in zip(turns, played, strict=True):
            self._groups[turn.part.group].keep(either(turn.faulty, broken))
        return played

    def _read(self, obs: Any, action_mask: Any, noise: Any) -> tuple[list[Turn], Form, bool]:
        """What the agents of each file see, the form it came in, and whether it is known to be without a fault."""
        rows, form = self._forms.read(OBSERVATION, obs)
        masks: list[Any] = [None] * len(rows)
        faultless = form.faultless
        if action_mask is not None:
            if not self.discrete:
                raise ObservationError("action mask: this team's actions are continuous, so it takes none")
            masks, mask_form = self._forms.read(MASK, action_mask, form)
            faultless = faultless and mask_form.faultless
        noises = [None] * len(rows) if noise is None else self._read_noise(noise, form)
        return [Turn(part, form.batch, *given) for part, *given in zip(form.parts, rows, masks, noises, strict=True)], form, faultless

    def _read_noise(self, noise: Any, form: Form) -> list[Any]:
        """The noise [R, A] of every part."""
        if isinstance(noise, np.random.Generator):
            draw = noise.random if self.discrete else noise.standard_normal
            return [draw((form.batch * len(part.agents), part.agents[0].action_size), dtype=np.float32) for part in form.parts]
        noises, noise_form = self._forms.read(NOISE, noise, form)
        if not (noise_form.faultless or all(map(guard.all_finite, noises))):
            raise ObservationError("noise: not finite")
        if self.discrete and any(((own < 0.0) | (own > 1.0)).any() for own in noises):
            raise ObservationError("noise: discrete actions are sampled with uniform numbers in [0, 1), not with others")
        return noises

    def _settle(self) -> None:
        """What a late step remembers comes before what the caller does next."""
        if self._deadline is not None:
            self._deadline.settle()


def _check_options(threads: int, on_fault: str, deadline_ms: float | None) -> None:
    if not isinstance(threads, Integral):
        raise UserError(f"threads must be a whole number, got {threads!r}")
    at_least(1, threads=threads)
    if on_fault not in ON_FAULT:
        raise UserError(f"on_fault: '{on_fault}' is unknown{did_you_mean(str(on_fault), ON_FAULT)} (there are: {', '.join(ON_FAULT)})")
    if deadline_ms is not None and not (isinstance(deadline_ms, Real) and 0 < deadline_ms <= MAX_DEADLINE_MS):
        raise UserError(f"deadline_ms must be more than 0 and at most {MAX_DEADLINE_MS} (a day), got {deadline_ms!r}")
