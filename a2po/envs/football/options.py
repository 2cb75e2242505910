"""The options of the family ``football``: who is controlled, what agents see, and how steps are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from a2po.envs.football.encoder import Encoder
from a2po.envs.football.scenarios import MAX_PLAYERS, Scenario, scenario
from a2po.errors import BundleError, TaskError, did_you_mean
from a2po.runtime.bundle import Bundle

PREFIX = "football/"
BUILTIN, RANDOM = OPPONENTS = ("builtin", "random")
"""The names of opponents."""
REWARDS = ("scoring", "checkpoints", "shaped")


@dataclass(frozen=True)
class Options:
    """How a game is set up. What is None is as the scenario has it."""

    agents: int | None = None
    """How many players of the left team are controlled."""

    keeper: bool = False
    """Let agents control the goalkeeper, too, where the scenario allows it."""

    rewards: str = "scoring,checkpoints"
    """Any of ``scoring``, ``checkpoints`` and ``shaped`` (the A2PO paper's set for 5 against 5), with commas between."""

    distance_reward: float = 0.0
    """With ``shaped``: weight of the ball's nearness to the opponents' goal; 0.001 in the paper's hard games."""

    action_masks: bool = True
    """Rule out what makes no sense now: to pass without the ball, to shoot from the own half."""

    obs_agent_id: bool = False
    """Show agents which of the team they are."""

    obs_action_mask: bool = False
    """Show agents their masks."""

    obs_last_action: bool = False
    """Show agents their last actions."""

    obs_match: bool = False
    """Show agents the score, the clock and what kind of play it is."""

    opponent: str = "builtin"
    """Who leads the right team: ``builtin``, which is the engine, ``random``, or the path of a bundle."""

    duration: int | None = None
    """Steps of a game, less one."""

    left_difficulty: float | None = None
    """How well the engine plays for the left team's players that nobody controls: 0 to 1."""

    right_difficulty: float | None = None
    """How well the engine plays the right team."""

    workers: str = "threads"
    """``threads``, or ``processes``: slower to start, but a fault of the engine costs an episode, not the run."""

    @property
    def reward_names(self) -> tuple[str, ...]:
        """Which rewards are paid."""
        return tuple(self.rewards.split(","))


def encoder_for(played: Scenario, options: Options, agents: int) -> Encoder:
    """How ``agents`` players of the left team see a game of this scenario with these options."""
    return Encoder(
        len(played.left),
        len(played.right),
        agents,
        match=options.obs_match,
        agent_id=options.obs_agent_id,
        masks_in=options.obs_action_mask,
        last_action=options.obs_last_action,
        duration=options.duration or played.duration,
    )


CHOICES: Mapping[str, tuple[str, ...]] = {"workers": ("threads", "processes")}
SHARES = ("left_difficulty", "right_difficulty", "distance_reward")


def parse_options(task: str, given: Mapping[str, Any]) -> Options:
    """Check the options that a user gave.

    Raises:
        TaskError: an option is unknown, or its value is not allowed.
    """
    known = [field.name for field in fields(Options)]
    for name, value in given.items():
        if name not in known:
            raise TaskError(f"{task}: unknown option '{name}'{did_you_mean(name, known)} (options: {', '.join(known)})")
        _check(task, name, value)
    return Options(**given)


def trained_with(bundle: Bundle) -> tuple[Scenario, Options]:
    """The scenario of an exported team, and its options; whom it played against is left out, for it may be gone.

    Raises:
        BundleError: it plays something else than football.
        TaskError: this a2po has no such scenario or option.
    """
    task = bundle.task
    if not task.startswith(PREFIX):
        raise BundleError(f"the bundle '{bundle.path}' was trained on '{task}', which is no football")
    given = {**(bundle.manifest["task"].get("options") or {}), "opponent": BUILTIN}
    return scenario(task.removeprefix(PREFIX)), parse_options(task, given)


def _check(task: str, name: str, value: Any) -> None:
    suggestion = ""
    if name == "opponent":
        allowed, good = f"{' or '.join(map(repr, OPPONENTS))}, or the path of a bundle", _is_opponent(value)
        suggestion = did_you_mean(value, OPPONENTS) if isinstance(value, str) else ""
    elif name in CHOICES:
        allowed, good = " or ".join(repr(choice) for choice in CHOICES[name]), value in CHOICES[name]
        suggestion = did_you_mean(value, CHOICES[name]) if isinstance(value, str) else ""
    elif name == "rewards":
        names = value.split(",") if isinstance(value, str) else []
        allowed, good = f"one or more of {', '.join(REWARDS)}, with commas between", bool(names) and set(names) <= set(REWARDS)
        suggestion = next((did_you_mean(part, REWARDS) for part in names if part not in REWARDS), "")
    elif name == "agents":
        allowed, good = f"an integer from 1 to {MAX_PLAYERS}", _is_integer(value) and 1 <= value <= MAX_PLAYERS
    elif name == "duration":
        allowed, good = "an integer from 1 to 1,000,000", _is_integer(value) and 1 <= value <= 1_000_000
    elif name in SHARES:
        allowed, good = "a number from 0 to 1", _is_number(value) and 0 <= value <= 1
    else:
        allowed, good = "true or false", isinstance(value, bool)
    if not good:
        raise TaskError(f"{task}: option '{name}' must be {allowed}, got {value!r}{suggestion}")


def _is_opponent(value: Any) -> bool:
    """A name, or what can be a path."""
    if not isinstance(value, str):
        return False
    return value in OPPONENTS or "/" in value or value.endswith(".zip") or (value != "" and Path(value).exists())


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
