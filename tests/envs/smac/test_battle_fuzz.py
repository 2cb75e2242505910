"""Battle files with mistakes in them, seeded mutations of the examples: each is a message with file and line, or a battle that runs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from a2po.envs import make
from a2po.envs.protocol import VectorEnv
from a2po.envs.smac import fields as f
from a2po.errors import TaskError

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "battles").glob("*.toml"))

NUMBERS = ["0", "-1", "1", "2", "3", "0.5", "1e9", "1e308", "-1e-320", "nan", "inf", "-inf", "64", "65", "97", "9223372036854775808"]
NUMBERS += ["1e-30", "0x10", "1_000", "0.1", "31.99", "32", "33", "16", "100000", "9" * 400, "0x" + "f" * 5000]
OTHERS = ["true", "false", '""', '"marine"', '"medivac"', '"colossus"', "[]", "[1]", "[1, 2]", "[4, 4, 28, 28]", "[[9, 16], [9, 17]]", "{}"]
OTHERS += [
    "{ marine = 1 }",
    "{ zergling = 0.5, medivac = 0.5 }",
    "1979-05-27",
    '["light"]',
    '["air"]',
    '"guard"',
    '"hunt"',
    '"burst"',
    '"line"',
]
KEYS = ["shield = 50", "armor = 3", "speed = 0", "speed = 8", "flies = true", "walks_cliffs = true", "radius = 3", "separation_radius = 2"]
KEYS += ["inner_radius = 0.75", "acceleration = 1", "turn_rate = 10", "energy_max = 9", "energy = 3", 'planes = ["air"]', "layers = []"]
KEYS += [
    "weapon = false",
    "heal = {}",
    'weapon = { area = "burst", area_radius = 16 }',
    'weapon = { area = "line", area_radius = 1, period = 2 }',
]
KEYS += [
    "heal = { hp = 10000, energy_per_hp = 0.001 }",
    "weapon = { period = 0.1, damage = 10000, range = 32 }",
    "separation_radius = 0.125",
]
KEYS += ["weapon = { second_blow = 0.1 }", "weapon = { missile_speed = 1000, arc = 360 }", 'attributes = ["structure", "biological"]']
KEYS += [
    "count = 40",
    "count = 64",
    "positions = [[3, 16], [4, 16]]",
    "at = [16, 16]",
    "area = [0, 0, 32, 32]",
    "copy = true",
    "hp = 100000",
]
KEYS += [
    'enemy_order = "hunt"',
    'starts = "surrounded"',
    'starts = "reflect"',
    'healers_end = "one"',
    'terrain = "two_level_ramps"',
    "limit = 1",
]
KEYS += ["spawn_jitter = 2", "robust = true", 'observation = "on_policy"', "action_delay = 7", "line_delay = 16", "reward_scale = false"]
KEYS += [
    "enemy_speed = 4",
    "enemy_damage = 10",
    "missile_flight = 2",
    'damage_order = "simultaneous"',
    "win = 1000000",
    "negative_scale = 1000",
]
HEADERS = [
    "[units.zergling]",
    "[units.own]",
    "[[allies]]",
    "[[enemies]]",
    "[reward]",
    "[options]",
    "[units.sniper.weapon]",
    "[units.marine.heal]",
]

Lines = list[str]
Mutation = Callable[[random.Random, Lines], None]


def drop_line(chance: random.Random, lines: Lines) -> None:
    del lines[chance.randrange(len(lines))]


def repeat_line(chance: random.Random, lines: Lines) -> None:
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))


def swap_lines(chance: random.Random, lines: Lines) -> None:
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def spoil_character(chance: random.Random, lines: Lines) -> None:
    number = chance.randrange(len(lines))
    line, letter = lines[number], chance.choice(" =[]{}\"'#,.-1aRx2\\\x00é\t")
    place = chance.randint(0, len(line))
    lines[number] = line[:place] + letter * chance.randint(0, 1) + line[place + chance.randint(0, 1) :]


def change_number(chance: random.Random, lines: Lines) -> None:
    change_value(chance, lines, NUMBERS)


def change_type(chance: random.Random, lines: Lines) -> None:
    change_value(chance, lines, OTHERS)


def change_value(chance: random.Random, lines: Lines, values: list[str]) -> None:
    """A whole value, or a number somewhere in one."""
    assigned = [number for number, line in enumerate(lines) if "=" in line and not line.startswith(("#", "terrain"))]
    if not assigned:
        return
    number = chance.choice(assigned)
    key, _, value = lines[number].partition("=")
    inner = list(re.finditer(r"-?\d+(\.\d+)?", value))
    if inner and chance.random() < 0.5:
        spot = chance.choice(inner)
        value = value[: spot.start()] + chance.choice(values) + value[spot.end() :]
    else:
        value = " " + chance.choice(values)
    lines[number] = f"{key}={value}"


def misspell(chance: random.Random, lines: Lines) -> None:
    words = [(number, spot) for number, line in enumerate(lines) for spot in re.finditer(r"[a-z_]{3,}", line)]
    number, spot = chance.choice(words)
    place = chance.randrange(spot.start(), spot.end())
    lines[number] = lines[number][:place] + chance.choice("aeiour_") + lines[number][place + 1 :]


def add_key(chance: random.Random, lines: Lines) -> None:
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(KEYS))


def add_fitting_key(chance: random.Random, lines: Lines) -> None:
    """Where tables begin it is mostly one that is known there."""
    headers = [number for number, line in enumerate(lines) if line.startswith("[")]
    if headers:
        number = chance.choice(headers)
        fitting = KEYS[:31] if lines[number].startswith("[units") else KEYS[25:32] if lines[number].startswith("[[") else KEYS[32:]
        lines.insert(number + 1, chance.choice(fitting))


def add_header(chance: random.Random, lines: Lines) -> None:
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(HEADERS))


def change_header(chance: random.Random, lines: Lines) -> None:
    headers = [number for number, line in enumerate(lines) if line.startswith("[")]
    if headers:
        lines[chance.choice(headers)] = chance.choice(HEADERS)


def change_ground(chance: random.Random, lines: Lines) -> None:
    rows = [number for number, line in enumerate(lines) if re.fullmatch(r"[.1a\-2b=Rrx]{32}", line)]
    for _ in range(chance.choice((1, 20)) if rows else 0):
        number, column = chance.choice(rows), chance.randrange(32)
        lines[number] = lines[number][:column] + chance.choice(".1a-2b=Rrx") + lines[number][column + 1 :]


MUTATIONS: list[Mutation] = [
    drop_line, repeat_line, swap_lines, spoil_character, change_number, change_number, change_type, misspell, add_key, add_fitting_key,
    add_fitting_key, add_header, change_header,
]  # fmt: skip


def mutated(count: int, seed: int, mutations: list[Mutation] = MUTATIONS) -> Iterator[str]:
    """``count`` texts, each one of the examples after one to four mutations."""
    chance = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLES]
    for _ in range(count):
        lines = chance.choice(texts).splitlines()
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
            if lines:
                chance.choice(mutations)(chance, lines)
        yield "\n".join(lines) + "\n"


def play(env: VectorEnv, steps: int, seed: int = 0) -> None:
    """Random legal actions; everything that is seen, paid and remembered is a number, and whoever lives is on the map."""
    chance, now = np.random.default_rng(seed), env.reset()
    for _ in range(steps):
        mask = now.action_mask.numpy()
        assert mask.any(-1).all()
        step = env.step(torch.from_numpy(np.where(mask, chance.random(mask.shape), -1.0).argmax(-1)))
        now = step.observations
        assert all(bool(torch.isfinite(values).all()) for values in (now.obs, now.state, step.reward))
        memory, alive = env.simulation.units, env.simulation.marks[:, f.ALIVE] == 1
        assert np.isfinite(memory).all()
        assert ((memory[:, [f.X, f.Y]] >= 0) & (memory[:, [f.X, f.Y]] <= 32)).all(1)[alive].all()


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_malformed_files_are_messages_or_battles_that_run(seed: int):
    run = 0
    for number, text in enumerate(mutated(100, seed)):
        try:
            env = make("smac/arena.toml", 2, battle_file=text, seed=number, num_threads=1)
        except TaskError as error:
            for line in str(error).splitlines():
                told = re.match(r"arena\.toml(, line (\d+): \S|: and \d+ more)", line)
                assert told and int(told[2] or 1) <= len(text.splitlines()) + 1, line
            continue
        run += 1
        play(env, 8, seed=number)
        env.close()
    assert 4 < run < 50


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run_whole_episodes(path: Path):
    env = make(f"smac/{path}", 2, num_threads=1)
    play(env, 60)
    assert env.drain_episodes()
    env.close()
