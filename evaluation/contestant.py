"""One team in an evaluation: who plays, where the result goes, and who plays for some of its agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from a2po.envs.play import Act
from a2po.envs.protocol import TaskSpec, VectorEnv
from a2po.errors import UserError
from a2po.evaluation.players import MixedPlayer
from a2po.evaluation.results import Home
from a2po.evaluation.seats import seats
from a2po.runtime.bundle import Bundle
from a2po.training.fit import Description, check_fits


@dataclass(frozen=True, eq=False)
class Contestant:
    """Who plays, and where the result goes."""

    policy: str  # onnx, torch or the name of a script
    home: Home | None  # None: nothing keeps it
    task: str
    options: dict[str, Any]
    what: str
    origin: dict[str, Any]
    description: Description | None  # None fits every task
    player: Callable[[VectorEnv, int | None], Act]  # (environment, seed of the noise or None for greedy) -> actions
    bundle: Bundle | None
    teammates: tuple[tuple[str, Contestant], ...] = ()  # (agents as the user named them, who plays these)

    @property
    def scripted(self) -> bool:
        """A script plays, no team."""
        return self.home is None

    def check_fits(self, spec: TaskSpec) -> None:
        """The team, with its teammates if it has any, can play the task.

        Raises:
            BundleError: observations, actions or agents differ.
            UserError: the teammates' agents are wrong.
        """
        members = self.members(spec) if self.teammates else {self: None}
        for member, agents in members.items():
            if member.description is not None:
                check_fits(member.what, member.description, spec, agents)

    def members(self, spec: TaskSpec) -> dict[Contestant, list[str]]:
        """Who plays which agents of the task, this team first.

        Raises:
            UserError: an agent is unknown or named twice, or none is left for this team.
        """
        taken = seats([agents for agents, _ in self.teammates], spec.agents)
        left = [agent for agent in spec.agents if not any(agent in agents for agents in taken)]
        if not left:
            raise UserError(f"teammates play every agent of '{spec.task}': nothing is left for {self.what}")
        return {self: left, **{who: agents for (_, who), agents in zip(self.teammates, taken, strict=True)}}

    def act(self, env: VectorEnv, seed: int, *, deterministic: bool) -> Act:
        """The player, or players, at the table of ``env``."""
        members, row = self.members(env.spec), env.spec.agents.index
        if len(members) == 1:
            return self._alone(env, seed, deterministic)
        return MixedPlayer([(who._alone(env, seed, deterministic), [row(agent) for agent in agents]) for who, agents in members.items()])

    def _alone(self, env: VectorEnv, seed: int, deterministic: bool) -> Act:
        """A script is given its seed in any case."""
        return self.player(env, seed if self.scripted or not deterministic else None)

    def actions(self, *, deterministic: bool) -> str:
        """How the actions of the teams come about."""
        if self.scripted and all(who.scripted for _, who in self.teammates):
            return "scripted"
        return "greedy" if deterministic else "sampled"

    def seated(self, spec: TaskSpec) -> dict[str, dict[str, Any]]:
        """The teammates as a result names them: agent -> its player, or its bundle and what that comes from. In the task's order."""
        found = {agent: who for who, agents in self.members(spec).items() if who is not self for agent in agents}
        return {agent: found[agent].named() for agent in spec.agents if agent in found}

    def named(self) -> dict[str, Any]:
        """Who it is."""
        return {"player": self.policy} if self.scripted else self.origin
