"""The policy-gradient algorithms as data: each is one value of ``UpdateRule``, run by one learner.

Reading the values below side by side is reading the difference between the algorithms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from a2po.config import Order
from a2po.errors import ConfigError, did_you_mean

Others = Literal["none", "preceding", "all"]


@dataclass(frozen=True)
class UpdateRule:
    """Who is updated when, and how the other agents' ratios enter an agent's surrogate.

    With r the ratio of the agent, o the product of the ratios of the ``others``, ε the clip range in force and ε′ the
    clip range of the others, w = clip(o, 1 ± ε′) if ``clip_others`` else o, and

        ``others_inside``:      L = min(r w A, clip(r w, 1 ± ε) A)
        not ``others_inside``:  L = w min(r A, clip(r, 1 ± ε) A)
    """

    name: str
    order: Order | None
    """The default order of a round (``a2po.algorithms.ordering``); None updates all agents at once."""
    others: Others
    """Whose ratios weigh in: nobody's, those of the agents updated before in this round, or all other agents'."""
    others_inside: bool
    """Their product multiplies the ratio inside the clip and the minimum; otherwise it multiplies the minimum."""
    clip_others: bool
    """Their product is clipped before it is used."""
    adaptive_clip: bool
    """The clip range grows with the position in the order (``ordering.adaptive_clip``)."""
    correct_advantage: bool
    """Each agent after the first gets the advantage corrected for the agents before it (``advantages.preopc``)."""

    @property
    def simultaneous(self) -> bool:
        """All agents are updated at once, on the same advantage."""
        return self.order is None


# Source: Yu et al., "The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games", NeurIPS 2022.
MAPPO = UpdateRule(
    name="mappo",
    order=None,
    others="none",
    others_inside=True,
    clip_others=False,
    adaptive_clip=False,
    correct_advantage=False,
)

# Source: Wang et al., "Order Matters: Agent-by-agent Policy Optimization", ICLR 2023.
A2PO = UpdateRule(
    name="a2po",
    order="semi_greedy",
    others="preceding",
    others_inside=True,
    clip_others=True,
    adaptive_clip=True,
    correct_advantage=True,
)

RULES: dict[str, UpdateRule] = {value.name: value for value in (MAPPO, A2PO)}


def rule(name: str) -> UpdateRule:
    """The update rule called ``name``.

    Raises: ConfigError: there is none.
    """
    if name not in RULES:
        raise ConfigError(f"unknown algorithm '{name}'{did_you_mean(name, RULES)} (known: {', '.join(RULES)})")
    return RULES[name]
