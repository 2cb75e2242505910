"""Record real episodes of a bundle's task: what the agents saw, what was legal, their noise, and what they did.

    python examples/javascript/record.py runs/<name>/bundle recording.safetensors

A bundle that was exported with ``--noise`` plays sampled actions, any other one greedy ones. Other languages feed the same
inputs to the same files (replay.mjs does in JavaScript) and must get the same actions. Needs ``pip install "a2po[train,cpu]"``.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import closing

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file

from a2po.envs import Observations, make
from a2po.envs.play import playable, steps
from a2po.envs.registry import runs_foreign_code
from a2po.errors import UserError
from a2po.runtime import Team

STEPS = 1000


def record(bundle: str, seed: int = 0) -> dict[str, np.ndarray]:
    """At least ``STEPS`` steps of one copy of the task, to the end of an episode.

    Returns: begun [T] (an episode begins), obs [T, N, O], action_mask [T, N, A] of discrete actions, noise [T, N, A] of sampled
        ones, and action [T, N] or [T, N, A]; agents and widths are padded as the manifest says.
    """
    team, rows = Team.load(bundle), defaultdict(list)
    task, sampled = team.manifest["task"], team.manifest["onnx"]["noise"]
    if runs_foreign_code(team.task):
        sys.exit(f"record.py: making '{team.task}' runs somebody's code; if you trust it, take this question out of the script")
    if list(team.agents) != task["agents"]:
        sys.exit(f"record.py: '{bundle}' holds {', '.join(team.agents)} alone, and {team.task} needs {', '.join(task['agents'])}")
    stream = np.random.default_rng(seed)
    draw = stream.random if team.discrete else stream.standard_normal

    def act(observations: Observations, begun: torch.Tensor | None) -> torch.Tensor:
        now = {"begun": np.array(begun is None or bool(begun[0])), "obs": observations.obs[0].numpy().copy()}
        if now["begun"]:
            team.reset()
        if team.discrete:
            now["action_mask"] = playable(observations)[0].numpy()
        if sampled:
            now["noise"] = draw((len(team.agents), task["action_width"]), dtype=np.float32)
        now["action"] = team.act(now["obs"], now.get("action_mask"), noise=now.get("noise"))
        for name, value in now.items():
            rows[name].append(value)
        return torch.from_numpy(now["action"])[None]

    with closing(make(team.task, 1, seed=seed, **task["options"])) as env:
        for step in steps(env, act):
            if len(rows["begun"]) >= STEPS and bool((step.terminated | step.truncated)[0]):
                break
    return {name: np.stack(values) for name, values in rows.items()}


def main(bundle: str, path: str) -> None:
    """Write the recording."""
    tensors = record(bundle)
    save_file(tensors, path)
    steps_and_agents = f"{len(tensors['begun'])} steps of {tensors['obs'].shape[1]} agents, {tensors['begun'].sum()} episodes"
    print(f"{steps_and_agents}, {'sampled' if 'noise' in tensors else 'greedy'} actions: {path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python record.py BUNDLE RECORDING")
    try:
        main(*sys.argv[1:])
    except (UserError, OSError, SafetensorError) as error:
        sys.exit(f"record.py: {error}")
