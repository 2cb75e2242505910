"""Presets: how they build on each other, and that each ablation changes one thing."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from a2po.config import TrainConfig, flat, resolve
from a2po.errors import ConfigError
from a2po.presets import description, preset_names

ABLATIONS = {
    "no-preopc": ("update.advantage", "gae"),
    "order-random": ("update.order", "random"),
    "order-cyclic": ("update.order", "cyclic"),
    "no-adaptive-clip": ("update.clip_schedule", "constant"),
    "two-stage": ("update.two_stage", True),
    "vtrace-target": ("update.value_target", "vtrace"),
    "blocks": ("update.num_blocks", 2),
    "rescore-once": ("update.rescore", "once"),
    "shared": ("network.share_parameters", True),
}


def preset_text(name: str) -> str:
    return resources.files("a2po.presets").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def values(preset: str, task: str = "mamujoco/Ant-4x2", algorithm: str = "a2po") -> dict[str, Any]:
    found = flat(resolve(preset=preset, values={"task": task, "algorithm": algorithm}).model_dump())
    assert found.pop("preset") == preset
    return found


def refused(preset: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(preset=preset)
    return str(caught.value)


def test_presets_are_listed() -> None:
    assert "fast" in preset_names() and preset_names() == sorted(preset_names())
    assert resolve() == resolve(preset="fast")


@pytest.mark.parametrize("name", preset_names())
def test_every_value_in_a_preset_says_where_it_comes_from(name: str) -> None:
    assert description(name)
    lines = [line for line in preset_text(name).splitlines() if re.match(r"[\w.]+\s*=", line)]
    assert all(re.match(r"description|base|tasks|algorithms", line) or re.search(r"# source: \S", line) for line in lines)


@pytest.mark.parametrize(("name", "change"), ABLATIONS.items(), ids=list(ABLATIONS))
@pytest.mark.parametrize("task", ["mamujoco/HalfCheetah-2x3", "mamujoco/Ant-4x2", "matrix/climbing"])
def test_an_ablation_differs_from_a2po_in_one_field(name: str, change: tuple[str, Any], task: str) -> None:
    plain, ablated = values("fast", task), values(name, task)
    assert {key: value for key, value in ablated.items() if value != plain[key]} == dict([change])


def test_every_preset_is_tested() -> None:
    assert {name for name in preset_names() if not name.startswith("qmix")} == {"fast", "paper", "public-code", *ABLATIONS}


@pytest.mark.parametrize(("name", "change"), ABLATIONS.items(), ids=list(ABLATIONS))
def test_an_ablation_lies_on_any_preset(name: str, change: tuple[str, Any]) -> None:
    """Its own base is left out: nothing of ``fast`` gets into the paper's numbers."""
    plain, ablated = values("paper"), values(f"paper+{name}")
    assert ablated == {**plain, change[0]: change[1]} and plain["update.rollout_length"] == 160


def test_later_ones_win() -> None:
    order = [values(text)["update.order"] for text in ("order-random+order-cyclic", "order-cyclic+order-random", "order-cyclic + fast")]
    assert order == ["cyclic", "random", "cyclic"]
    assert values("no-preopc+paper")["update.discount"] == values("paper")["update.discount"]
    both = values("paper+no-preopc+no-adaptive-clip")
    assert (both["update.advantage"], both["update.clip_schedule"]) == ("gae", "constant")


def test_files_are_parts_too(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.toml", tmp_path / "a+b.toml"
    mine.write_text(f'base = "{other}"\n[update]\nclip = 0.11\n[[override]]\ntasks = ["mamujoco/*"]\nupdate.num_epochs = 3\n')
    other.write_text('base = "paper"\n[update]\nclip = 0.12\ndiscount = 0.5\n[[override]]\nupdate.num_epochs = 4\n')
    found = values(f"{mine}+order-cyclic")
    assert [found[f"update.{key}"] for key in ("clip", "discount", "num_epochs", "order")] == [0.11, 0.5, 3, "cyclic"]
    assert found["update.rollout_length"] == 160  # the base of the base
    modifier = values(f"fast+{mine}")
    assert [modifier[f"update.{key}"] for key in ("clip", "discount", "num_epochs")] == [0.11, 0.99, 3]
    assert values(str(other))["update.clip"] == 0.12


def test_a_part_that_does_not_exist_is_named() -> None:
    message = refused("paper+no-preop")
    assert "unknown preset 'no-preop' in 'paper+no-preop'" in message and "did you mean 'no-preopc'" in message
    assert "unknown preset 'fsat'; did you mean 'fast'" in refused("fsat")
    assert "unknown preset ''" in refused("paper+")
    assert "none.toml' does not exist" in refused("fast+none.toml")


def test_a_circle_is_told(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'base = "{two}"\n')
    two.write_text(f'base = "{one}+fast"\n')
    message = refused(str(one))
    assert "in a circle" in message and message.count("one.toml") == 2 and message.count("two.toml") == 2


@pytest.mark.parametrize("preset", ["qmix-tuned", "qmix-table5", "shared+qmix-tuned"])
def test_a_preset_for_some_algorithms_is_refused_for_others(preset: str) -> None:
    assert "is not for 'a2po' but for qmix, vdn" in refused(preset)
    assert values(preset, algorithm="vdn")["qmix.batch_episodes"] in (32, 128)


@pytest.mark.parametrize("preset", ["paper", "public-code", "paper+shared"])
def test_the_papers_numbers_are_not_those_of_qmix(preset: str) -> None:
    with pytest.raises(ConfigError, match="preset 'paper' is not for 'qmix' but for mappo"):
        values(preset, algorithm="qmix")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[override]\nupdate.clip = 0.1\n", "override must be an array"),
        ('[[override]]\ntasks = "mamujoco/*"\nupdate.clip = 0.1\n', "tasks of an override"),
        ("base = 3\n", "base must be the name of a preset, got 3"),
        ('[[override]]\nbase = "fast"\n', "unknown key 'base'"),
        ("[update]\nclp = 0.1\n", "did you mean 'clip'"),
        ('algorithm = "mappo"\n', "algorithm belongs to a run"),
        ('[[override]]\ntask = "matrix/penalty"\n', "task belongs to a run"),
        ('algorithms = "mappo"\n', "algorithms of an override must be a list"),
        ('algorithms = ["mappo"]\n', "is not for 'a2po' but for mappo"),
    ],
)
def test_a_malformed_preset_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert words in refused(str(path))


def test_the_text_as_given_is_kept() -> None:
    config = resolve(values={"preset": "paper+no-preopc"})
    assert isinstance(config, TrainConfig) and config.preset == "paper+no-preopc"
