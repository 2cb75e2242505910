"""Which agents of a task are meant by ``agent_1``, ``marine_3,marine_4`` or ``marine_*``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from a2po.errors import UserError, did_you_mean


def seats(texts: Sequence[str], agents: Sequence[str]) -> list[list[str]]:
    """For each text the agents that it means, in the task's order; names and patterns with * have commas between.

    Raises:
        UserError: a name means no agent, or an agent is named twice.
    """
    found = [[agent for name in text.split(",") for agent in agents_named(name.strip(), agents, "teammates")] for text in texts]
    count = Counter(agent for meant in found for agent in meant)
    for agent, times in count.items():
        if times > 1:
            raise UserError(f"teammates: the agent '{agent}' is named {'twice' if times == 2 else f'{times} times'}")
    return [sorted(meant, key=list(agents).index) for meant in found]


def agents_named(name: str, agents: Sequence[str], what: str) -> list[str]:
    """The agents of a name or of a pattern with *.

    Raises:
        UserError: there are none; the message begins with ``what``.
    """
    if name in agents:
        return [name]
    matching = [agent for agent in agents if fnmatchcase(agent, name.replace("[", "[[]").replace("?", "[?]"))] if "*" in name else []
    if not matching:
        known = f"{', '.join(agents[:10])}{f' and {len(agents) - 10} more' if len(agents) > 10 else ''}"
        raise UserError(f"{what}: no agent '{name}'{did_you_mean(name, agents)} (there are: {known})")
    return matching
