"""The policy-gradient algorithms as data: each is one value of ``UpdateRule``, run by one learner.

Reading the values below side by side is reading the difference between the algorithms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from a2po.config import Order, UpdateConfig
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
    critics_last: bool = False
    """The critics are trained once per round, after all actors, whoever shares what; otherwise with their actors, or as if."""
    form: str = ""
    """Which of the published forms it is, for tables."""
    one_per_rollout: bool = False
    """A rollout serves one agent; the next one in the order gets a fresh rollout."""

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
    form="PPO of all agents at once, on a central value of each agent",
)

# Source: de Witt et al., "Is Independent Learning All You Need in the StarCraft Multi-Agent Challenge?", 2020: the same rule,
# with critics that see what their agent sees (``network.critic_input``).
IPPO = replace(MAPPO, name="ippo", form="MAPPO's rule, critics that see their agent's own observation")

# Source: Wu et al., "Coordinated Proximal Policy Optimization", NeurIPS 2021, in the form of the A2PO slides: the product of all
# other agents' ratios as they move, clipped and without gradient.
COPPO = replace(
    MAPPO,
    name="coppo",
    others="all",
    clip_others=True,
    form="as in the A2PO slides: the product of all other ratios, clipped, inside the clip; no advantage mixing",
)

# Source: Kuba et al., "Trust Region Policy Optimisation in Multi-Agent Reinforcement Learning", ICLR 2022, with the critic as in HARL.
HAPPO = UpdateRule(
    name="happo",
    order="random",
    others="preceding",
    others_inside=False,
    clip_others=False,
    adaptive_clip=False,
    correct_advantage=False,
    critics_last=True,
    form="as published: random order, the factor outside the minimum and unclipped, common GAE, critics once per round",
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
    form="the paper's equations: semi-greedy order, PreOPC with λ once, adaptive clip",
)

# Source: Wang et al., ICLR 2023, the naive baseline of agent-by-agent updates (rollout and policy iteration for a single agent).
RPISA = replace(MAPPO, name="rpisa", order="cyclic", one_per_rollout=True, form="PPO of one agent per rollout, in turn")

RULES: dict[str, UpdateRule] = {value.name: value for value in (MAPPO, IPPO, COPPO, HAPPO, A2PO, RPISA)}


def rule(name: str) -> UpdateRule:
    """The update rule called ``name``.

    Raises: ConfigError: there is none.
    """
    if name not in RULES:
        raise ConfigError(f"unknown algorithm '{name}'{did_you_mean(name, RULES)} (known: {', '.join(RULES)})")
    return RULES[name]


def corrects(rule: UpdateRule, settings: UpdateConfig) -> bool:
    """Whether advantages are corrected: as the settings say, else as the rule does."""
    return rule.correct_advantage if settings.advantage is None else settings.advantage == "preopc"


def check_settings(rule: UpdateRule, settings: UpdateConfig, num_agents: int) -> None:
    """Everything that the settings change of the rule has a meaning.

    Raises: ConfigError: with the first setting that has none.
    """
    name = rule.name
    if rule.simultaneous or rule.one_per_rollout:  # nobody in a round comes after anybody
        schedules = ("adaptive", "ratio_proportional") if rule.simultaneous else ("ratio_proportional",)
        meaningless = {
            "order": rule.simultaneous and settings.order is not None,
            "num_blocks": settings.num_blocks is not None,
            "advantage": settings.advantage == "preopc",
            "clip_schedule": settings.clip_schedule in schedules,
        }
        how = "updates all agents at once" if rule.simultaneous else "updates one agent per rollout"
        for key, wrong in meaningless.items():
            if wrong:
                raise ConfigError(f"update.{key} = {getattr(settings, key)!r} has no meaning for {name}, which {how}")
    if settings.num_blocks is not None and settings.num_blocks > num_agents:
        raise ConfigError(f"update.num_blocks = {settings.num_blocks} is more than the task's {num_agents} agents")
    if settings.value_target == "vtrace" and not corrects(rule, settings):
        raise ConfigError(f"update.value_target = 'vtrace' needs corrected advantages; {name} has update.advantage = 'gae'")
