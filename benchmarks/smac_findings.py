"""Why some battles come out far easier or harder than is said of the real game: the same script under other guesses.

    python benchmarks/smac_findings.py                   # all experiments, a few minutes; --docs puts them into docs/smac.md
    python benchmarks/smac_findings.py --only MMM        # those of one map; the others keep their stored figures

No experiment is a proposal to change a rule. Options are the family's own; what is no option is changed here, in the map: what the enemy is
told, and who takes part.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name. Our own modules come last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from _docs import markdown, write_block

import a2po.envs
from a2po.envs.registry import scripted_player
from a2po.envs.smac import fields as f
from a2po.envs.smac.maps import MAPS
from a2po.provenance import provenance

RESULTS = HERE / "results" / "smac_findings.json"
COMMAND = "benchmarks/smac_findings.py --show --docs"
COPIES = 200
MIRROR = {"spawn_packing": "mirrored"}
BOTH_ATTACK_MOVE = "both sides attack-move"  # no player: the allies have the enemy's order


@dataclass(frozen=True)
class Experiment:
    """One line: a player on a map under options, and what else is changed."""

    map: str
    player: str = "heuristic"
    changed: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    fighters: dict[str, Any] = field(default_factory=dict)
    """Fields of the map that are replaced."""


WEST, EAST = (9.0, 16.0), (23.0, 16.0)
MARINES = {"allies": (("marine", 7),), "enemies": (("marine", 7),), "ally_points": (WEST,), "enemy_points": (EAST,)}
NO_MEDIVACS = {
    "allies": (("marauder", 2), ("marine", 7)), "enemies": (("marine", 7), ("marauder", 2)),
    "ally_points": (WEST, WEST), "enemy_points": (EAST, EAST),
}  # fmt: skip
MARAUDERS_FIRST = {**NO_MEDIVACS, "enemies": (("marauder", 2), ("marine", 7))}
WITH_MEDIVACS = {
    "allies": (("marine", 7), ("medivac", 1)), "enemies": (("marine", 7), ("medivac", 1)),
    "ally_points": (WEST, WEST), "enemy_points": (EAST, EAST),
}  # fmt: skip

EXPERIMENTS = (
    *(
        Experiment(name, player, change, options)
        for name in ("3s5z", "1c3s5z", "2s3z")
        for player, change, options in (
            ("heuristic", "", {}),
            ("heuristic", "", MIRROR),
            ("heuristic", "", {"spawn_jitter": 1.5}),
            (BOTH_ATTACK_MOVE, "", {}),
            (BOTH_ATTACK_MOVE, "", MIRROR),
        )
    ),
    Experiment("3s5z", changed="the enemy hunts, too", fighters={"enemy_order": "hunt"}),
    Experiment("3s5z", options={"acquire_slop": -4.0}),
    Experiment("3s5z", options={"missile_flight": 0.0}),
    Experiment("MMM"),
    Experiment("MMM", "nearest"),
    Experiment("MMM", "nearest", options={"steering": "straight"}),
    Experiment("MMM", BOTH_ATTACK_MOVE),
    Experiment("MMM", options={"enemy_medivac": "idle"}),
    Experiment("MMM", options={"spawn_jitter": 1.0}),
    Experiment("MMM", changed="seven marines on each side", fighters=MARINES),
    Experiment("MMM", changed="seven marines and a medivac on each side", fighters=WITH_MEDIVACS),
    Experiment("MMM", changed="no medivacs", fighters=NO_MEDIVACS),
    Experiment("MMM", changed="no medivacs, the enemy's marauders are created first", fighters=MARAUDERS_FIRST),
    Experiment("3m"),
    Experiment("3m", options={"spawn_jitter": 1.0}),
    Experiment("8m"),
    Experiment("8m", options={"spawn_jitter": 1.0}),
    Experiment("8m", BOTH_ATTACK_MOVE),
    *(Experiment("corridor", player, "", options) for player in ("heuristic", "nearest") for options in ({}, {"terrain": "cliff"})),
    Experiment("corridor", "nearest", options={"spawn_jitter": 1.0}),
    *(Experiment("corridor", player, options={"steering": "straight"}) for player in ("heuristic", "nearest")),
    *(Experiment("so_many_baneling", player) for player in ("heuristic", "nearest", "random")),
    *(Experiment("bane_vs_bane", player) for player in ("heuristic", "random")),
    *(Experiment("bane_vs_bane", player, options={"spawn_jitter": 1.0}) for player in ("heuristic", "random")),
    *(Experiment("2c_vs_64zg", player) for player in ("heuristic", "random")),
    *(Experiment("2c_vs_64zg", "heuristic", "", options) for options in ({"terrain": "cliff"}, {"spawn_jitter": 1.0})),
)


@contextmanager
def changes(experiment: Experiment) -> Iterator[None]:
    """The map as the experiment wants it."""
    before = MAPS[experiment.map]
    MAPS[experiment.map] = replace(before, **experiment.fighters)
    try:
        yield
    finally:
        MAPS[experiment.map] = before


def play(experiment: Experiment) -> dict[str, Any]:
    """One line's figures: the first episode of every copy."""
    task = f"smac/{experiment.map}"
    longer_range = {"shoot_range": 64.0} if experiment.player == "heuristic" else {}
    with changes(experiment):
        env: Any = a2po.envs.make(task, COPIES, num_threads=1, **longer_range, **experiment.options)
        ends = by_order(env) if experiment.player == BOTH_ATTACK_MOVE else by_script(env, task, experiment.player)
        env.close()
    won, dead_allies, dead_enemies = np.mean(ends, axis=0).tolist()
    return {**asdict(experiment), "won": won, "dead_allies": dead_allies, "dead_enemies": dead_enemies}


def by_script(env: Any, task: str, player: str) -> np.ndarray:
    """[B, 3]: won, dead allies, dead enemies."""
    act = scripted_player(player, task).make(env, 0)
    ends = np.full((env.num_envs, 3), np.nan)
    shown, begun = env.reset(), None
    while np.isnan(ends).any():
        step = env.step(act(shown, begun))
        shown, begun = step.observations, step.terminated | step.truncated
        for copy, episode in zip(np.flatnonzero(begun.numpy()), env.drain_episodes(), strict=True):
            if np.isnan(ends[copy]).any():
                ends[copy] = episode["won"], episode["dead_allies"], episode["dead_enemies"]
    return ends


def by_order(env: Any) -> np.ndarray:
    """[B, 3] of a battle in which the allied units, too, attack-move to the other side's point, loop by loop, until one side is dead."""
    env.reset()
    units, marks, agents = env.simulation.units, env.simulation.marks, env.battle.num_agents
    everybody = agents + env.battle.num_enemies
    marks[:, f.ORDER, :agents] = f.ATTACK_MOVE
    units[:, f.GOAL_X : f.GOAL_Y + 1, :agents] = np.reshape(env.battle.enemy_points[0], (2, 1))
    for _ in range(1600):
        env.simulation.loop(env._shown(env._host))
    dead_allies = agents - marks[:, f.ALIVE, :agents].sum(1)
    dead_enemies = env.battle.num_enemies - marks[:, f.ALIVE, agents:everybody].sum(1)
    won = (dead_enemies == env.battle.num_enemies) & (dead_allies < agents)
    return np.stack([won, dead_allies, dead_enemies], axis=1).astype(float)


def key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["map"], row["player"], row["changed"], str(row["options"])


def table(rows: list[dict[str, Any]]) -> str:
    header = ["battle", "player", "changed", "wins, %", "dead allies", "dead enemies"]
    lines = []
    for row in rows:
        options = ", ".join(f"`{name}={value}`" for name, value in row["options"].items())
        what = "; ".join(filter(None, [row["changed"], options])) or "–"
        figures = f"{100 * row['won']:.0f}", f"{row['dead_allies']:.1f}", f"{row['dead_enemies']:.1f}"
        lines.append([row["map"], row["player"], what, *figures])
    return markdown(header, lines)


def in_order(rows: dict[tuple[str, ...], dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of today's experiments that were played, in their order."""
    return [rows[key(asdict(experiment))] for experiment in EXPERIMENTS if key(asdict(experiment)) in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted({experiment.map for experiment in EXPERIMENTS}), help="maps")
    parser.add_argument("--show", action="store_true", help="play nothing")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/smac.md as well")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stored = json.loads(arguments.json.read_text())["rows"] if arguments.json.exists() else []
    rows = {key(row): row for row in stored}
    for experiment in () if arguments.show else EXPERIMENTS:
        if not arguments.only or experiment.map in arguments.only:
            row = play(experiment)
            rows[key(row)] = row
            print(table([row]).splitlines()[-1], flush=True)
            arguments.json.write_text(json.dumps({"rows": in_order(rows), "copies": COPIES, "provenance": provenance()}, indent=1) + "\n")
    ordered = in_order(rows)
    print(table(ordered))
    if arguments.docs:
        write_block("smac.md", COMMAND, table(ordered))


if __name__ == "__main__":
    main()
