"""One onnxruntime session per distinct file, on the provider that was asked for and on no other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from a2po.errors import BundleError, DependencyError, did_you_mean, require
from a2po.runtime.bundle import MANIFEST, AgentSpec, Bundle
from a2po.runtime.onnx_file import check_file

if TYPE_CHECKING:
    import onnxruntime


class Provider(NamedTuple):
    """Where onnxruntime runs a graph."""

    name: str
    settings: dict[str, Any]
    device: str | None
    """Where recurrent memory stays between steps; None for main memory."""


PROVIDERS = {
    "cpu": Provider("CPUExecutionProvider", {}, None),
    # TensorFloat-32 would cost three decimal digits.
    "cuda": Provider("CUDAExecutionProvider", {"use_tf32": 0}, "cuda"),
}


class Actors:
    """The session of one file and the agents that play by it."""

    def __init__(self, bundle: Bundle, file: str, provider: str, threads: int = 1) -> None:
        self.agents = tuple(agent for agent in bundle.agents if agent.file == file)
        check_file(bundle.files[file], f"'{bundle.path}': {file}")
        self.session = open_session(bundle.files[file], file, provider, threads)
        self.device = PROVIDERS[provider].device
        self._check(bundle, file)

    def _check(self, bundle: Bundle, file: str) -> None:
        """The graph's ports are the manifest's, and so is what the file says about itself: its hash does not cover the manifest."""
        ports = {port.name: list(port.shape[1:]) for port in [*self.session.get_inputs(), *self.session.get_outputs()]}
        for agent in self.agents:
            if ports != expected_ports(agent):
                raise BundleError(f"'{bundle.path}': {file} has ports {ports}, agent '{agent.name}' needs {expected_ports(agent)}")
        metadata, first = self.session.get_modelmeta().custom_metadata_map, self.agents[0]
        altered = [key for key, value in expected_metadata(bundle, self.agents).items() if metadata.get(key) != value]
        altered += ["a2po.action" for agent in self.agents if (agent.low, agent.high) != (first.low, first.high)]
        if altered:
            raise BundleError(
                f"the bundle '{bundle.path}' cannot be trusted: {MANIFEST} says something else than {file} itself about "
                f"{', '.join(key.removeprefix('a2po.') for key in dict.fromkeys(altered))}. Export the run again, or copy it again"
            )


def expected_ports(agent: AgentSpec) -> dict[str, list[int]]:
    """Name -> shape behind the batch axis, of the inputs and outputs of an agent's graph."""
    actions, state = [agent.action_size], [agent.num_layers, agent.hidden_size]
    ports = {"obs": [agent.obs_size], "action": [] if agent.discrete else actions}
    ports.update({"action_mask": actions, "logits": actions} if agent.discrete else {"mean": actions, "log_std": actions})
    ports.update({name: shape for name, shape in (("agent", []), ("noise", actions)) if name in agent.inputs})
    if agent.num_layers:
        ports.update(state_in=state, state_out=state)
    return ports


def expected_metadata(bundle: Bundle, agents: Sequence[AgentSpec]) -> dict[str, str]:
    """The strings in an ONNX file that repeat the manifest, for the agents that share the file."""
    first = agents[0]
    bounds = {} if first.discrete else {"low": first.low, "high": first.high}
    kind, names = "discrete" if first.discrete else "continuous", shared({agent.name: agent.action_names for agent in agents})
    values = {
        "agents": [agent.name for agent in agents],
        "observation": {"dtype": "float32", "names": shared({agent.name: agent.features for agent in agents})},
        "action": {"kind": kind, "names": names, **bounds},
    }
    return {"a2po.task": bundle.task, **{f"a2po.{key}": json.dumps(value) for key, value in values.items()}}


def shared(names: Mapping[str, tuple[str, ...]]) -> Any:
    """One list of names where all agents of a file agree, else a list for each."""
    lists = {agent: list(own) for agent, own in names.items()}
    first = next(iter(lists.values()))
    return first if all(own == first for own in lists.values()) else lists


def open_session(content: bytes, file: str, provider: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session with an explicit provider.

    Args:
        content: of the file.
        file: its name, for messages.
        provider: one of ``PROVIDERS``.
        threads: that share the work of one step on the CPU. They sleep between steps: spinning, onnxruntime's default, would
            use a whole core of the game's for every one of them. Waking them up takes longer than a step of a few rows.

    Raises:
        DependencyError: onnxruntime is missing or lacks the provider; it would otherwise fall back to the CPU in silence.
        BundleError: the file is not a model that this onnxruntime can run.
    """
    if str(provider) not in PROVIDERS:  # callers without a type checker pass None
        raise DependencyError(f"unknown provider '{provider}'{did_you_mean(str(provider), PROVIDERS)} (there are: {', '.join(PROVIDERS)})")
    require("playing a bundle", onnxruntime="gpu" if provider == "cuda" else "cpu")
    import onnxruntime

    name, settings, _ = PROVIDERS[provider]
    available = onnxruntime.get_available_providers()
    if name not in available:
        raise DependencyError(
            f"provider '{provider}' was asked for, but this onnxruntime has {', '.join(available)} only: "
            'pip uninstall onnxruntime, then pip install "a2po[gpu]"'
        )
    if provider == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only
    options.add_session_config_entry("session.strict_shape_type_inference", "1")  # results are as large as the file says, or it is refused
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(name, settings)], enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class of their own
        if provider == "cuda":
            open_session(content, file, "cpu")  # is the file to blame?
            raise DependencyError(f"provider 'cuda' was asked for, but onnxruntime cannot use it here: {error}") from None
        raise BundleError(f"{file} cannot be loaded by onnxruntime {onnxruntime.__version__}: {error}") from None
    if session.get_providers()[0] != name:
        raise DependencyError(
            f"provider '{provider}' was asked for, but onnxruntime fell back to {session.get_providers()[0]}: "
            "its CUDA libraries do not load or do not match this machine's driver"
        )
    return session
