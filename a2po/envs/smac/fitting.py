"""Whether an exported team can lead a battle's enemies: whom it was trained as, against whom, and what it saw."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from a2po.envs.smac import battle_of
from a2po.envs.smac.battle_map import BattleMap
from a2po.envs.smac.layout import Layout
from a2po.envs.smac.options import Options, parse_options
from a2po.envs.smac.smacv2 import SMACV2
from a2po.errors import TaskError

if TYPE_CHECKING:
    from a2po.runtime.bundle import Bundle

Sides = tuple[tuple[str, ...], ...]
"""What each unit of a side can be."""


def trained_on(task: str, path: str, bundle: Bundle) -> tuple[BattleMap, Options]:
    """The battle and the options that a bundle's team was trained with.

    Raises:
        TaskError: its task is no battle of this a2po.
    """
    options = dict(bundle.manifest["task"].get("options") or {})
    text = options.pop("battle_file", None)
    battle = SMACV2.get(bundle.task.removeprefix("smacv2/"))
    if bundle.task.startswith("smac/"):
        battle = battle_of(bundle.task, text)
    if battle is None:
        raise TaskError(f"{task}: the opponent '{path}' was trained on {bundle.task}, which is no battle: it cannot lead the enemies")
    return battle, parse_options(bundle.task, {**options, "head_start": 0, "opponent": "built_in"}, battle.defaults)


def check_fit(task: str, path: str, bundle: Bundle, battle: BattleMap, own: BattleMap, layout: Layout) -> None:
    """Refuse a bundle whose team, trained on ``own`` with ``layout``, cannot lead the enemies of ``battle``.

    Raises:
        TaskError: says why.
    """
    if not (_fits(battle.enemy_types, own.ally_types) and _fits(battle.ally_types, own.enemy_types)):
        raise TaskError(
            f"{task}: the opponent '{path}' cannot lead the enemies: its team, trained on {bundle.task}, is "
            f"{_words(own.ally_types)} against {_words(own.enemy_types)}; here the enemies are "
            f"{_words(battle.enemy_types)} against {_words(battle.ally_types)}"
        )
    if len(bundle.agents) != own.num_agents:
        raise TaskError(
            f"{task}: the opponent '{path}' cannot lead the enemies: it holds {', '.join(agent.name for agent in bundle.agents)} alone of "
            f"the {own.num_agents} agents of {bundle.task}: export the whole team"
        )
    for number, agent in enumerate(bundle.agents):
        if agent.features != layout.feature_names[number] or agent.action_names != layout.action_names[number]:
            raise TaskError(
                f"{task}: the opponent '{path}' cannot lead the enemies: its agent '{agent.name}' was trained with other observations or "
                f"actions than {bundle.task} has in this version of a2po: train and export it again"
            )


def _fits(here: Sides, there: Sides) -> bool:
    """Whether a side's units are those that a team knows: the same types where they are fixed, none but known ones where they are drawn."""
    if len(here) != len(there):
        return False
    if all(len(types) == 1 for types in there):
        return all(len(types) == 1 for types in here) and Counter(here) == Counter(there)
    return {kind for types in here for kind in types} <= {kind for types in there for kind in types}


def _words(side: Sides) -> str:
    """``3 stalkers and 5 zealots``, or ``5 units drawn from marine, marauder and medivac``."""
    if any(len(types) > 1 for types in side):
        return f"{len(side)} drawn from {_list(list(dict.fromkeys(kind for types in side for kind in types)))}"
    return _list([f"{count} {kind}{'s' if count > 1 and kind != 'colossus' else ''}" for (kind,), count in Counter(side).items()])


def _list(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words).replace("_", " ")
