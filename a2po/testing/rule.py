"""What a rule is, and the table that the modules ``rules_*`` fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from a2po.testing.walk import Case


@dataclass(frozen=True)
class Rule:
    """One rule: its name, what it asks in a sentence, the check, and the rules without which the check would blame this one."""

    name: str
    asks: str
    check: Callable[[Case], None]
    needs: tuple[str, ...] = ()


RULES: dict[str, Rule] = {}


def rule(asks: str, *needs: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Enter a check into ``RULES`` under its own name."""

    def enter(check: Callable[[Case], None]) -> Callable[[Case], None]:
        RULES[check.__name__] = Rule(check.__name__, asks, check, needs)
        return check

    return enter
