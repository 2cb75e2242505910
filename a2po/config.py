"""Typed configuration: frozen models, presets as TOML, ``--set section.key=value``, every problem reported at once."""

from __future__ import annotations

import json
import string
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, StrictBool, ValidationError, model_validator

from a2po.errors import ConfigError, did_you_mean
from a2po.presets import load_preset
from a2po.toml_files import merge, read_toml

DEFAULT_TASK = "mamujoco/HalfCheetah-2x3"
DEFAULT_PRESET = "fast"

Order = Literal["cyclic", "random", "greedy", "semi_greedy", "semi_greedy_random_first", "reverse_greedy", "reverse_semi_greedy"]
"""Strategies of ``a2po.algorithms.ordering``."""


def _a_number(value: Any) -> Any:
    """Text and truth values are not numbers, although Python would take them for some."""
    if isinstance(value, (bool, str)):
        raise ValueError("must be a number")
    return value


Whole = Annotated[int, BeforeValidator(_a_number)]
Number = Annotated[float, BeforeValidator(_a_number)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EnvConfig(_Section):
    """How the task is run."""

    num_envs: Whole = Field(64, ge=1, description="Copies that step together. More copies: faster sampling, older data per update.")
    num_threads: Whole | None = Field(None, ge=1, description="Simulator threads; by default one per core.")
    options: dict[str, Any] = Field(default_factory=dict, description="The task family's own options.")


class NetworkConfig(_Section):
    """The actors and critics."""

    hidden_sizes: tuple[PositiveInt, ...] = Field((64, 64), min_length=1, description="Width of each hidden layer.")
    recurrent_layers: Whole = Field(0, ge=0, le=8, description="GRU layers after the hidden layers, in actors and critics; 0 for none.")
    recurrent_size: Whole = Field(64, ge=1, description="Width of each GRU layer.")
    head_sizes: tuple[PositiveInt, ...] = Field((), description="Widths of the hidden layers between the GRU and the output.")
    activation: Literal["tanh", "relu"] = Field("tanh", description="Non-linearity of the hidden layers.")
    layer_norm: StrictBool = Field(False, description="LayerNorm on the input and after every hidden layer.")
    normalise_observations: StrictBool = Field(True, description="Running mean and variance of observations, frozen per update round.")
    normalise_values: StrictBool = Field(True, description="Critics predict returns in units of their running mean and variance.")
    share_parameters: StrictBool = Field(False, description="All agents have the same weights and are told apart by an agent id.")
    critics: Literal["per_agent", "one"] = Field("per_agent", description="A value for every agent, or one for the team.")
    critic_input: Literal["state", "observation"] = Field(
        "state", description="What critics see: the state, or the agent's own observation."
    )
    head_gain: Number = Field(0.01, gt=0, description="Scale of the initial policy head: small starts near-uniform.")
    log_std_init: Number = Field(-0.5, ge=-20, lt=2, description="Initial log standard deviation of continuous actions.")


class UpdateConfig(_Section):
    """One update round: how much data, how many passes, how far the policy may move."""

    rollout_length: Whole = Field(64, ge=1, description="Steps per copy between updates.")
    chunk_length: Whole = Field(16, ge=1, description="Steps that a recurrent network is trained through at once. Divides the rollout.")
    num_epochs: Whole = Field(6, ge=1, description="Passes over the data per agent. More: faster learning, more risk. Usual 5 to 15.")
    num_minibatches: Whole = Field(4, ge=1, description="Minibatches per pass. Usual 1 to 4.")
    actor_learning_rate: Number = Field(3e-4, gt=0, description="Adam step size of the actors. Usual 1e-4 to 1e-3.")
    critic_learning_rate: Number = Field(1e-3, gt=0, description="Adam step size of the critics.")
    learning_rate_schedule: Literal["constant", "linear"] = Field("constant", description="linear: down to zero at the last step.")
    adam_epsilon: Number = Field(1e-5, gt=0, description="Adam's denominator offset.")
    max_grad_norm: Number = Field(10.0, gt=0, description="Global gradient norm of each network is clipped to this.")
    discount: Number = Field(0.99, ge=0, le=1, description="Weight of the next step's value (gamma).")
    trace_decay: Number = Field(0.95, ge=0, le=1, description="Weight of longer returns in the advantage (lambda).")
    clip: Number = Field(0.2, gt=0, lt=1, description="How far a probability ratio may move from 1.")
    clip_coefficient: Number = Field(0.5, gt=0, le=1, description="Share of the clip range that the first agent in the order gets.")
    clip_schedule: Literal["constant", "adaptive", "ratio_proportional"] | None = Field(
        None, description="How the clip range goes along the order; by default the algorithm's own."
    )
    others_clip: Literal["half", "fixed"] = Field(
        "half", description="The others' ratios are clipped at half the range in force, or at half the full range whatever the position."
    )
    advantage: Literal["gae", "preopc"] | None = Field(
        None, description="Plain, or corrected for the agents updated before; by default the algorithm's own."
    )
    advantage_normalisation: Literal["per_agent", "pooled"] | None = Field(
        None,
        description="Mean and spread of each agent's advantages, or of all agents' together; by default pooled with shared parameters.",
    )
    value_target: Literal["preopc", "vtrace"] = Field("preopc", description="What critics learn where the advantage is corrected.")
    two_stage: StrictBool = Field(False, description="Every epoch begins with a pass that trains the critics alone.")
    num_blocks: Whole | None = Field(None, ge=1, description="Groups of agents that are updated together; by default everyone is one.")
    time_limits: Literal["bootstrap", "terminal", "zeroed"] = Field(
        "bootstrap",
        description="A step that the time limit cuts: bootstraps, counts as a true end, or is left out as the public code does.",
    )
    trace: Literal["paper", "squared", "cumulative"] = Field("paper", description="Form of the PreOPC trace; paper is the equation.")
    order: Order | None = Field(None, description="Order of updates; by default the algorithm's own.")
    score: Literal["advantage", "advantage_over_value"] = Field(
        "advantage", description="What greedy orders compare: the mean of |A|, or of |A / V| as the public code does."
    )
    rescore: Literal["per_agent", "once"] = Field("per_agent", description="When the greedy order looks at the advantages again.")
    entropy_coefficient: Number = Field(0.0, ge=0, description="Reward for a random policy. 0 for continuous control, 0.01 for battles.")
    clip_value: StrictBool = Field(True, description="Clip the change of the value prediction like the policy's.")
    num_threads: Whole = Field(1, ge=1, description="CPU threads of the update. More help wide networks on large minibatches only.")
    huber_delta: Number = Field(10.0, ge=0, description="Value errors beyond this count linearly; 0 for the plain square.")


class QmixConfig(_Section):
    """What QMIX and VDN have instead of update rounds. Learning rate, discount, Adam and gradient clipping are those of ``update``."""

    replay_episodes: Whole = Field(5000, ge=1, description="Episodes that the replay holds; the oldest make room.")
    batch_episodes: Whole = Field(32, ge=1, description="Episodes of one training batch.")
    warm_up_episodes: Whole = Field(32, ge=0, description="Episodes that are played at random before training begins.")
    updates_per_round: Whole = Field(1, ge=1, description="Training batches after each round of episodes.")
    target_every: Whole = Field(200, ge=1, description="Episodes between copies into the target network.")
    td_lambda: Number = Field(0.0, ge=0, le=1, description="Weight of longer returns in the target; 0 for one step.")
    double_q: StrictBool = Field(True, description="The live network picks the action that the target network values.")
    epsilon_start: Number = Field(1.0, ge=0, le=1, description="Share of random actions at the beginning.")
    epsilon_finish: Number = Field(0.05, ge=0, le=1, description="Share of random actions in the end.")
    epsilon_steps: Whole = Field(50_000, ge=1, description="Environment steps over which it falls linearly.")
    mixer_size: Whole = Field(32, ge=1, description="Width of the mixer's hidden layer.")
    hypernet_size: Whole = Field(64, ge=1, description="Width of the hyper-networks' hidden layer.")
    hypernet_layers: Whole = Field(2, ge=1, le=2, description="Layers of the hyper-networks that make the mixer's weights.")


class RunConfig(_Section):
    """How long, and what is kept."""

    total_steps: Whole = Field(1_000_000, ge=1, description="Environment steps over all copies.")
    evaluate_every: Whole = Field(100_000, ge=0, description="Steps between greedy evaluations; 0 for none.")
    evaluation_episodes: Whole = Field(10, ge=1, description="Episodes of one evaluation.")
    checkpoint_every: Whole = Field(100_000, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: Whole = Field(3, ge=2, description="Newest checkpoints that are kept; the best is kept besides.")
    milestone_every: Whole = Field(0, ge=0, description="Steps between checkpoints that are never removed; 0 for none.")
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] | None = Field(
        None, description="Where metrics go besides metrics.jsonl; by default tensorboard where it is installed, [] for nowhere."
    )


class TrainConfig(_Section):
    """Everything that a training run depends on."""

    task: str = DEFAULT_TASK
    algorithm: str = "a2po"
    preset: str = DEFAULT_PRESET
    seed: Whole = Field(0, ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    init_from: str | None = Field(None, description="A run or a bundle whose trained weights a new run begins with.")
    env: EnvConfig = EnvConfig()
    network: NetworkConfig = NetworkConfig()
    update: UpdateConfig = UpdateConfig()
    qmix: QmixConfig = QmixConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="before")
    @classmethod
    def _independent_critics(cls, values: Any) -> Any:
        """Independent PPO is the rule of MAPPO with critics that see what their agent sees."""
        if not isinstance(values, Mapping) or values.get("algorithm") != "ippo":
            return values
        network = values.get("network", {})
        if isinstance(network, NetworkConfig):
            network = network.model_dump(include=network.model_fields_set)
        if not isinstance(network, Mapping):
            return values  # which is told as any other wrong value
        if network.get("critic_input") == "state":
            raise ValueError("network.critic_input = 'state' is not independent PPO: for critics that see the state use algorithm 'mappo'")
        return {**values, "network": {"critic_input": "observation", **network}}

    @model_validator(mode="after")
    def _enough_samples(self) -> TrainConfig:
        length, chunk = self.update.rollout_length, self.update.chunk_length
        if self.network.recurrent_layers and length % chunk:
            raise ValueError(f"update.chunk_length = {chunk} does not divide update.rollout_length = {length}")
        samples = self.env.num_envs * length // (chunk if self.network.recurrent_layers else 1)
        if samples < self.update.num_minibatches:
            kind = "chunks" if self.network.recurrent_layers else "samples"
            raise ValueError(f"update.num_minibatches = {self.update.num_minibatches} is more than the {samples} {kind} of an update")
        return self


BARE_KEY_LETTERS = string.ascii_letters + string.digits + "-_"


def resolve(
    *, preset: str = DEFAULT_PRESET, file: Path | None = None, settings: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Build the configuration: defaults < preset < file < ``values`` < ``--set`` settings.

    Args:
        preset: name of a preset, the path of a TOML file in the same form, or several of them joined by ``+``.
        file: TOML file with any of the configuration's keys.
        settings: ``section.key=value`` strings; values are TOML literals, bare words are strings.
        values: top-level values such as task, algorithm and seed; None means "not given".

    Raises:
        ConfigError: with every problem at once.
    """
    own = _given(file, settings, values or {})
    preset = str(own.pop("preset", preset))
    task, algorithm = str(own.get("task", DEFAULT_TASK)), str(own.get("algorithm", TrainConfig().algorithm))
    return validate(merge(load_preset(preset, task, algorithm), {**own, "preset": preset}))


def override(
    config: TrainConfig, *, file: Path | None = None, settings: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> TrainConfig:
    """``config`` with some values replaced; the arguments are those of ``resolve``."""
    return validate(merge(config.model_dump(), _given(file, settings, values or {})))


def _given(file: Path | None, settings: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    own = merge(read_toml(file) if file else {}, {key: value for key, value in values.items() if value is not None})
    for setting in settings:
        own = merge(own, parse_setting(setting))
    return own


def validate(values: Mapping[str, Any]) -> TrainConfig:
    """Check plain values against the models.

    Raises:
        ConfigError: with every problem, its path, what was given and what is allowed.
    """
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def parse_setting(text: str) -> dict[str, Any]:
    """``"update.clip=0.1"`` -> ``{"update": {"clip": 0.1}}``."""
    path, separator, literal = text.partition("=")
    if not separator or not path.strip():
        raise ConfigError(f"--set {text}: expected section.key=value, for example --set update.clip=0.1")
    try:
        value = tomllib.loads(f"value = {literal}")["value"]
    except tomllib.TOMLDecodeError:
        value = None if literal.strip() in {"null", "none", "None"} else literal.strip()
    for key in reversed(path.strip().split(".")):
        value = {key: value}
    result: dict[str, Any] = value
    return result


def to_toml(config: BaseModel) -> str:
    """A configuration, or another model of plain values, as TOML.

    Values that are None are left out: TOML has no null, and None is always a default.
    """
    lines: list[str] = []
    sections: list[tuple[str, Mapping[str, Any]]] = [("", config.model_dump(mode="json"))]
    while sections:
        name, values = sections.pop(0)
        tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
        if name:
            lines.append(f"\n[{name}]")
        lines += [f"{_key(key)} = {_literal(value)}" for key, value in values.items() if key not in tables and value is not None]
        sections[:0] = [(f"{name}.{_key(key)}" if name else _key(key), table) for key, table in tables.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if key and all(letter in BARE_KEY_LETTERS for letter in key) else _literal(key)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's but for this one
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"update": {"clip": 0.1}}`` -> ``{"update.clip": 0.1}``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _problem(detail: Any) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if not path:
        return f"config: {detail['msg'].removeprefix('Value error, ')}"
    if detail["type"] != "extra_forbidden":
        return f"config: {path}: {detail['msg'].removeprefix('Value error, ').lower()}, got {detail['input']!r}"
    parents = detail["loc"][:-1]
    model: Any = TrainConfig
    for part in parents:
        model = model.model_fields[part].annotation
    name = str(detail["loc"][-1])
    known = list(model.model_fields)
    hint = did_you_mean(name, known) or did_you_mean_elsewhere(name)
    return f"config: unknown key '{path}'{hint}" + ("" if hint else f" (known here: {', '.join(known)})")


def did_you_mean_elsewhere(name: str) -> str:
    """A hint for a key that exists in another section."""
    homes = [section for section, field in TrainConfig.model_fields.items() if name in getattr(field.annotation, "model_fields", {})]
    return f"; did you mean '{homes[0]}.{name}'?" if homes else ""
