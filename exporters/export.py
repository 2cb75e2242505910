"""``a2po.export``: from a run to a bundle that is proven before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from a2po.errors import require

DEFAULT_OPSET = 18
"""The first opset that the exporter writes natively; older engines stop before 20."""


def export(
    run: Path | str | None = None,
    *,
    checkpoint: str = "latest",
    agents: Sequence[str] | None = None,
    output: Path | str | None = None,
    opset: int = DEFAULT_OPSET,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a run's team as a bundle: one ONNX actor per agent, proven equal to the trained policy.

    Args:
        run: the run folder; the newest one by default.
        checkpoint: ``latest``, ``best`` or a step.
        agents: names of the agents to export, all by default.
        output: a folder or a .zip; ``bundle`` in the run folder by default, which some of the agents alone never replace.
        opset: version of the ONNX operators.
        say: where notices go.

    Returns: the bundle's path. It is whole or absent; a bundle that was there is replaced.

    Raises:
        UserError: the run, the checkpoint, an agent's name or the opset is wrong, or a package is missing.
        ParityError: an exported actor does not do what the trained one does.
    """
    require("exporting", torch="train", gymnasium="train", onnx="train", onnxscript="train", onnxruntime="cpu")
    from a2po.exporters.build import build_bundle
    from a2po.training.runs import make_env, open_policy

    policy = open_policy(run, checkpoint, say=say)
    return build_bundle(
        policy, lambda copies: make_env(policy.config, copies, seed=policy.config.seed), agents=agents, output=output, opset=opset
    )
