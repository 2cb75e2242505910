"""The actors and critics that are trained together: any of a team's agents as one stack."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from a2po.networks.stack import AdamSettings, ParameterStack, rows_of
from a2po.networks.team_policy import TeamPolicy


class Group:
    """Some agents of a team in ascending order, with what is trained for them.

    Neighbours are views of the team's parameters, and so are agents that share them. Others are gathered into a stack of their own:
    ``put_back`` must follow their training.

    Args:
        team: whose agents.
        agents: their ids, ascending.
    """

    def __init__(self, team: TeamPolicy, agents: Sequence[int]) -> None:
        self.agents = tuple(agents)
        self.critics = self.agents if team.num_critics > 1 else (0,)
        self._actors = _Part(team.actors, self.agents, team.shared)
        self._critics = _Part(team.critics, self.critics, team.shared)
        if isinstance(rows_of(self.agents), slice):  # the team keeps these
            first, last = self.agents[0], self.agents[-1] + 1
            self.actor, self.critic = team.actor(first, last), team.critic(self.critics[0], self.critics[-1] + 1)
        else:
            self.actor = team.make_actor(self._actors.leaves(), self.agents)
            self.critic = team.make_critic(self._critics.leaves(), self.critics)
        self.actor_leaves: list[Tensor] = [self.actor.weights[name] for name in team.actors.shapes]
        self.critic_leaves: list[Tensor] = [self.critic.weights[name] for name in team.critics.shapes]

    def step_actors(self, gradients: Sequence[Tensor], learning_rate: float, settings: AdamSettings) -> Tensor:
        """One Adam step. ``gradients`` are those of ``actor_leaves``. Returns: [n] norms before clipping; [1] of shared parameters."""
        return self._actors.stack.adam_step(self._actors.which, gradients, learning_rate, settings)

    def step_critics(self, gradients: Sequence[Tensor], learning_rate: float, settings: AdamSettings) -> Tensor:
        """The same for ``critic_leaves``."""
        return self._critics.stack.adam_step(self._critics.which, gradients, learning_rate, settings)

    def put_back(self) -> None:
        """Copy gathered networks and their optimisers into the team."""
        self._actors.put_back()
        self._critics.put_back()


class _Part:
    """Some networks of a stack, as a range of it or of a gathered copy."""

    def __init__(self, whole: ParameterStack, rows: tuple[int, ...], shared: bool) -> None:
        self.whole, self.rows = whole, rows
        where = rows_of(rows)
        self.gathered = not shared and not isinstance(where, slice)
        self.stack = whole.subset(rows) if self.gathered else whole
        self.which = slice(0, 1) if shared else where if isinstance(where, slice) else slice(0, len(rows))

    def leaves(self) -> dict[str, nn.Parameter]:
        return self.stack.leaves(self.which)

    def put_back(self) -> None:
        if self.gathered:
            self.whole.put_back(self.rows, self.stack)
