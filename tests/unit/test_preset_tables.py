"""The presets `paper` and `public-code` against the published tables, copied here by hand; every preset against every task."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from a2po.algorithms.catalogue import ALGORITHMS, Q_LEARNERS, check_q_settings
from a2po.algorithms.update_rules import RULES, check_settings
from a2po.config import TrainConfig, resolve
from a2po.presets import made_for, preset_names

BASELINES = ("mappo", "coppo", "happo")


class Row(NamedTuple):
    """A line of a table: copies, steps, epochs of the baselines and of A2PO, A2PO's λ, ε, agent blocks, two-stage critics."""

    num_envs: int
    length: int
    epochs: int
    a2po_epochs: int
    trace_decay: float
    clip: float
    blocks: int | None
    two_stage: bool


SMAC = {
    "MMM": Row(10, 320, 10, 12, 0.95, 0.2, 3, True),
    "3s_vs_5z": Row(10, 320, 10, 15, 0.95, 0.05, 3, False),
    "2c_vs_64zg": Row(10, 320, 5, 5, 0.95, 0.2, 2, True),
    "3s5z": Row(10, 320, 5, 8, 0.95, 0.2, 3, True),
    "5m_vs_6m": Row(16, 200, 10, 10, 0.93, 0.05, 2, True),
    "8m_vs_9m": Row(10, 320, 15, 15, 0.95, 0.05, 5, True),
    "10m_vs_11m": Row(10, 320, 10, 10, 0.97, 0.2, 2, True),
    "6h_vs_8z": Row(10, 320, 5, 8, 0.99, 0.2, 2, False),
    "3s5z_vs_3s6z": Row(10, 320, 5, 5, 0.90, 0.2, 2, False),
    "MMM2": Row(10, 320, 5, 5, 0.95, 0.2, 2, True),
    "27m_vs_30m": Row(10, 320, 5, 5, 0.95, 0.2, 3, True),
    "corridor": Row(10, 320, 5, 5, 0.95, 0.2, 2, True),
}
MLP_MAPS = {"3s_vs_5z", "6h_vs_8z", "corridor"}
SMAC_STEPS = {"MMM": 5_000_000, "6h_vs_8z": 15_000_000}

MUJOCO = {
    "Ant-2x4": Row(25, 160, 5, 8, 0.93, 0.2, None, True),
    "Ant-4x2": Row(25, 160, 5, 8, 0.93, 0.2, None, True),
    "Ant-8x1": Row(25, 160, 5, 8, 0.93, 0.2, 4, True),
    "HalfCheetah-2x3": Row(16, 250, 5, 5, 0.93, 0.2, None, True),
    "HalfCheetah-6x1": Row(16, 250, 5, 5, 0.93, 0.2, None, True),
    "Hopper-3x1": Row(16, 250, 5, 8, 0.95, 0.1, None, True),
    "Walker2d-6x1": Row(16, 250, 5, 5, 0.93, 0.2, None, True),
    "Humanoid-9|8": Row(16, 250, 5, 5, 0.90, 0.2, None, True),
    "Humanoid-17x1": Row(16, 250, 5, 5, 0.90, 0.2, 3, True),
    "HumanoidStandup-9|8": Row(16, 250, 5, 8, 0.93, 0.2, None, True),
    "HumanoidStandup-17x1": Row(16, 250, 5, 5, 0.95, 0.2, 5, True),
}

OTHERS = {
    "football/5_vs_5_easy": Row(24, 3000, 10, 10, 0.95, 0.25, None, True),
    "football/5_vs_5_medium": Row(24, 3000, 10, 10, 0.95, 0.25, None, True),
    "football/5_vs_5_hard": Row(24, 3000, 10, 10, 0.95, 0.25, None, True),
    "pettingzoo/mpe2.simple_spread_v3": Row(32, 25, 5, 8, 0.95, 0.2, None, False),
    "pettingzoo/mpe2.simple_reference_v3": Row(32, 25, 5, 8, 0.95, 0.2, None, False),
    "pettingzoo/pettingzoo.sisl.multiwalker_v9": Row(20, 250, 10, 10, 0.95, 0.1, 3, False),
}
TABLE = {f"smac/{name}": row for name, row in SMAC.items()} | {f"mamujoco/{name}": row for name, row in MUJOCO.items()} | OTHERS

# What a task may be called, of every pattern in the presets, and some of no pattern.
TASKS = (
    *TABLE,
    *(f"sc2/{name}" for name in SMAC),
    *("football/11_vs_11_easy_stochastic", "football/11_vs_11_hard_stochastic", "football/5_vs_5"),
    *("football/academy_3_vs_1_with_keeper", "football/academy_corner", "football/academy_pass_and_shoot_with_keeper"),
    *("mamujoco/Walker2d-2x3", "matrix/climbing", "tabular/two-states", "smac/3m", "smacv2/terran_5_vs_5", "my_module:make"),
)


# How many agents a task has; the others' least number of agents is 2.
AGENTS = {"football/5_vs_5": 4, "football/11_vs_11": 10, "pettingzoo/pettingzoo.sisl.multiwalker": 3, "mamujoco/Hopper-3x1": 3}
AGENTS |= {"mamujoco/Ant-8x1": 8, "mamujoco/Humanoid-17x1": 17, "mamujoco/HumanoidStandup-17x1": 17, "football/academy_corner": 10}
AGENTS |= {"smac/MMM": 10, "smac/3s_vs_5z": 3, "smac/3s5z": 8, "smac/8m_vs_9m": 8, "smac/27m_vs_30m": 27}


def num_agents(task: str) -> int:
    task = task.replace("sc2/", "smac/")
    return next((agents for name, agents in AGENTS.items() if task == name or task.startswith(f"{name}_")), 2)


@cache
def resolved(preset: str, task: str, algorithm: str = "a2po") -> TrainConfig:
    return resolve(preset=preset, values={"task": task, "algorithm": algorithm})


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_possible_everywhere(preset: str) -> None:
    """What the models refuse, they refuse here; and no minibatch is smaller than the others."""
    for task in TASKS:
        for algorithm in made_for(preset) or ALGORITHMS:
            config = resolved(preset, task, algorithm)
            update = config.update
            rows = config.env.num_envs * update.rollout_length // (update.chunk_length if config.network.recurrent_layers else 1)
            assert rows % update.num_minibatches == 0, (task, algorithm)
            if config.network.recurrent_layers:
                assert update.rollout_length % update.chunk_length == 0, (task, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("preset", ["fast", "paper", "public-code", "shared", "two-stage"])
def test_no_algorithm_is_given_what_it_refuses(preset: str, algorithm: str) -> None:
    if algorithm in Q_LEARNERS and preset not in ("fast", "shared"):
        return
    for task in TASKS:
        config = resolved(preset, task, algorithm)
        if algorithm in RULES:
            check_settings(RULES[algorithm], config.update, num_agents(task))
        else:
            check_q_settings(algorithm, config.update, config.network)
        if preset != "two-stage" and algorithm not in ("a2po", "happo"):
            assert (config.update.num_blocks, config.update.two_stage) == (None, False)


@pytest.mark.parametrize(("task", "row"), TABLE.items(), ids=list(TABLE))
def test_the_tables_of_a2po(task: str, row: Row) -> None:
    config = resolved("paper", task)
    update = config.update
    found = (config.env.num_envs, update.rollout_length, row.epochs, update.num_epochs, update.trace_decay, update.clip)
    assert Row(*found, update.num_blocks, update.two_stage) == row


@pytest.mark.parametrize("algorithm", BASELINES)
@pytest.mark.parametrize(("task", "row"), TABLE.items(), ids=list(TABLE))
def test_the_tables_of_the_baselines(task: str, row: Row, algorithm: str) -> None:
    """λ is the common one, and critics are trained along with their actors (HAPPO's once per round)."""
    config = resolved("paper", task, algorithm)
    update = config.update
    found = (config.env.num_envs, update.rollout_length, update.num_epochs, update.trace_decay, update.clip, update.two_stage)
    assert found == (row.num_envs, row.length, row.epochs, 0.95, row.clip, False)
    has_blocks = algorithm == "happo" and (config.network.share_parameters or task == "mamujoco/Humanoid-17x1")
    assert update.num_blocks == (row.blocks if has_blocks else None)


@pytest.mark.parametrize("name", SMAC)
def test_what_the_maps_share(name: str) -> None:
    for task in (f"smac/{name}", f"sc2/{name}"):
        config = resolved("paper", task)
        update = config.update
        assert config.network.share_parameters and config.network.recurrent_layers == (name not in MLP_MAPS)
        assert (update.actor_learning_rate, update.critic_learning_rate, update.discount) == (5e-4, 5e-4, 0.99)
        assert (update.entropy_coefficient, update.time_limits, update.chunk_length) == (0.01, "terminal", 10)
        assert config.env.options == ({"observation": "on_policy"} if task.startswith("smac/") else {})
        assert (update.num_minibatches, config.network.head_gain) == ((2, 1.0) if name == "MMM2" else (1, 0.01))
        assert config.run.total_steps == SMAC_STEPS.get(name, 10_000_000)
        assert (config.run.evaluate_every, config.run.evaluation_episodes) == (160_000, 32)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_our_own_numbers_for_battles(algorithm: str) -> None:
    """Shared recurrent networks for every algorithm, large batches for those that learn from rollouts."""
    config = resolved("fast", "smac/3s5z", algorithm)
    network, rollouts = config.network, algorithm in RULES
    assert (network.share_parameters, network.recurrent_layers, network.recurrent_size, config.env.options) == (True, 1, 64, {})
    assert (config.env.num_envs, config.update.rollout_length) == ((128, 40) if rollouts else (8, 32))
    assert (config.update.num_blocks, config.run.evaluation_episodes) == (2 if algorithm in ("a2po", "happo") else None, 32)


@pytest.mark.parametrize("name", MUJOCO)
def test_what_the_robots_share(name: str) -> None:
    config = resolved("paper", f"mamujoco/{name}")
    update, rate = config.update, 1e-4 if name.startswith("Hopper") else 3e-4
    assert (update.actor_learning_rate, update.critic_learning_rate) == (rate, rate)
    assert (update.entropy_coefficient, update.time_limits, update.chunk_length) == (0.0, "bootstrap", 10)
    assert config.env.num_envs * update.rollout_length == 4000
    assert not config.network.share_parameters and config.network.recurrent_layers == 1
    assert (config.run.total_steps, config.run.evaluate_every, config.run.evaluation_episodes) == (10_000_000, 200_000, 10)
    assert config.env.options == {"profile": "paper"}


def test_football() -> None:
    for level, entropy, episodes in (("easy", 1e-3, 40), ("medium", 1e-3, 20), ("hard", 1e-4, 20)):
        config = resolved("paper", f"football/5_vs_5_{level}")
        network, update = config.network, config.update
        assert (update.entropy_coefficient, config.run.evaluation_episodes) == (entropy, episodes)
        assert (update.discount, update.actor_learning_rate, update.time_limits) == (0.995, 5e-4, "terminal")
        assert (network.recurrent_size, network.critic_input, network.share_parameters) == (128, "observation", False)
        assert (config.run.total_steps, config.run.evaluate_every) == (100_000_000, 360_000)
    for algorithm, epochs, blocks in (("mappo", 10, None), ("happo", 2, 5), ("a2po", 2, 5)):
        config = resolved("paper", "football/11_vs_11_hard_stochastic", algorithm)
        assert (config.env.num_envs, config.update.rollout_length, config.update.num_epochs) == (60, 3001, epochs)
        assert (config.update.num_blocks, config.network.share_parameters, config.network.hidden_sizes) == (blocks, True, (256, 128, 64))
        assert (config.update.clip, config.update.discount, config.update.entropy_coefficient) == (0.2, 0.995, 0.0)
    for scenario, algorithm, epochs, discount in (
        ("3_vs_1_with_keeper", "mappo", 15, 0.99),
        ("counterattack_hard", "a2po", 5, 0.99),
        ("pass_and_shoot_with_keeper", "a2po", 1, 0.99),
        ("run_pass_and_shoot_with_keeper", "a2po", 5, 0.99),
        ("corner", "happo", 5, 0.995),
    ):
        config = resolved("paper", f"football/academy_{scenario}", algorithm)
        assert (config.update.num_epochs, config.update.discount, config.update.entropy_coefficient) == (epochs, discount, 0.01)
        assert (config.run.total_steps, config.update.clip) == (10_000_000, 0.2)


def test_pettingzoo() -> None:
    for world, rate in (("spread", 2e-4), ("reference", 1e-4)):
        config = resolved("paper", f"pettingzoo/mpe2.simple_{world}_v3")
        update = config.update
        assert (update.actor_learning_rate, update.critic_learning_rate, update.entropy_coefficient) == (rate, rate, 0.05)
        assert (update.chunk_length, config.network.share_parameters, config.run.total_steps) == (5, False, 10_000_000)
    walker = resolved("paper", "pettingzoo/pettingzoo.sisl.multiwalker_v9")
    assert (walker.update.actor_learning_rate, walker.update.entropy_coefficient, walker.network.log_std_init) == (1e-4, 0.0, -1.0)
    assert (walker.network.share_parameters, walker.run.total_steps) == (True, 15_000_000)


def test_the_paper_is_the_equations() -> None:
    for task in TASKS:
        update = resolved("paper", task).update
        assert (update.trace, update.others_clip, update.score, update.rescore) == ("paper", "half", "advantage", "per_agent")
        assert update.clip_schedule is update.advantage is update.order is None and update.clip_coefficient == 0.5


PUBLIC_CODE: list[tuple[str, str, str, Any]] = [
    ("1", "mamujoco/HalfCheetah-2x3", "update.trace", "squared"),
    ("1", "smac/3s5z", "update.trace", "squared"),
    ("1", "mamujoco/HumanoidStandup-17x1", "update.trace", "squared"),
    ("2", "mamujoco/Ant-4x2", "update.trace", "cumulative"),
    ("2", "mamujoco/Humanoid-9|8", "update.trace", "cumulative"),
    ("2", "mamujoco/Walker2d-6x1", "update.trace", "cumulative"),
    ("2", "smac/5m_vs_6m", "update.trace", "cumulative"),
    ("3", "mamujoco/Ant-4x2", "update.others_clip", "fixed"),
    ("4", "smac/3s5z", "update.clip_schedule", "ratio_proportional"),
    ("4", "pettingzoo/pettingzoo.sisl.multiwalker_v9", "update.clip_schedule", "ratio_proportional"),
    ("4", "pettingzoo/mpe2.simple_spread_v3", "update.clip_schedule", "adaptive"),
    ("4", "mamujoco/Ant-4x2", "update.clip_schedule", "adaptive"),
    ("5", "mamujoco/Ant-4x2", "update.score", "advantage_over_value"),
    ("5", "smac/3s5z", "update.rescore", "once"),
    ("6", "smac/3s5z", "update.order", "semi_greedy"),
    ("7", "smac/3s5z", "update.value_target", "preopc"),
    ("8", "mamujoco/Ant-4x2", "network.critics", "per_agent"),
    ("two-stage", "mamujoco/Ant-4x2", "update.two_stage", True),
    ("two-stage", "matrix/climbing", "update.two_stage", True),
    ("two-stage", "smac/3s_vs_5z", "update.two_stage", False),
    ("normalisation", "mamujoco/Ant-4x2", "update.advantage_normalisation", "pooled"),
    ("time limits", "mamujoco/Ant-4x2", "update.time_limits", "zeroed"),
    ("time limits", "smac/3s5z", "update.time_limits", "terminal"),
]


@pytest.mark.parametrize(("task", "field", "value"), [pytest.param(*case, id=f"row {row}: {case[0]}") for row, *case in PUBLIC_CODE])
def test_the_rows_of_the_public_code(task: str, field: str, value: Any) -> None:
    section, name = field.split(".")
    assert getattr(getattr(resolved("public-code", task), section), name) == value


def test_the_public_code_has_the_papers_numbers() -> None:
    """Only how A2PO works differs; of the other algorithms the normalisation and the time limits."""
    how = {"trace", "others_clip", "clip_schedule", "score", "rescore", "order", "two_stage", "advantage_normalisation", "time_limits"}
    for task in TASKS:
        for algorithm in RULES:
            paper, code = (resolved(preset, task, algorithm).model_dump() for preset in ("paper", "public-code"))
            assert code["network"] == paper["network"]
            different = {key for key, value in code["update"].items() if value != paper["update"][key]}
            assert different <= (how if algorithm == "a2po" else {"advantage_normalisation", "time_limits"})
            assert {**code, "update": paper["update"], "preset": "paper"} == paper


def documented() -> dict[str, list[str]]:
    """Task -> the other cells of its row in docs/presets.md."""
    lines = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8").replace("\\|", "¦").splitlines()
    rows = [[cell.strip().replace("¦", "|") for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \w+/\S+ \|", line)]
    return {row[0]: row[1:] for row in rows}


def test_the_table_in_the_documentation_is_the_preset() -> None:
    table = documented()
    assert {task for task in TABLE if task.startswith("smac/")} <= set(table) and len(table) == 30
    for task, (source, *cells) in table.items():
        config, plain, happo = (resolved("paper", task, algorithm) for algorithm in ("a2po", "mappo", "happo"))
        update, network, run = config.update, config.network, config.run
        epochs = {algorithm.update.num_epochs for algorithm in (plain, happo)}
        assert cells == [
            f"{config.env.num_envs} × {update.rollout_length:,}",
            f"{update.actor_learning_rate:g}",
            f"{plain.update.num_epochs}" + (f" (HAPPO {happo.update.num_epochs})" if len(epochs) == 2 else ""),
            f"{update.num_epochs}",
            f"{update.trace_decay:g}",
            f"{update.clip:g}",
            "–" if update.num_blocks is None else f"{update.num_blocks}" + (" (HAPPO too)" if happo.update.num_blocks else ""),
            "yes" if update.two_stage else "no",
            f"GRU {network.recurrent_size}" if network.recurrent_layers else "MLP",
            "shared" if network.share_parameters else "separate",
            f"{run.total_steps / 1e6:g}M",
        ]
        assert source.startswith(("public A2PO code", "GRF_MARL"))
        assert update.actor_learning_rate == update.critic_learning_rate


def test_every_preset_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in preset_names() if not name.startswith("qmix"))
