"""An actor computed from its weights by a second, slow and obvious program: numpy in double precision, one line per equation.

It shares nothing with the trainer, the exporter or onnxruntime, so what it agrees with does what the weights say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from a2po.errors import BundleError
from a2po.runtime.bundle import AgentSpec, Bundle
from a2po.runtime.differences import ILLEGAL_LOGIT
from a2po.runtime.sampling import gumbel

NORM_EPSILON = 1e-5
LOG_STD_LIMITS = (-20.0, 2.0)
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"tanh": np.tanh, "relu": lambda values: np.maximum(values, 0.0)}
BOX = ("action_low", "action_high", "action_shift", "action_span")
OWN = ("observation_mean", "observation_inverse_std", "agent_id")
"""What has one row for each agent of a file where they differ."""


def read_weights(bundle: Bundle, file: str) -> dict[str, np.ndarray]:
    """The tensors of a file of weights, float32.

    Raises:
        BundleError: it is damaged, or holds numbers that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, np.ndarray] = load(bundle.files[file])
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"{file} cannot be read: {error}") from None
    strange = [name for name, value in tensors.items() if value.dtype != np.float32 or not np.isfinite(value).all()]
    if strange:
        raise BundleError(f"{file}: {strange[0]!r:.60} is not of finite float32 numbers")
    return tensors


class Reference:
    """One agent's actor.

    Args:
        agent: what the manifest says about it.
        network: ``training.config.network`` of the manifest.
        tensors: of its file of weights.
        precision: of the computation; single precision tells how much of a difference is rounding.

    Raises:
        BundleError: the weights are not those of such a network.
    """

    def __init__(
        self,
        agent: AgentSpec,
        network: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        precision: type[np.floating[Any]] = np.float64,
    ) -> None:
        self.agent, self.tensors, self.precision = agent, tensors, precision
        self.used: set[str] = {name for name in BOX if name in tensors}
        try:
            self.activation = ACTIVATIONS[network["activation"]]
            self.layer_norm = bool(network["layer_norm"])
            self.layers, self.head_layers = len(network["hidden_sizes"]), len(network["head_sizes"])
            self.weights = {name: value.astype(self.precision) for name, value in tensors.items()}
            for name in OWN:
                if name in tensors and tensors[name].ndim == 2:
                    self.weights[name] = self.weights[name][agent.row]
            wrong = self._misfits()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BundleError(
                f"{agent.weights} does not hold the network of '{agent.name}' (training.config.network): {type(error).__name__} {error}"
            ) from None
        if wrong:
            raise BundleError(f"{agent.weights} holds other numbers than the network of '{agent.name}' has: {', '.join(wrong)}")

    def step(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the graph must give for these inputs, [M, ...] by port.

        Args:
            feed: ``obs`` [M, O], and ``action_mask`` [M, A], ``state_in`` [M, L, H], ``noise`` [M, A] as far as the graph has them.
        """
        with np.errstate(all="ignore"):  # what overflows is found by who compares
            return self._step(feed)

    def _step(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = self._inputs(feed["obs"].astype(self.precision))
        output, state = self._recurrent(inputs, feed["state_in"]) if self.agent.num_layers else (self._feed_forward(inputs), {})
        return {**(self._discrete(output, feed) if self.agent.discrete else self._continuous(output, feed)), **state}

    def _inputs(self, obs: np.ndarray) -> np.ndarray:
        """Observations in units of their statistics, behind the id of the agent."""
        if self.agent.clip is not None:
            scaled = (obs - self._tensor("observation_mean")) * self._tensor("observation_inverse_std")
            obs = np.clip(scaled, -self.agent.clip, self.agent.clip)
        if "agent_id" in self.weights:
            obs = np.concatenate([np.tile(self._tensor("agent_id"), (len(obs), 1)), obs], axis=1)
        return obs

    def _feed_forward(self, hidden: np.ndarray) -> np.ndarray:
        last = self.layers + self.head_layers
        for layer in range(last):
            hidden = self.activation(self._linear(hidden, f"linear{layer}", f"norm{layer}"))
        return self._linear(hidden, f"linear{last}", f"norm{last}")

    def _recurrent(self, hidden: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        for layer in range(self.layers):
            hidden = self.activation(self._linear(hidden, f"linear{layer}", f"norm{layer}"))
        states = []
        for layer in range(self.agent.num_layers):
            hidden = self._gru(hidden, state[:, layer].astype(self.precision), layer)
            states.append(hidden)
        for layer in range(self.head_layers):
            hidden = self.activation(self._linear(hidden, f"head_linear{layer}", f"head_norm{layer}"))
        output = self._linear(hidden, f"head_linear{self.head_layers}", f"head_norm{self.head_layers}")
        return output, {"state_out": np.stack(states, axis=1)}

    def _linear(self, inputs: np.ndarray, name: str, norm: str) -> np.ndarray:
        if self.layer_norm and norm:
            centred = inputs - inputs.mean(axis=1, keepdims=True)
            variance = np.square(centred).mean(axis=1, keepdims=True)
            inputs = centred / np.sqrt(variance + NORM_EPSILON) * self._tensor(f"{norm}_scale") + self._tensor(f"{norm}_shift")
        product: np.ndarray = inputs @ self._tensor(f"{name}_weight") + self._tensor(f"{name}_bias")
        return product

    def _gru(self, inputs: np.ndarray, state: np.ndarray, layer: int) -> np.ndarray:
        from_input = self._linear(inputs, f"gru{layer}_input", "gru_norm" if layer == 0 else "")
        from_state = self._linear(state, f"gru{layer}_state", "")
        input_reset, input_update, input_new = np.split(from_input, 3, axis=1)
        state_reset, state_update, state_new = np.split(from_state, 3, axis=1)
        reset, update = sigmoid(input_reset + state_reset), sigmoid(input_update + state_update)
        new = np.tanh(input_new + reset * state_new)
        after: np.ndarray = new + update * (state - new)
        return after

    def _discrete(self, output: np.ndarray, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = np.where(feed["action_mask"], output, ILLEGAL_LOGIT)
        scores = logits + gumbel(feed["noise"].astype(self.precision)) if "noise" in feed else logits
        return {"action": scores.argmax(axis=1), "logits": logits}

    def _continuous(self, output: np.ndarray, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        mean = np.tanh(output)
        log_std = np.tile(np.clip(self._tensor("log_std"), *LOG_STD_LIMITS), (len(mean), 1))
        sample = mean + np.exp(log_std) * feed["noise"] if "noise" in feed else mean
        low, high = (np.asarray(bound, self.precision) for bound in (self.agent.low, self.agent.high))
        action = (low + high) / 2 + np.clip(sample, -1.0, 1.0) * (high - low) / 2
        return {"action": np.clip(action, low, high), "mean": mean, "log_std": log_std}

    def _tensor(self, name: str) -> np.ndarray:
        self.used.add(name)
        return self.weights[name]

    def _misfits(self) -> list[str]:
        """A first step finds what does not fit, and what nobody uses. Raises: KeyError, TypeError, ValueError or IndexError likewise."""
        agent = self.agent
        ports = {"obs": (agent.obs_size,), "action_mask": (agent.action_size,), "state_in": (agent.num_layers, agent.hidden_size)}
        outputs = self.step({name: np.zeros((1, *shape), bool if name == "action_mask" else np.float32) for name, shape in ports.items()})
        expected = {"logits": ports["action_mask"], "mean": ports["action_mask"], "state_out": ports["state_in"]}
        wrong = [name for name, shape in expected.items() if name in outputs and outputs[name].shape[1:] != shape]
        for name, bound in (("action_low", agent.low), ("action_high", agent.high)):
            if name in self.weights and not np.array_equal(self.weights[name], np.asarray(bound, np.float32)):
                wrong.append(name)
        return [*wrong, *sorted(set(self.weights) - self.used)]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    result: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result
