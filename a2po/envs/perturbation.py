"""A change of a task's rules under which a trained team is tried. A family of tasks offers its own by a function ``perturbations``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Perturbation:
    """One rule changed, all else as the team knows it."""

    rule: str
    """By which the user chooses it; several changes may be of one rule."""
    value: str
    """What the rule is changed to, in a few letters."""
    options: Mapping[str, Any]
    """Of the task, laid over those that the team was trained with."""
    stands_for: str
    """What is not known, or may be different where the team will play."""
