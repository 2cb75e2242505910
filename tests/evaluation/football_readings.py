"""The statistics of a football game once more: slow, from the whole trace at once, in other words than the counters use."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

PASSES, SERVES, WINDOW = (9, 10, 11), (1, 2, 4, 5), 10


def owner_of(step: dict[str, Any]) -> tuple[int, int] | None:
    return None if step["ball_owned_team"] == -1 else (step["ball_owned_team"], step["ball_owned_player"])


def read_event(trace: list[dict[str, Any]], agents: list[int]) -> dict[str, Any]:
    """The event definition: the trace is cut where the score changes, each piece into spells of one owner (or of nobody)."""
    scores = [(0, 0), *(tuple(step["score"]) for step in trace)]
    cuts = [index for index in range(len(trace)) if scores[index + 1] != scores[index]]
    found = dict.fromkeys(("pass_attempts", "pass_completed", "serve_attempts", "serve_completed", "assist", "team_assist", "own_goals"), 0)
    found |= dict.fromkeys(("ball_losses", "interceptions"), 0)
    network: dict[tuple[int, int], int] = {}
    for begin, end in zip([0, *cuts], [*cuts, len(trace)], strict=True):
        piece = trace[begin:end]
        owners = [owner_of(step) for step in piece]
        for first, last in spells(owners):
            owner = owners[first]
            if last == len(piece) or owner is None or owner[0] != 0 or owner[1] not in agents:
                continue  # the game or its pause ended the spell, or nobody of the agents had it
            pressed = [at for at in range(first, last) if piece[at]["actions"][agents.index(owner[1])] in PASSES]
            if not pressed or last - pressed[-1] > WINDOW:
                continue
            receiver = next((other for other in owners[last:] if other is not None), None)
            completed = receiver is not None and receiver[0] == 0 and receiver[1] != owner[1]
            serve = piece[pressed[-1]]["game_mode"] in SERVES
            found["pass_attempts"] += 1
            found["pass_completed"] += completed
            found["serve_attempts"] += serve
            found["serve_completed"] += serve and completed
            if completed:
                network[owner[1], receiver[1]] = network.get((owner[1], receiver[1]), 0) + 1
        known = [(at, owner) for at, owner in enumerate(owners) if owner is not None]
        for (_, before), (at, after) in pairwise(known):
            if before[0] != after[0] and piece[at]["game_mode"] == 0:
                found["ball_losses" if before[0] == 0 else "interceptions"] += 1
        if end < len(trace) and scores[end + 1][0] > scores[end][0]:
            ours: list[int] = []
            for _, (team, player) in known:
                ours = [] if team == 1 else ours if ours[-1:] == [player] else [*ours, player]
            found["own_goals"] += not ours
            found["team_assist"] += len(ours) > 1
            found["assist"] += len(ours) > 1 and ours[-2] in agents
    owned = [owner_of(step) for step in trace]
    ours, theirs = scores[-1]
    return {
        **found,
        **{"goals": ours, "conceded": theirs, "win": int(ours > theirs), "draw": int(ours == theirs), "loss": int(ours < theirs)},
        "pass_rate": found["pass_completed"] / found["pass_attempts"] if found["pass_attempts"] else 0.0,
        "possession_steps": sum(owner is not None and owner[0] == 0 and owner[1] in agents for owner in owned),
        "team_owned_steps": sum(owner is not None and owner[0] == 0 for owner in owned),
        "opponent_owned_steps": sum(owner is not None and owner[0] == 1 for owner in owned),
        "pass_network": network,
    }


def spells(owners: list[Any]) -> list[tuple[int, int]]:
    """[first, last) of each run of equal owners."""
    edges = [at for at in range(len(owners)) if at == 0 or owners[at] != owners[at - 1]]
    return list(zip(edges, [*edges, len(owners)][1:], strict=True))


def read_paper(episodes: list[list[dict[str, Any]]], agents: list[int]) -> list[dict[str, Any]]:
    """The paper's counters, of all episodes in a row: every record is kept, and each is looked at with all that came before it."""
    records: list[tuple[int, int, int, int, list[int]]] = []
    results = []
    for trace in episodes:
        begin = len(records)
        records += [
            (*owner, step["game_mode"], step["score"][0], step["actions"]) for step in trace if (owner := owner_of(step)) is not None
        ]
        found = dict.fromkeys(("assist", "succ_pass", "pass", "possession", "succ_serve", "serve", "shoot"), 0)
        for at in range(begin, len(records)):
            team, player, mode, goals, actions = records[at]
            if team == 1:
                continue
            if player in agents:
                passes = actions[agents.index(player)] in PASSES
                found["possession"] += 1
                found["pass"] += passes
                found["serve"] += passes and mode in SERVES
            if at == 0:
                continue
            old_team, old_player, old_mode, old_goals, _ = records[at - 1]
            if old_team == 0 and old_player != player and old_player in agents:
                found["succ_pass"] += 1
                found["succ_serve"] += old_mode in SERVES
            if goals > old_goals:
                others = [record for record in records[: at - 1] if record[:2] != (0, old_player)]
                if others and others[-1][0] == 0 and others[-1][1] in agents:
                    found["assist"] += 1
                    found["shoot"] += old_player in agents
        found["succ_pass_rate"] = found["succ_pass"] / found["pass"] if found["pass"] else 0
        found["succ_serve_rate"] = found["succ_serve"] / found["serve"] if found["serve"] else 0
        results.append(found)
    return results
