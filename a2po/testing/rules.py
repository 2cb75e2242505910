"""All rules of the environment contract in the order in which they are looked at: each needs what stands before it."""

from a2po.testing import rules_values, rules_episodes, rules_memory  # noqa: F401, I001 - each enters its rules, in this order
from a2po.testing.rule import RULES, Rule

__all__ = ["RULES", "Rule"]
