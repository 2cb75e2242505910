"""``a2po.export``: from a run to a bundle that is proven before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from a2po.errors import require
from a2po.exporters.options import DEFAULT_OPSET, ExportOptions


def export(
    run: Path | str | None = None,
    *,
    checkpoint: str = "latest",
    agents: Sequence[str] | None = None,
    output: Path | str | None = None,
    format: str = "all",
    opset: int = DEFAULT_OPSET,
    profile: str = "standard",
    noise: bool = False,
    quantize: str | None = None,
    sign: Path | str | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a run's team as a bundle: one ONNX actor per agent, proven equal to the trained policy.

    Args:
        run: the run folder; the newest one by default.
        checkpoint: ``latest``, ``best`` or a step.
        agents: names of the agents to export, all by default.
        output: a folder or a .zip; ``bundle`` in the run folder by default, which some of the agents alone never replace.
        format: ``onnx`` (actors that play), ``safetensors`` (weights to train on with and to read; no team) or ``all``.
        opset: version of the ONNX operators: 17 to 21, with the profile plain 13 to 21.
        profile: ``standard``, or ``plain`` for engines that lag: no LayerNormalization, and nothing else that came after opset 13.
        noise: the actors sample, with an input ``noise``: the same noise gives the same actions in every language.
        quantize: ``int8`` for weights of one byte; what that changes is measured.
        sign: a private ed25519 key (a PEM file) to sign the manifest with.
        say: where notices go.

    Returns: the bundle's path. It is whole or absent; a bundle that was there is replaced.

    Raises:
        UserError: the run, the checkpoint, an agent's name or an option is wrong, options exclude each other, or a package is missing.
        ParityError: an exported actor does not do what the trained one does.
    """
    require("exporting", torch="train", gymnasium="train", onnx="train", onnxscript="train", onnxruntime="cpu")
    options = ExportOptions(format, opset, profile, noise, quantize, None if sign is None else Path(sign))
    options.check()
    from a2po.algorithms.catalogue import Q_LEARNERS
    from a2po.exporters.build import build_bundle
    from a2po.training.runs import make_env, open_policy

    policy = open_policy(run, checkpoint, say=say)
    name = policy.config.algorithm
    if noise and name in Q_LEARNERS:
        say(f"{name} learns values, not probabilities: actors that sample take the values for a policy, which they are not")
    return build_bundle(
        policy, lambda copies: make_env(policy.config, copies, seed=policy.config.seed), agents=agents, output=output, options=options
    )
