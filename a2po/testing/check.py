"""All rules against one environment: what ``a2po check-env`` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from a2po.algorithms.catalogue import ALGORITHMS, can_train
from a2po.errors import foreign
from a2po.testing.broken import Broken, NotSeen
from a2po.testing.resume import NETWORKS, check_training
from a2po.testing.rules import RULES, Rule
from a2po.testing.walk import Case, close_quietly

Status = Literal["passed", "broken", "skipped"]
MOST_STEPS = 500
"""Without ``num_steps`` the checks play one step more than the longest episode has, but at most this many."""
ONE_TRAINING = (("a2po", 0),)
ALL_TRAININGS = tuple((algorithm, layers) for algorithm in ALGORITHMS for layers in NETWORKS)
"""(algorithm, recurrent layers)."""
TRAINING = "10 updates and 10 resumed ones give the same bits as 20"


@dataclass(frozen=True)
class Finding:
    """What became of one rule. ``where``, ``what`` and ``mend`` of a broken one; ``what`` is the reason of a skipped one."""

    rule: str
    asks: str
    status: Status
    where: str = ""
    what: str = ""
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_environment(
    task: str,
    *,
    options: dict[str, Any] | None = None,
    num_envs: int = 3,
    num_steps: int | None = None,
    deterministic: bool = False,
    trainings: Sequence[tuple[str, int]] = ONE_TRAINING,
    progress: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Hold an environment against every rule of the contract.

    Args:
        task: a task name or ``module:factory``.
        options: the task's own options.
        num_envs: copies in most checks.
        num_steps: steps of random play; by default enough to see the longest episode end, at most ``MOST_STEPS``.
        deterministic: nothing in the game is left to chance.
        trainings: (algorithm, recurrent layers) of the short runs that are resumed.
        progress: told the name of each rule as it is looked at.

    Returns: one finding per rule, in the rules' order.

    Raises:
        UserError: the task, its factory or an option is wrong.
    """
    case = Case(task, options or {}, num_envs, num_steps or MOST_STEPS, deterministic)
    longest = _longest_episode(case)
    if num_steps is None and longest is not None:
        case = replace(case, num_steps=min(longest + 1, MOST_STEPS))
    findings: dict[str, Finding] = {}
    for rule in RULES.values():
        if progress:
            progress(rule.name)
        _look(rule, case, findings)
    for algorithm, recurrent_layers in trainings:
        if progress:
            progress(f"training {algorithm}")
        if any(finding.status == "broken" for finding in findings.values()):
            findings.setdefault("training", Finding("training", TRAINING, "skipped", what="mend the broken rules first"))
        elif _can_train(algorithm, case):
            _look(
                Rule("training", TRAINING, partial(check_training, algorithm=algorithm, recurrent_layers=recurrent_layers)), case, findings
            )
    return [findings[name] for name in (*RULES, "training") if name in findings]


def _can_train(algorithm: str, case: Case) -> bool:
    """The algorithm is made for the task's actions."""
    with case.environment(1) as env:
        return can_train(algorithm, env.spec)


def _longest_episode(case: Case) -> int | None:
    """What the spec says, if it says it. A wrong task name shows here."""
    env = case.make(case.num_envs)
    close_quietly(env)
    try:
        longest = int(env.spec.max_episode_steps)
    except Exception:  # noqa: BLE001 - the rules will say what is wrong with it
        return None
    return longest if longest > 0 else None


def _look(rule: Rule, case: Case, findings: dict[str, Finding]) -> None:
    """One rule. A fault that belongs to another rule is entered there, and this one counts as not looked at."""
    if rule.name in findings and findings[rule.name].status == "broken":
        return
    blocking = [name for name in rule.needs if findings[name].status == "broken"]
    if blocking:
        findings[rule.name] = Finding(rule.name, rule.asks, "skipped", what=f"the rule '{blocking[0]}' is broken")
        return
    try:
        rule.check(case)
    except Broken as broken:
        _enter(broken, findings)
        if broken.rule != rule.name:
            findings[rule.name] = Finding(rule.name, rule.asks, "skipped", what=f"the rule '{broken.rule}' is broken")
    except NotSeen as reason:
        findings[rule.name] = Finding(rule.name, rule.asks, "skipped", what=str(reason))
    except Exception as error:  # noqa: BLE001 - what an environment gives can break any statement of a check
        _enter(Broken(rule.name, "the check itself", f"stopped at {foreign(error)}", "The environment gave something unforeseen"), findings)
    else:
        findings[rule.name] = Finding(rule.name, rule.asks, "passed")


def _enter(broken: Broken, findings: dict[str, Finding]) -> None:
    if broken.rule not in findings or findings[broken.rule].status != "broken":
        asks = TRAINING if broken.rule == "training" else RULES[broken.rule].asks
        findings[broken.rule] = Finding(broken.rule, asks, "broken", broken.where, broken.what, broken.mend)
