"""What a check may say: a rule is broken, or could not be looked at."""

from __future__ import annotations

from unittest import SkipTest


class Broken(AssertionError):
    """An environment breaks a rule of the contract.

    Args:
        rule: the rule's name, which need not be the one that was being checked.
        where: the call, step, copy, agent and field.
        what: what is wrong there.
        mend: what to do.
    """

    def __init__(self, rule: str, where: str, what: str, mend: str) -> None:
        super().__init__(f"{rule}: {where}: {what}. {mend}")
        self.rule, self.where, self.what, self.mend = rule, where, what, mend


class NotSeen(SkipTest):
    """The rule could not be looked at, with the reason. pytest counts the test as skipped."""
