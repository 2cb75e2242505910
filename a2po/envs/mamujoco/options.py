"""The options of the family ``mamujoco``, their checks, and the bundle of them that published results used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from a2po.errors import TaskError, did_you_mean


@dataclass(frozen=True)
class Options:
    """How a task is set up. The defaults are Gymnasium's ``*-v5`` seen through gymnasium-robotics' ``agent_obsk=1``."""

    profile: str = "v5"
    """``v5``, or ``paper``: the options under which the results of MAPPO, HAPPO and A2PO on MA-MuJoCo were published."""

    obsk: int | str = 1
    """How many joints away an agent sees (0: its own alone), or ``full``: every agent sees the global observation."""

    agent_ids: bool = False
    """Append the agent's number to its observation, one-hot."""

    standardise: bool = False
    """Subtract from each observation (and state) vector its own mean, divide by its own deviation, at every step."""

    action_split: str = "named"
    """``named``: an agent moves the joints of its body part; ``contiguous``: a run of actuators, as the published code did."""

    contact_forces: bool = True
    """Compute contact forces: observed by and charged to Ant, Humanoid and HumanoidStandup in v5."""

    model: str = "v5"
    """``v5``, or ``v2``: the older robot model (it differs for Walker2d: ``walker2d.xml``, unequal friction of the feet)."""

    layout: str = "v5"
    """``v5``, or ``v2``: the older global observation, with the constant zeros of the world body and of contact forces."""

    healthy_bonus: str = "healthy"
    """``healthy``: paid while healthy; ``always``: paid at every step, the last one included."""

    max_episode_steps: int = 1000
    """Steps after which an episode is truncated."""

    timeouts_as_terminal: bool = False
    """Report the step limit as a true end."""

    compat: str = "none"
    """``none``, or ``gymnasium-robotics``: swap what the Humanoids' abdomen_y and abdomen_z observe, as that library does."""

    backend: str = "auto"
    """``auto``, ``batch`` (mujoco.batch, C++ threads; no contact forces) or ``pool`` (one MjData per thread)."""


CHOICES: Mapping[str, tuple[str, ...]] = {
    "profile": ("v5", "paper"),
    "action_split": ("named", "contiguous"),
    "model": ("v5", "v2"),
    "layout": ("v5", "v2"),
    "healthy_bonus": ("healthy", "always"),
    "compat": ("none", "gymnasium-robotics"),
    "backend": ("auto", "batch", "pool"),
}

# A2PO's and HARL's wrappers: agents see everything, each vector standardised over its own features, actions split by
# actuator index, gym v2 physics in which contact forces were silently zero and the healthy bonus was unconditional.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "v5": {},
    "paper": {
        "obsk": "full",
        "agent_ids": True,
        "standardise": True,
        "action_split": "contiguous",
        "contact_forces": False,
        "model": "v2",
        "layout": "v2",
        "healthy_bonus": "always",
        "max_episode_steps": 1000,
    },
}


def parse_options(task: str, given: Mapping[str, Any]) -> Options:
    """Check the options that a user gave; those not given come from the profile, then from the defaults.

    Raises:
        TaskError: an option is unknown, or its value is not allowed.
    """
    known = [field.name for field in fields(Options)]
    for name, value in given.items():
        if name not in known:
            raise TaskError(f"{task}: unknown option '{name}'{did_you_mean(name, known)} (options: {', '.join(known)})")
        _check(task, name, value)
    return Options(**{**PROFILES[given.get("profile", "v5")], **given})


def _check(task: str, name: str, value: Any) -> None:
    if name in CHOICES:
        allowed, good = " or ".join(repr(choice) for choice in CHOICES[name]), value in CHOICES[name]
    elif name == "obsk":
        allowed, good = "an integer >= 0 or 'full'", value == "full" or (_is_integer(value) and value >= 0)
    elif name == "max_episode_steps":
        allowed, good = "an integer >= 1", _is_integer(value) and value >= 1
    else:
        allowed, good = "true or false", isinstance(value, bool)
    if not good:
        suggestion = did_you_mean(value, CHOICES[name]) if name in CHOICES and isinstance(value, str) else ""
        raise TaskError(f"{task}: option '{name}' must be {allowed}, got {value!r}{suggestion}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
