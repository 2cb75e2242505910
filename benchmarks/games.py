"""Exactly solvable games: what theory expects of every algorithm, computed, and what training reaches.

    python benchmarks/games.py [--games climbing penalty ...] [--missing]     about ten minutes of one core; rows of other games stay
    python benchmarks/games.py --show [--docs]                                the table of the last figures, also into docs/algorithms.md

Beginnings: `uniform` is what a new team does. `good`: every agent makes the choice of a best joint policy with probability 0.8 (Q
learners: their Q values are highest there, and ε begins where its random actions leave 0.8); `good, ε 0.05`: little exploration.

Expected: of policy gradients, where the exact gradient flow of tabular softmax policies ends that begins at the very probabilities of
the team's networks; and where those of 50 beginnings end that are a little (0.05) away in their logits, which is about what the noise
of a first update does. Of Q learners, the greedy joint action of the nearest representable Q under the data of their own exploration.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts a script's own folder first; benchmarks/mujoco.py would then hide the package of that name.
HERE = Path(__file__).resolve().parent
sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != HERE), str(HERE)]

import argparse
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import torch
from _games import GAMES, Game
from _team import COPIES, REPLAY, config_for, epsilon_start, initial_team, look_around, played, tables, train
from _theory import FITS, flow, q_learning, rest_points
from rich.console import Console
from rich.table import Table

from a2po.provenance import provenance

RESULTS = HERE / "results" / "games.json"
DOCS, BEGIN, END = HERE.parent / "docs" / "algorithms.md", "<!-- benchmarks/games.py --show --docs -->", "<!-- end -->"
BEGINNINGS = ("uniform", "good", "good, ε 0.05")
EVERY = ("mappo", "coppo", "happo", "a2po", "vdn", "qmix")
MORE = {"climbing": ("rpisa",), "penalty": ("rpisa",), "memory, GRU": ("ippo",)}
ONLY_UNIFORM = ("memory, MLP", "telling, GRU")
NEARBY, AWAY = 50, 0.05


def rows_of(name: str) -> list[tuple[str, str]]:
    """(beginning, algorithm) of a game's rows."""
    beginnings = BEGINNINGS[:1] if name in ONLY_UNIFORM else BEGINNINGS
    pairs = itertools.product(beginnings, (*EVERY[:4], *MORE.get(name, ()), *EVERY[4:]))
    return [(beginning, algorithm) for beginning, algorithm in pairs if beginning != "good, ε 0.05" or algorithm in FITS]


def begins(name: str, beginning: str, seed: int) -> dict[str, torch.Tensor]:
    """The probabilities that a team begins with, the same for all policy gradients."""
    game, good = GAMES[name], beginning != "uniform"
    config = config_for(game, "mappo", seed, good=good)
    obs = look_around(config, game)
    return tables(initial_team(config, game, obs, good=good), game, obs, greedy=False)


@cache
def expected_of_flow(name: str, beginning: str, seed: int) -> float:
    """Where the team's own flow ends."""
    return GAMES[name].payoff(flow(GAMES[name].value, begins(name, beginning, seed)))


@cache
def expected_nearby(name: str, beginning: str) -> dict[str, float]:
    """Payoff -> share of the beginnings near that of seed 0 whose flow ends there."""
    game, begin = GAMES[name], begins(name, beginning, 0)
    stream, ends = torch.Generator().manual_seed(0), Counter()
    for _ in range(NEARBY):
        moved = {
            name: (table.log() + AWAY * torch.randn(table.shape, generator=stream, dtype=table.dtype)).softmax(-1)
            for name, table in begin.items()
        }
        ends[f"{game.payoff(flow(game.value, moved, stride=0.05)):.4g}"] += 1
    return {end: count / NEARBY for end, count in ends.most_common()}


def expected_of_q(name: str, algorithm: str, beginning: str) -> list[float] | None:
    """Payoffs of the joint actions that are greedy in the end; None where there is no exact prediction."""
    game = GAMES[name]
    if name.startswith("telling"):
        return None
    names, good = list(game.decisions), beginning != "uniform"
    greedy = list(zip(*(game.decisions[one].best for one in names), strict=True)) if good else None
    share = 0.05 if beginning == "good, ε 0.05" else epsilon_start(game, good=good)
    window = max(round(REPLAY * game.length / (COPIES * game.rollout)), 1)
    tops = q_learning(game.process, FITS[algorithm], rounds=game.rounds, window=window, epsilon_start=share, greedy=greedy)
    return None if tops is None else payoffs(game, itertools.product(*tops))


def payoffs(game: Game, policies: Iterable[Sequence[tuple[int, int]]]) -> list[float]:
    """The different ones of deterministic policies, given as joint actions by state."""
    found = set()
    for joint in policies:
        policy = {}
        for agent, (name, size) in enumerate(zip(game.decisions, game.process.rewards.shape[1:], strict=True)):
            policy[name] = torch.eye(size, dtype=torch.float64)[[state[agent] for state in joint]]
        found.add(round(game.payoff(policy), 4))
    return sorted(found)


def one_run(game: Game, algorithm: str, beginning: str, seed: int) -> dict:
    """Train once; the greedy payoff is known exactly after every round."""
    config = config_for(game, algorithm, seed, good=beginning != "uniform", little=beginning == "good, ε 0.05")
    obs = look_around(config, game)
    team = initial_team(config, game, obs, good=beginning != "uniform")
    curve, seconds = [(0, game.payoff(tables(team, game, obs, greedy=True)))], 0.0
    for step, spent in train(config, team):
        curve.append((step, game.payoff(tables(team, game, obs, greedy=True))))
        seconds += spent
    reached = curve[-1][1]
    stayed = next(step for index, (step, _) in enumerate(curve) if all(same(game, payoff, reached) for _, payoff in curve[index:]))
    figures = {"optimal": same(game, reached, game.best), "stayed": stayed, "seconds": seconds}
    return {"seed": seed, "reached": reached, "played": statistics.mean(played(config, team)), **figures}


def same(game: Game, payoff: float, other: float) -> bool:
    return bool(abs(payoff - other) < 1e-3 * max(abs(game.best), 1.0))


def one_row(name: str, algorithm: str, beginning: str, seeds: int) -> dict:
    game, began = GAMES[name], time.process_time()
    row = {"game": name, "algorithm": algorithm, "beginning": beginning, "best": game.best}
    row["runs"] = [one_run(game, algorithm, beginning, seed) for seed in range(seeds)]
    if algorithm in FITS:
        row["expected"] = expected_of_q(name, algorithm, beginning)
        row["rests"] = [] if name.startswith("telling") else payoffs(game, rest_points(game.process, FITS[algorithm]))
    else:
        row["expected"] = sorted({round(expected_of_flow(name, beginning, seed), 4) for seed in range(seeds)})
        row["nearby"] = expected_nearby(name, beginning)
    print(" | ".join(cells(row)), f"({time.process_time() - began:.0f} s)", flush=True)
    return row


COLUMNS = ("game", "beginning", "algorithm", "optimum", "expected", "reached", "at the optimum", "steps", "seconds")


def cells(row: dict) -> list[str]:
    """One line of the table. Steps: until the greedy payoff stayed what it was in the end, median; seconds of CPU, most."""
    runs = row["runs"]
    reached = [run["reached"] for run in runs]
    low, high, mean = f"{min(reached):.4g}", f"{max(reached):.4g}", f"{statistics.mean(reached):.4g}"
    optimal = f"{sum(run['optimal'] for run in runs)} of {len(runs)}"
    steps, seconds = f"{statistics.median(run['stayed'] for run in runs):,.0f}", f"{max(run['seconds'] for run in runs):.1f}"
    between = low if low == high else f"{mean} ({low} to {high})"
    return [row["game"], row["beginning"], row["algorithm"], f"{row['best']:.4g}", expected(row), between, optimal, steps, seconds]


def expected(row: dict) -> str:
    own = "no exact prediction" if row["expected"] is None else " or ".join(f"{payoff:.4g}" for payoff in row["expected"])
    nearby, rests = row.get("nearby", {}), row.get("rests", [])
    if len(nearby) > 1 or (nearby and own not in nearby):
        own += "; nearby " + ", ".join(f"{end} ({100 * share:.0f} %)" for end, share in nearby.items())
    if len(rests) > 1 or (rests and row["expected"] is None):
        own += "; rests at " + ", ".join(f"{payoff:.4g}" for payoff in rests)
    return own


def show(rows: list[dict]) -> None:
    table = Table(title="Exactly solvable games", box=None)
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if index < 3 else "right")
    for index, row in enumerate(rows):
        if index and rows[index - 1]["game"] != row["game"]:
            table.add_section()
        table.add_row(*cells(row))
    console = Console(emoji=False)
    Console(emoji=False, width=None if console.is_terminal else 140).print(table)


def write_docs(rows: list[dict]) -> None:
    """Put the table between its marks in docs/algorithms.md."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(cells(row) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    before, rest = DOCS.read_text().split(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--algorithms", nargs="+", help="leave the rows of others as they are")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--missing", action="store_true", help="only the rows that the file lacks")
    parser.add_argument("--show", action="store_true", help="train nothing")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/algorithms.md as well")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"rows": []}
    found = {(row["game"], row["beginning"], row["algorithm"]): row for row in made["rows"]}
    order = [(name, *pair) for name in GAMES for pair in rows_of(name)]
    for name, beginning, algorithm in () if arguments.show else order:
        wanted = name in arguments.games and algorithm in (arguments.algorithms or (algorithm,))
        if wanted and not (arguments.missing and (name, beginning, algorithm) in found):
            found[name, beginning, algorithm] = one_row(name, algorithm, beginning, arguments.seeds)
            rows = [found[key] for key in order if key in found]
            arguments.json.write_text(json.dumps({"rows": rows, "provenance": provenance()}, indent=1) + "\n")
    rows = [found[key] for key in order if key in found]
    show(rows)
    if arguments.docs:
        write_docs(rows)


if __name__ == "__main__":
    main()
