"""Win rates of the scripted players on all battles, beside what is published of SMAC's heuristic.

    python benchmarks/smac_players.py [--maps 3s5z ...] [--players heuristic ...] [--episodes 200]     rows of other maps stay
    python benchmarks/smac_players.py --show [--docs]                                                  the table, also into docs/smac.md

Played with ``a2po.evaluate``: by quota over copies of one seed, with the family's default options (the heuristic asks for a longer
shooting range, as SMAC's own does). Win rates have Wilson's 95 % interval. The published figures are no target: no rule is tuned to them.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name. Our own modules come last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import json

from _docs import markdown, write_block

import a2po
from a2po.envs.smac.maps import MAPS
from a2po.provenance import provenance

RESULTS = HERE / "results" / "smac_players.json"
COMMAND = "benchmarks/smac_players.py --show --docs"
PLAYERS = ("heuristic", "nearest", "random")
COPIES = 100

# SMAC's heuristic, percent of wins. PUBLISHED: the SMAC paper's table as a leaderboard listed it. REMEMBERED: from memory, unverified.
PUBLISHED = {"27m_vs_30m": 0, "3s5z_vs_3s6z": 0}
REMEMBERED = {
    "2s_vs_1sc": 0, "2s3z": 90, "3s5z": 42, "1c3s5z": 81, "10m_vs_11m": 12, "2c_vs_64zg": 0, "bane_vs_bane": 43, "5m_vs_6m": 0,
    "3s_vs_5z": 0, "6h_vs_8z": 0, "MMM2": 0, "corridor": 0,
}  # fmt: skip
COLUMNS = ("battle", *(f"{player}: wins (95 %)" for player in PLAYERS), *(f"{player}: return" for player in PLAYERS), "SMAC's heuristic")


def play(name: str, player: str, episodes: int, seed: int) -> dict:
    """One row."""
    result = a2po.evaluate(player=player, task=f"smac/{name}", episodes=episodes, num_envs=min(episodes, COPIES), seed=seed)
    won = result["metrics"]["won"]
    return {
        "map": name,
        "player": player,
        "task_options": result["task_options"],
        "episodes": result["episodes"],
        "seed": seed,
        "won": won["mean"],
        "won_interval": won["interval"],
        "return": result["mean"],
        "return_interval": result["interval"],
        "length": result["length"]["mean"],
        "dead_allies": result["metrics"]["dead_allies"]["mean"],
        "dead_enemies": result["metrics"]["dead_enemies"]["mean"],
    }


def published(name: str) -> str:
    if name in PUBLISHED:
        return f"{PUBLISHED[name]}"
    return f"{REMEMBERED[name]} (from memory)" if name in REMEMBERED else ""


def line(name: str, rows: dict[tuple[str, str], dict]) -> list[str]:
    """The cells of a map's line."""
    found = [rows.get((name, player)) for player in PLAYERS]
    wins = [
        f"{100 * row['won']:.1f} ({100 * row['won_interval'][0]:.1f}–{100 * row['won_interval'][1]:.1f})" if row else "" for row in found
    ]
    return [name, *wins, *(f"{row['return']:.2f}" if row else "" for row in found), published(name)]


def table(rows: dict[tuple[str, str], dict]) -> str:
    return markdown(COLUMNS, [line(name, rows) for name in MAPS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", nargs="+", choices=list(MAPS), default=list(MAPS))
    parser.add_argument("--players", nargs="+", choices=PLAYERS, default=PLAYERS)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="play nothing")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/smac.md as well")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    made = json.loads(arguments.json.read_text())["rows"] if arguments.json.exists() else []
    rows = {(row["map"], row["player"]): row for row in made}
    for name in () if arguments.show else arguments.maps:
        for player in arguments.players:
            rows[name, player] = row = play(name, player, arguments.episodes, arguments.seed)
            print(f"{name:14} {player:10} won {row['won']:.3f}  return {row['return']:6.2f}  length {row['length']:5.1f}", flush=True)
        ordered = [rows[key] for key in ((name, player) for name in MAPS for player in PLAYERS) if key in rows]
        arguments.json.write_text(json.dumps({"rows": ordered, "provenance": provenance()}, indent=1) + "\n")
    print(table(rows))
    if arguments.docs:
        write_block("smac.md", COMMAND, table(rows))


if __name__ == "__main__":
    main()
