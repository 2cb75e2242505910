"""Run an exported team in plain Gymnasium: numpy, onnxruntime and gymnasium, no torch, nothing of the trainer.

    python examples/half_cheetah_bot.py runs/<name>/bundle

For a team trained on mamujoco/HalfCheetah-2x3 with full observation (the presets do): every agent sees what Gymnasium shows.
"""

from __future__ import annotations

import sys

import gymnasium
import mujoco
import numpy as np

from a2po.runtime import Team


def main(bundle: str) -> None:
    """Play one episode and print its return."""
    team = Team.load(bundle)
    # MuJoCo warns of an attribute that gymnasium's own model uses, and would leave a MUJOCO_LOG.TXT here.
    mujoco.set_mju_user_warning(lambda message: None)
    env = gymnasium.make("HalfCheetah-v5")
    mujoco.set_mju_user_warning(None)
    model = env.unwrapped.model
    actuator_of = {model.joint(model.actuator_trnid[index, 0]).name: index for index in range(model.nu)}
    owners = [(agent.name, joint) for agent in team.bundle.agents for joint in agent.action_names]
    order = [actuator_of[joint] for _, joint in owners]  # where each agent's controls belong

    observation, _ = env.reset(seed=0)
    team.reset()
    total, done = 0.0, False
    while not done:
        seen = observation.astype(np.float32)
        chosen = team.act({name: seen for name in team.agents})
        controls = np.zeros(model.nu, np.float32)
        controls[order] = np.concatenate([chosen[name] for name in team.agents])
        observation, reward, terminated, truncated, _ = env.step(controls)
        total, done = total + float(reward), terminated or truncated
    print(f"return {total:.1f} over one episode, MuJoCo {mujoco.__version__}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/half_cheetah_bot.py BUNDLE")
    main(sys.argv[1])
