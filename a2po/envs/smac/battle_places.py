"""Where the groups of a battle file begin, if the file does not say, and where their enemy goes."""

from __future__ import annotations

from dataclasses import replace

from a2po.envs.smac.battle_map import Point
from a2po.envs.smac.battle_teams import EAST, EAST_HALF, MOST, MOST_OF_A_SIDE, WEST, WEST_HALF, Group
from a2po.envs.smac.battle_toml import Document, Path
from a2po.envs.smac.battle_values import Place, Places, dotted, read_value


def placed(document: Document, allies: list[Group], enemies: list[Group], starts: str) -> tuple[list[Group], list[Group]]:
    """The groups with places where the file gives none, and a copy as groups that are as large as the allies'."""
    for group in enemies[1:]:
        if group.copy:
            document.problem((*group.path, "copy"), "a copy of the allies comes first among the enemies, and once")
    ally_default, enemy_default = (WEST, EAST) if starts == "points" else (WEST_HALF, EAST_HALF)
    whole = [each for group in enemies for each in (_copies(document, group, allies) if group.copy else [group])]
    agents, foes = sum(group.count for group in allies), sum(group.count for group in whole)
    if agents + foes > MOST:
        document.problem(enemies[-1].path, f"{agents} allies and {foes} enemies are {agents + foes} units; a battle has {MOST} at most")
    elif foes > MOST_OF_A_SIDE:
        document.problem(enemies[-1].path, f"there are {foes} enemies with the copy of the allies; a side has {MOST_OF_A_SIDE} at most")
    reached, used = 0, []
    for group in whole:
        reached += group.count
        used.append(starts == "points" or (reached > agents and starts != "surrounded"))
    for group, needed in (*((group, starts != "surrounded") for group in allies), *zip(whole, used, strict=True)):
        if group.place_key and not needed:
            why = "mirrors the allies" if group in whole and "reflect" in starts else "has places of its own"
            document.problem(group.place_path(), f"{dotted(group.path)}.{group.place_key} is not used: starts = '{starts}' {why}")
    return (
        [replace(group, places=group.places or (ally_default,), used=starts != "surrounded") for group in allies],
        [replace(group, places=group.places or (enemy_default,), used=needed) for group, needed in zip(whole, used, strict=True)],
    )


def _copies(document: Document, copy: Group, allies: list[Group]) -> list[Group]:
    """A group of enemies for each of the allies."""
    agents = sum(group.count for group in allies)
    if copy.place_key == "positions" and len(copy.places) != agents:
        document.problem(copy.place_path()[:-1], f"{len(copy.places)} positions for a copy of {agents} allies")
    groups, first = [], 0
    for group in allies:
        places = copy.places[first : first + group.count] if copy.place_key == "positions" else copy.places
        groups.append(replace(group, path=copy.path, places=places, place_key=copy.place_key, copy=True))
        first += group.count
    return groups


def goal_of(document: Document, allies: list[Group], order: str) -> tuple[Point, Point]:
    """Where the enemy's attack-move goes: where the allies' first group begins, if the file does not say."""
    path: Path = ("enemy_goal",)
    if "enemy_goal" in document.values:
        if order != "attack_move":
            document.problem(path, f"enemy_goal is for enemy_order = 'attack_move', not '{order}'")
        value = document.values["enemy_goal"]
        ends = isinstance(value, list) and len(value) > 0 and isinstance(value[0], list)
        goal = read_value(document, path, value, Places(2, least=2) if ends else Place())
        if goal is None:
            return WEST, WEST
        return goal if ends else (goal, goal)
    x, y, *end = allies[0].places[0]
    centre = ((x + end[0]) / 2, (y + end[1]) / 2) if end else (x, y)
    return centre, centre
