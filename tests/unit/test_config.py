"""Configuration: what overrides what, and what a user who mistypes gets to read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2po import config as configuration
from a2po.config import NetworkConfig, TrainConfig, override, parse_setting, resolve, to_toml, validate
from a2po.errors import ConfigError
from a2po.presets import preset_names

PRESET = """
description = "for tests"

[update]
clip = 0.11
num_epochs = 3
discount = 0.9

[[override]]
tasks = ["matrix/*"]
update.clip = 0.12

[[override]]
algorithms = ["mappo"]
update.num_epochs = 4

[[override]]
tasks = ["matrix/climbing"]
algorithms = ["a2po"]
update.clip = 0.13
"""


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(PRESET)
    return str(path)


def refused(**arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(**arguments)
    return str(caught.value)


def test_each_layer_overrides_the_one_before(preset: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('task = "matrix/penalty"\nseed = 3\n[update]\ndiscount = 0.8\nentropy_coefficient = 0.5\n')

    bare = resolve(preset=preset)
    assert bare.update.huber_delta == TrainConfig().update.huber_delta  # the models' default
    assert (bare.update.clip, bare.update.discount) == (0.11, 0.9)  # the preset
    with_file = resolve(preset=preset, file=file)
    assert (with_file.update.discount, with_file.update.clip, with_file.seed) == (0.8, 0.12, 3)  # the file, and the preset for its task
    with_values = resolve(preset=preset, file=file, values={"seed": 4, "task": None})
    assert (with_values.seed, with_values.task) == (4, "matrix/penalty")  # None means not given
    both = resolve(preset=preset, file=file, values={"seed": 4}, settings=["seed=5", "update.discount=0.7", "update.discount=0.6"])
    assert (both.seed, both.update.discount, both.update.entropy_coefficient) == (5, 0.6, 0.5)  # the last setting wins, the rest stays


def test_the_preset_itself_may_be_named_anywhere(preset: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f'preset = "{preset}"\n')
    assert resolve(file=file).update.clip == 0.11
    assert resolve(values={"preset": preset}).preset == preset
    assert resolve(settings=[f'preset="{preset}"']).update.num_epochs == 3


@pytest.mark.parametrize(
    ("task", "algorithm", "clip", "epochs"),
    [
        ("mamujoco/Ant-4x2", "a2po", 0.11, 3),
        ("matrix/penalty", "a2po", 0.12, 3),
        ("matrix/penalty", "mappo", 0.12, 4),
        ("matrix/climbing", "a2po", 0.13, 3),
        ("matrix/climbing", "mappo", 0.12, 4),
    ],
)
def test_overrides_match_task_and_algorithm_by_glob_in_file_order(preset: str, task: str, algorithm: str, clip: float, epochs: int) -> None:
    settings = resolve(preset=preset, values={"task": task, "algorithm": algorithm}).update
    assert (settings.clip, settings.num_epochs) == (clip, epochs)


def test_the_fast_preset_shows_everything_on_mujoco_alone() -> None:
    assert resolve(values={"task": "mamujoco/Ant-4x2"}).env.options["obsk"] == "full"
    assert "obsk" not in resolve(values={"task": "matrix/penalty"}).env.options
    assert resolve(settings=["env.options.obsk=1", "env.options.agent_ids=true"]).env.options == {"obsk": 1, "agent_ids": True}


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("update.clp=0.1", "did you mean 'clip'"),  # a typo
        ("tsk=matrix/climbing", "did you mean 'task'"),
        ("updat.clip=0.1", "did you mean 'update'"),
        ("env.rollout_length=8", "did you mean 'update.rollout_length'"),  # right key, wrong section
        ("total_steps=8", "did you mean 'run.total_steps'"),  # right key, no section
        ("run.zzzzzzzzzz=1", "total_steps"),  # nothing is close: all known keys
    ],
)
def test_an_unknown_key_gets_a_hint(setting: str, hint: str) -> None:
    message = refused(settings=[setting])
    assert f"unknown key '{setting.partition('=')[0].split('.clip')[0]}'" in message and hint in message


def test_all_problems_are_told_at_once() -> None:
    message = refused(settings=["update.clp=0.1", "update.discount=1.5", "seed=-1", "device=gpu", "env.num_envs=0"])
    for part in ("update.clp", "update.discount", "1.5", "seed", "-1", "device", "'gpu'", "'cuda'", "env.num_envs"):
        assert part in message
    assert len(message.splitlines()) == 5


@pytest.mark.parametrize(
    "setting",
    [
        "update.num_epochs=many",
        "update.num_epochs=2.5",
        "update=3",
        "env.options=3",
        "network.hidden_sizes=64",
        "network.hidden_sizes=[]",
        'network.hidden_sizes=["wide"]',
        "network.activation=gelu",
        "run.total_steps=[1]",
        "update.clip=1.0",
        "update.actor_learning_rate=0",
        "update.actor_learning_rate=nan",
        "seed=2147483648",
        "run.keep_checkpoints=1",
    ],
)
def test_wrong_types_and_ranges_are_refused(setting: str) -> None:
    path, _, literal = setting.partition("=")
    message = refused(settings=[setting])
    assert path in message and "got" in message and (literal.strip('["]') in message)


@pytest.mark.parametrize("setting", ["network.hidden_sizes=[64, 0]", "network.hidden_sizes=[-8]"])
def test_layers_need_at_least_one_unit(setting: str) -> None:
    assert "network.hidden_sizes" in refused(settings=[setting])


def test_an_unknown_order_is_refused_with_the_known_ones() -> None:
    message = refused(settings=["update.order=semi_gredy"])
    assert "update.order" in message and "semi_greedy" in message
    assert resolve(settings=["update.order=reverse_greedy"]).update.order == "reverse_greedy"


@pytest.mark.parametrize("setting", ["update.actor_learning_rate=inf", "network.head_gain=inf", "update.huber_delta=inf"])
def test_numbers_must_be_finite(setting: str) -> None:
    assert setting.partition("=")[0] in refused(settings=[setting])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("update.clip=0.1", 0.1),
        ("update.clip = 1e-3", 1e-3),
        ("a.b=3", 3),
        ("a.b=true", True),
        ('a.b="0.1"', "0.1"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={x = 1}", {"x": 1}),
        ("a.b=full", "full"),
        ("a.b=matrix/climbing", "matrix/climbing"),
        ("a.b= spaced word ", "spaced word"),
        ("a.b=x=y", "x=y"),
        ("a.b=none", None),
    ],
)
def test_settings_are_toml_literals_or_bare_words(text: str, value: Any) -> None:
    parsed = parse_setting(text)
    outer, inner = text.partition("=")[0].strip().split(".")
    assert parsed == {outer: {inner: value}} and type(parsed[outer][inner]) is type(value)


@pytest.mark.parametrize("text", ["update.clip", "=3", " =3"])
def test_a_setting_without_key_or_value_shows_the_form(text: str) -> None:
    assert "section.key=value" in refused(settings=[text])


def test_unknown_preset_and_missing_or_broken_files(tmp_path: Path) -> None:
    assert "did you mean 'fast'" in refused(preset="fsat")
    assert "unknown preset" in refused(settings=["preset=zzz"])
    assert "does not exist" in refused(file=tmp_path / "none.toml")
    assert "does not exist" in refused(preset=str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("[update\n")
    assert "broken.toml" in refused(file=broken)
    broken.write_bytes(b"\xff\xfe")
    assert "broken.toml" in refused(file=broken)
    assert str(tmp_path) in refused(file=tmp_path)  # a folder


def test_override_changes_a_resolved_configuration() -> None:
    before = resolve(values={"task": "matrix/climbing", "seed": 7}, settings=["update.clip=0.05"])
    after = override(before, settings=["run.total_steps=123"])
    assert after.run.total_steps == 123
    assert after.model_copy(update={"run": before.run}) == before
    with pytest.raises(ConfigError, match=r"did you mean 'run.total_steps'"):
        override(before, settings=["total_steps=1"])


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        resolve().seed = 1  # type: ignore[misc]


keys = st.text(min_size=1, max_size=6)
scalars = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
options = st.dictionaries(
    keys, st.recursive(scalars | st.lists(scalars, max_size=3), lambda inner: st.dictionaries(keys, inner, max_size=3))
)


def test_independent_ppo_means_critics_that_see_observations() -> None:
    given_otherwise = validate({"algorithm": "ippo", "network": {"share_parameters": True}})
    as_a_model = TrainConfig(algorithm="ippo", network=NetworkConfig(hidden_sizes=(8,)))
    assert given_otherwise.network == NetworkConfig(share_parameters=True, critic_input="observation")
    assert as_a_model.network == NetworkConfig(hidden_sizes=(8,), critic_input="observation")
    assert resolve(values={"algorithm": "ippo"}).network.critic_input == "observation"
    assert resolve(values={"algorithm": "mappo"}).network.critic_input == "state"
    assert validate(as_a_model.model_dump()) == validate(tomllib.loads(to_toml(as_a_model))) == as_a_model
    with pytest.raises(ConfigError, match="use algorithm 'mappo'"):
        resolve(values={"algorithm": "ippo"}, settings=["network.critic_input=state"])
    with pytest.raises(ConfigError, match="config: network: "):
        validate({"algorithm": "ippo", "network": 3})


@given(options, st.floats(1e-8, 1.0, exclude_max=True), st.text(max_size=10))
def test_toml_round_trip(options: dict[str, Any], number: float, task: str) -> None:
    config = validate({"task": task, "env": {"options": options}, "update": {"clip": number, "actor_learning_rate": number}})
    assert validate(tomllib.loads(to_toml(config))) == config


def test_toml_round_trip_of_what_is_run(tmp_path: Path) -> None:
    for name in preset_names():
        algorithm = "qmix" if name.startswith("qmix") else "a2po"
        settings = ["env.options.obsk=2", "update.clip=0.1", "env.num_threads=2"]
        config = resolve(preset=name, settings=settings, values={"algorithm": algorithm})
        path = tmp_path / "config.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert validate(tomllib.loads(path.read_text(encoding="utf-8"))) == config


def test_every_field_has_a_description() -> None:
    sections = [field.annotation for field in TrainConfig.model_fields.values() if hasattr(field.annotation, "model_fields")]
    assert len(sections) == 5
    for section in sections:
        assert all(field.description for field in section.model_fields.values())
    assert resolve().task == configuration.DEFAULT_TASK
